//! `rollcall completions`: made from the definition of the command line.
//!
//! A script knows every command, option and fixed value by itself. Only the values of `--reader` it has to ask for, and
//! asks this program: `rollcall completions --readers`, which is quick, says nothing else, and fails at nothing.

use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, CompletionsArgs};
use super::printer::Printer;
use crate::config::{Global, Settings};
use crate::failure::Failure;
use crate::reader::pcsc::list_within;
use crate::reader::select::Aliases;

/// How long somebody who pressed Tab waits for a PC/SC service that does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is put behind the script of bash: a function around the one that was generated.
const BASH: &str = include_str!("complete/readers.bash");
/// What is put behind the script of fish: it joins what several lines say of one option.
const FISH: &str = include_str!("complete/readers.fish");
/// What is put into the script of zsh: a function that the line of `--reader` names.
const ZSH: &str = include_str!("complete/readers.zsh");

/// Prints the completions for a shell, or what may stand behind `--reader`.
///
/// # Errors
/// That of [`Printer::document`].
pub fn run(args: &CompletionsArgs, global: &Global, out: &mut Printer) -> Result<u8, Failure> {
    let text = args.shell.map_or_else(|| readers(global), script);
    out.document(text.as_bytes())?;
    Ok(0)
}

/// The script of a shell.
fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rollcall", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + BASH,
        Shell::Fish => script + FISH,
        Shell::Zsh => zsh(&script),
        _ => script,
    }
}

/// The first line says whose completions these are, and the last ones call them.
fn zsh(script: &str) -> String {
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    let mut all = format!("{first}\n{ZSH}");
    for line in rest.lines() {
        let of_readers = line.contains("--reader=[");
        all.push_str(&if of_readers {
            line.replace(":NAME:_default'", ":NAME:_rollcall_readers'")
        } else {
            line.into()
        });
        all.push('\n');
    }
    all
}

/// The aliases of the configuration and the names of the readers, a line each; what cannot be had is left out.
fn readers(global: &Global) -> String {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name)).unwrap_or_default();
    let there = list_within(PATIENCE).unwrap_or_default();
    let names = there.into_iter().map(|reader| reader.name).filter(|name| !settings.readers.ignores(name));
    lines(&settings.aliases, names)
}

fn lines(aliases: &Aliases, names: impl Iterator<Item = String>) -> String {
    // A name that would break the line, or do something to a terminal, can still be typed in part.
    let sound = |name: &String| !name.trim().is_empty() && !name.chars().any(char::is_control);
    aliases.keys().cloned().chain(names).filter(sound).map(|name| name + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_do_harm_are_left_out() {
        let aliases = Aliases::from([("north door".into(), "*PICC*".into()), (" ".into(), "x".into())]);
        let names = ["ACS [PICC] 00 00", "", "two\nlines", "bell\u{7}", "c1\u{9b}2J", "Österreich 01"];
        let names = names.into_iter().map(str::to_owned);
        assert_eq!(lines(&aliases, names), "north door\nACS [PICC] 00 00\nÖsterreich 01\n");
    }

    /// The generator's text is changed there, and a later version of it could write another.
    #[test]
    fn every_reader_option_of_zsh_asks_for_the_readers() {
        let script = script(Shell::Zsh);
        let asking = script.lines().filter(|line| line.contains("--reader=["));
        assert!(asking.clone().count() > 10);
        for line in asking {
            assert!(line.ends_with(":NAME:_rollcall_readers' \\"), "{line}");
        }
        assert!(script.starts_with("#compdef rollcall\n"));
        let defined = script.find("_rollcall_readers() {").unwrap();
        assert!(defined < script.find("funcstack[1]").unwrap());
    }
}
