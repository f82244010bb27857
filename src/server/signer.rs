//! Signs what terminals keep for times when they cannot reach the server.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    api::v1::{FEED_TYPE, Feed, SignedUser, USER_TYPE},
    crypto::{CryptoError, ec::KeyPair, jws::EncodedHeader},
    pki::TerminalIdentity as Pair,
};

/// Signs with the key of the class server-signature; its certificate may be replaced while requests are answered.
pub struct Signer(RwLock<Arc<Signature>>);

/// The key, and the encoded headers of its messages.
struct Signature {
    key: KeyPair,
    user: EncodedHeader,
    feed: EncodedHeader,
}

impl Signature {
    fn new(pair: &Pair) -> Arc<Self> {
        let header = |typ| EncodedHeader::new(typ, pair.certificate.der());
        Arc::new(Self { key: pair.key.clone(), user: header(USER_TYPE), feed: header(FEED_TYPE) })
    }

    fn sign(&self, payload: &impl serde::Serialize, header: &EncodedHeader) -> Result<String, CryptoError> {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        header.sign(&payload, &self.key)
    }
}

impl Signer {
    /// Signs with this key and certificate.
    pub fn new(pair: &Pair) -> Self {
        Self(RwLock::new(Signature::new(pair)))
    }

    /// Signs with another pair from now on.
    pub fn replace(&self, pair: &Pair) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Signature::new(pair);
    }

    /// Signs the user of a token.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn user(&self, user: &SignedUser) -> Result<String, CryptoError> {
        let now = self.current();
        now.sign(user, &now.user)
    }

    /// Signs a page of the revocation feed.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn feed(&self, feed: &Feed) -> Result<String, CryptoError> {
        let now = self.current();
        now.sign(feed, &now.feed)
    }

    fn current(&self) -> Arc<Signature> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
