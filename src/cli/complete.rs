//! `rollcall completions`: shell scripts made from the definition of the command line.
//!
//! A script knows every command, option and fixed value. Readers, users, tokens, sets and board links it asks this
//! program for: `rollcall completions --readers`, which is quick, prints nothing else, and never fails.

mod fish;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
#[cfg(feature = "board")]
use jiff::Timestamp;
use uuid::Uuid;

use super::args::{Cli, CompletionsArgs, KnownHere};
use super::printer::Printer;
use super::{help, schema};
#[cfg(feature = "board")]
use crate::board::links::Links;
use crate::config::{Global, Settings};
use crate::failure::Failure;
use crate::pki::PkiDir;
use crate::reader::pcsc::list_within;
use crate::reader::select::Aliases;
use crate::terminal::presence::{TerminalStore, TerminalStoreError};

/// How long Tab waits for a PC/SC service that does not answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Appended to the bash script: a function around the generated one.
const BASH: &str = include_str!("complete/values.bash");
/// Appended to the fish script: merges several lines about one option, or one command.
const FISH: &str = include_str!("complete/values.fish");
/// Inserted into the zsh script: the functions that the lines of [`asked_by_zsh`] name.
const ZSH: &str = include_str!("complete/values.zsh");

/// Prints the completion script of a shell, or the values that a script asks for.
///
/// # Errors
/// That of [`Printer::document`].
pub fn run(args: &CompletionsArgs, global: &Global, out: &mut Printer) -> Result<u8, Failure> {
    let text = match (args.shell, args.known()) {
        (Some(shell), _) => script(shell),
        (None, KnownHere::Readers) => readers(global),
        (None, KnownHere::Users) => stored(global, users),
        (None, KnownHere::Tokens) => stored(global, tokens),
        (None, KnownHere::Sets) => sets(global),
        #[cfg(feature = "board")]
        (None, KnownHere::Links) => links(global),
    };
    out.document(text.as_bytes())?;
    Ok(0)
}

/// The completion script of a shell.
fn script(shell: Shell) -> String {
    let (mut script, mut command) = (Vec::new(), with_help(offering(Cli::command())));
    clap_complete::generate(shell, &mut command, "rollcall", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => script + BASH,
        Shell::Fish => fish::completed(&script, &command) + FISH,
        Shell::Zsh => zsh(&script),
        _ => script,
    }
}

/// The definition, with the values of arguments that shells offer themselves because there are too many to list.
fn offering(command: Command) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|argument| {
        let offered = match (name.as_str(), argument.get_id().as_str()) {
            ("watch", "presence") => vec!["field", "toggle", "until:8h"],
            ("history" | "events", "since" | "until") => vec!["today", "yesterday"],
            ("schema", "name") => schema::short_names().collect(),
            _ => return argument,
        };
        argument.value_parser(PossibleValuesParser::new(offered))
    });
    let names: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, offering))
}

/// The definition, with all commands as subcommands of `help`: shells offer one word after the other.
fn with_help(command: Command) -> Command {
    let words = help::topics(&command, "");
    let options = Command::new(help::OPTIONS).about("What every command takes");
    command.mut_subcommand("help", |own| help::topic("help", &own).subcommands(words).subcommand(options))
}

/// Adds our functions between the first line, which names the completed command, and the last ones, which call them.
fn zsh(script: &str) -> String {
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    let mut all = format!("{first}\n{ZSH}");
    for line in rest.lines() {
        all.push_str(&match asked_by_zsh(line) {
            Some(function) => line.replace(":_default'", &format!(":{function}'")),
            None => line.into(),
        });
        all.push('\n');
    }
    all
}

/// The function for the value that this line of the zsh script describes, if there is one.
fn asked_by_zsh(line: &str) -> Option<&'static str> {
    let is = |parts: &[&str]| parts.iter().any(|part| line.contains(part));
    if is(&["--reader=["]) {
        Some("_rollcall_readers")
    } else if is(&["':id -- User id", "--user=["]) {
        Some("_rollcall_users")
    } else if is(&["':id -- Token id", "--replace=["]) {
        Some("_rollcall_tokens")
    } else if is(&["':id -- The set", "--set=["]) {
        Some("_rollcall_sets")
    } else if is(&["':id -- The link"]) {
        Some("_rollcall_links")
    } else {
        None
    }
}

/// The aliases and the names of the readers, one per line; what cannot be determined is left out.
fn readers(global: &Global) -> String {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name)).unwrap_or_default();
    let there = list_within(PATIENCE).unwrap_or_default();
    let names = there.into_iter().map(|reader| reader.name).filter(|name| !settings.readers.ignores(name));
    of_readers(&settings.aliases, names)
}

fn of_readers(aliases: &Aliases, names: impl Iterator<Item = String>) -> String {
    lines(aliases.keys().cloned().chain(names))
}

/// One per line.
fn lines(names: impl Iterator<Item = String>) -> String {
    // A name that would break the line, or control a terminal, can still be typed in part.
    let sound = |name: &String| !name.trim().is_empty() && !name.chars().any(char::is_control);
    names.filter(sound).map(|name| name + "\n").collect()
}

/// Ids from the store of this terminal; none if there is no store, or it cannot be read.
fn stored(global: &Global, ask: fn(&TerminalStore) -> Result<BTreeSet<String>, TerminalStoreError>) -> String {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name)).ok();
    let store = settings.and_then(|settings| TerminalStore::open_if_there(&settings.state_folder).ok().flatten());
    lines(store.and_then(|store| ask(&store).ok()).unwrap_or_default().into_iter())
}

/// The ids of all known users.
fn users(store: &TerminalStore) -> Result<BTreeSet<String>, TerminalStoreError> {
    Ok(store.people()?.into_iter().map(|(id, _)| id).collect())
}

/// The ids of the tokens that were issued here, were on the list, or are denied.
fn tokens(store: &TerminalStore) -> Result<BTreeSet<String>, TerminalStoreError> {
    let issued = store.cards(None)?.into_iter().map(|card| card.token_id);
    let seen = store.known()?.into_iter().map(|entry| entry.token_id);
    let denied = store.denials()?.into_iter().filter_map(|denial| denial.id.parse().ok());
    Ok(issued.chain(seen).chain(denied).map(|id: Uuid| id.to_string()).collect())
}

/// The sets of which there are files here.
fn sets(global: &Global) -> String {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name)).ok();
    let known = settings.and_then(|settings| PkiDir::new(settings.pki_folder()).sets().ok());
    lines(known.unwrap_or_default().iter().map(ToString::to_string))
}

/// The valid links to the board.
#[cfg(feature = "board")]
fn links(global: &Global) -> String {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name)).ok();
    let valid = settings.and_then(|settings| Links::at(&settings.state_folder).list(Timestamp::now()).ok());
    lines(valid.unwrap_or_default().into_iter().map(|link| link.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_do_harm_are_left_out() {
        let aliases = Aliases::from([("north door".into(), "*PICC*".into()), (" ".into(), "x".into())]);
        let names = ["ACS [PICC] 00 00", "", "two\nlines", "bell\u{7}", "c1\u{9b}2J", "Österreich 01"];
        let names = names.into_iter().map(str::to_owned);
        assert_eq!(of_readers(&aliases, names), "north door\nACS [PICC] 00 00\nÖsterreich 01\n");
    }

    /// The script patches the generator's output, which a later version may change.
    #[test]
    fn every_reader_option_of_zsh_asks_for_the_readers() {
        let script = script(Shell::Zsh);
        let asking = script.lines().filter(|line| line.contains("--reader=["));
        assert!(asking.clone().count() > 10);
        for line in asking {
            assert!(line.ends_with(":NAME:_rollcall_readers' \\"), "{line}");
        }
        // Those of users, deny to forget, and the server's; the options --user; and token show, status and --replace.
        assert!(script.matches("_rollcall_users' \\\n").count() >= 10, "{script}");
        assert!(script.matches("_rollcall_tokens' \\\n").count() >= 3, "{script}");
        assert!(script.starts_with("#compdef rollcall\n"));
        let defined = script.find("_rollcall_readers() {").unwrap();
        assert!(defined < script.find("funcstack[1]").unwrap());
    }
}
