use super::*;
use crate::{
    crypto::{
        ec::KeyPair,
        random::SystemRandom,
        sha256,
        x509::{CertificateTemplate, TerminalRole, issue},
    },
    proof::{Expected, Proof, RECORD},
};

const NONCE: [u8; 32] = [1; 32];

fn key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn certificate(ca: &KeyPair, class: CertificateProfile, subject: &str, key: &KeyPair) -> Vec<u8> {
    let (not_before, not_after) = (at("2026-11-01T00:00:00Z"), at("2036-11-01T00:00:00Z"));
    let template = CertificateTemplate { class, subject, key: key.public(), not_before, not_after };
    issue(ca, "Rollcall CA", &template, &mut SystemRandom).unwrap()
}

/// A proof of a token, and everything it is checked against.
struct Case {
    ca: KeyPair,
    authorities: [Point; 1],
    identity: KeyPair,
    token_id: Uuid,
    cose: Vec<u8>,
    certificate: Vec<u8>,
    terminal: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let (ca, identity, terminal) = (key(), key(), key());
        let token_id = Uuid::from_bytes([2; 16]);
        let (binding, record) = ([3; 32], [4; RECORD]);
        let claims = Claims {
            terminal: thumbprint(terminal.public()),
            nonce: NONCE,
            token_id: *token_id.as_bytes(),
            binding,
            counter: 7,
            record: sha256(&[&record]),
        };
        let signature = identity.sign(&claims.sig_structure()).unwrap();
        let length = u8::try_from(signature.len()).unwrap();
        let head = [&[0x83, 16][..], token_id.as_bytes(), &[0x80, 4, 0, 0, 0, 7, 0x9E, length]].concat();
        let answer = [&head[..], &signature, &[0x53, 120], &record].concat();
        let expected =
            Expected { terminal: terminal.public(), nonce: &NONCE, token_id: token_id.as_bytes(), binding: &binding };
        let proof = Proof::parse_answer(&answer).unwrap().check(&expected, identity.public()).unwrap();
        let subject = token_id.to_string();
        Self {
            certificate: certificate(&ca, CertificateProfile::Identity, &subject, &identity),
            terminal: certificate(&ca, CertificateProfile::Terminal(TerminalRole::Read), "door", &terminal),
            cose: proof.cose,
            authorities: [*ca.public()],
            ca,
            identity,
            token_id,
        }
    }

    fn shown(&self) -> ShownProof<'_> {
        let (cose, certificate) = (&self.cose[..], &self.certificate[..]);
        ShownProof { cose, certificate, token_id: Some(self.token_id), counter: Some(7) }
    }

    /// The correct expectation.
    fn expected(&self) -> ProofExpectation<'_> {
        let (nonce, terminal) = (Some(&NONCE), Some(&self.terminal[..]));
        ProofExpectation { authorities: &self.authorities, nonce, terminal, now: at("2026-11-29T12:00:00Z") }
    }

    fn failing(&self, shown: &ShownProof<'_>) -> Vec<ProofCheck> {
        failing(&check_proof(shown, &self.expected()))
    }
}

fn failing(report: &ProofReport) -> Vec<ProofCheck> {
    let failed = |verdict: &ProofVerdict| matches!(verdict, ProofVerdict::Failed(_));
    report.checks.iter().filter(|(_, verdict)| failed(verdict)).map(|(check, _)| *check).collect()
}

#[test]
fn a_right_proof_passes_every_check() {
    let case = Case::new();
    let report = check_proof(&case.shown(), &case.expected());
    assert!(report.checks.iter().all(|(_, verdict)| *verdict == ProofVerdict::Ok), "{report:?}");
    assert_eq!((report.checks.len(), report.claims.map(|claims| claims.counter)), (8, Some(7)));
}

#[test]
fn what_nobody_expects_is_not_checked() {
    let case = Case::new();
    let shown = ShownProof { token_id: None, counter: None, ..case.shown() };
    let report = check_proof(&shown, &ProofExpectation { nonce: None, terminal: None, ..case.expected() });
    let open = report.checks.iter().filter(|(_, verdict)| *verdict == ProofVerdict::NotChecked);
    let open: Vec<_> = open.map(|(check, _)| *check).collect();
    assert_eq!(open, [ProofCheck::Object, ProofCheck::Nonce, ProofCheck::Terminal]);
    assert_eq!(report.failure(), None);
}

#[test]
fn each_wrong_expectation_fails_its_own_check() {
    let (case, other) = (Case::new(), key());
    let authorities = [*other.public()];
    let strange = certificate(&case.ca, CertificateProfile::Terminal(TerminalRole::Read), "desk", &other);
    let report = check_proof(&case.shown(), &ProofExpectation { nonce: Some(&[9; 32]), ..case.expected() });
    assert_eq!(failing(&report), [ProofCheck::Nonce]);
    let report = check_proof(&case.shown(), &ProofExpectation { terminal: Some(&strange), ..case.expected() });
    assert_eq!(failing(&report), [ProofCheck::Terminal]);
    // A certificate for another purpose does not identify a terminal.
    let report = check_proof(&case.shown(), &ProofExpectation { terminal: Some(&case.certificate), ..case.expected() });
    assert_eq!(failing(&report), [ProofCheck::Terminal]);
    // Under another CA the certificate is invalid, and so is the signature of its key.
    let elsewhere = ProofExpectation { authorities: &authorities, terminal: None, ..case.expected() };
    let report = check_proof(&case.shown(), &elsewhere);
    assert_eq!(failing(&report), [ProofCheck::Certificate]);
    let signature = report.checks.iter().find(|(check, _)| *check == ProofCheck::Signature).unwrap();
    assert_eq!(signature.1, ProofVerdict::NotChecked);
    for time in ["2026-10-31T00:00:00Z", "2036-11-02T00:00:00Z"] {
        let report = check_proof(&case.shown(), &ProofExpectation { now: at(time), ..case.expected() });
        assert_eq!(failing(&report), [ProofCheck::Validity]);
    }
}

#[test]
fn the_one_of_two_authorities_counts_that_signed() {
    let (case, other) = (Case::new(), key());
    let authorities = [*other.public(), *case.ca.public()];
    let expected = ProofExpectation { authorities: &authorities, ..case.expected() };
    assert_eq!(check_proof(&case.shown(), &expected).failure(), None);
}

#[test]
fn a_message_of_another_length_is_malformed() {
    let case = Case::new();
    let longer = [&case.cose[..], &[0]].concat();
    for cose in [&case.cose[..302], &case.cose[..0], &longer] {
        let report = check_proof(&ShownProof { cose, ..case.shown() }, &case.expected());
        assert_eq!(failing(&report), [ProofCheck::Form]);
        assert_eq!(report.claims, None);
    }
}

#[test]
fn no_changed_byte_of_the_message_passes() {
    let case = Case::new();
    for at in 0..case.cose.len() {
        let mut bent = case.cose.clone();
        bent[at] ^= 1;
        let failed = case.failing(&ShownProof { cose: &bent, ..case.shown() });
        let malformed = failed == [ProofCheck::Form];
        assert!(malformed || failed.contains(&ProofCheck::Signature), "byte {at}: {failed:?}");
    }
}

#[test]
fn the_certificate_of_another_token_or_purpose_is_refused() {
    let case = Case::new();
    let other = key();
    let name = Uuid::from_bytes([7; 16]).to_string();
    let stranger = certificate(&case.ca, CertificateProfile::Identity, &name, &other);
    let shown = ShownProof { certificate: &stranger, ..case.shown() };
    assert_eq!(case.failing(&shown), [ProofCheck::Token, ProofCheck::Signature]);
    // The same key under another token's name.
    let renamed = certificate(&case.ca, CertificateProfile::Identity, &name, &case.identity);
    assert_eq!(case.failing(&ShownProof { certificate: &renamed, ..case.shown() }), [ProofCheck::Token]);
    let purpose = certificate(&case.ca, CertificateProfile::TokenEcka, &case.token_id.to_string(), &case.identity);
    assert_eq!(case.failing(&ShownProof { certificate: &purpose, ..case.shown() }), [ProofCheck::Certificate]);
    assert_eq!(case.failing(&ShownProof { certificate: &[], ..case.shown() }), [ProofCheck::Certificate]);
}

#[test]
fn the_object_has_to_say_what_was_signed() {
    let case = Case::new();
    let token = ShownProof { token_id: Some(Uuid::nil()), ..case.shown() };
    let counter = ShownProof { counter: Some(8), ..case.shown() };
    // Each counts, even if the object contains only one of them.
    let (only_token, only_counter) = (ShownProof { counter: None, ..token }, ShownProof { token_id: None, ..counter });
    for shown in [token, counter, only_token, only_counter] {
        let report = check_proof(&shown, &case.expected());
        assert_eq!(failing(&report), [ProofCheck::Object]);
        assert_eq!(report.failure().map(|(check, _)| check.code()), Some("proof.object"));
    }
}
