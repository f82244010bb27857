//! Renders the results of the command-line parser: help on stdout, usage errors as error, hint and code.

use clap::error::ErrorKind;

use crate::failure::{ExitClass, Failure};

/// Converts a parser error. Its text has paragraphs: `error: …`, perhaps `tip: …`, `Usage: …`, and a pointer to the
/// help. `variable` is the environment variable that supplied the rejected value.
pub fn failure(error: &clap::Error, variable: Option<&str>) -> Failure {
    let text = error.render().to_string();
    let paragraphs: Vec<_> = text.split("\n\n").map(one_line).collect();
    let starting = |start: &str| paragraphs.iter().find_map(|p| p.strip_prefix(start));
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => starting("error: ").unwrap_or("the command line is wrong"),
    };
    let hint = match (starting("tip: "), starting("Usage: ")) {
        _ if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "rollcall help shows them".to_owned()
        }
        (Some(tip), _) => tip.to_owned(),
        (None, Some(usage)) => format!("usage: {usage}"),
        (None, None) => "add --help to see the options".to_owned(),
    };
    match variable {
        // The option was not typed: name the variable instead.
        Some(name) => {
            let message = message.replacen(" for '--", &format!(" in {name} for '--"), 1);
            Failure::new(ExitClass::Usage, "usage", message).hint(format!("correct {name}, or unset it"))
        }
        None => Failure::new(ExitClass::Usage, "usage", message).hint(hint),
    }
}

fn one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}
