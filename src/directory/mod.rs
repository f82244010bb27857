//! The server, seen from a terminal: one method for each route of `/v1`, over TLS 1.3 with certificates on both sides.
//!
//! Deliberately absent: retries. Whether a request may be made once more is for whoever knows what it does.

mod client;
mod error;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{Limits, Server};
pub use error::DirectoryError;
