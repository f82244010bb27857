//! `rollcall man`: the manual pages, made from the definition of the command line.
//!
//! What the definition knows stands there as clap writes it; the sections behind it are the same for every command,
//! less the variables, which are those of the command.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::{Cli, ManArgs};
use super::printer::Printer;
use crate::failure::{ExitClass, Failure};

/// Variables that are no options, and what they do.
const VARIABLES: &[(&str, &str)] = &[
    ("ROLLCALL_HOME", "The folder of the configuration and of all state, in place of those below FILES."),
    ("ROLLCALL_SERVER_URL", "Where the server is: https://host:port. No server when it is not set."),
    ("ROLLCALL_SERVER_LISTEN", "Where rollcall server run listens: ADDRESS:PORT."),
    ("ROLLCALL_SERVER_STORE", "The store of the server: sqlite://FILE or postgres://user:password@host/database."),
    ("ROLLCALL_SERVER_RATE", "Requests a second that the server answers to one terminal."),
    ("NO_COLOR", "Set to anything: text is not coloured."),
    ("TERM", "Where it is dumb or not set, text is neither coloured nor written over."),
    ("COLUMNS", "How wide text is in a pipe or a file; a terminal says so itself."),
    ("PCSCLITE_CSOCK_NAME", "The socket of the PC/SC service, where it is not the system's."),
];

/// Files and folders, without `ROLLCALL_HOME`.
const FILES: &[(&str, &str)] = &[
    ("~/.config/rollcall/config.toml", "The configuration. Only its owner may be able to write it."),
    ("~/.local/state/rollcall/terminal.db", "The current user list, its history, and who is denied here."),
    ("~/.local/state/rollcall/directory.db", "What the server said last."),
    ("~/.local/state/rollcall/enrollments/", "Enrollments that were begun and are not finished."),
    ("~/.local/state/rollcall/pki/", "Certificates and keys; perso.key and start.key for enrollment."),
    ("~/.local/state/rollcall/server.db", "The store of a server here, unless ROLLCALL_SERVER_STORE names another."),
];

/// Prints the manual page, or writes the pages of all commands.
///
/// # Errors
/// When the pages cannot be made or written, or stdout cannot.
pub fn run(args: &ManArgs, out: &mut Printer) -> Result<u8, Failure> {
    let mut all = Cli::command();
    all.build();
    match &args.out {
        None => out.document(&page(&all, None).map_err(|e| failed("the manual page", &e))?.text)?,
        Some(folder) => fs::create_dir_all(folder)
            .and_then(|()| write_all(&all, None, folder))
            .map_err(|e| failed(&folder.display().to_string(), &e))?,
    }
    Ok(0)
}

/// A page and the name of its file.
struct ManPage {
    name: String,
    text: Vec<u8>,
}

fn write_all(command: &Command, above: Option<&str>, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write_all(below, Some(name(command)), folder)?;
    }
    let page = page(command, above)?;
    fs::write(folder.join(page.name), page.text)
}

/// The name of a command's page: `rollcall-users-list`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, above: Option<&str>) -> io::Result<ManPage> {
    let version = format!("rollcall {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("Rollcall");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if command.get_subcommands().any(|c| !c.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    let mut rest = Roff::new();
    exit_status(&mut rest);
    environment(&mut rest, command);
    section(&mut rest, "FILES", FILES.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())));
    see_also(&mut rest, above);
    rest.to_writer(&mut text)?;
    // Each section begins with the definitions that one page needs once.
    let preamble = Roff::new().render();
    let text = preamble.clone() + &String::from_utf8_lossy(&text).replace(&preamble, "");
    Ok(ManPage { name: man.get_filename(), text: text.into_bytes() })
}

fn exit_status(roff: &mut Roff) {
    let done = ("0".to_owned(), "Done.".to_owned());
    let classes = ExitClass::ALL.iter().map(|class| (class.exit_status().to_string(), class.meaning().to_owned()));
    let signal = ("130, 143".to_owned(), "Ended by a signal.".to_owned());
    section(roff, "EXIT STATUS", std::iter::once(done).chain(classes).chain([signal]));
}

/// The command's own options that a variable may hold, then what is no option.
fn environment(roff: &mut Roff, command: &Command) {
    let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(|option| {
        let variable = option.get_env()?.to_string_lossy().into_owned();
        Some((variable, format!("As --{}, which comes before it.", option.get_long()?)))
    });
    let mut all: Vec<_> = options.collect();
    all.sort();
    all.extend(VARIABLES.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())));
    section(roff, "ENVIRONMENT", all.into_iter());
}

fn section(roff: &mut Roff, title: &str, items: impl Iterator<Item = (String, String)>) {
    roff.control("SH", [title]);
    for (term, meaning) in items {
        roff.control("TP", []).text([bold(term)]).text([roman(meaning)]);
    }
}

fn see_also(roff: &mut Roff, above: Option<&str>) {
    let above = above.map(|page| format!("{page}(1), ")).unwrap_or_default();
    roff.control("SH", ["SEE ALSO"]).text([roman(format!("{above}pcscd(8)"))]);
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(ExitClass::Io, "man.unwritable", format!("{what} cannot be written: {error}"))
        .hint("name a writable folder")
}
