//! What a user sees of a thread that cannot be started.

use std::io;

use crate::failure::{self, Failure};

/// A thread could not be started.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn no_thread(error: io::Error) -> Failure {
    failure::no_thread(&error)
}
