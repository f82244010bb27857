//! `rollcall help` and `--help`: made from the definition of the command line, without the options that every command
//! has, and with two examples of each command.

use std::ffi::OsString;

use clap::{Command, CommandFactory};

use super::args::{Cli, HelpArgs};
use super::printer::Printer;
use crate::failure::{ExitClass, Failure};

/// Printed before the error when only `rollcall` was typed.
pub const FIRST_STEPS: &str = "\
Rollcall is a terminal for NFC and PC/SC smart cards: it knows, with proof, who is here. Begin with:

  rollcall doctor   Find what is wrong with readers, cards, keys and the server
  rollcall scan     Authenticate and read the cards on the readers
  rollcall watch    Run continuously and keep the list of present users up to date

All commands: rollcall help
";

/// Two examples of every command and group of commands, by its words.
const EXAMPLES: &[(&str, [&str; 2])] = &[
    ("", ["rollcall doctor", "rollcall scan --output ndjson"]),
    ("users", ["rollcall users", "rollcall users history --since today"]),
    #[cfg(feature = "board")]
    ("board", ["rollcall board link --label \"screen in the hall\"", "rollcall board links"]),
    ("token", ["rollcall token info", "rollcall token write --field room=C02"]),
    (
        "proof",
        ["rollcall proof verify scan.json --ca ca.crt", "rollcall proof verify message.cose --certificate token.crt"],
    ),
    ("pki", ["rollcall pki init", "rollcall pki list"]),
    (
        "pki issue",
        [
            "rollcall pki issue terminal desk --role enroll --out desk.json",
            "rollcall pki issue server --name rollcall.example.org",
        ],
    ),
    ("server", ["rollcall server init", "rollcall server run"]),
    ("server audit", ["rollcall server audit verify", "rollcall server audit reconcile --dry-run"]),
    ("server user", ["rollcall server user list", "rollcall server user import users.csv"]),
    (
        "server token",
        [
            "rollcall server token list",
            "rollcall server token status af170d30-e5de-4436-90b0-806845c0c32c lost --reason \"left on a train\"",
        ],
    ),
    (
        "server terminal",
        ["rollcall server terminal list", "rollcall server terminal add north-door --role read --out north-door.json"],
    ),
    ("readers", ["rollcall readers --explain", "rollcall readers --watch --output ndjson"]),
    ("apdu", ["rollcall apdu 00A404000AF0524F4C4C43414C4C0100=9000", "rollcall apdu --secure 00CA010100=9000"]),
    ("status", ["rollcall status", "rollcall status --output json"]),
    ("doctor", ["rollcall doctor", "rollcall doctor --bundle report.tar"]),
    ("scan", ["rollcall scan --output ndjson", "rollcall scan --count 20 --timeout 5m --out reads.csv --output csv"]),
    ("watch", ["rollcall watch --presence toggle", "rollcall watch --on-event \"jq -r .event >> events.txt\""]),
    ("users list", ["rollcall users list", "rollcall users list --output json"]),
    ("users show", ["rollcall users show 7", "rollcall users show \"Ada Lovelace\""]),
    ("users export", ["rollcall users export > here.csv", "rollcall users export --output json"]),
    ("users history", ["rollcall users history --since today", "rollcall users history --since 08:00 --until 12:00"]),
    ("users deny", ["rollcall users deny 7 --reason \"card lost\"", "rollcall users deny \"Ada Lovelace\""]),
    ("users denied", ["rollcall users denied", "rollcall users denied --output csv"]),
    ("users allow", ["rollcall users allow 7", "rollcall users allow \"Ada Lovelace\""]),
    ("users clear", ["rollcall users clear", "rollcall users clear --yes"]),
    ("users remove", ["rollcall users remove 7", "rollcall users remove \"Ada Lovelace\" --note \"wrong badge\""]),
    ("users forget", ["rollcall users forget 7 --dry-run", "rollcall users forget \"Ada Lovelace\""]),
    (
        "users check-in",
        ["rollcall users check-in 7", "rollcall users check-in \"Ada Lovelace\" --at 08:05 --note \"forgot it\""],
    ),
    ("users check-out", ["rollcall users check-out 7", "rollcall users check-out 7 --at 17:30"]),
    #[cfg(feature = "board")]
    ("board link", ["rollcall board link", "rollcall board link --label \"screen in the hall\" --for 90d"]),
    #[cfg(feature = "board")]
    ("board links", ["rollcall board links", "rollcall board links --output json"]),
    #[cfg(feature = "board")]
    ("board revoke", ["rollcall board revoke 3f9a01c2", "rollcall board revoke 3f9a01c2 --output json"]),
    ("enroll", ["rollcall enroll --id 7 --name \"Ada Lovelace\" --field room=B17", "rollcall enroll --from users.csv"]),
    ("token list", ["rollcall token list", "rollcall token list --user \"Ada Lovelace\" --output csv"]),
    ("token info", ["rollcall token info", "rollcall token info --reader \"north door\" --output json"]),
    ("token verify", ["rollcall token verify", "rollcall token verify --portrait ada.jpg"]),
    ("token write", ["rollcall token write --field room=C02", "rollcall token write --field room= --dry-run"]),
    ("token block", ["rollcall token block", "rollcall token block --dry-run"]),
    ("token unblock", ["rollcall token unblock", "rollcall token unblock --yes"]),
    ("token rotate", ["rollcall token rotate", "rollcall token rotate --all --dry-run --output json"]),
    ("token terminate", ["rollcall token terminate --dry-run", "rollcall token terminate"]),
    (
        "proof verify",
        [
            "rollcall proof verify scan.json --ca ca.crt",
            "rollcall proof verify message.cose --certificate token.crt --output json",
        ],
    ),
    ("pki init", ["rollcall pki init", "rollcall pki init --days 30"]),
    ("pki renew", ["rollcall pki renew", "rollcall pki renew --days 30"]),
    ("pki rotate-ca", ["rollcall pki rotate-ca", "rollcall pki rotate-ca --finish"]),
    (
        "pki rotate-set",
        ["rollcall pki rotate-set 3f1c09a2b7d4e856", "rollcall pki rotate-set 3f1c09a2b7d4e856 --finish"],
    ),
    (
        "pki issue terminal",
        [
            "rollcall pki issue terminal desk --role enroll --out desk.json",
            "rollcall pki issue terminal north-door --days 60 --out north-door.json",
        ],
    ),
    (
        "pki issue server",
        [
            "rollcall pki issue server --name rollcall.example.org",
            "rollcall pki issue server --name localhost --name 192.0.2.7",
        ],
    ),
    ("pki import", ["rollcall pki import north-door.json", "rollcall pki import north-door.json --output json"]),
    ("pki list", ["rollcall pki list", "rollcall pki list --output json"]),
    (
        "server init",
        ["rollcall server init", "ROLLCALL_SERVER_STORE=postgres://rollcall@db/rollcall rollcall server init"],
    ),
    ("server run", ["rollcall server run", "rollcall server run --listen 0.0.0.0:7443"]),
    ("server presence", ["rollcall server presence", "rollcall server presence --at 12:00 --output csv"]),
    ("server events", ["rollcall server events --since today", "rollcall server events --user 7 --output csv"]),
    ("server audit verify", ["rollcall server audit verify", "rollcall server audit verify --feed feed.jws"]),
    ("server audit reconcile", ["rollcall server audit reconcile --dry-run", "rollcall server audit reconcile"]),
    (
        "server backup",
        ["rollcall server backup monday.backup", "rollcall server backup /mnt/backup/monday.backup --output json"],
    ),
    ("server restore", ["rollcall server restore monday.backup", "rollcall server restore monday.backup --replace"]),
    (
        "server user add",
        [
            "rollcall server user add --id 7 --name \"Ada Lovelace\"",
            "rollcall server user add --id 7 --field room=C02 --dry-run",
        ],
    ),
    ("server user show", ["rollcall server user show 7", "rollcall server user show 7 --output json"]),
    ("server user forget", ["rollcall server user forget 7", "rollcall server user forget 7 --yes --output json"]),
    ("server user list", ["rollcall server user list", "rollcall server user list --output csv > users.csv"]),
    (
        "server user import",
        ["rollcall server user import users.csv --dry-run", "rollcall server user import users.csv --output ndjson"],
    ),
    ("server token list", ["rollcall server token list", "rollcall server token list --output csv"]),
    (
        "server token show",
        [
            "rollcall server token show af170d30-e5de-4436-90b0-806845c0c32c",
            "rollcall server token show af170d30-e5de-4436-90b0-806845c0c32c --output json",
        ],
    ),
    (
        "server token status",
        [
            "rollcall server token status af170d30-e5de-4436-90b0-806845c0c32c lost --reason \"left on a train\"",
            "rollcall server token status af170d30-e5de-4436-90b0-806845c0c32c active",
        ],
    ),
    (
        "server terminal add",
        [
            "rollcall server terminal add north-door --role read --out north-door.json",
            "rollcall server terminal add desk --role enroll --out desk.json",
        ],
    ),
    ("server terminal list", ["rollcall server terminal list", "rollcall server terminal list --output json"]),
    (
        "server terminal revoke",
        ["rollcall server terminal revoke north-door", "rollcall server terminal revoke north-door --yes"],
    ),
    ("virtual-token", ["rollcall virtual-token --state ada.token", "rollcall virtual-token --uid random"]),
    ("schema", ["rollcall schema", "rollcall schema scan"]),
    (
        "completions",
        [
            "rollcall completions bash > ~/.local/share/bash-completion/completions/rollcall",
            "rollcall completions fish > ~/.config/fish/completions/rollcall.fish",
        ],
    ),
    ("man", ["rollcall man | man -l -", "rollcall man --out ~/.local/share/man/man1"]),
    ("help", ["rollcall help users history", "rollcall help options"]),
];

/// The word after `rollcall help` for the options of every command.
pub const OPTIONS: &str = "options";

/// The examples of the command with these words.
pub fn examples(words: &str) -> Option<&'static [&'static str; 2]> {
    EXAMPLES.iter().find(|(command, _)| *command == words).map(|(_, examples)| examples)
}

/// The words that may follow `rollcall help` and these words of this command, each with its own followers.
pub fn topics(command: &Command, words: &str) -> Vec<Command> {
    let below = EXAMPLES.iter().filter_map(|(all, _)| {
        let (before, name) = all.rsplit_once(' ').unwrap_or(("", all));
        // `help help` is what is being typed.
        let below = command.find_subcommand(name).filter(|_| before == words && name != "help")?;
        Some(topic(name, below).subcommands(topics(below, all)))
    });
    below.collect()
}

/// A command with this name, and only its summary.
pub fn topic(name: &'static str, command: &Command) -> Command {
    Command::new(name).about(command.get_about().cloned().unwrap_or_default()).disable_help_subcommand(true)
}

/// The help that these arguments ask for. It is built only on request, because that takes longer than parsing.
pub fn asked_for(arguments: impl IntoIterator<Item = OsString>) -> Option<String> {
    let error = described().try_get_matches_from(arguments).err()?;
    Some(error.render().to_string())
}

/// Prints the help of a command, of the options of all commands, or of the program.
///
/// # Errors
/// `usage` for a command that does not exist; when stdout cannot be written.
pub fn run(args: &HelpArgs, out: &mut Printer) -> Result<u8, Failure> {
    let words = args.command.iter().map(String::as_str);
    let text = match args.command.as_slice() {
        [one] if one == OPTIONS => options(),
        _ => asked_for(std::iter::once("rollcall").chain(words).chain(["--help"]).map(OsString::from))
            .filter(|text| !text.starts_with("error: "))
            .ok_or_else(|| unknown(&args.command.join(" ")))?,
    };
    out.document(text.as_bytes())?;
    Ok(0)
}

fn unknown(command: &str) -> Failure {
    Failure::new(ExitClass::Usage, "usage", format!("there is no command {command:?}"))
        .hint("rollcall help lists the commands")
}

/// The definition with additions that only the help needs.
fn described() -> Command {
    let mut all = Cli::command();
    // From here on every command has the global options.
    all.build();
    describe(all, "")
}

fn describe(command: Command, words: &str) -> Command {
    let command = command.mut_args(|option| if option.is_global_set() { option.hide(true) } else { option });
    let names: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    let command = names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |below| describe(below, format!("{words} {name}").trim_start()))
    });
    let mut text = String::new();
    if let Some(examples) = examples(words) {
        text = format!("Examples:\n  {}\n\n", examples.join("\n  "));
    }
    let own = command.get_after_long_help().or(command.get_after_help().filter(|_| words.is_empty()));
    let own = own.map(|own| format!("{own}\n\n")).unwrap_or_default();
    let common = "Options of every command: rollcall help options";
    command.after_help(format!("{text}{common}")).after_long_help(format!("{own}{text}{common}"))
}

/// The options of every command.
fn options() -> String {
    let only = |option: clap::Arg| if option.is_global_set() { option } else { option.hide(true) };
    let all = Cli::command().mut_args(only).disable_version_flag(true).disable_help_flag(true);
    let commands = all.get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    let all = commands.iter().fold(all, |all, name| all.mut_subcommand(name, |command| command.hide(true)));
    let all = all.about("Options that every command takes").override_usage("rollcall [OPTIONS] COMMAND").after_help("");
    let mut all = all.arg_required_else_help(false).subcommand_required(false);
    all.render_long_help().to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// All commands and groups of commands, by their words.
    fn commands(command: &Command, words: &str) -> Vec<String> {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        let below = below.flat_map(|one| commands(one, format!("{words} {}", one.get_name()).trim()));
        std::iter::once(words.to_owned()).chain(below).collect()
    }

    /// Splits a line as a shell does, as far as the examples need it.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('"').enumerate();
        let parts =
            quoted.flat_map(|(n, part)| if n % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
        parts.take_while(|word| !matches!(*word, ">" | "|")).map(str::to_owned).collect()
    }

    #[test]
    fn every_command_has_two_examples_that_parse() {
        let all = commands(&Cli::command(), "");
        for command in &all {
            for example in examples(command).unwrap_or_else(|| panic!("{command}: no examples in src/cli/help.rs")) {
                let line: Vec<_> = words(example).into_iter().skip_while(|word| word != "rollcall").collect();
                Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{example}: {error}"));
                assert!(line[1..].join(" ").starts_with(command.as_str()), "{example} is no example of {command}");
            }
        }
        let known: Vec<_> = EXAMPLES.iter().map(|(command, _)| (*command).to_owned()).collect();
        assert!(known.iter().all(|command| all.contains(command)), "examples of commands that do not exist");
    }

    #[test]
    fn help_ends_with_examples_and_says_where_the_common_options_are() {
        let lines = [
            "rollcall --help",
            "rollcall -h",
            "rollcall board --help",
            "rollcall server user -h",
            "rollcall scan --help",
            "rollcall users history -h",
            "rollcall pki issue server --help",
        ];
        for line in lines {
            let text = asked_for(words(line).into_iter().map(OsString::from)).unwrap();
            assert!(text.contains("\nExamples:\n  rollcall "), "{text}");
            assert!(text.trim_end().ends_with("rollcall help options") && !text.contains("--config"), "{text}");
        }
        let text = options();
        assert!(text.contains("--config") && text.contains("--trace-personal") && !text.contains("watch  "), "{text}");
    }
}
