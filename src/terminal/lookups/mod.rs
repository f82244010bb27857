//! What a terminal asks its server, and what it keeps of the answers: a [`LookupWorker`] asks on a thread of its own, so
//! that no reader waits for the network, and a [`Cache`] keeps what it heard for the time when the server is away.

mod cache;
mod service;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

pub use cache::{Cache, CachedToken, FeedTaken, forget_users};
pub use service::LookupService;
pub use store::FeedPosition;
pub use worker::{EventSource, LookupEvidence, LookupOutcome, LookupQuery, LookupWorker, ServerEvent, WorkerParts};
