//! Our applet's edge: its identifiers, one function per command, the user record, and the way into its channel.
//!
//! Deliberately absent: readers. Everything here is given a link.

pub mod commands;
pub mod constants;
pub mod record;
pub mod select;

use crate::{
    card::{link::LinkError, status::Status},
    channel::ChannelError,
    crypto::CryptoError,
};

/// What can go wrong between us and a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The link broke.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The handshake or the secure messaging failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The token refused a command with an error status, which carries no MAC and proves nothing.
    #[error("the token refused {step} with {status} ({meaning})", meaning = status.meaning())]
    Refused {
        /// Which command.
        step: &'static str,
        /// The status word.
        status: Status,
    },
    /// An answer has another form than the protocol gives it.
    #[error("the token's answer to {0} has the wrong form")]
    Form(&'static str),
}

impl From<CryptoError> for TokenError {
    fn from(e: CryptoError) -> Self {
        Self::Channel(e.into())
    }
}
