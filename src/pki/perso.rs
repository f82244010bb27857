//! The personalisation key, from which the keys of every token are derived: in a file here, or in a PKCS#11 token.

use super::{PkiError, pkcs11};
use crate::crypto::{Key128, cmac::cmac};

/// The personalisation key. It can only compute; the key itself is not exposed.
#[derive(Debug)]
pub enum PersoKey {
    /// `pki/perso.key`.
    File(Key128),
    /// In a PKCS#11 token.
    Token(pkcs11::Key),
}

impl PersoKey {
    /// AES-CMAC of a block of any length, as a key of 16 bytes.
    ///
    /// # Errors
    /// [`PkiError::Crypto`] when OpenSSL fails, [`PkiError::Pkcs11`] when the token does.
    pub fn cmac(&self, block: &[u8]) -> Result<Key128, PkiError> {
        match self {
            Self::File(key) => Ok(Key128::new(cmac(key, &[block])?)),
            Self::Token(key) => key.cmac(block),
        }
    }
}
