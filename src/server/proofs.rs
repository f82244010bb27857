//! What can be said of a presence proof without the store: its form, its certificate, its signature, its terminal.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    store::{PresentedProof, ProofRefusal, RegisteredIdentity},
    verified_certificates::VerifiedCertificates,
};
use crate::{
    crypto::{ec::Point, sha256},
    proof::{Claims, ProofError, verify_message},
};

/// What a proof is checked against.
pub struct Against<'a> {
    /// The token that is asked for.
    pub token_id: Uuid,
    /// What is registered of it.
    pub registered: &'a RegisteredIdentity,
    /// The CA, and the one before while it is rotated out.
    pub certificates: &'a VerifiedCertificates,
    /// The thumbprints of the keys that the asking terminal uses to tokens.
    pub terminal: &'a [Vec<u8>],
    /// The moment.
    pub now: Timestamp,
}

/// Checks a message, and the certificate that was sent with it, where one was.
pub fn check(cose: &[u8], certificate: Option<&[u8]>, against: &Against<'_>) -> PresentedProof {
    match claims(cose, certificate, against) {
        Ok(claims) => PresentedProof::Claims {
            nonce: claims.nonce,
            counter: claims.counter,
            claims: sha256(&[&claims.sig_structure()]),
        },
        Err(refusal) => PresentedProof::Refused(refusal),
    }
}

fn claims(cose: &[u8], certificate: Option<&[u8]>, against: &Against<'_>) -> Result<Claims, ProofRefusal> {
    let read = Claims::read(cose).map_err(|_| ProofRefusal::Malformed)?;
    if read.token_id != *against.token_id.as_bytes() {
        return Err(ProofRefusal::Malformed);
    }
    let der = certificate.unwrap_or(&against.registered.certificate);
    let identity = identity(der, against).ok_or(ProofRefusal::Certificate)?;
    let claims = verify_message(cose, &identity).map_err(|error| match error {
        ProofError::Form | ProofError::OtherToken => ProofRefusal::Malformed,
        ProofError::Signature | ProofError::Crypto(_) => ProofRefusal::Signature,
    })?;
    if against.terminal.iter().any(|key| *key == claims.terminal) { Ok(claims) } else { Err(ProofRefusal::Terminal) }
}

/// The identity key, from a certificate that is the CA's, in time, of the right class, this token's, and of the key
/// that was registered.
fn identity(der: &[u8], against: &Against<'_>) -> Option<Point> {
    let certificate = against.certificates.identity(der)?;
    certificate.check_time(against.now).ok()?;
    let ours = certificate.subject() == against.token_id.to_string()
        && certificate.point().as_bytes().as_slice() == against.registered.key;
    ours.then(|| *certificate.point())
}
