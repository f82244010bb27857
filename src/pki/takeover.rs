//! Finds which identity of this terminal a bundle would replace, so that the caller can decide before that happens.

use jiff::Timestamp;

use super::{
    Bundle, PkiDir, PkiError, load,
    pki_dir::{CLIENT, TERMINAL},
};
use crate::crypto::x509::{self, Certificate, CertificateProfile, TlsCertificate, TlsUse};

/// The identity of a terminal: its name, and when the last of its certificates ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalName {
    /// The name.
    pub name: String,
    /// When the last of its certificates ends.
    pub end: Timestamp,
}

impl PkiDir {
    /// The identity here that this bundle, under the same CA, would replace; `None` when there is none, or it is that
    /// of the bundle.
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
