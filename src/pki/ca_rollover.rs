//! Lets a terminal without the CA key follow a rotation: its server renews its certificates under the new CA, which the
//! old CA, known to the terminal, has signed. Until the rotation ends both are trusted, as on the machine with the CA
//! key.

use super::{
    BundledCertificates, BundledPrevious, PkiDir, PkiError, TerminalKeys, load,
    pki_dir::{CA_CERTIFICATE, CLIENT, TERMINAL},
    rotation::{PREVIOUS, STAYS, copy, copy_but, exchange, remove},
};
use crate::{
    crypto::x509::{self, Authority},
    files,
};

/// Signed before the certificate of the new CA, so that the signature cannot mean anything else.
const CONTEXT: &[u8] = b"rollcall CA succession 1\0";

/// What a renewal has changed besides the certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Nothing.
    Nothing,
    /// This terminal now trusts the new CA as well as the old one.
    Begun,
    /// The old CA is no longer trusted.
    Ended,
}

impl PkiDir {
    /// The old CA's signature over the certificate of the new one, while the old one is rotated out; its key must be
    /// here. ECDSA with SHA-256, DER, over a fixed text and the certificate in DER.
    ///
    /// # Errors
    /// [`PkiError::NoCaKey`] when the key of the old CA is not here; those of the files that it reads.
    pub fn endorsement(&self) -> Result<Option<Vec<u8>>, PkiError> {
        let Some(previous) = self.previous()? else { return Ok(None) };
        let key = previous.load_ca_key(&previous.load_authority()?)?;
        Ok(Some(key.sign(&signed(self.load_authority()?.der()))?))
    }

    /// Replaces the certificates by fresh ones, if they are for our keys, and from our CA or one that ours has endorsed
    /// as its successor.
    ///
    /// # Errors
    /// [`PkiError::Bundle`] for certificates that do not fit our keys or each other; [`PkiError::NotEndorsed`] for a CA
    /// that ours has not signed as its successor; those of the files that it reads and writes.
    pub fn renewed(&self, certificates: &BundledCertificates) -> Result<Followed, PkiError> {
        let keys = TerminalKeys {
            tls: load::key_pair(&self.path(CLIENT.key))?,
            ecka: load::key_pair(&self.path(TERMINAL.key))?,
        };
        certificates.check(&keys)?;
        let ours = self.load_authority()?;
        if ours.der() != certificates.ca {
            let previous = certificates.previous.as_ref().ok_or(PkiError::Bundle("the CA"))?;
            require_endorsed(&ours, &certificates.ca, previous)?;
            return self.follow(certificates, previous).map(|()| Followed::Begun);
        }
        self.put(TERMINAL.certificate, &x509::to_pem(&certificates.ecka)?)?;
        self.put(CLIENT.certificate, &x509::to_pem(&certificates.tls)?)?;
        match (&certificates.previous, self.previous()?) {
            // Only a CA that was already trusted here is kept, so that a server cannot smuggle one in.
            (Some(told), Some(before)) if before.load_authority()?.der() == told.ca => {
                before.put(TERMINAL.certificate, &x509::to_pem(&told.ecka)?)?;
                Ok(Followed::Nothing)
            }
            (None, Some(_)) => self.finish_rotation().map(|()| Followed::Ended),
            _ => Ok(Followed::Nothing),
        }
    }

    /// Replaces this folder, in one step, by one with the new CA and the old one inside it.
    fn follow(&self, fresh: &BundledCertificates, previous: &BundledPrevious) -> Result<(), PkiError> {
        let _lock = self.prepare()?;
        let next = Self::new(self.beside());
        let failed = |error| PkiError::Io { path: next.folder().to_owned(), error };
        remove(next.folder()).map_err(failed)?;
        files::create_private_folder(next.folder()).map_err(failed)?;
        for name in [TERMINAL.key, CLIENT.key].iter().chain(&STAYS) {
            copy(&self.path(name), &next.path(name)).map_err(failed)?;
        }
        let aside: Vec<&str> = STAYS.into_iter().chain([PREVIOUS]).collect();
        let before = Self::new(next.path(PREVIOUS));
        copy_but(self.folder(), before.folder(), &aside).map_err(failed)?;
        before.put(TERMINAL.certificate, &x509::to_pem(&previous.ecka)?)?;
        next.put(TERMINAL.certificate, &x509::to_pem(&fresh.ecka)?)?;
        next.put(CLIENT.certificate, &x509::to_pem(&fresh.tls)?)?;
        next.put(CA_CERTIFICATE, &x509::to_pem(&fresh.ca)?)?;
        exchange(self.folder(), next.folder()).map_err(failed)
    }
}

fn signed(successor: &[u8]) -> Vec<u8> {
    [CONTEXT, successor].concat()
}

/// Fails unless our CA, and no other, has signed its successor.
fn require_endorsed(ours: &Authority, successor: &[u8], told: &BundledPrevious) -> Result<(), PkiError> {
    let holds = told.ca == ours.der() && ours.point().verify(&signed(successor), &told.endorsement)?;
    if holds { Ok(()) } else { Err(PkiError::NotEndorsed) }
}
