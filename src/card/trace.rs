//! What was said between us and the cards, written down so that it can be played again without them.
//!
//! # What is in a trace
//!
//! A line of JSON for each exchange, and beside the exchanges of a channel what the layer above made of them: whether
//! the receipt held, and what stood in an answer whose MAC was right. Whoever plays it again has no keys, and takes these
//! verdicts from the trace; everything else is done anew by the same code.
//!
//! # What is never in it
//!
//! - A key, whatever its kind, and a PIN: the data of a command are written only where its kind is known to be public
//!   ([`record::is_public`]).
//! - What is said under secure messaging, not even encrypted: the keys of a blank card may be known to everybody, and
//!   with them everything could be read that was said in its enrollment. Header, lengths and status are written.
//! - Data that we write to a card, in clear.
//! - What a card says of its holder, unless that was asked for: it is replaced by as many bytes that say nothing.
//!
//! # What it proves
//!
//! Nothing. The lines are chained by hashes, so that one that is missing or was changed is noticed; but there is no key,
//! and who computes all of them anew can write what he likes.

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
/// The longest trace in bytes: what is more is not written, and not read.
pub const SIZE_MAX: u64 = 16 << 20;

/// SHA-256 over the parts: this layer computes no hashes itself.
pub type Digest = fn(&[&[u8]]) -> [u8; 32];

/// What chains a line to those before it.
fn chained(digest: Digest, before: &str, line: &str) -> String {
    hex::encode(&digest(&[before.as_bytes(), line.as_bytes()])[..16])
}

#[cfg(test)]
mod tests;
