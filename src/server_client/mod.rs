//! The server, seen from a terminal: [`ServerClient`] has one method for each route of `/v1`, over TLS 1.3 with certificates
//! on both sides, and [`signed`] reads what it signs for the time when it is away.
//!
//! Deliberately absent: retries. Whether a request may be made once more is for whoever knows what it does.

mod client;
mod error;
pub mod signed;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

pub use client::{RequestLimits, ServerClient};
pub use error::ServerError;
