//! The server, seen from a terminal: [`ServerClient`] has one method per route of `/v1`, over TLS 1.3 with certificates
//! on both sides, and [`signed`] reads what the server signs for times when it cannot be reached.
//!
//! A request is repeated only if its connection was idle and may be dead. The routes tolerate that: a repetition
//! changes nothing, and if a proof is refused as a repetition, the terminal asks once more without it.
//!
//! Deliberately absent: any other retry. Whether a request may be repeated is for the caller to decide.

mod addresses;
mod client;
mod error;
mod exchange;
pub mod signed;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod url;

pub use client::ServerClient;
pub use error::{CacheCause, CacheFault, ServerError};
pub use exchange::RequestLimits;
pub use tls::CertificateFault;
pub use url::{BadServerUrl, ServerUrl};
