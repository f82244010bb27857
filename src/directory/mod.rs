//! The server, seen from a terminal: [`Server`] has one method for each route of `/v1`, over TLS 1.3 with certificates
//! on both sides; [`Cache`] keeps what it said for the time when it is away; [`Asker`] asks on a thread of its own, and
//! [`decide()`] says from all that whether a token is let in.
//!
//! Deliberately absent: retries. Whether a request may be made once more is for whoever knows what it does.

mod asker;
mod cache;
mod client;
mod decide;
mod error;
pub mod signed;
mod store;
#[cfg(test)]
mod tests;
mod tls;

pub use asker::{Answered, Asker, Equipment, Journal, News, Question};
pub use cache::{Cache, Kept};
pub use client::{Limits, Server};
pub use decide::{Admitted, Origin, Refusal, Rules, Wanted, Word, decide};
pub use error::DirectoryError;
pub use store::Mark;
