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
    /// The reader could not power the card, which is how some services tell of one that does not answer to reset.
    #[error("the card did not answer when the reader powered it")]
    Unpowered,
    /// The card answers to reset, and refuses the protocol or the speed that the reader then asks for.
    #[error("the card answers to reset, and refuses the protocol and the speed that the reader asks for")]
    ProtocolRefused,
    /// An exchange failed while the card stayed, by the PC/SC name of the error. The card was reset: the session is gone.
    #[error("an exchange between reader and card failed: {0}")]
    Transmission(String),
    /// The command is longer than T=0 allows; nothing was sent.
    #[error("the card is connected with T=0, which has no extended length")]
    NoExtendedLength,
    /// The time limit of an exchange or of a tap ran out.
    #[error("the card did not answer within its time limit (exchange or tap, under limits in the configuration)")]
    TimedOut,
    /// Another program holds the card.
    #[error("another program holds the reader")]
    SharingViolation,
    /// The reader was unplugged.
    #[error("the reader was unplugged")]
    ReaderGone,
    /// The reader is listed, and does not work.
    #[error("the PC/SC service lists the reader and cannot use it")]
    Unavailable,
    /// A call into the reader's driver has not come back, and blocks the reader.
    #[error("the reader, or the card in it, does not answer: a call into its driver hangs")]
    Hung,
    /// No thread could be started that talks to the reader.
    #[error("no thread could be started: {0}")]
    NoThread(String),
    /// The PC/SC service refuses this user the reader or the card.
    #[error(
        "the PC/SC service lets this user list readers and refuses the card: polkit has to allow org.debian.pcsc-lite.access_card"
    )]
    AccessDenied,
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
