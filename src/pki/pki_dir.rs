//! The folder `pki/`: loads its keys and certificates, and refuses those that do not fit together or are not valid.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

pub use super::names::{
    ADMIN, CA_CERTIFICATE, CA_KEY, CLIENT, PERSO_KEY, Pair, RECORD, SERVER, SIGNATURE, START_KEY, TERMINAL,
};
use super::{Ca, ClockCheck, PersoKey, PkiError, load, pkcs11};
use crate::crypto::{
    Key128,
    ec::{KeyPair, Point},
    x509::{Authority, Certificate, CertificateError, CertificateProfile, TerminalRole, TlsCertificate, TlsUse},
};

/// The folder of keys and certificates. It need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkiDir {
    folder: PathBuf,
}

/// A key with one of the protocol's own certificates: a terminal's for the handshake with tokens, or the one with which
/// a server signs.
#[derive(Debug, Clone)]
pub struct TerminalIdentity {
    /// The CA that certifies terminals and tokens.
    pub authority: Authority,
    /// The key; a terminal's static ECKA key.
    pub key: KeyPair,
    /// Its certificate, which is valid now.
    pub certificate: Certificate,
    /// The same under the previous CA, while that one is rotated out.
    pub previous: Option<Box<TerminalIdentity>>,
}

/// What one side needs for TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The CA that certifies both sides.
    pub authority: Authority,
    /// The TLS key.
    pub key: KeyPair,
    /// Its certificate, which is valid now.
    pub certificate: TlsCertificate,
    /// While a CA is rotated out: the other of the two CAs, which may have issued the other side's certificate.
    pub also: Option<Authority>,
}

impl Tls {
    /// The CAs from which the other side's certificate is accepted.
    pub fn trusted(&self) -> Vec<Authority> {
        std::iter::once(&self.authority).chain(&self.also).cloned().collect()
    }
}

impl PkiDir {
    /// The folder `pki/` of the state.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The record of what the CA has issued, see [`super::record::entries`].
    pub fn record(&self) -> PathBuf {
        self.path(RECORD)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The certificate of the CA that this machine trusts.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] where there is none; [`PkiError::NotACertificate`] and [`PkiError::Certificate`]
    /// for anything but a CA's certificate; [`PkiError::Io`].
    pub fn load_authority(&self) -> Result<Authority, PkiError> {
        let path = self.path(CA_CERTIFICATE);
        Authority::read(&load::certificate(&path)?).map_err(|error| PkiError::Certificate { path, error })
    }

    /// The CA, if its key is here.
    ///
    /// # Errors
    /// [`PkiError::NoCaKey`] when its key is not here; [`PkiError::RecordMissing`]; [`PkiError::KeyPermissions`],
    /// [`PkiError::Key`], [`PkiError::Mismatch`]; otherwise as [`Self::load_authority`].
    pub fn load_ca(&self, clock_check: ClockCheck) -> Result<Ca, PkiError> {
        let authority = self.load_authority()?;
        let key = self.load_ca_key(&authority)?;
        Ca::new(key, authority, &self.record(), clock_check)
    }

    pub(super) fn load_ca_key(&self, authority: &Authority) -> Result<KeyPair, PkiError> {
        let key = load::key_pair(&self.path(CA_KEY)).map_err(|error| match error {
            PkiError::NotInitialised(path) | PkiError::NotImported(path) | PkiError::FileLost(path) => {
                PkiError::NoCaKey(path)
            }
            other => other,
        })?;
        self.require_match(CA_CERTIFICATE, &key, authority.point())?;
        Ok(key)
    }

    /// The terminal's key and certificate for tokens, in the role that it has here.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] for a file that is not here; [`PkiError::TerminalExpired`] and
    /// [`PkiError::NotYetValid`] by `now`; [`PkiError::KeyPermissions`], [`PkiError::Key`],
    /// [`PkiError::NotACertificate`], [`PkiError::Certificate`] and [`PkiError::Mismatch`] for files that cannot be
    /// used; [`PkiError::Io`].
    pub fn load_terminal(&self, now: Timestamp) -> Result<TerminalIdentity, PkiError> {
        self.load_pair(TERMINAL, &CertificateProfile::TERMINAL, now)
    }

    /// The terminal's key and certificate with the role ADMIN, which exist on the machine with the CA key.
    ///
    /// # Errors
    /// As [`Self::load_terminal`].
    pub fn load_admin_terminal(&self, now: Timestamp) -> Result<TerminalIdentity, PkiError> {
        self.load_pair(ADMIN, &[CertificateProfile::Terminal(TerminalRole::Admin)], now)
    }

    /// The terminal's key and certificate for the server, which presents one of the previous CA while that is rotated
    /// out.
    ///
    /// # Errors
    /// As [`Self::load_terminal`].
    pub fn load_terminal_tls(&self, now: Timestamp) -> Result<Tls, PkiError> {
        let also = self.previous()?.map(|previous| previous.load_authority()).transpose()?;
        Ok(Tls { also, ..self.load_tls(CLIENT, TlsUse::Client, now)? })
    }

    /// The server's TLS key and certificate: while a CA is rotated out those of the previous CA, because every terminal
    /// knows that one, but not every one knows its successor.
    ///
    /// # Errors
    /// As [`Self::load_terminal`].
    pub fn load_server_tls(&self, now: Timestamp) -> Result<Tls, PkiError> {
        match self.previous()? {
            Some(previous) => {
                Ok(Tls { also: Some(self.load_authority()?), ..previous.load_tls(SERVER, TlsUse::Server, now)? })
            }
            None => self.load_tls(SERVER, TlsUse::Server, now),
        }
    }

    /// The key and certificate with which the server signs what terminals keep for offline use; of the previous CA
    /// while that is rotated out.
    ///
    /// # Errors
    /// As [`Self::load_terminal`].
    pub fn load_server_signature(&self, now: Timestamp) -> Result<TerminalIdentity, PkiError> {
        let previous = self.previous()?;
        previous.as_ref().unwrap_or(self).load_pair(SIGNATURE, &[CertificateProfile::ServerSignature], now)
    }

    /// What the files of the server's two certificates hold, for TLS and for signatures, by which a server notices that
    /// they were renewed.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] for a file that is not here; [`PkiError::NotACertificate`]; [`PkiError::Io`].
    pub fn server_certificates(&self) -> Result<[Vec<u8>; 2], PkiError> {
        let previous = self.previous()?;
        let home = previous.as_ref().unwrap_or(self);
        Ok([load::certificate(&home.path(SERVER.certificate))?, load::certificate(&home.path(SIGNATURE.certificate))?])
    }

    /// The CAs trusted here: the current one, and the previous one while that is rotated out.
    ///
    /// # Errors
    /// As [`Self::load_authority`], for either CA.
    pub fn load_trusted(&self) -> Result<Vec<Point>, PkiError> {
        let previous = self.previous()?.map(|previous| previous.load_authority()).transpose()?;
        let all = std::iter::once(self.load_authority()?).chain(previous);
        Ok(all.map(|authority| *authority.point()).collect())
    }

    /// The start key of cards that were installed with one: it is used for all three SCP03 keys.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] where there is none; [`PkiError::KeyPermissions`]; [`PkiError::NotHex`];
    /// [`PkiError::Io`].
    pub fn load_start_key(&self) -> Result<Key128, PkiError> {
        load::key_128(&self.path(START_KEY))
    }

    /// The key from which the per-token keys are derived: the named one, or the one in the file here.
    ///
    /// # Errors
    /// [`PkiError::Pkcs11`] for a named key that cannot be opened; otherwise as [`Self::load_start_key`].
    pub fn load_perso_key(&self, named: Option<&pkcs11::Uri>) -> Result<PersoKey, PkiError> {
        match named {
            Some(uri) => Ok(PersoKey::Token(pkcs11::Key::open(uri)?)),
            None => Ok(PersoKey::File(load::key_128(&self.path(PERSO_KEY))?)),
        }
    }

    fn load_pair(
        &self,
        pair: Pair,
        classes: &[CertificateProfile],
        now: Timestamp,
    ) -> Result<TerminalIdentity, PkiError> {
        let authority = self.load_authority()?;
        let key = load::key_pair(&self.path(pair.key))?;
        let certificate = self.card_certificate(pair, &key, &authority, classes)?;
        self.require_valid(pair, certificate.check_time(now))?;
        let previous = match self.previous()?.filter(|_| matches!(classes, [CertificateProfile::Terminal(_), ..])) {
            Some(home) => Some(Box::new(home.load_pair(pair, classes, now)?)),
            None => None,
        };
        Ok(TerminalIdentity { authority, key, certificate, previous })
    }

    fn load_tls(&self, pair: Pair, usage: TlsUse, now: Timestamp) -> Result<Tls, PkiError> {
        let authority = self.load_authority()?;
        let key = load::key_pair(&self.path(pair.key))?;
        let certificate = self.tls_certificate(pair, &key, &authority, usage)?;
        self.require_valid(pair, certificate.check_time(now))?;
        Ok(Tls { authority, key, certificate, also: None })
    }

    /// The certificate of a pair, without checking its validity period.
    pub(super) fn card_certificate(
        &self,
        pair: Pair,
        key: &KeyPair,
        authority: &Authority,
        classes: &[CertificateProfile],
    ) -> Result<Certificate, PkiError> {
        let path = self.path(pair.certificate);
        let certificate = Certificate::verify(&load::certificate(&path)?, authority.point(), classes)
            .map_err(|error| PkiError::Certificate { path, error })?;
        self.require_match(pair.certificate, key, certificate.point())?;
        Ok(certificate)
    }

    /// The TLS certificate of a pair, without checking its validity period.
    pub(super) fn tls_certificate(
        &self,
        pair: Pair,
        key: &KeyPair,
        authority: &Authority,
        usage: TlsUse,
    ) -> Result<TlsCertificate, PkiError> {
        let path = self.path(pair.certificate);
        let certificate = TlsCertificate::verify(&load::certificate(&path)?, authority.point(), usage)
            .map_err(|error| PkiError::Certificate { path, error })?;
        self.require_match(pair.certificate, key, certificate.point())?;
        Ok(certificate)
    }

    pub(super) fn require_match(&self, certificate: &str, key: &KeyPair, point: &Point) -> Result<(), PkiError> {
        if key.public() == point { Ok(()) } else { Err(PkiError::Mismatch(self.path(certificate))) }
    }

    fn require_valid(&self, pair: Pair, valid: Result<(), CertificateError>) -> Result<(), PkiError> {
        let path = self.path(pair.certificate);
        valid.map_err(|error| match error {
            CertificateError::Expired { at } => PkiError::TerminalExpired { path, at },
            CertificateError::NotYetValid { from, .. } => PkiError::NotYetValid { path, from },
            error => PkiError::Certificate { path, error },
        })
    }
}
