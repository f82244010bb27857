//! Replaces a terminal's identity, and the CA that it trusts, by those of a bundle; and finds which ones, so that the
//! caller can decide before that happens.

use std::io;

use jiff::Timestamp;

use super::{
    Bundle, PkiDir, PkiError, load,
    names::holds_a_ca,
    pki_dir::{CA_CERTIFICATE, CA_KEY, CLIENT, TERMINAL},
    rotation::{PREVIOUS, copy_but, exchange, remove},
};
use crate::{
    crypto::x509::{self, Authority, Certificate, CertificateProfile, TlsCertificate, TlsUse},
    files,
};

/// What belongs to the identity that is replaced; all else in the folder stays.
const REPLACED: [&str; 6] =
    [CA_CERTIFICATE, TERMINAL.key, TERMINAL.certificate, CLIENT.key, CLIENT.certificate, PREVIOUS];

/// The identity of a terminal: its name, and when the last of its certificates ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalName {
    /// The name.
    pub name: String,
    /// When the last of its certificates ends.
    pub end: Timestamp,
}

/// The CA that a terminal trusts, and another one in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityChange {
    /// The beginning of the key identifier of the CA here, in hexadecimal.
    pub old: String,
    /// That of the CA of the bundle.
    pub new: String,
    /// Whether the CA here is rotated out, so that its cards are accepted until the rotation ends.
    pub is_rotation: bool,
}

/// Whether folders cannot be exchanged here at all.
fn is_no_exchange(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, InvalidInput, ResourceBusy, Unsupported};
    matches!(error.kind(), CrossesDevices | InvalidInput | ResourceBusy | Unsupported)
}

impl PkiDir {
    /// The change of the CA that this bundle would bring; `None` when there is no CA here, or it is that of the bundle.
    ///
    /// # Errors
    /// [`PkiError::Occupied`] when this machine holds the key or other files of a CA; [`PkiError::Bundle`] names the CA
    /// in it that is invalid; as [`Self::load_authority`].
    pub fn authority_given_up_for(&self, bundle: &Bundle) -> Result<Option<AuthorityChange>, PkiError> {
        if !load::exists(&self.path(CA_CERTIFICATE))? {
            return Ok(None);
        }
        let ours = self.load_authority()?;
        if ours.der() == bundle.certificates.ca {
            return Ok(None);
        }
        self.require_no_ca()?;
        let older = self.previous()?.map(|previous| previous.load_authority()).transpose()?;
        if older.is_some_and(|older| older.der() == bundle.certificates.ca) {
            // A bundle from before the rotation that this terminal has followed.
            return Err(PkiError::Occupied(self.path(CA_CERTIFICATE)));
        }
        let theirs = Authority::read(&bundle.certificates.ca).map_err(|_| PkiError::Bundle("the CA"))?;
        let short = |ca: &Authority| hex::encode(&ca.point().key_identifier()[..8]);
        let previous = bundle.certificates.previous.as_ref();
        let is_rotation = previous.is_some_and(|previous| previous.ca == ours.der());
        Ok(Some(AuthorityChange { old: short(&ours), new: short(&theirs), is_rotation }))
    }

    /// Sets this terminal up from a bundle, replacing an identity under the same CA.
    ///
    /// # Errors
    /// [`PkiError::Occupied`] when another CA or a CA key is here; otherwise as [`Self::import`].
    pub fn take_over(&self, bundle: &Bundle) -> Result<(), PkiError> {
        let ca = self.path(CA_CERTIFICATE);
        if load::exists(&ca)? && self.load_authority()?.der() != bundle.certificates.ca {
            return Err(PkiError::Occupied(ca));
        }
        match self.exchange_for(bundle) {
            // NFS exchanges no folders, and a folder that is a disk of its own stays where it is. Interrupted, this leaves
            // keys without their certificates, which the next run completes.
            Err(PkiError::Io { error, .. }) if is_no_exchange(&error) => {
                let _lock = self.prepare()?;
                self.put_bundle(bundle, true)
            }
            done => done,
        }
    }

    /// Sets this terminal up from a bundle, replacing its identity and the CA that it trusts. Sets and secret keys stay.
    ///
    /// # Errors
    /// [`PkiError::Occupied`] when this machine holds the key or other files of a CA; otherwise as [`Self::import`].
    pub fn replace_authority(&self, bundle: &Bundle) -> Result<(), PkiError> {
        self.require_no_ca()?;
        self.exchange_for(bundle)
    }

    /// Exchanges the folder in one step, so that an interrupted run leaves either the old or the new identity.
    fn exchange_for(&self, bundle: &Bundle) -> Result<(), PkiError> {
        let _lock = self.prepare()?;
        let previous = Self::new(self.path(PREVIOUS));
        for path in [self.path(CA_KEY), previous.path(CA_KEY)] {
            if load::exists(&path)? {
                return Err(PkiError::Occupied(path));
            }
        }
        let next = Self::new(self.beside());
        let done = self.exchange_with(&next, bundle);
        if done.is_err() {
            // It holds private keys.
            let _ = remove(next.folder());
        }
        done
    }

    fn exchange_with(&self, next: &Self, bundle: &Bundle) -> Result<(), PkiError> {
        let failed = |error| PkiError::Io { path: next.folder().to_owned(), error };
        remove(next.folder()).and_then(|()| files::create_private_folder(next.folder())).map_err(failed)?;
        copy_but(self.folder(), next.folder(), &REPLACED).map_err(failed)?;
        next.put_bundle(bundle, false)?;
        let here = self.real();
        exchange(&here, next.folder()).map_err(|error| PkiError::Io { path: here, error })
    }

    /// Refuses a machine with files that fit only the CA that is here.
    fn require_no_ca(&self) -> Result<(), PkiError> {
        let previous = Self::new(self.path(PREVIOUS));
        for path in holds_a_ca().flat_map(|name| [self.path(name), previous.path(name)]) {
            if load::exists(&path)? {
                return Err(PkiError::Occupied(path));
            }
        }
        Ok(())
    }

    /// The identity here that this bundle would replace; `None` without one, and if it is that of the bundle.
    ///
    /// # Errors
    /// [`PkiError::Occupied`] when a key is here whose certificate cannot be read or is of another CA; as the loading
    /// of the CA and of a key pair.
    pub fn given_up_for(&self, bundle: &Bundle) -> Result<Option<TerminalName>, PkiError> {
        let pairs = [(CLIENT, bundle.keys.tls.public()), (TERMINAL, bundle.keys.ecka.public())];
        let mut found: Option<TerminalName> = None;
        for (pair, key) in pairs {
            let path = self.path(pair.key);
            // An interrupted run may have put only one of the two there.
            if !load::exists(&path)? || load::key_pair(&path)?.public() == key {
                continue;
            }
            let occupied = || PkiError::Occupied(path.clone());
            let ca = self.load_authority()?;
            let pem = std::fs::read(self.path(pair.certificate)).map_err(|_| occupied())?;
            let der = x509::from_pem(&pem).ok_or_else(occupied)?;
            let (name, end) = if pair.key == CLIENT.key {
                let read = TlsCertificate::verify(&der, ca.point(), TlsUse::Client).map_err(|_| occupied())?;
                (read.subject().to_owned(), read.not_after())
            } else {
                let read =
                    Certificate::verify(&der, ca.point(), &CertificateProfile::TERMINAL).map_err(|_| occupied())?;
                (read.subject().to_owned(), read.not_after())
            };
            let end = found.as_ref().map_or(end, |before| before.end.max(end));
            found = Some(TerminalName { name: found.map_or(name, |before| before.name), end });
        }
        Ok(found)
    }
}

impl Bundle {
    /// The name in the bundle, and when its certificate ends.
    ///
    /// # Errors
    /// [`PkiError::Bundle`] names the certificate in it that is invalid.
    pub fn identity(&self) -> Result<TerminalName, PkiError> {
        let wrong = |_| PkiError::Bundle("the TLS certificate");
        let ca = x509::Authority::read(&self.certificates.ca).map_err(|_| PkiError::Bundle("the CA"))?;
        let read = TlsCertificate::verify(&self.certificates.tls, ca.point(), TlsUse::Client).map_err(wrong)?;
        Ok(TerminalName { name: self.name.clone(), end: read.not_after() })
    }

    /// Refuses a bundle whose certificates have expired: a terminal with them would be refused everywhere.
    ///
    /// # Errors
    /// [`PkiError::BundleExpired`]; as [`Self::identity`].
    pub fn check_in_time(&self, now: Timestamp) -> Result<(), PkiError> {
        let end = self.identity()?.end;
        if end <= now { Err(PkiError::BundleExpired(end)) } else { Ok(()) }
    }
}
