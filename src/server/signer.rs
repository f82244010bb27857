//! Signs what terminals keep for times when they cannot reach the server.

use crate::{
    api::v1::{FEED_TYPE, Feed, SignedUser, USER_TYPE},
    crypto::{CryptoError, ec::KeyPair, jws::EncodedHeader},
    pki::TerminalIdentity as Pair,
};

/// The key of the class server-signature, and the encoded headers of its messages.
pub struct Signer {
    key: KeyPair,
    user: EncodedHeader,
    feed: EncodedHeader,
}

impl Signer {
    /// Signs with this key and certificate.
    pub fn new(pair: &Pair) -> Self {
        let header = |typ| EncodedHeader::new(typ, pair.certificate.der());
        Self { key: pair.key.clone(), user: header(USER_TYPE), feed: header(FEED_TYPE) }
    }

    /// Signs the user of a token.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn user(&self, user: &SignedUser) -> Result<String, CryptoError> {
        self.sign(user, &self.user)
    }

    /// Signs a page of the revocation feed.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn feed(&self, feed: &Feed) -> Result<String, CryptoError> {
        self.sign(feed, &self.feed)
    }

    fn sign(&self, payload: &impl serde::Serialize, header: &EncodedHeader) -> Result<String, CryptoError> {
        let payload = serde_json::to_vec(payload).unwrap_or_default();
        header.sign(&payload, &self.key)
    }
}
