//! The server, seen from a terminal: [`ServerClient`] has one method for each route of `/v1`, over TLS 1.3 with certificates
//! on both sides, and [`signed`] reads what it signs for the time when it is away.
//!
//! A request goes once more only where its connection lay idle and may be dead. The routes bear that: the same once more
//! changes nothing, and for a proof that comes twice the terminal asks once more without it.
//!
//! Deliberately absent: any other retry. Whether a request may be made once more is for whoever knows what it does.

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
pub use url::{BadServerUrl, ServerUrl};
