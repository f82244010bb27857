//! Sets of private tokens: k tokens share an ECKA key, which is made here and nowhere else.

mod membership;
mod set_rotation;

use std::{fs, io};

use jiff::Timestamp;

pub use self::{membership::SET_SIZES, set_rotation::SetRotation};
use super::{Ca, PkiDir, PkiError, load, set_id::SetId};
use crate::{
    crypto::{
        ec::{KeyPair, Point},
        random::{self, Random},
        x509::{self, Certificate, CertificateProfile},
    },
    files,
};

/// A set whose key is here.
#[derive(Debug, Clone)]
pub struct Set {
    /// Its identifier.
    pub id: SetId,
    /// The ECKA key that its tokens share.
    pub key: KeyPair,
    /// The certificate of that key.
    pub certificate: Certificate,
}

impl PkiDir {
    /// Makes a new set: key and certificate, in `sets/ID.key` and `sets/ID.crt`.
    ///
    /// # Errors
    /// As [`Ca::certify_token_ecka`]; [`PkiError::Io`] when the files cannot be written.
    pub fn create_set(&self, ca: &mut Ca, now: Timestamp, random: &mut dyn Random) -> Result<Set, PkiError> {
        let key = KeyPair::generate(random)?;
        let name = format!("set {}", hex::encode(random::bytes::<8>(random)?));
        let der = ca.certify_set(&name, key.public(), now, random)?;
        let id = SetId::of(&der);
        let folder = self.path("sets");
        files::create_private_folder(&folder).map_err(|error| PkiError::Io { path: folder, error })?;
        let write = |suffix, content: &[u8]| {
            let path = self.set_path(id, suffix);
            files::replace(&path, content).map_err(|error| PkiError::Io { path, error })
        };
        // The certificate is written last: a set exists once both files do.
        write("key", &key.to_pem()?)?;
        write("crt", &x509::to_pem(&der)?)?;
        self.load_set(id)
    }

    /// The set with this identifier, which must be certified by the CA that is here.
    ///
    /// # Errors
    /// [`PkiError::NotInitialised`] for a file that is not here; [`PkiError::Certificate`] for a set of another CA;
    /// [`PkiError::Mismatch`], [`PkiError::Key`], [`PkiError::KeyPermissions`]; [`PkiError::Io`].
    pub fn load_set(&self, id: SetId) -> Result<Set, PkiError> {
        self.set_under(self.load_authority()?.point(), id)
    }

    /// The set with this identifier under this CA key.
    pub(super) fn set_under(&self, authority: &Point, id: SetId) -> Result<Set, PkiError> {
        let path = self.set_path(id, "crt");
        let der = load::certificate(&path)?;
        let certificate = Certificate::verify(&der, authority, &[CertificateProfile::SetEcka])
            .map_err(|error| PkiError::Certificate { path: path.clone(), error })?;
        let key = load::key_pair(&self.set_path(id, "key"))?;
        if key.public() != certificate.point() || SetId::of(&der) != id {
            return Err(PkiError::Mismatch(path));
        }
        Ok(Set { id, key, certificate })
    }

    /// Removes a set's files: the key first, the certificate last, because a set exists as long as its certificate.
    fn remove_set(&self, id: SetId) -> Result<(), PkiError> {
        for suffix in ["key", "json", "crt"] {
            let path = self.set_path(id, suffix);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(PkiError::Io { path, error }),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the sets that the CA here did not certify: no token that knows this CA accepts their keys.
    pub(super) fn remove_foreign_sets(&self) -> Result<(), PkiError> {
        for id in self.sets()? {
            if let Err(PkiError::Certificate { .. }) = self.load_set(id) {
                self.remove_set(id)?;
            }
        }
        Ok(())
    }

    fn set_path(&self, id: SetId, suffix: &str) -> std::path::PathBuf {
        self.path("sets").join(format!("{id}.{suffix}"))
    }
}
