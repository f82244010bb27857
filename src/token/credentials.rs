//! What a terminal comes to a token with: its keys, what it remembers, and what it learns.
//!
//! Specification: docs/protocol.md, "Keys and identifiers"; docs/protocol.md, "Certificates".

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::select::{Selected, TokenMode};
use crate::{
    card::apdu::ApduFormat,
    channel::resumption::USES,
    crypto::{
        Key128,
        ec::{KeyPair, Point},
        random::Random,
        x509::{Certificate, CertificateError, CertificateProfile},
    },
};

/// What the terminal authenticates with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The CA that certifies terminals and tokens.
    pub ca: Point,
    /// The terminal's static ECKA key.
    pub key: KeyPair,
    /// Its certificate.
    pub certificate: Certificate,
    /// The same under the CA before this one, while tokens are being moved from that one to this.
    pub previous: Option<Box<Credentials>>,
}

impl Credentials {
    /// What this token is faced with: it names the CA whose key it has had for longest.
    pub(super) fn facing(&self, selected: &Selected) -> &Self {
        let knows = |one: &Self| one.ca.key_identifier()[..8] == selected.ca_prefix;
        self.previous.as_deref().filter(|previous| knows(previous)).unwrap_or(self)
    }

    /// Verifies a token's certificate in DER: under the CA, or while it is being rotated under the one before.
    ///
    /// # Errors
    /// [`CertificateError`], which says what is wrong with it; under two CAs that of the present one.
    pub fn verify(&self, der: &[u8], class: CertificateProfile) -> Result<Certificate, CertificateError> {
        let verified = Certificate::verify(der, &self.ca, &[class]);
        match (&verified, &self.previous) {
            (Err(_), Some(previous)) => Certificate::verify(der, &previous.ca, &[class]).or(verified),
            _ => verified,
        }
    }
}

/// Something that a terminal may remember of a token, so that it need not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RememberedItem {
    /// The certificate of a token's or a set's ECKA key.
    Ecka(TokenMode, u8),
    /// The identity certificate of a token.
    Identity(Uuid),
}

/// What the terminal remembers. Only verified things are given to it, and they are verified again at each use.
pub trait TokenMemory {
    /// The remembered bytes.
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>>;

    /// The least time that this token took for a heartbeat at this reader, where there is a bound on that.
    fn least_heartbeat(&self, _token_id: Uuid, _reader: &str) -> Option<Duration> {
        None
    }
}

/// A memory that remembers nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoMemory;

impl TokenMemory for NoMemory {
    fn recall(&self, _: &RememberedItem) -> Option<Vec<u8>> {
        None
    }
}

/// Everything that one authentication needs besides the card.
pub struct AuthenticationContext<'a> {
    /// The terminal's keys.
    pub credentials: &'a Credentials,
    /// What it remembers.
    pub memory: &'a dyn TokenMemory,
    /// The nonce that the proof has to carry.
    pub nonce: [u8; 32],
    /// The time now, for the lives of certificates.
    pub now: Timestamp,
    /// How commands go to this reader.
    pub format: ApduFormat,
    /// Where ephemeral keys come from.
    pub random: &'a mut dyn Random,
    /// What was learned on the way and is worth remembering; `None` means: forget it.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
    /// Whether the token is to fill a slot for this terminal.
    pub slot: SlotWish,
    /// Whether the card was shown the nonce.
    pub nonce_shown: bool,
}

/// What a terminal keeps of a full tap in which the token filled a slot. It lives in memory only.
#[derive(Debug, Clone)]
pub struct ResumptionKey {
    /// Whose key it is.
    pub token_id: Uuid,
    /// The key, in one place.
    pub key: Arc<Key128>,
    /// The highest use counter that was seen of the token.
    pub counter: u32,
    /// How many uses the token said were left, the last time.
    pub uses_left: u8,
    /// When the first certificate ends that the full tap rested on: the token's and this terminal's.
    pub until: Timestamp,
}

impl ResumptionKey {
    /// The key of a full tap that has just filled a slot.
    pub const fn fresh(token_id: Uuid, key: Arc<Key128>, counter: u32, until: Timestamp) -> Self {
        Self { token_id, key, counter, uses_left: USES, until }
    }
}

/// Whether a full tap asks for a slot, and what came of it.
#[derive(Debug, Default)]
pub enum SlotWish {
    /// It does not.
    #[default]
    No,
    /// It does.
    Wanted,
    /// The token has none: it is of an earlier release.
    Unknown,
    /// It keeps this key.
    Filled(ResumptionKey),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_bounds_no_distance_by_itself() {
        assert_eq!(NoMemory.least_heartbeat(Uuid::nil(), "reader"), None);
    }
}
