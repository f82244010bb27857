//! Options set by environment variables: ignores empty variables, and names the one behind a rejected value.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory};

use super::args::Cli;

/// The command line without empty variables: `NAME=` means that it is not set.
pub fn without(command: Command, is_empty: &dyn Fn(&OsStr) -> bool) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_empty(name) => arg.env(Resettable::Reset),
        _ => arg,
    });
    command.mut_subcommands(|command| without(command, is_empty))
}

/// The variable that supplied the rejected value, if its option was not typed.
pub fn variable_of(error: &clap::Error, typed: impl Iterator<Item = OsString>) -> Option<String> {
    let Some(ContextValue::String(refused)) = error.get(ContextKind::InvalidArg) else { return None };
    let mut command = Cli::command();
    command.build();
    let option = find(&command, refused)?;
    let (long, short) = (option.get_long()?, option.get_short());
    let is_typed = |word: &OsString| {
        let word = word.to_string_lossy();
        let long = word.strip_prefix("--").and_then(|rest| rest.strip_prefix(long));
        let short = short.and_then(|short| word.strip_prefix('-').filter(|_| !word.starts_with("--"))?.find(short));
        long.is_some_and(|rest| rest.is_empty() || rest.starts_with('=')) || short.is_some()
    };
    let mut words = typed.take_while(|word| word != "--");
    let name = option.get_env()?.to_str()?.to_owned();
    (!words.any(|word| is_typed(&word))).then_some(name)
}

/// The option with this name in error messages.
fn find<'a>(command: &'a Command, called: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.get_env().is_some() && arg.to_string() == called);
    own.or_else(|| command.get_subcommands().find_map(|command| find(command, called)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> Option<String> {
        let words = || words.iter().map(OsString::from);
        let error = Cli::command().try_get_matches_from(words()).unwrap_err();
        variable_of(&error, words())
    }

    #[test]
    fn what_was_typed_is_no_variable() {
        for words in [
            &["rollcall", "readers", "--output", "xml"][..],
            &["rollcall", "readers", "--output=xml"],
            &["rollcall", "readers", "-oxml"],
            &["rollcall", "-vo", "xml", "readers"],
            &["rollcall", "readers", "--frobnicate"],
        ] {
            assert_eq!(refused(words), None, "{words:?}");
        }
    }

    #[test]
    fn an_empty_variable_is_none() {
        let emptied = without(Cli::command(), &|name| name == "ROLLCALL_CONFIG" || name == "ROLLCALL_ON_EVENT");
        let has = |command: &Command, id: &str| {
            command.get_arguments().find(|arg| arg.get_id() == id).unwrap().get_env().is_some()
        };
        assert!(!has(&emptied, "config") && has(&emptied, "output"));
        let watch = emptied.find_subcommand("watch").unwrap();
        assert!(!has(watch, "on_event") && has(watch, "presence"));
    }
}
