use super::*;
use crate::crypto::{ec::KeyPair, random::SystemRandom};

fn key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

struct Case {
    terminal: KeyPair,
    identity: KeyPair,
    nonce: [u8; 32],
    token_id: [u8; 16],
    binding: [u8; 32],
    answer: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let (terminal, identity) = (key(), key());
        let (nonce, token_id, binding, record) = ([1; 32], [2; 16], [3; 32], [4; RECORD]);
        let claims = Claims {
            terminal: thumbprint(terminal.public()),
            nonce,
            token_id,
            binding,
            counter: 0x0102_0304,
            record: sha256(&[&record]),
        };
        let signature = identity.sign(&claims.sig_structure()).unwrap();
        let length = u8::try_from(signature.len()).unwrap();
        let answer =
            [&[0x83, 16][..], &token_id, &[0x80, 4, 1, 2, 3, 4, 0x9E, length], &signature, &[0x53, 120], &record]
                .concat();
        Self { terminal, identity, nonce, token_id, binding, answer }
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            terminal: self.terminal.public(),
            nonce: &self.nonce,
            token_id: &self.token_id,
            binding: &self.binding,
        }
    }

    fn verified(&self) -> VerifiedProof {
        Proof::parse_answer(&self.answer).unwrap().check(&self.expected(), self.identity.public()).unwrap()
    }
}

#[test]
fn lengths_are_those_of_the_protocol() {
    let case = Case::new();
    let claims = Claims::read(&case.verified().cose).unwrap();
    assert_eq!((claims.payload().len(), claims.sig_structure().len()), (PAYLOAD, SIG_STRUCTURE));
    assert_eq!(case.verified().cose.len(), MESSAGE);
}

#[test]
fn a_right_proof_holds_for_terminal_and_server() {
    let case = Case::new();
    let verified = case.verified();
    assert_eq!((verified.counter, verified.record), (0x0102_0304, [4; RECORD]));
    let claims = verify_message(&verified.cose, case.identity.public()).unwrap();
    assert_eq!(claims.nonce, case.nonce);
    assert_eq!(claims.terminal, thumbprint(case.terminal.public()));
}

#[test]
fn every_other_expectation_is_refused() {
    let case = Case::new();
    let proof = Proof::parse_answer(&case.answer).unwrap();
    let identity = case.identity.public();
    let other = key();
    for wrong in [
        Expected { terminal: other.public(), ..case.expected() },
        Expected { nonce: &[9; 32], ..case.expected() },
        Expected { binding: &[9; 32], ..case.expected() },
    ] {
        assert!(matches!(proof.check(&wrong, identity), Err(ProofError::Signature)));
    }
    let wrong = Expected { token_id: &[9; 16], ..case.expected() };
    assert!(matches!(proof.check(&wrong, identity), Err(ProofError::OtherToken)));
    assert!(matches!(proof.check(&case.expected(), other.public()), Err(ProofError::Signature)));
}

#[test]
fn any_bent_byte_of_an_answer_is_refused() {
    let case = Case::new();
    for at in 0..case.answer.len() {
        let mut bent = case.answer.clone();
        bent[at] ^= 1;
        let outcome = Proof::parse_answer(&bent).and_then(|p| p.check(&case.expected(), case.identity.public()));
        assert!(outcome.is_err(), "byte {at}");
    }
    assert!(Proof::parse_answer(&case.answer[..case.answer.len() - 1]).is_err());
    assert!(Proof::parse_answer(&[&case.answer[..], &[0]].concat()).is_err());
    assert!(Proof::parse_answer(&[]).is_err());
}

#[test]
fn any_bent_byte_of_a_message_is_refused() {
    let case = Case::new();
    let message = case.verified().cose;
    for at in 0..message.len() {
        let mut bent = message.clone();
        bent[at] ^= 1;
        assert!(verify_message(&bent, case.identity.public()).is_err(), "byte {at}");
    }
    assert!(matches!(verify_message(&message[..302], case.identity.public()), Err(ProofError::Form)));
    assert!(matches!(verify_message(&[&message[..], &[0]].concat(), case.identity.public()), Err(ProofError::Form)));
}

/// An independent check: `coset` parses the message and builds the `Sig_structure`, `ciborium` reads the claims.
#[test]
fn independent_libraries_read_the_same() {
    use coset::{CborSerializable, CoseSign1, Label, RegisteredLabelWithPrivate, TaggedCborSerializable, iana};

    let case = Case::new();
    let message = CoseSign1::from_tagged_slice(&case.verified().cose).unwrap();
    let header = &message.protected.header;
    assert_eq!(header.alg, Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES256)));
    assert_eq!(header.rest, [(Label::Int(16), "application/x.rollcall-1".into())]);
    assert_eq!(message.unprotected.key_id, case.token_id);
    message
        .verify_signature(b"", |signature, signed| {
            let der = ec::signature_from_raw(signature.try_into().unwrap()).unwrap();
            if case.identity.public().verify(signed, &der).unwrap() { Ok(()) } else { Err(()) }
        })
        .unwrap();

    let payload = message.payload.as_deref().unwrap();
    let claims: ciborium::Value = ciborium::from_reader(payload).unwrap();
    let entries = claims.as_map().unwrap();
    let claim = |label: i64| &entries.iter().find(|(k, _)| *k == label.into()).unwrap().1;
    assert_eq!(claim(10).as_bytes().unwrap(), &case.nonce);
    assert_eq!(claim(256).as_bytes().unwrap(), &[&[1][..], &case.token_id].concat());
    assert_eq!(claim(-70001).as_bytes().unwrap(), &case.binding);
    assert_eq!(*claim(-70002), 0x0102_0304.into());
    assert_eq!(claim(-70003).as_bytes().unwrap(), &sha256(&[&[4; RECORD]]));
    assert_eq!(entries.len(), 6);

    // The confirmation claim is the RFC 9679 thumbprint: SHA-256 of the required members of the COSE_Key.
    let (x, y) = case.terminal.public().coordinates();
    let key = coset::CoseKeyBuilder::new_ec2_pub_key(iana::EllipticCurve::P_256, x.to_vec(), y.to_vec()).build();
    let confirmation = claim(8).as_map().unwrap();
    assert_eq!(confirmation[0].1.as_bytes().unwrap(), &sha256(&[&key.to_vec().unwrap()]));
}

/// A decoder that accepts only deterministic encoding (RFC 8949, 4.2) rejects a number below 65536 in four bytes, which
/// is why a new token begins there.
#[test]
fn a_strict_decoder_takes_proofs_from_the_first_counter_on() {
    use cbor_core::{Error, Value};

    let case = Case::new();
    let payload = |counter: u32| {
        let claims = Claims { counter, ..Claims::read(&case.verified().cose).unwrap() };
        claims.payload()
    };
    for counter in [FIRST_COUNTER, FIRST_COUNTER + 1, u32::MAX] {
        let bytes = payload(counter);
        assert_eq!(Value::decode(&bytes).unwrap().encode(), bytes, "{counter}");
    }
    for counter in [1, 7, FIRST_COUNTER - 1] {
        assert_eq!(Value::decode(&payload(counter)).unwrap_err(), Error::NonDeterministic, "{counter}");
    }
    let message = case.verified().cose;
    assert_eq!(Value::decode(&message).unwrap().encode(), message);
}
