//! Checks a presence proof as far as is possible without the store: its form, certificate, signature and terminal.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    problem::ApiError,
    store::{PresentedProof, ProofRefusal, RegisteredIdentity},
    verified_certificates::VerifiedCertificates,
};
use crate::{
    crypto::{ec::Point, sha256},
    proof::{Claims, ProofError, form_fault, verify_message},
};

/// What a proof is checked against.
pub struct Against<'a> {
    /// The token that is looked up.
    pub token_id: Uuid,
    /// Its registered identity.
    pub registered: &'a RegisteredIdentity,
    /// The CA, and the previous one while it is rotated out.
    pub certificates: &'a VerifiedCertificates,
    /// The thumbprints of the keys with which the requesting terminal authenticates to tokens.
    pub terminal: &'a [Vec<u8>],
    /// The current time.
    pub now: Timestamp,
}

/// Checks a message, with the certificate sent with it or else the registered one.
///
/// # Errors
/// [`ApiError::Proof`] for the first check that fails.
pub fn check(cose: &[u8], certificate: Option<&[u8]>, against: &Against<'_>) -> Result<PresentedProof, ApiError> {
    let claims = claims(cose, certificate, against)?;
    let signed = sha256(&[&claims.sig_structure()]);
    Ok(PresentedProof::Claims { nonce: claims.nonce, counter: claims.counter, claims: signed })
}

fn claims(cose: &[u8], certificate: Option<&[u8]>, against: &Against<'_>) -> Result<Claims, ApiError> {
    let refused = |refusal, why| ApiError::Proof(refusal, Some(why));
    let read = Claims::read(cose).map_err(|_| refused(ProofRefusal::Malformed, form_fault(cose)))?;
    if read.token_id != *against.token_id.as_bytes() {
        let named = Uuid::from_bytes(read.token_id);
        return Err(refused(ProofRefusal::Malformed, format!("the proof is that of the token {named}")));
    }
    let der = certificate.unwrap_or(&against.registered.certificate);
    let identity = identity(der, against).map_err(|why| refused(ProofRefusal::Certificate, why))?;
    let claims = verify_message(cose, &identity).map_err(|error| match error {
        ProofError::Form | ProofError::OtherToken => ApiError::Proof(ProofRefusal::Malformed, None),
        ProofError::Signature | ProofError::Crypto(_) => ApiError::Proof(ProofRefusal::Signature, None),
    })?;
    let ours = against.terminal.iter().any(|key| *key == claims.terminal);
    if ours { Ok(claims) } else { Err(ApiError::Proof(ProofRefusal::Terminal, None)) }
}

/// The identity key of a certificate that the CA signed, is valid now, has the right class, and is for this token and
/// the registered key; otherwise what is wrong with it.
fn identity(der: &[u8], against: &Against<'_>) -> Result<Point, String> {
    let certificate = against.certificates.identity(der).map_err(|error| error.to_string())?;
    certificate.check_time(against.now).map_err(|error| error.to_string())?;
    if certificate.subject() != against.token_id.to_string() {
        return Err(format!("the certificate is that of {}", certificate.subject()));
    }
    if certificate.point().as_bytes().as_slice() != against.registered.key {
        return Err("the certificate is of another key than the one that is registered".to_owned());
    }
    Ok(*certificate.point())
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
        let check = |cose: &[u8], certificate: Option<&[u8]>, against: &Against<'_>| {
            check(cose, certificate, against).map_err(|error| match error {
                ApiError::Proof(refusal, why) => (refusal, why.unwrap_or_default()),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(check(&cose, None, &right()), Ok(holds.clone()));
        assert_eq!(check(&cose, Some(&sent), &right()), Ok(holds));

        let refused = |refusal, why: &str| Err((refusal, why.to_owned()));
        let malformed = |why: &str| refused(ProofRefusal::Malformed, why);
        let other = Against { token_id: Uuid::from_u128(8), ..right() };
        let named = format!("the proof is that of the token {TOKEN}");
        assert_eq!(check(&cose, None, &other), malformed(&named));
        assert_eq!(check(&cose[1..], None, &right()), malformed("the message has 302 bytes instead of 303"));
        let other_tag = [&[0xD1], &cose[1..]].concat();
        let form = "the message does not have the form that docs/proof.md describes";
        assert_eq!(check(&other_tag, None, &right()), malformed(form));
        let mut bent = cose.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert_eq!(check(&bent, None, &right()), refused(ProofRefusal::Signature, ""));
        let foreign = message(&other_identity, &terminal);
        assert_eq!(check(&foreign, None, &right()), refused(ProofRefusal::Signature, ""));
        let other = Against { terminal: &thumbprints[..1], ..right() };
        assert_eq!(check(&cose, None, &other), refused(ProofRefusal::Terminal, ""));
        let mut damaged = sent.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let other = Uuid::from_u128(8);
        for (wrong, why) in [
            (damaged, "the certificate was not signed by this authority"),
            (certificate(&other_ca, TOKEN, &identity), "the certificate was not signed by this authority"),
            (certificate(&ca, other, &identity), "the certificate is that of 00000000-0000-0000-0000-000000000008"),
            (
                certificate(&ca, TOKEN, &other_identity),
                "the certificate is of another key than the one that is registered",
            ),
        ] {
            assert_eq!(check(&cose, Some(&wrong), &right()), refused(ProofRefusal::Certificate, why));
            assert_eq!(check(&foreign, Some(&wrong), &right()), refused(ProofRefusal::Certificate, why));
        }
        for (now, why) in [("2025-12-31T23:59:59Z", "from"), ("2027-01-01T00:00:01Z", "expired")] {
            let other = Against { now: at(now), ..right() };
            let (refusal, told) = check(&cose, None, &other).unwrap_err();
            assert_eq!(refusal, ProofRefusal::Certificate, "{now}");
            assert!(told.contains(why), "{now}: {told}");
        }
    }
}
