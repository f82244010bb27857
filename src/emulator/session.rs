//! What a token remembers between SELECT and deselect.

use super::{
    certificate::TerminalCertificate,
    command::{Part, Rights},
};
use crate::channel::{messaging::Messaging, scp03::Agreed};

/// The states of a session. A role is held in [`Session::Channel`] only: at the first valid C-MAC.
pub(super) enum Session {
    /// Nothing has happened since SELECT.
    Selected,
    /// A terminal's certificate was verified; it serves one key agreement.
    CertificateSeen(Box<TerminalCertificate>),
    /// INITIALIZE UPDATE was answered.
    Initialized(Box<Agreed>),
    /// MUTUAL AUTHENTICATE was answered; whoever sent it has proved nothing yet.
    KeysAgreed(Box<Channel>),
    /// A C-MAC was valid.
    Channel(Box<Channel>),
}

impl Session {
    pub(super) const fn has_keys(&self) -> bool {
        matches!(self, Self::KeysAgreed(_) | Self::Channel(_))
    }
}

/// Secure messaging, and who is at the other end.
pub(super) struct Channel {
    pub(super) messaging: Messaging,
    pub(super) peer: Peer,
    /// The object that is being put in parts.
    pub(super) upload: Option<Upload>,
}

/// The other end.
pub(super) enum Peer {
    /// Enrollment, under SCP03.
    Enroller,
    /// A terminal, under SCP11a.
    Terminal(Terminal),
}

/// A terminal, as its certificate and the handshake leave it.
pub(super) struct Terminal {
    /// Its certificate; `rights` are READ when the channel runs under a set key.
    pub(super) certificate: TerminalCertificate,
    /// The channel binding of a presence proof.
    pub(super) binding: [u8; 32],
}

impl Channel {
    pub(super) const fn rights(&self) -> Rights {
        match &self.peer {
            Peer::Enroller => Rights::Enroller,
            Peer::Terminal(terminal) => terminal.certificate.rights,
        }
    }
}

/// Parts that have come in, in order, and are not committed.
pub(super) struct Upload {
    pub(super) part: Part,
    pub(super) data: Vec<u8>,
}
