//! The key pairs of this machine: what each is certified for, and for how long.

use jiff::Timestamp;

use super::{
    CertificateDays, PkiDir, PkiError, RenewalTime, load,
    pki_dir::{ADMIN, CLIENT, Pair, SERVER, SIGNATURE, TERMINAL},
};
use crate::crypto::{
    ec::KeyPair,
    x509::{Authority, CertificateProfile, TerminalRole, TlsUse},
};

/// What a key pair of this machine is certified for.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyPurpose {
    Terminal(TerminalRole),
    Client,
    Server,
    Signature,
}

/// All key pairs, in the order in which they are made.
pub(super) const PAIRS: [(Pair, KeyPurpose); 5] = [
    (TERMINAL, KeyPurpose::Terminal(TerminalRole::Read)),
    (ADMIN, KeyPurpose::Terminal(TerminalRole::Admin)),
    (CLIENT, KeyPurpose::Client),
    (SERVER, KeyPurpose::Server),
    (SIGNATURE, KeyPurpose::Signature),
];

impl PkiDir {
    /// When the first of this machine's own certificates must be renewed, and when the first one ends, which may be past.
    /// While a CA is rotated out, those of the previous CA count as well.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] where there are none; what is wrong with a file, as of [`Self::load_terminal`].
    pub fn renewal_time(&self) -> Result<RenewalTime, PkiError> {
        let authority = self.load_authority()?;
        let mut first = self.previous()?.map(|previous| previous.renewal_time()).transpose()?;
        for (pair, kind) in PAIRS {
            let path = self.path(pair.key);
            // A folder made by an older release has no signature key yet.
            if pair.key == SIGNATURE.key && !load::exists(&path)? {
                continue;
            }
            let (from, until) = self.validity(&authority, pair, kind, &load::key_pair(&path)?)?;
            let time = RenewalTime::of(from, until);
            first = Some(first.map_or(time, |first| first.min(time)));
        }
        first.ok_or_else(|| PkiError::NotInitialised(self.path(TERMINAL.certificate)))
    }

    /// The validity of a certificate, once it has been verified to be the right one.
    pub(super) fn validity(
        &self,
        authority: &Authority,
        pair: Pair,
        kind: KeyPurpose,
        key: &KeyPair,
    ) -> Result<(Timestamp, Timestamp), PkiError> {
        let tls = |usage| {
            let found = self.tls_certificate(pair, key, authority, usage)?;
            Ok((found.not_before(), found.not_after()))
        };
        let card = |class| {
            let found = self.card_certificate(pair, key, authority, &[class])?;
            Ok((found.not_before(), found.not_after()))
        };
        match kind {
            KeyPurpose::Terminal(role) => card(CertificateProfile::Terminal(role)),
            KeyPurpose::Signature => card(CertificateProfile::ServerSignature),
            KeyPurpose::Client => tls(TlsUse::Client),
            KeyPurpose::Server => tls(TlsUse::Server),
        }
    }

    /// For how many days the certificate of a pair is valid; `None` if that cannot be determined.
    pub(super) fn days_of(&self, pair: Pair, kind: KeyPurpose) -> Option<CertificateDays> {
        let authority = self.load_authority().ok()?;
        let key = load::key_pair(&self.path(pair.key)).ok()?;
        let validity = self.validity(&authority, pair, kind, &key).ok()?;
        CertificateDays::of(validity, [&authority])
    }
}
