//! How a terminal without the CA key follows a rotation: its server renews its certificates under the new CA, and the old
//! CA, which it knows, has signed the new one. Until the rotation ends both are trusted, as where the CA key lies.

use super::{
    BundledCertificates, BundledPrevious, PkiDir, PkiError, TerminalKeys, load,
    pki_dir::{CA_CERTIFICATE, CLIENT, TERMINAL},
    rotation::{PREVIOUS, STAYS, copy, copy_but, exchange, remove},
};
use crate::{
    crypto::x509::{self, Authority},
    files,
};

/// What is signed before the certificate of the new CA, so that the signature means nothing else.
const CONTEXT: &[u8] = b"rollcall CA succession 1\0";

/// What a renewal has changed beside the certificates themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// Nothing.
    Nothing,
    /// This terminal knows the new CA now, and the old one still.
    Begun,
    /// The old CA is trusted no more.
    Ended,
}

impl PkiDir {
    /// The old CA's signature over the certificate of the new one, while it is rotated out; its key has to be here.
    /// ECDSA with SHA-256, DER, over a fixed text and the certificate in DER.
    ///
    /// # Errors
    /// [`PkiError::NoCaKey`] when the key of the old CA is not here; those of the files that it reads.
    pub fn endorsement(&self) -> Result<Option<Vec<u8>>, PkiError> {
        let Some(previous) = self.previous()? else { return Ok(None) };
        let key = previous.load_ca_key(&previous.load_authority()?)?;
        Ok(Some(key.sign(&signed(self.load_authority()?.der()))?))
    }

    /// Puts fresh certificates in the place of the old ones, if they are of our keys, and of our CA or of one that ours has
    /// endorsed as its successor.
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
            // Only a CA that was trusted here before is kept: a server cannot bring one in from behind.
            (Some(told), Some(before)) if before.load_authority()?.der() == told.ca => {
                before.put(TERMINAL.certificate, &x509::to_pem(&told.ecka)?)?;
                Ok(Followed::Nothing)
            }
            (None, Some(_)) => self.finish_rotation().map(|()| Followed::Ended),
            _ => Ok(Followed::Nothing),
        }
    }

    /// A folder with the new CA, and the old one in it, takes the place of this one in one step.
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

/// Whether our CA, and no other, has signed its successor.
fn require_endorsed(ours: &Authority, successor: &[u8], told: &BundledPrevious) -> Result<(), PkiError> {
    let holds = told.ca == ours.der() && ours.point().verify(&signed(successor), &told.endorsement)?;
    if holds { Ok(()) } else { Err(PkiError::NotEndorsed) }
}
