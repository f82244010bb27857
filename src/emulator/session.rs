//! The volatile state of a token between SELECT and deselect.

use std::sync::Arc;

use super::{
    certificate::TerminalCertificate,
    command::{Part, Rights},
};
use crate::{
    channel::{messaging::Messaging, scp03::Agreed},
    crypto::{Key128, ec::Point},
};

/// The states of a session. Only [`TokenSession::Channel`], after the first valid C-MAC, has a role.
pub(super) enum TokenSession {
    /// Nothing has happened since SELECT.
    Selected,
    /// A terminal's certificate was verified; it is good for one key agreement.
    CertificateSeen(Box<TerminalCertificate>),
    /// INITIALIZE UPDATE was answered.
    Initialized(Box<Agreed>),
    /// MUTUAL AUTHENTICATE was answered; the sender has proved nothing yet.
    KeysAgreed(Box<SecureChannel>),
    /// RESUME was answered; the sender has proved nothing yet.
    Resumed(Box<ResumedChannel>),
    /// A C-MAC was valid.
    Channel(Box<SecureChannel>),
}

impl TokenSession {
    pub(super) const fn has_keys(&self) -> bool {
        matches!(self, Self::KeysAgreed(_) | Self::Resumed(_) | Self::Channel(_))
    }
}

/// Secure messaging, and its peer.
pub(super) struct SecureChannel {
    pub(super) messaging: Messaging,
    pub(super) peer: SessionPeer,
    /// The object that is being uploaded in parts.
    pub(super) upload: Option<Upload>,
}

/// A channel that RESUME began, before its first command.
pub(super) struct ResumedChannel {
    pub(super) messaging: Messaging,
    /// The slot whose key it uses; `None` for the decoy, whose key nobody has.
    pub(super) slot: Option<usize>,
}

/// The peer.
pub(super) enum SessionPeer {
    /// Enrollment, under SCP03.
    Enroller,
    /// A terminal, under SCP11a.
    Terminal(Box<PeerTerminal>),
    /// A terminal in a resumed channel: it may only read, whatever its certificate allows.
    Resumed,
}

/// A terminal after its certificate and the handshake.
pub(super) struct PeerTerminal {
    /// Its certificate; `rights` are READ when the channel runs under a set key.
    pub(super) certificate: TerminalCertificate,
    /// The key that it certifies.
    pub(super) point: Point,
    /// The channel binding of a presence proof.
    pub(super) binding: [u8; 32],
    /// The key of this handshake that a slot would store.
    pub(super) resumption: Arc<Key128>,
}

impl SecureChannel {
    pub(super) const fn rights(&self) -> Rights {
        match &self.peer {
            SessionPeer::Enroller => Rights::Enroller,
            SessionPeer::Terminal(terminal) => terminal.certificate.rights,
            SessionPeer::Resumed => Rights::Read,
        }
    }
}

/// Parts received in order but not committed.
pub(super) struct Upload {
    pub(super) part: Part,
    pub(super) data: Vec<u8>,
}
