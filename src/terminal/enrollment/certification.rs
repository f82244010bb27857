//! The interface to whoever certifies a token's keys, and the request and result of a certification.

use uuid::Uuid;

use super::failure::EnrollError;
use crate::{
    api::User,
    crypto::{
        ec::Point,
        x509::{Certificate, CertificateProfile},
    },
};

/// Certifies the keys of a token: the local CA, or a server.
pub trait TokenAuthority {
    /// The public key of the CA.
    fn ca(&self) -> &Point;
    /// Whether it answers at once. One reached over a network is asked while no card is kept waiting.
    fn is_here(&self) -> bool;
    /// Certifies both keys. Repeating the request yields certificates for the same keys.
    ///
    /// # Errors
    /// [`EnrollError::Server`] when the server was not reached or refused; [`EnrollError::Certify`] when the CA did.
    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError>;
}

/// The keys of a token to be certified, as the card returned them under a verified MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysToCertify {
    /// The token.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// Its own ECKA key.
    pub ecka: Point,
    /// Its identity key.
    pub identity: Point,
    /// The token that it replaces: that one is refused from the same step on.
    pub replaces: Option<Uuid>,
}

/// The certificates of both keys, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// For its own ECKA key.
    pub ecka: Vec<u8>,
    /// For the identity key.
    pub identity: Vec<u8>,
}

impl Certificates {
    /// Refuses certificates that are not the CA's for exactly these keys: the card would only notice in the last step.
    pub(super) fn check(&self, wanted: &KeysToCertify, ca: &Point) -> Result<(), EnrollError> {
        let name = wanted.token_id.to_string();
        for (der, class, key) in [
            (&self.ecka, CertificateProfile::TokenEcka, &wanted.ecka),
            (&self.identity, CertificateProfile::Identity, &wanted.identity),
        ] {
            let certificate = Certificate::verify(der, ca, &[class])?;
            if certificate.point() != key || certificate.subject() != name {
                return Err(EnrollError::Certify("it certified another key".to_owned()));
            }
        }
        Ok(())
    }
}
