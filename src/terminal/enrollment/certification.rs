//! Who certifies the keys of a token, and what is certified.

use uuid::Uuid;

use super::failure::EnrollError;
use crate::{
    api::User,
    crypto::{
        ec::Point,
        x509::{Certificate, CertificateProfile},
    },
};

/// Who certifies the keys of a token: the CA here, or a server.
pub trait TokenAuthority {
    /// The public key of the CA.
    fn ca(&self) -> &Point;
    /// Whether it answers at once. One that has to be asked over a network is asked while no card waits for it.
    fn is_here(&self) -> bool;
    /// Certifies both keys. The same once more gets certificates for the same keys again.
    ///
    /// # Errors
    /// [`EnrollError::Server`] when the server was not reached or refused; [`EnrollError::Certify`] when the CA did.
    fn certify(&mut self, wanted: &KeysToCertify) -> Result<Certificates, EnrollError>;
}

/// The keys that a token wants certified, as the card answered them under a verified MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysToCertify {
    /// The token.
    pub token_id: Uuid,
    /// Whose it becomes.
    pub user: User,
    /// Its own ECKA key.
    pub ecka: Point,
    /// Its identity key.
    pub identity: Point,
    /// The token that it stands for from now on: that one is refused in the same step.
    pub replaces: Option<Uuid>,
}

/// The certificates of both keys, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Of the own ECKA key.
    pub ecka: Vec<u8>,
    /// Of the identity key.
    pub identity: Vec<u8>,
}

impl Certificates {
    /// Refuses certificates that are not the CA's for exactly these keys: the card would notice only at its end.
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
