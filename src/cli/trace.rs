//! `--trace`: records what any command exchanges with cards.

use std::{io::ErrorKind, sync::Arc};

use jiff::Timestamp;

use super::{
    args::{CliCommand, TokenCommand},
    printer::Printer,
};
use crate::{
    card::trace::{
        Recorder,
        write::{self, TraceOptions},
    },
    config::Global,
    failure::{ExitClass, Failure},
    token::trace_points::{DIGEST, mask},
};

/// Begins the requested trace, if the command talks to cards. A file that cannot be created is an error before any card
/// is touched.
///
/// # Errors
/// `trace.exists` or `trace.unwritable` for the file; `usage` for `--trace-personal` alone.
pub fn begin(global: &Global, command: &CliCommand) -> Result<(), Failure> {
    let Some(path) = &global.trace else {
        // The parser cannot check this, since these options may be on either side of the command.
        let alone =
            Failure::new(ExitClass::Usage, "usage", "--trace-personal needs --trace FILE").hint("add --trace FILE");
        return if global.trace_personal { Err(alone) } else { Ok(()) };
    };
    if !talks_to_cards(command) {
        return Ok(());
    }
    let mask = (!global.trace_personal).then_some(mask as write::Mask);
    let options = TraceOptions { mask, digest: DIGEST, clock: Timestamp::now };
    let recorder = Recorder::create(path, options).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(ExitClass::Io, "trace.exists", message)
                .hint("name a file that does not exist yet, or remove this one"),
            _ => Failure::new(ExitClass::Io, "trace.unwritable", message).hint("name a writable file"),
        }
    })?;
    write::start(Arc::new(recorder));
    Ok(())
}

/// Whether this command has anything to trace: the variable may be set for every command of a shell, most of which do
/// not use cards.
const fn talks_to_cards(command: &CliCommand) -> bool {
    match command {
        CliCommand::Readers(_)
        | CliCommand::Apdu(_)
        | CliCommand::Scan(_)
        | CliCommand::Watch(_)
        | CliCommand::Enroll(_) => true,
        CliCommand::Doctor(args) => args.replay.is_none(),
        CliCommand::Token(args) => !matches!(args.command, TokenCommand::List(_)),
        _ => false,
    }
}

/// Ends the trace. Its failure is reported here, once, and does not change the result of the command.
pub fn end(out: &mut Printer) {
    if let Some(problem) = write::current().and_then(|recorder| recorder.finish()) {
        out.warning(&problem.to_string(), Some("the outcome of the command does not depend on it"));
    }
}
