//! Descriptions of the commands beyond their summaries, for the manual. They abridge docs/cli.md, "Commands", the
//! contract.

/// The paragraphs about a command, by its words; none if the summary and the options suffice.
pub fn description(words: &str) -> &'static [&'static str] {
    DESCRIPTIONS.iter().find(|(command, _)| *command == words).map_or(&[], |(_, paragraphs)| paragraphs)
}

const DESCRIPTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "It finds the tokens on the PC/SC readers of this machine, authenticates mutually with each of them, \
             gets the user from the card or from a server, and keeps a list of who is here. The same program is the \
             server.",
            "Results go to stdout; progress, notes, warnings and errors to stderr. An error says what happened, what to \
             do, and a stable code. Run `rollcall doctor` first: it says whether readers, keys and server are in order.",
        ],
    ),
    (
        "readers",
        &["Each reader has a line with its state and what its card says about itself. `--explain` adds what the \
             answer to reset means, `--watch` keeps running and reports every change."],
    ),
    (
        "scan",
        &[
            "Every card on the readers is authenticated and read once, and its user is recorded as present. With `--count` \
           or `--until` it waits for further cards. With fewer than `--count` in time the exit status is 1.",
        ],
    ),
    (
        "watch",
        &[
            "Runs until it is stopped, and keeps the list of who is here up to date as cards come and go. `--presence` says \
             until when somebody counts as present after a tap: `field` while the card is in the field of the reader, \
             `toggle` until the next tap, `until:DURATION` for that long.",
            "A command given with `--on-event` gets each event as a JSON object on its stdin. As a service it runs in a \
             sandbox: README.Debian of the package says what a hook can reach there.",
        ],
    ),
    (
        "users",
        &["The list of who is here is kept in the state folder. `watch` and `scan` write it; these commands show and \
           change it, also while `watch` runs. Without a command, the list is shown."],
    ),
    (
        "users history",
        &["Each arrival and departure, with its time and reason, for as long as `retention` keeps them."],
    ),
    (
        "users deny",
        &["A user or token on the deny list of this terminal is refused at every tap here, whatever the card and the \
           server say, and leaves the list of who is here at once."],
    ),
    (
        "enroll",
        &[
            "Puts the keys, a certificate and the user information onto a blank card, and registers it where there is a \
             server. An interrupted enrollment is resumed when the same card is put on the reader again.",
            "With `--from` one card after another gets the next row of a CSV file; a journal beside it says which rows \
             are done, so that the same command resumes later.",
        ],
    ),
    ("token", &["These commands work on the one card on the readers. Commands that destroy something ask first."]),
    (
        "pki",
        &[
            "The certificate authority, the keys of this terminal, and the bundles for others. Keys are files in `pki/` of \
           the state folder that only their owner may read.",
        ],
    ),
    (
        "pki init",
        &[
            "Makes the certificate authority, the keys of this terminal, and the key from which those of cards are derived. \
           What exists already stays.",
        ],
    ),
    (
        "server",
        &[
            "`rollcall server run` is the server. `presence`, `events`, `user`, `token` and `terminal` administer it over \
           the network, with the certificate of this terminal; the others run where its store is.",
        ],
    ),
    (
        "server run",
        &[
            "Answers terminals over TLS with certificates on both sides, and keeps users, statuses of tokens, events and \
           the audit log in SQLite or PostgreSQL. SIGTERM ends it, SIGHUP does not.",
        ],
    ),
    (
        "doctor",
        &["Checks the PC/SC service, readers, cards, keys, clocks, configuration and server, and says for each \
           fault what to do. `--deep` takes longer; `--bundle` writes a report without secrets."],
    ),
    (
        "completions",
        &["The script completes commands, options and their values, and asks this program for what is known here, \
             such as readers and aliases."],
    ),
    (
        "man",
        &["Without `--out` the page of rollcall(1) is printed. With it each command has a file in the folder, and \
           rollcall.toml(5) goes into a folder `man5` beside it if its name is `man1`, otherwise into the folder too."],
    ),
];

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;
    use crate::cli::args::Cli;

    fn find<'a>(command: &'a Command, words: &[&str]) -> Option<&'a Command> {
        match words {
            [] => Some(command),
            [first, rest @ ..] => find(command.find_subcommand(first)?, rest),
        }
    }

    #[test]
    fn every_description_is_of_a_command() {
        let all = Cli::command();
        for (command, paragraphs) in DESCRIPTIONS {
            let words: Vec<_> = command.split_whitespace().collect();
            assert!(find(&all, &words).is_some() && !paragraphs.is_empty(), "{command}");
        }
    }
}
