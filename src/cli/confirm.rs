//! Asks for confirmation before an action that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Read};

use uuid::Uuid;

use super::printer::Printer;
use crate::config::Settings;
use crate::failure::{ExitClass, Failure};

/// What is typed to confirm a token: the first group of its id.
pub fn short(id: Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

/// Succeeds with `--yes`, or if `word` is typed at the terminal. `what` says what will happen: "this takes 3 users
/// off the list".
///
/// # Errors
/// `confirm.needed` without a terminal to ask on; `confirm.declined` for any other answer.
pub fn confirm(settings: &Settings, out: &mut Printer, what: &str, word: &str) -> Result<(), Failure> {
    if settings.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            ExitClass::Usage,
            "confirm.needed",
            format!("{what}, and there is no terminal to ask on"),
        )
        .hint("add --yes to confirm"));
    }
    out.question(&format!("{what}. Type {word} to continue:"));
    let mut answer = String::new();
    let read = io::stdin().lock().take(256).read_line(&mut answer);
    if matches!(read, Ok(0)) {
        out.end_line();
    }
    match read {
        Ok(_) if answer.trim() == word => Ok(()),
        _ => Err(Failure::new(ExitClass::No, "confirm.declined", "nothing was done: it was not confirmed")
            .hint(format!("type {word}, or add --yes"))),
    }
}
