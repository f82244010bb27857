//! What a terminal brings to a token: its keys, what it remembers, and what it learns.
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

/// The terminal's keys for authentication.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The CA that certifies terminals and tokens.
    pub ca: Point,
    /// The terminal's static ECKA key.
    pub key: KeyPair,
    /// Its certificate.
    pub certificate: Certificate,
    /// The same under the previous CA, while tokens are being moved from that CA to the current one.
    pub previous: Option<Box<Credentials>>,
}

impl Credentials {
    /// The credentials to use for this token, which names the CA whose key it has had the longest.
    pub(super) fn facing(&self, selected: &Selected) -> &Self {
        let knows = |one: &Self| one.ca.key_identifier()[..8] == selected.ca_prefix;
        self.previous.as_deref().filter(|previous| knows(previous)).unwrap_or(self)
    }

    /// Verifies a token's certificate in DER: under the CA or, during a rotation, under the previous one.
    ///
    /// # Errors
    /// The [`CertificateError`]; if both CAs fail, that of the current one.
    pub fn verify(&self, der: &[u8], class: CertificateProfile) -> Result<Certificate, CertificateError> {
        let verified = Certificate::verify(der, &self.ca, &[class]);
        match (&verified, &self.previous) {
            (Err(_), Some(previous)) => Certificate::verify(der, &previous.ca, &[class]).or(verified),
            _ => verified,
        }
    }
}

/// A certificate that a terminal may remember, so that it need not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RememberedItem {
    /// The certificate of a token's or a set's ECKA key.
    Ecka(TokenMode, u8),
    /// The identity certificate of a token.
    Identity(Uuid),
}

/// The terminal's memory. It receives verified items only, and they are verified again at each use.
pub trait TokenMemory {
    /// The remembered bytes.
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>>;

    /// The least time that this token took for a heartbeat at this reader, if that is bounded.
    fn least_heartbeat(&self, _token_id: Uuid, _reader: &str) -> Option<Duration> {
        None
    }
}

/// A memory that is always empty.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoMemory;

impl TokenMemory for NoMemory {
    fn recall(&self, _: &RememberedItem) -> Option<Vec<u8>> {
        None
    }
}

/// What an authentication needs besides the card.
pub struct AuthenticationContext<'a> {
    /// The terminal's keys.
    pub credentials: &'a Credentials,
    /// What it remembers.
    pub memory: &'a dyn TokenMemory,
    /// The nonce that the proof must contain.
    pub nonce: [u8; 32],
    /// The current time, for the validity of certificates.
    pub now: Timestamp,
    /// The APDU format of this reader.
    pub format: ApduFormat,
    /// The source of ephemeral keys.
    pub random: &'a mut dyn Random,
    /// What was learned and is worth remembering; `None` means to forget it.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
    /// Whether the token should fill a slot for this terminal.
    pub slot: SlotWish,
    /// Whether the card was shown the nonce.
    pub nonce_shown: bool,
}

/// The result of a full tap in which the token filled a slot. Kept in memory only.
#[derive(Debug, Clone)]
pub struct ResumptionKey {
    /// The token.
    pub token_id: Uuid,
    /// The key, shared by reference.
    pub key: Arc<Key128>,
    /// The highest use counter seen of the token.
    pub counter: u32,
    /// How many uses were left, according to the token's last answer.
    pub uses_left: u8,
    /// When the first of the certificates expires that the full tap relied on: the token's and this terminal's.
    pub until: Timestamp,
}

impl ResumptionKey {
    /// The key of a slot that was just filled by a full tap.
    pub const fn fresh(token_id: Uuid, key: Arc<Key128>, counter: u32, until: Timestamp) -> Self {
        Self { token_id, key, counter, uses_left: USES, until }
    }
}

/// Whether a full tap asks for a slot, and the result.
#[derive(Debug, Default)]
pub enum SlotWish {
    /// It does not ask.
    #[default]
    No,
    /// It asks.
    Wanted,
    /// The token has no slots: it is of an earlier release.
    Unknown,
    /// The token stored this key.
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
