//! `rollcall man`: manual pages, made from the definition of the command line.
//!
//! The definition supplies the options, the help the examples; the sections after those are the same for every command,
//! except for the environment variables, which are those of the command.

mod described;
mod page;
mod settings;

use std::fs;
use std::io;
use std::path::Path;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::args::{Cli, ManArgs};
use super::help;
use super::printer::Printer;
use crate::failure::{ExitClass, Failure};
use page::{ManPage, bold, escaped, italic};

pub use settings::{SETTINGS, Setting};

/// The day of the release, as in the change log.
pub const RELEASED: &str = "2026-11-29";

/// How many examples are on the page of a command that only has subcommands.
const EXAMPLES_OF_ALL: usize = 8;

/// Variables that are not options, and their meaning.
const VARIABLES: &[(&str, &str)] = &[
    ("ROLLCALL_HOME", "The folder of the configuration and of all state, in place of those below FILES."),
    ("ROLLCALL_SERVER_URL", "Where the server is: `https://host:port`, in place of `url` in config.toml."),
    ("ROLLCALL_SERVER_LISTEN", "Where `rollcall server run` listens: ADDRESS:PORT."),
    ("ROLLCALL_SERVER_STORE", "The store of the server: `sqlite://FILE` or `postgres://user:password@host/database`."),
    ("ROLLCALL_SERVER_RATE", "Requests a second that the server answers to one terminal."),
    ("ROLLCALL_PERSO_KEY", "A PKCS#11 URI (RFC 7512) in place of the file `pki/perso.key`."),
    ("ROLLCALL_PKCS11_PIN", "The PIN of that PKCS#11 token, where its URI names no file with it."),
    ("ROLLCALL_EXCHANGE_LIMIT", "The time limit of one exchange with a card, as `5s`; at most `10m`."),
    ("ROLLCALL_TAP_LIMIT", "The time limit of a whole tap, as `15s`; at most `10m`."),
    ("NO_COLOR", "Set to anything: text is not coloured."),
    ("TERM", "Where it is `dumb` or not set, text is neither coloured nor overwritten."),
    ("COLUMNS", "How wide text is in a pipe or a file; a terminal reports its own width."),
    ("TZ", "The time zone of the times that are shown and typed, where it is not the system's."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME", "Folders in place of `~/.config` and `~/.local/state`."),
    ("PCSCLITE_CSOCK_NAME", "The socket of the PC/SC service, where it is not the system's."),
];

/// Files and folders, when `ROLLCALL_HOME` is not set.
const FILES: &[(&str, &str)] = &[
    (
        "~/.config/rollcall/config.toml",
        "The configuration, see rollcall.toml(5). Only its owner may be able to write it.",
    ),
    ("~/.local/state/rollcall/terminal.db", "The current user list, its history, and who is denied here."),
    ("~/.local/state/rollcall/directory.db", "What the server said last."),
    ("~/.local/state/rollcall/enrollments/", "Enrollments that were begun and are not finished."),
    ("~/.local/state/rollcall/pki/", "Certificates and keys; `perso.key` and `start.key` for enrollment."),
    ("~/.local/state/rollcall/server.db", "The store of a server here, unless `ROLLCALL_SERVER_STORE` names another."),
];

/// Prints the manual page, or writes the pages of all commands, and that of the configuration.
///
/// # Errors
/// When the pages cannot be written, or stdout cannot.
pub fn run(args: &ManArgs, out: &mut Printer) -> Result<u8, Failure> {
    let mut all = Cli::command();
    all.build();
    match &args.out {
        None => out.document(command_page(&all, None).as_bytes())?,
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| write_all(&all, None, folder))
            .and_then(|()| write_settings(folder))
            .map_err(|e| failed(&folder.display().to_string(), &e))?,
    }
    Ok(0)
}

fn write_all(command: &Command, above: Option<&str>, folder: &Path) -> io::Result<()> {
    for below in visible(command) {
        write_all(below, Some(name(command)), folder)?;
    }
    fs::write(folder.join(format!("{}.1", name(command))), command_page(command, above))
}

/// Pages of section 5 go beside the folder `man1`, because man(1) expects a folder for each section.
fn write_settings(folder: &Path) -> io::Result<()> {
    let beside = folder.file_name().filter(|name| *name == "man1").map(|_| folder.with_file_name("man5"));
    let folder = beside.unwrap_or_else(|| folder.to_owned());
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("rollcall.toml.5"), settings::page(RELEASED).into_source())
}

/// The name of a command's page: `rollcall-users-list`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The command as it is typed: `rollcall users list`.
fn typed(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set())
}

fn command_page(command: &Command, above: Option<&str>) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let words = typed(command).strip_prefix("rollcall").unwrap_or_default().trim_start();
    let mut page = ManPage::new(name(command), 1, RELEASED, &about);
    page.section("SYNOPSIS");
    page.synopsis(typed(command), &calls(command));
    page.section("DESCRIPTION");
    page.paragraph(&format!("{about}."));
    for paragraph in described::description(words) {
        page.paragraph(paragraph);
    }
    if visible(command).next().is_some() {
        page.section("COMMANDS");
        for below in visible(command) {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            page.item(&format!("{}(1)", name(below)), &about);
        }
    }
    options(&mut page, command);
    page.section("EXAMPLES");
    match help::examples(words) {
        Some(examples) if visible(command).next().is_none() => page.example(examples),
        _ => page.example(&examples_below(command)),
    }
    exit_status(&mut page);
    environment(&mut page, command);
    page.section("FILES");
    for (file, what) in FILES {
        page.item(file, what);
    }
    page.section("SEE ALSO");
    let above = above.map(|page| format!("{page}(1)"));
    page.names(&above.into_iter().chain(["rollcall.toml(5)".into(), "pcscd(8)".into()]).collect::<Vec<_>>());
    page.into_source()
}

/// The parts of the synopsis: own options, the global options as one, positional arguments, a subcommand.
fn calls(command: &Command) -> Vec<String> {
    let own = own(command).filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version));
    let (named, placed): (Vec<_>, Vec<_>) = own.partition(|arg| !arg.is_positional());
    let optional = |arg: &Arg, text: String| if arg.is_required_set() { text } else { format!("[{text}]") };
    let repeated = |arg: &Arg, text: String| match arg.get_action() {
        ArgAction::Append => format!("{text}..."),
        _ => text,
    };
    let named = named.into_iter().map(|arg| repeated(arg, optional(arg, call(arg, false))));
    let placed = placed.into_iter().map(|arg| repeated(arg, optional(arg, values(arg))));
    let one = italic("COMMAND");
    let below =
        visible(command).next().map(|_| if command.is_subcommand_required_set() { one } else { format!("[{one}]") });
    named.chain([format!("[{}]", italic("GLOBAL OPTIONS"))]).chain(placed).chain(below).collect()
}

/// The visible arguments of a command, without the global options.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set())
}

/// An option with its value, as markup; `all`: with its short form.
fn call(arg: &Arg, all: bool) -> String {
    let short = arg.get_short().filter(|_| all).map(|short| bold(&escaped(&format!("-{short}"))));
    let long = arg.get_long().map(|long| bold(&escaped(&format!("--{long}"))));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if !arg.get_action().takes_values() {
        return names;
    }
    let with = if arg.is_require_equals_set() { "=" } else { " " };
    let may_lack = arg.get_num_args().is_some_and(|number| number.min_values() == 0);
    match (may_lack, with) {
        (true, "=") => format!("{names}[={}]", values(arg)),
        (true, _) => format!("{names} [{}]", values(arg)),
        (false, _) => format!("{names}{with}{}", values(arg)),
    }
}

/// The names of an argument's values, as markup.
fn values(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some(names) => names.iter().map(|name| italic(&escaped(name))).collect::<Vec<_>>().join(" "),
        None => italic(&escaped(&arg.get_id().as_str().to_uppercase())),
    }
}

/// OPTIONS, then a section for each heading, that of the global options last.
fn options(page: &mut ManPage, command: &Command) {
    let shown: Vec<_> = command.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let mut headings = vec![None];
    for arg in &shown {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    headings.sort_by_key(|heading| *heading == Some("Global options"));
    for heading in headings {
        page.section(&heading.unwrap_or("Options").to_uppercase());
        for arg in shown.iter().filter(|arg| arg.get_help_heading() == heading) {
            let term = if arg.is_positional() { values(arg) } else { call(arg, true) };
            page.marked_item(&term, &meaning(arg));
        }
    }
}

/// The meaning of an argument, its fixed values, and its environment variable.
fn meaning(arg: &Arg) -> String {
    let text = match arg.get_action() {
        // clap's own texts describe its own behaviour.
        ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort => "Print help.".to_owned(),
        ArgAction::Version => "Print the version.".to_owned(),
        _ => format!("{}.", arg.get_help().map(ToString::to_string).unwrap_or_default()),
    };
    let mut parts = vec![text];
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        parts.push(format!("Default: `{}`.", defaults.join(" ")));
    }
    let possible: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if !possible.is_empty() {
        let one = |value: &clap::builder::PossibleValue| match value.get_help() {
            Some(help) if help.to_string().to_lowercase() != value.get_name() => {
                format!("`{}` ({})", value.get_name(), lower(&help.to_string()))
            }
            _ => format!("`{}`", value.get_name()),
        };
        let all = possible.iter().map(one).collect::<Vec<_>>().join(", ");
        parts.push(format!("One of: {all}."));
    }
    if let Some(variable) = arg.get_env() {
        parts.push(format!("The variable `{}` does the same.", variable.to_string_lossy()));
    }
    parts.join(" ")
}

/// Starts with a lower-case letter, unless it begins with an abbreviation.
fn lower(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// One example of each subcommand, up to [`EXAMPLES_OF_ALL`].
fn examples_below(command: &Command) -> Vec<&'static str> {
    fn collect(command: &Command, into: &mut Vec<&'static str>) {
        let words = typed(command).strip_prefix("rollcall").unwrap_or_default().trim_start();
        if visible(command).next().is_none() {
            into.extend(help::examples(words).map(|examples| examples[0]));
        }
        visible(command).for_each(|below| collect(below, into));
    }
    let mut all = Vec::new();
    collect(command, &mut all);
    all.truncate(EXAMPLES_OF_ALL);
    all
}

fn exit_status(page: &mut ManPage) {
    page.section("EXIT STATUS");
    page.item("0", "Done.");
    for class in ExitClass::ALL {
        page.item(&class.exit_status().to_string(), class.meaning());
    }
    page.item("129, 130, 143", "Ended by a signal.");
}

/// The variables of the command's own options, then those that are not options.
fn environment(page: &mut ManPage, command: &Command) {
    let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(|option| {
        let variable = option.get_env()?.to_string_lossy().into_owned();
        Some((variable, format!("As `--{}`, which overrides it.", option.get_long()?)))
    });
    let mut all: Vec<_> = options.collect();
    all.sort();
    page.section("ENVIRONMENT");
    for (variable, what) in &all {
        page.item(variable, what);
    }
    for (variable, what) in VARIABLES {
        page.item(variable, what);
    }
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(ExitClass::Io, "man.unwritable", format!("{what} cannot be written: {error}"))
        .hint("name a writable folder")
}
