//! The failure shown when a thread cannot be started.

use std::io;

use crate::failure::{self, Failure};

/// The failure for a thread that could not be started.
#[allow(clippy::needless_pass_by_value)] // for map_err
pub fn no_thread(error: io::Error) -> Failure {
    failure::no_thread(&error)
}
