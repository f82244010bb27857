use super::*;
use crate::proof::RECORD;

#[test]
fn a_proof_is_the_evidence_of_a_full_tap_only() {
    let proof = VerifiedProof { counter: 70_000, record: [4; RECORD], cose: vec![1] };
    let token = |evidence| AuthenticatedToken { token_id: Uuid::nil(), evidence, user: User::default() };
    let full = token(Evidence::Proof { proof: proof.clone(), identity_certificate: vec![2] });
    assert_eq!((full.proof(), full.counter(), full.is_resumed()), (Some(&proof), 70_000, false));
    let resumed = token(Evidence::Resumed { counter: 70_001 });
    assert_eq!((resumed.proof(), resumed.counter(), resumed.is_resumed()), (None, 70_001, true));
}
