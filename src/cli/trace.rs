//! `--trace`: of every command, what it says to cards.

use std::{io::ErrorKind, sync::Arc};

use jiff::Timestamp;

use super::printer::Printer;
use crate::{
    card::trace::{
        Recorder,
        write::{self, TraceOptions},
    },
    config::Global,
    failure::{ExitClass, Failure},
    token::trace_points::{DIGEST, mask},
};

/// Begins the trace that was asked for. A file that cannot be made is told before a card is touched.
///
/// # Errors
/// `trace.exists` or `trace.unwritable` for the file; `usage` for `--trace-personal` alone.
pub fn begin(global: &Global) -> Result<(), Failure> {
    let Some(path) = &global.trace else {
        // The parser cannot say it: these options may stand on either side of the command.
        let alone = Failure::new(ExitClass::Usage, "usage", "--trace-personal says what --trace FILE leaves in")
            .hint("add --trace FILE");
        return if global.trace_personal { Err(alone) } else { Ok(()) };
    };
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

/// Ends it. What went wrong with it is told here, once, and changes nothing of what the command came to.
pub fn end(out: &mut Printer) {
    if let Some(problem) = write::current().and_then(|recorder| recorder.finish()) {
        out.warning(&problem.to_string(), Some("the outcome of the command does not depend on it"));
    }
}
