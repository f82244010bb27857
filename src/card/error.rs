//! Why a link brings no answer, and what of it may be shown: below everything else that is said of cards.

use serde::{Deserialize, Serialize};

/// Whether the bytes of a command may appear in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sensitivity {
    /// The command may be traced as it is.
    #[default]
    Plain,
    /// The command carries a secret in clear (a PIN, a key): a trace hides its data.
    Sensitive,
}

/// Why a link could not bring back an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum LinkError {
    /// The card was removed.
    #[error("the card left the reader")]
    CardRemoved,
    /// Another program, or the reader, reset the card: the session is gone.
    #[error("the card was reset by another program or by the reader")]
    CardReset,
    /// Something is in the field that does not answer.
    #[error("the card does not answer")]
    CardMute,
    /// The time limit of an exchange or of a tap ran out.
    #[error("the card did not answer within its time limit")]
    TimedOut,
    /// Another program holds the card.
    #[error("another program holds the reader")]
    SharingViolation,
    /// The reader was unplugged.
    #[error("the reader was unplugged")]
    ReaderGone,
    /// The PC/SC service went away.
    #[error("the PC/SC service went away")]
    ServiceLost,
    /// The answer is shorter than a status word or longer than any answer may be.
    #[error("the card's answer is malformed ({0} bytes)")]
    Malformed(usize),
    /// Anything else, by the PC/SC name of the error.
    #[error("the reader reported: {0}")]
    Other(String),
}
