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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{
            ec::KeyPair,
            random::SystemRandom,
            x509::{CertificateProfile, CertificateTemplate, issue},
        },
        proof::{Expected, Proof, thumbprint},
    };

    const TOKEN: Uuid = Uuid::from_u128(7);

    fn key() -> KeyPair {
        KeyPair::generate(&mut SystemRandom).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn certificate(ca: &KeyPair, subject: Uuid, key: &KeyPair) -> Vec<u8> {
        let template = CertificateTemplate {
            class: CertificateProfile::Identity,
            subject: &subject.to_string(),
            key: key.public(),
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2027-01-01T00:00:00Z"),
        };
        issue(ca, "CA", &template, &mut SystemRandom).unwrap()
    }

    /// A proof of this token to this terminal.
    fn message(identity: &KeyPair, terminal: &KeyPair) -> Vec<u8> {
        let claims = Claims {
            terminal: thumbprint(terminal.public()),
            nonce: [1; 32],
            token_id: *TOKEN.as_bytes(),
            binding: [3; 32],
            counter: 0x0001_0000,
            record: sha256(&[&[4; 120]]),
        };
        let signature = identity.sign(&claims.sig_structure()).unwrap();
        let length = [u8::try_from(signature.len()).unwrap()];
        let counter = [&[0x80, 4][..], &claims.counter.to_be_bytes(), &[0x9E], &length, &signature].concat();
        let answer = [&[0x83, 16][..], &claims.token_id, &counter, &[0x53, 120], &[4; 120]].concat();
        let (token_id, binding) = (&claims.token_id, &claims.binding);
        let expected = Expected { terminal: terminal.public(), nonce: &claims.nonce, token_id, binding };
        Proof::parse_answer(&answer).unwrap().check(&expected, identity.public()).unwrap().cose
    }

    #[test]
    fn a_proof_holds_for_its_token_its_key_its_terminal_its_time_and_its_authority_only() {
        let [ca, other_ca, identity, other_identity, terminal, other_terminal] = std::array::from_fn(|_| key());
        let certificates = VerifiedCertificates::new(vec![*ca.public()]);
        let registered = RegisteredIdentity {
            key: identity.public().as_bytes().to_vec(),
            certificate: certificate(&ca, TOKEN, &identity),
        };
        let thumbprints = [thumbprint(other_terminal.public()).to_vec(), thumbprint(terminal.public()).to_vec()];
        let right = || Against {
            token_id: TOKEN,
            registered: &registered,
            certificates: &certificates,
            terminal: &thumbprints,
            now: at("2026-06-01T00:00:00Z"),
        };
        let cose = message(&identity, &terminal);
        let claims = sha256(&[&Claims::read(&cose).unwrap().sig_structure()]);
        let holds = PresentedProof::Claims { nonce: [1; 32], counter: 0x0001_0000, claims };
        let sent = certificate(&ca, TOKEN, &identity);
        assert_eq!(check(&cose, None, &right()), holds);
        assert_eq!(check(&cose, Some(&sent), &right()), holds);

        let refused = PresentedProof::Refused;
        let other = Against { token_id: Uuid::from_u128(8), ..right() };
        assert_eq!(check(&cose, None, &other), refused(ProofRefusal::Malformed));
        assert_eq!(check(&cose[1..], None, &right()), refused(ProofRefusal::Malformed));
        let mut bent = cose.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(check(&bent, None, &right()), refused(ProofRefusal::Signature));
        let foreign = message(&other_identity, &terminal);
        assert_eq!(check(&foreign, None, &right()), refused(ProofRefusal::Signature));
        let other = Against { terminal: &thumbprints[..1], ..right() };
        assert_eq!(check(&cose, None, &other), refused(ProofRefusal::Terminal));
        for wrong in [
            certificate(&other_ca, TOKEN, &identity),
            certificate(&ca, Uuid::from_u128(8), &identity),
            certificate(&ca, TOKEN, &other_identity),
        ] {
            assert_eq!(check(&cose, Some(&wrong), &right()), refused(ProofRefusal::Certificate));
            assert_eq!(check(&foreign, Some(&wrong), &right()), refused(ProofRefusal::Certificate));
        }
        for now in ["2025-12-31T23:59:59Z", "2027-01-01T00:00:01Z"] {
            let other = Against { now: at(now), ..right() };
            assert_eq!(check(&cose, None, &other), refused(ProofRefusal::Certificate), "{now}");
        }
    }
}
