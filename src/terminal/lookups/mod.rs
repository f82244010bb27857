//! Lookups at the server: a [`LookupWorker`] queries it on its own thread, so that no reader waits for the network, and
//! a [`Cache`] keeps the answers for times when the server is unreachable.

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
