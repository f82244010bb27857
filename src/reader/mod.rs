//! Readers: what is plugged in, what lies on it, and a connection to the card, on whatever PC/SC stack there is.
//!
//! `pcsc` is the only importer of the crate `pcsc`. Every call that may block runs on a thread of its own, so that a
//! reader, card or service that hangs costs its caller a bounded time and nobody else anything.
//!
//! Deliberately absent: our applet, and any printing.

pub mod atr;
pub mod diff;
pub mod monitor;
pub mod pcsc;
pub mod select;

use crate::failure::{ExitClass, Failure};

/// What lies in a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Nothing.
    Empty,
    /// A card that answered to reset; the ATR is empty where the stack powers cards only on connection.
    Card(Vec<u8>),
    /// Something that did not answer to reset.
    Mute,
    /// The reader itself does not work.
    Unavailable,
}

impl Slot {
    /// Whether something lies in the reader, mute or not.
    pub const fn is_occupied(&self) -> bool {
        matches!(self, Self::Card(_) | Self::Mute)
    }
}

/// One reader at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderState {
    /// The name that PC/SC gives it; what is not UTF-8 in it is replaced.
    pub name: String,
    /// What lies in it.
    pub slot: Slot,
    /// Another program holds it exclusively.
    pub exclusive: bool,
    /// Some program is connected to the card (it may be this one).
    pub in_use: bool,
    /// Grows with every insertion and removal. The same number means the same card since.
    pub generation: u64,
}

/// How often something was inserted or removed, as the service counts: of a generation, the part on which two processes
/// agree while the service lives and the reader is plugged in.
pub const fn event_count(generation: u64) -> u64 {
    generation & 0xFFFF
}

/// Why there is no answer about the readers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// No PC/SC service listens.
    #[error("the PC/SC service is not running")]
    ServiceDown,
    /// The service is there and does not answer.
    #[error("the PC/SC service does not answer")]
    ServiceHangs,
    /// The service closed the connection at once: polkit, or the rights of its socket.
    #[error("the PC/SC service refused this user")]
    Denied,
    /// Anything else, by the PC/SC name of the error.
    #[error("the PC/SC service reported: {0}")]
    Other(String),
}

impl From<ReaderError> for Failure {
    fn from(error: ReaderError) -> Self {
        let (class, code, hint) = match error {
            ReaderError::ServiceDown => {
                (ExitClass::Unavailable, "pcsc.service-down", "start it: sudo systemctl start pcscd.socket")
            }
            ReaderError::ServiceHangs => {
                (ExitClass::Unavailable, "pcsc.service-hangs", "start it again: sudo systemctl restart pcscd")
            }
            ReaderError::Denied => (
                ExitClass::Refused,
                "pcsc.denied",
                "let polkit allow this user the action org.debian.pcsc-lite.access_pcsc",
            ),
            ReaderError::Other(_) => {
                (ExitClass::Unavailable, "pcsc.error", "start it again: sudo systemctl restart pcscd")
            }
        };
        Self::new(class, code, error.to_string()).hint(hint)
    }
}
