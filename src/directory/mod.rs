//! The server, seen from a terminal: one method for each route of `/v1`, over TLS 1.3 with certificates on both sides.
//!
//! Deliberately absent: retries. Whether a request may be made once more is for whoever knows what it does.

mod cache;
mod client;
mod error;
pub mod signed;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub use cache::{Cache, Kept};
pub use client::{Limits, Server};
pub use error::DirectoryError;
pub use store::Mark;
