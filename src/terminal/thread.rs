//! What a user sees of a thread that cannot be started.

use std::io;

use crate::failure::{ExitClass, Failure};

/// A thread could not be started.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn no_thread(error: io::Error) -> Failure {
    Failure::new(ExitClass::Busy, "system.no-thread", format!("no thread could be started: {error}"))
        .hint("free memory, or raise the limit of processes")
}
