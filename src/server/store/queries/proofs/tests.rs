//! Tests which presence proofs are accepted, and which reveal a copy.
use super::*;

type Taken = std::result::Result<Freshness, ProofRefusal>;

const TICK: SignedDuration = SignedDuration::from_millis(1);

fn now() -> Timestamp {
    "2026-11-29T08:00:00Z".parse().unwrap()
}

/// Proofs of the token `t`; the terminal `door` got the nonces 1 and 2 this long ago.
fn presented(age: SignedDuration, highest: Highest) -> Presented<'static> {
    let known = || IssuedNonce { terminal: "door".into(), issued: (now() - age).as_millisecond(), age, is_used: false };
    Presented {
        nonces: [([1; 32], known()), ([2; 32], known())].into(),
        used: Vec::new(),
        seen: HashMap::new(),
        highest: [("t", highest)].into(),
        taken: Vec::new(),
        risen: BTreeMap::new(),
    }
}

fn take(all: &mut Presented<'_>, nonce: u8, counter: u32, claims: u8) -> Taken {
    all.take("door", "t", &[nonce; 32], counter, &[claims; 32], now())
}

fn taken_at_age(age: SignedDuration) -> Taken {
    take(&mut presented(age, Highest::default()), 1, 7, 1)
}

#[test]
fn a_nonce_is_good_for_its_time_and_its_terminal() {
    assert_eq!((FRESH, TAKEN), (SignedDuration::from_hours(24), SignedDuration::from_hours(24 + 7 * 24)));
    assert_eq!(taken_at_age(SignedDuration::ZERO), Ok(Freshness::Fresh));
    assert_eq!([FRESH, FRESH + TICK].map(taken_at_age), [Ok(Freshness::Fresh), Ok(Freshness::Late)]);
    assert_eq!([TAKEN, TAKEN + TICK].map(taken_at_age), [Ok(Freshness::Late), Err(ProofRefusal::Expired)]);
    let mut all = presented(TICK, Highest::default());
    let foreign = all.take("gate", "t", &[1; 32], 7, &[1; 32], now());
    assert_eq!(foreign, Err(ProofRefusal::ForeignNonce));
    assert_eq!(all.take("door", "u", &[1; 32], 7, &[1; 32], now()), Err(ProofRefusal::Malformed));
    assert_eq!(take(&mut all, 3, 7, 1), Ok(Freshness::Unverified));
    // These used up none of the stored nonces.
    assert!(all.used.is_empty());
}

#[test]
fn a_proof_is_taken_once_and_a_contradiction_is_a_copy() {
    let mut all = presented(TICK, Highest::default());
    assert_eq!(take(&mut all, 1, 7, 1), Ok(Freshness::Fresh));
    assert_eq!(take(&mut all, 1, 8, 1), Err(ProofRefusal::Replayed));
    assert_eq!(take(&mut all, 3, 7, 1), Err(ProofRefusal::Replayed));
    assert_eq!(take(&mut all, 2, 7, 2), Err(ProofRefusal::Clone));
    // That nonce is used up nevertheless.
    assert_eq!(take(&mut all, 2, 9, 2), Err(ProofRefusal::Replayed));
    assert_eq!((all.highest("t"), all.taken.len(), &all.used), (Some(7), 1, &vec![[1; 32], [2; 32]]));
}

#[test]
fn a_lower_counter_is_late_unless_its_nonce_is_younger_than_the_higher_one() {
    let highest = |at: SignedDuration| Highest {
        counter: Some(10),
        at: Some((now() - TICK * 5 + at).as_millisecond()),
        floor: Some(4),
    };
    let with = |at, counter| {
        let mut all = presented(TICK * 5, highest(at));
        let taken = take(&mut all, 1, counter, 1);
        (taken, all.highest("t"), all.risen.into_iter().collect::<Vec<_>>())
    };
    let zero = SignedDuration::ZERO;
    for lower in [5, 9, 10] {
        assert_eq!(with(zero, lower), (Ok(Freshness::Fresh), Some(10), vec![]), "{lower}");
        assert_eq!(with(-TICK, lower), (Err(ProofRefusal::Clone), Some(10), vec![]), "{lower}");
    }
    for forgotten in [3, 4] {
        assert_eq!(with(zero, forgotten).0, Err(ProofRefusal::Expired), "{forgotten}");
    }
    assert_eq!(with(-TICK, 11), (Ok(Freshness::Fresh), Some(11), vec![("t".to_owned(), 11)]));
    // A nonce that the terminal made has no time.
    assert_eq!(take(&mut presented(zero, highest(zero)), 3, 9, 1), Ok(Freshness::Unverified));
    // A counter that has just risen counts for the next proof, with its time.
    let mut all = presented(TICK, highest(zero));
    assert_eq!(take(&mut all, 3, 11, 1), Ok(Freshness::Unverified));
    assert_eq!(take(&mut all, 1, 9, 1), Ok(Freshness::Fresh));
    // The floor is kept.
    let mut all = presented(-TICK, highest(zero));
    assert_eq!(take(&mut all, 3, 11, 1), Ok(Freshness::Unverified));
    assert_eq!(take(&mut all, 1, 9, 1), Err(ProofRefusal::Clone));
    assert_eq!(take(&mut all, 4, 4, 1), Err(ProofRefusal::Expired));
    assert_eq!(take(&mut all, 4, 9, 1), Ok(Freshness::Unverified));
}

#[test]
fn a_channel_rests_on_a_fresh_proof_to_the_same_terminal() {
    let mut all = presented(TICK, Highest::default());
    take(&mut all, 1, 7, 1).unwrap();
    let resumes = |all: &Presented<'_>, terminal, counter, since| all.resumable(terminal, "t", counter, since);
    assert_eq!([now() - TICK, now()].map(|since| resumes(&all, "door", 7, since)), [Some(now()); 2]);
    assert_eq!(resumes(&all, "door", 7, now() + TICK), None);
    assert_eq!((resumes(&all, "gate", 7, now()), resumes(&all, "door", 8, now())), (None, None));
    take(&mut all, 3, 8, 1).unwrap();
    assert_eq!(resumes(&all, "door", 8, now()), None);
    let mut late = presented(FRESH + TICK, Highest::default());
    take(&mut late, 1, 7, 1).unwrap();
    assert_eq!(resumes(&late, "door", 7, now()), None);
}
