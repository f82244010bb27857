//! The persistent state of a token, and its file format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    encoding::{Hex, SecretKey, SecretPair},
    slots::{Slots, decoy},
};
use crate::{
    channel::scp03::StaticKeys,
    crypto::{
        CryptoError, Key128,
        ec::{KeyPair, Point},
        random::{self, Random},
    },
    proof::FIRST_COUNTER,
    token::constants::{
        KVN_OWN, KVN_SET, KVN_START_KEYS, KVN_TOKEN_KEYS, STATE_BLANK, STATE_BLOCKED, STATE_ISSUED, STATE_PERSONALISED,
        STATE_TERMINATED,
    },
};

/// The name of the format; later releases can read every earlier one.
const SCHEMA: &str = "rollcall.virtual-token/1";
/// Room for the longest state: a buffer that never grows leaves no copy of a key behind.
const FILE_CAPACITY: usize = 64 * 1024;

/// Why a saved state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not the JSON that a token saves.
    #[error("not the saved state of a virtual token: {0}")]
    Form(String),
    /// Written by an unknown release.
    #[error("saved by another release of rollcall (its form is {0:?})")]
    Schema(String),
}

/// The life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Life {
    Blank,
    Personalised,
    Issued,
    Blocked,
    Terminated,
}

impl Life {
    /// The state byte.
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Blank => STATE_BLANK,
            Self::Personalised => STATE_PERSONALISED,
            Self::Issued => STATE_ISSUED,
            Self::Blocked => STATE_BLOCKED,
            Self::Terminated => STATE_TERMINATED,
        }
    }

    /// ISSUED or BLOCKED: the token belongs to a user.
    pub(super) const fn is_in_use(self) -> bool {
        matches!(self, Self::Issued | Self::Blocked)
    }
}

/// The persistent state of one token. It contains private keys, and cannot be printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersistentState {
    schema: String,
    pub(super) life: Life,
    pub(super) diversification: Hex<[u8; 10]>,
    /// `None` once TERMINATED.
    start_keys: Option<AesKeys>,
    token_keys: Option<AesKeys>,
    pub(super) ca_keys: BTreeMap<u8, CaKey>,
    pub(super) ecka_keys: BTreeMap<u8, EckaKey>,
    pub(super) identity_key: Option<SecretPair>,
    pub(super) mode: Option<ModeObject>,
    pub(super) record: Hex<Vec<u8>>,
    pub(super) details: Hex<Vec<u8>>,
    pub(super) portrait: Hex<Vec<u8>>,
    pub(super) identity_certificate: Hex<Vec<u8>>,
    /// 12 digits YYMMDDhhmmss.
    pub(super) date: Hex<[u8; 12]>,
    /// The use counter of the last proof, 0 before the first one.
    pub(super) counter: u32,
    /// Counts activated keys: each gets the next number, so that the oldest is known.
    arrivals: u32,
    #[serde(default, skip_serializing_if = "Slots::are_untouched")]
    pub(super) slots: Slots,
    /// The key that RESUME uses for terminals without a slot; `None` in the state of an earlier release, and once
    /// TERMINATED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) decoy: Option<SecretKey>,
}

/// Mode and token id, object `01 00`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModeObject {
    pub(super) private: bool,
    pub(super) token_id: Hex<[u8; 16]>,
}

impl ModeObject {
    /// The object as stored, and as part of the manifest.
    pub(super) fn object(&self) -> Vec<u8> {
        [&[u8::from(self.private)][..], &self.token_id.0].concat()
    }
}

/// Three static SCP03 keys.
#[derive(Clone, Serialize, Deserialize)]
struct AesKeys {
    enc: SecretKey,
    mac: SecretKey,
    dek: SecretKey,
}

impl AesKeys {
    fn of(keys: &StaticKeys) -> Self {
        Self { enc: SecretKey(keys.enc.clone()), mac: SecretKey(keys.mac.clone()), dek: SecretKey(keys.dek.clone()) }
    }

    fn to_static(&self) -> StaticKeys {
        StaticKeys { enc: self.enc.0.clone(), mac: self.mac.0.clone(), dek: self.dek.0.clone() }
    }
}

/// A terminal CA's public key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CaKey {
    pub(super) point: Hex<Point>,
    arrival: u32,
}

/// A static ECKA key: the active pair with its certificate, and a pending one that lacks its certificate.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct EckaKey {
    pub(super) in_force: Option<CertifiedKey>,
    pub(super) pending: Option<SecretPair>,
}

/// A key pair and the certificate of its public key.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CertifiedKey {
    pub(super) pair: SecretPair,
    pub(super) certificate: Hex<Vec<u8>>,
    arrival: u32,
}

impl PersistentState {
    /// The diversification data, which identify the card.
    pub const fn diversification(&self) -> [u8; 10] {
        self.diversification.0
    }

    /// A BLANK token as after installation: with start keys and random diversification data.
    ///
    /// # Errors
    /// [`CryptoError`] when there is no randomness.
    pub fn blank(start_keys: &StaticKeys, random: &mut dyn Random) -> Result<Self, CryptoError> {
        let state = Self::empty(random::bytes(random)?, Some(AesKeys::of(start_keys)));
        Ok(Self { decoy: Some(decoy(random)?), ..state })
    }

    fn empty(diversification: [u8; 10], start_keys: Option<AesKeys>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            life: Life::Blank,
            diversification: Hex(diversification),
            start_keys,
            token_keys: None,
            ca_keys: BTreeMap::new(),
            ecka_keys: BTreeMap::new(),
            identity_key: None,
            mode: None,
            record: Hex(Vec::new()),
            details: Hex(Vec::new()),
            portrait: Hex(Vec::new()),
            identity_certificate: Hex(Vec::new()),
            date: Hex(*b"000000000000"),
            counter: 0,
            arrivals: 0,
            slots: Slots::default(),
            decoy: None,
        }
    }

    /// The use counter of the next proof; `None` after the last possible one.
    pub(super) const fn next_counter(&self) -> Option<u32> {
        if self.counter == 0 { Some(FIRST_COUNTER) } else { self.counter.checked_add(1) }
    }

    /// Reads the JSON of [`Self::to_file`], from this release or an earlier one.
    ///
    /// # Errors
    /// [`StateError::Schema`] for an unknown release; [`StateError::Form`] for anything else.
    pub fn from_file(bytes: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct StateHeader {
            schema: String,
        }
        let form = |e: serde_json::Error| StateError::Form(position(&e));
        let head: StateHeader = serde_json::from_slice(bytes).map_err(form)?;
        if head.schema != SCHEMA {
            return Err(StateError::Schema(head.schema));
        }
        serde_json::from_slice(bytes).map_err(form)
    }

    /// The state as JSON, private keys included.
    ///
    /// # Errors
    /// [`StateError::Form`] when it cannot be written as JSON.
    pub fn to_file(&self) -> Result<Zeroizing<Vec<u8>>, StateError> {
        let mut out = Zeroizing::new(Vec::with_capacity(FILE_CAPACITY));
        serde_json::to_writer_pretty(&mut *out, self).map_err(|e| StateError::Form(position(&e)))?;
        out.push(b'\n');
        Ok(out)
    }

    /// Back to BLANK: everything is removed but the start keys and the diversification data.
    pub(super) fn reset(&mut self) {
        let decoy = self.decoy.take();
        *self = Self { decoy, ..Self::empty(self.diversification.0, self.start_keys.take()) };
    }

    /// Clears everything permanently. One write of the file covers all of it, so there is no intermediate state.
    pub(super) fn terminate(&mut self) {
        *self = Self::empty([0; 10], None);
        self.life = Life::Terminated;
    }

    /// The KVN of the active SCP03 keys.
    pub(super) const fn scp03_kvn(&self) -> u8 {
        if self.token_keys.is_some() { KVN_TOKEN_KEYS } else { KVN_START_KEYS }
    }

    /// The active SCP03 keys; `None` once TERMINATED.
    pub(super) fn scp03_keys(&self) -> Option<StaticKeys> {
        self.token_keys.as_ref().or(self.start_keys.as_ref()).map(AesKeys::to_static)
    }

    /// The per-token SCP03 keys.
    pub(super) fn token_keys(&self) -> Option<StaticKeys> {
        self.token_keys.as_ref().map(AesKeys::to_static)
    }

    /// Activates per-token keys in place of the start keys.
    pub(super) fn put_token_keys(&mut self, keys: &StaticKeys) {
        self.token_keys = Some(AesKeys::of(keys));
        if self.life == Life::Blank {
            self.life = Life::Personalised;
        }
    }

    /// Whether any start key is the well-known test key: an observer of the enrollment then knows the per-token keys.
    pub fn has_test_keys(&self) -> bool {
        let test: Key128 = StaticKeys::test().enc;
        self.start_keys.as_ref().is_some_and(|k| [&k.enc, &k.mac, &k.dek].iter().any(|key| key.0 == test))
    }

    /// A token whose mode is not set counts as open.
    pub(super) fn is_private(&self) -> bool {
        self.mode.is_some_and(|mode| mode.private)
    }

    fn next_arrival(&mut self) -> u32 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Activates a CA key, as the newest.
    pub(super) fn put_ca_key(&mut self, version: u8, point: Point) {
        let arrival = self.next_arrival();
        self.ca_keys.insert(version, CaKey { point: Hex(point), arrival });
    }

    /// Activates an ECKA key with its certificate, as the newest.
    pub(super) fn certify(&mut self, version: u8, pair: KeyPair, certificate: &[u8]) {
        let arrival = self.next_arrival();
        let certificate = Hex(certificate.to_vec());
        let in_force = Some(CertifiedKey { pair: SecretPair(pair), certificate, arrival });
        self.ecka_keys.insert(version, EckaKey { in_force, pending: None });
    }

    /// Stores another certificate of the active ECKA key.
    pub(super) fn recertify(&mut self, version: u8, certificate: &[u8]) {
        if let Some(key) = self.ecka_keys.get_mut(&version).and_then(|key| key.in_force.as_mut()) {
            key.certificate = Hex(certificate.to_vec());
        }
    }

    /// The oldest CA key.
    pub(super) fn oldest_ca(&self) -> Option<&CaKey> {
        self.ca_keys.values().min_by_key(|key| key.arrival)
    }

    /// The ECKA key of this version, if it is active.
    pub(super) fn ecka(&self, version: u8) -> Option<&CertifiedKey> {
        self.ecka_keys.get(&version)?.in_force.as_ref()
    }

    /// The oldest set key, and its version.
    pub(super) fn oldest_set_key(&self) -> Option<(u8, &CertifiedKey)> {
        KVN_SET.iter().filter_map(|v| Some((*v, self.ecka(*v)?))).min_by_key(|(_, key)| key.arrival)
    }

    /// The ECKA key that SELECT announces: the own one, or in private mode the oldest set key.
    pub(super) fn announced_ecka(&self) -> Option<(u8, &CertifiedKey)> {
        if self.is_private() { self.oldest_set_key() } else { Some((KVN_OWN, self.ecka(KVN_OWN)?)) }
    }
}

impl std::fmt::Debug for PersistentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({:?}, …)", self.life)
    }
}

/// Where the JSON is wrong. serde's message may quote the input, and with it a key.
fn position(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}
