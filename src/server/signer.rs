//! What terminals may keep for the time when the server is away carries its signature.

use crate::{
    crypto::{CryptoError, ec::KeyPair, jws},
    pki::TerminalIdentity as Pair,
};

/// The key of the class server-signature, and its certificate.
pub struct Signer {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Signer {
    /// With this pair.
    pub fn new(pair: &Pair) -> Self {
        Self { key: pair.key.clone(), certificate: pair.certificate.der().to_vec() }
    }

    /// A JWS of this payload for one use.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn sign(&self, payload: &impl serde::Serialize, typ: &str) -> Result<String, CryptoError> {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        jws::sign(&payload, typ, &self.key, &self.certificate)
    }
}
