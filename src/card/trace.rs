//! Records the exchanges with cards, so that they can be replayed without the cards.
//!
//! # What is in a trace
//!
//! A line of JSON for each exchange, and for a secure channel also what the layer above concluded from the exchanges:
//! whether the receipt was valid, and the content of an answer whose MAC was valid. A replay has no keys, and takes
//! these verdicts from the trace; everything else is recomputed by the same code.
//!
//! # What is never in it
//!
//! - A key of any kind, and a PIN: command data is written only if its kind is known to be public
//!   ([`record::is_public`]).
//! - Secure messaging, not even encrypted: the keys of a blank card may be publicly known, and would decrypt its whole
//!   enrollment. Header, lengths and status are written.
//! - Data that we write to a card, in clear.
//! - What a card says of its holder, unless requested: it is replaced by as many meaningless bytes.
//!
//! # What it proves
//!
//! Nothing. The lines are chained by hashes, so that a missing or changed one is noticed; but there is no key, and
//! whoever recomputes all the hashes can write anything.

pub mod read;
pub mod replay;
pub mod write;

pub use super::record;
pub use read::{RecordedAttempt, Trace, TraceError};
pub use record::{Judged, LINE_MAX, Question, RecordedDistance, RecordedVerdict, TraceRecord};
pub use replay::Replay;
pub use write::{Recorder, Tape, Traced};

/// The schema of a trace.
pub const SCHEMA: &str = "rollcall.trace/1";
/// The longest trace in bytes: more is neither written nor read.
pub const SIZE_MAX: u64 = 16 << 20;

/// SHA-256 over the parts, injected because this layer has no cryptography.
pub type Digest = fn(&[&[u8]]) -> [u8; 32];

/// The hash that chains a line to those before it.
fn chained(digest: Digest, before: &str, line: &str) -> String {
    hex::encode(&digest(&[before.as_bytes(), line.as_bytes()])[..16])
}

#[cfg(test)]
mod tests;
