//! The interface to our applet: its identifiers, one function per command, the user record, and the way into its
//! channel.
//!
//! Deliberately absent: readers. Everything here works on a link.
//!
//! Specification: docs/protocol.md, "Commands"; each part names its own sections.

pub mod commands;
pub mod constants;
pub mod credentials;
pub mod open;
pub mod proof_checks;
pub mod record;
pub mod resume;
pub mod select;
pub mod session;
pub mod trace_points;

use crate::channel::CommandName;
use crate::{
    card::{link::LinkError, status::Status},
    channel::ChannelError,
    crypto::{CryptoError, x509::CertificateError},
    proof::ProofError,
};

/// An error in communicating with a token.
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
        /// The command.
        step: CommandName,
        /// The status word.
        status: Status,
    },
    /// An answer does not have the form that the protocol prescribes.
    #[error("the token's answer to {0} has the wrong form")]
    Form(CommandName),
    /// The token is in a state in which it does not open a channel.
    #[error("the token is {}", .0.word())]
    NotIssued(select::LifeCycle),
    /// None of the token's CA keys is ours.
    #[error("the token belongs to another authority")]
    OtherAuthority,
    /// The token has our CA's key, but refuses our certificate.
    #[error("the token refused this terminal's certificate with {0}")]
    TerminalRefused(Status),
    /// SELECT answer, certificates and channel name different tokens.
    #[error("the token contradicts itself about who it is")]
    IdentityMismatch,
    /// A resumed channel reports an outdated state: two cards share one identity.
    #[error("the token's counters fell back in a resumed channel: {found} after {last}")]
    Cloned {
        /// The token id that it claims.
        token_id: uuid::Uuid,
        /// The last value seen: the use counter, or the uses left.
        last: u32,
        /// The value now.
        found: u32,
    },
    /// A certificate of the token is not valid.
    #[error("a certificate of the token is not valid: {0}")]
    Certificate(#[from] CertificateError),
    /// The presence proof is not valid.
    #[error("the token's presence proof is not valid: {0}")]
    Proof(#[from] ProofError),
    /// The user record is malformed.
    #[error(transparent)]
    Record(#[from] record::RecordError),
}

impl From<CryptoError> for TokenError {
    fn from(e: CryptoError) -> Self {
        Self::Channel(e.into())
    }
}
