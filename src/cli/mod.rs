//! The command line: arguments, the printer, and one file per command. The only part of the program that prints.
//!
//! A command is a function `run(&Args, &Settings, &mut Printer) -> Result<u8, Failure>`; the number is the exit status
//! of a run that completed, while a [`Failure`] has its own.

pub mod apdu;
pub mod args;
#[cfg(feature = "board")]
pub mod board;
#[cfg(feature = "board")]
mod board_service;
pub mod board_show;
pub mod complete;
pub mod confirm;
mod context;
pub mod doctor;
pub mod enroll;
mod environment;
pub mod help;
mod home;
pub mod interrupt;
pub mod issue;
mod local_time;
pub mod man;
pub mod outcome;
pub mod pki;
mod pki_rotate;
pub mod printer;
pub mod proof;
pub mod readers;
pub mod sanitize;
pub mod scan;
pub mod schema;
pub mod server;
mod service;
pub mod status;
pub mod table;
pub mod time_spec;
pub mod token;
pub mod token_change;
mod token_rotate;
mod trace;
pub mod until;
mod usage;
pub mod users;
mod values;
pub mod views;
pub mod virtual_token;
mod wall_clock;
pub mod watch;

use std::ffi::OsStr;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use crate::config::{Global, Settings};
use crate::failure::{ExitClass, Failure};
use args::{Cli, CliCommand};
use printer::{OutputOptions, Printer};

/// The whole program: parses the command line, runs the command, and ends the process with its exit status.
pub fn run() -> ! {
    report_panics();
    // An empty variable counts as unset.
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = environment::without(Cli::command(), &is_empty);
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    let status = match parsed {
        Ok(cli) => execute(cli),
        Err(error) => refuse(&error),
    };
    let _ = std::io::stdout().flush();
    leave(status)
}

/// Exits without the libraries' destructors: that of PC/SC Lite frees its lists while threads still leave their cards.
fn leave(status: u8) -> ! {
    signal_hook::low_level::exit(status.into())
}

fn execute(cli: Cli) -> u8 {
    let mut out = Printer::new(OutputOptions::of_process(&unconfigured(&cli.global)));
    let done = trace::begin(&cli.global, &cli.command).and_then(|()| dispatch(cli, &mut out));
    trace::end(&mut out);
    // Output that was begun is completed in any case, and the first failure counts.
    let ended = out.end();
    done.and_then(|status| ended.map(|()| status)).unwrap_or_else(|failure| {
        out.error(&failure);
        failure.class.exit_status()
    })
}

fn dispatch(cli: Cli, out: &mut Printer) -> Result<u8, Failure> {
    let Cli { global, command } = cli;
    match command {
        // These need no configuration, and work with a broken one.
        CliCommand::Schema(args) => schema::run(&args, out),
        CliCommand::Completions(args) => complete::run(&args, &global, out),
        CliCommand::Man(args) => man::run(&args, out),
        CliCommand::Help(args) => help::run(&args, out),
        CliCommand::Scan(args) => scan::run(&args, &configure(&global, out)?.with_source(args.source), out),
        CliCommand::VirtualToken(args) => {
            configure_if_sound(&global, out)?;
            virtual_token::run(&args, out)
        }
        CliCommand::Watch(args) => {
            let settings = configure(&global, out)?.with_presence(args.presence);
            watch::run(&args, &settings, out)
        }
        CliCommand::Enroll(args) => enroll::run(&args, &configure(&global, out)?, out),
        CliCommand::Token(args) => token::run(&args, &configure(&global, out)?, out),
        CliCommand::Proof(args) => {
            let settings = if args.needs_home() { configure(&global, out)? } else { configure_if_sound(&global, out)? };
            proof::run(&args, &settings, out)
        }
        CliCommand::Pki(args) => pki::run(&args, &configure(&global, out)?, out),
        CliCommand::Server(args) => server::run(&args, &configure(&global, out)?, out),
        CliCommand::Apdu(args) => apdu::run(&args, &configure(&global, out)?, out),
        CliCommand::Status => status::run(&configure(&global, out)?, out),
        CliCommand::Doctor(args) => doctor::run(&args, &global, out),
        CliCommand::Readers(args) => readers::run(&args, &configure(&global, out)?, out),
        #[cfg(feature = "board")]
        CliCommand::Board(args) => board::run(&args, &configure(&global, out)?, out),
        CliCommand::Users(args) => users::run(&args, &configure(&global, out)?, out),
    }
}

/// Resolves the settings; from here on the printer follows them.
fn configure(global: &Global, out: &mut Printer) -> Result<Settings, Failure> {
    let settings = Settings::resolve(global, &|name| std::env::var_os(name))?;
    out.set_options(OutputOptions::of_process(&settings));
    out.detail(&settings.origin(global));
    Ok(settings)
}

/// For commands that need nothing of this terminal: unless a file was named, an unreadable configuration costs only the
/// output format.
fn configure_if_sound(global: &Global, out: &mut Printer) -> Result<Settings, Failure> {
    match configure(global, out) {
        Err(failure) if global.config.is_none() => {
            if failure.code != "config.no-home" {
                out.warning(&format!("the configuration is ignored: {failure} ({})", failure.code), None);
            }
            Ok(unconfigured(global))
        }
        done => done,
    }
}

/// Enough to print a failure of the configuration itself.
fn unconfigured(global: &Global) -> Settings {
    Settings::unconfigured(global, &|name| std::env::var_os(name))
}

/// Help and version are results; everything else is a usage error.
fn refuse(error: &clap::Error) -> u8 {
    let mut out = Printer::new(OutputOptions::of_process(&unconfigured(&Global::default())));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = help::asked_for(std::env::args_os()).unwrap_or_else(|| error.render().to_string());
            match out.document(text.as_bytes()) {
                Ok(()) => 0,
                Err(failure) => failure.class.exit_status(),
            }
        }
        _ => {
            if std::env::args_os().len() < 2 {
                out.guide(help::FIRST_STEPS);
            }
            out.error(&usage::failure(error, environment::variable_of(error, std::env::args_os()).as_deref()));
            ExitClass::Usage.exit_status()
        }
    }
}

/// A panic on any thread is a bug of ours: it is reported, and the process ends.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
        let payload = panic.payload();
        let what = payload.downcast_ref::<&str>().copied();
        let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        let failure = Failure::new(ExitClass::Bug, "bug.panic", format!("internal error: {what}{place}"))
            .hint("please report it, and say what you did");
        Printer::new(OutputOptions::default()).error(&failure);
        leave(ExitClass::Bug.exit_status());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process;

    /// Set in the child process that the test below starts.
    const CHILD: &str = "ROLLCALL_TEST_PANIC";

    /// The help lists the exit statuses in a sentence, the manual in a list.
    #[test]
    fn the_help_tells_every_exit_status() {
        let help = Cli::command().get_after_help().unwrap().to_string();
        let told: Vec<u8> = help.split([' ', ',', '.']).filter_map(|word| word.parse().ok()).collect();
        let all: Vec<u8> = std::iter::once(0).chain(ExitClass::ALL.iter().map(|class| class.exit_status())).collect();
        assert_eq!(told, all);
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// A panic hook affects the whole process, so the test runs itself as a child and observes how that ends.
    #[test]
    fn a_panic_on_any_thread_is_reported_as_a_bug_and_ends_the_process() {
        if std::env::var_os(CHILD).is_some() {
            report_panics();
            let _ = std::thread::spawn(|| panic!("that\u{1b}[2J")).join();
            unreachable!("the process ended");
        }
        let child = process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::tests::a_panic_on_any_thread_is_reported_as_a_bug_and_ends_the_process"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(child.status.code(), Some(70));
        let stderr = String::from_utf8(child.stderr).unwrap();
        assert!(stderr.starts_with("error: internal error: that\\u{1b}[2J (src/cli/mod.rs:"), "{stderr}");
        assert!(stderr.ends_with("\ncode: bug.panic\n"), "{stderr}");
    }
}
