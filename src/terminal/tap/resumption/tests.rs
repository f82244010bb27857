use super::*;
use crate::crypto::Key128;

const RULE: ResumeRule = ResumeRule::Private;
const NEVER: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(id: u128, until: i64) -> ResumptionKey {
    ResumptionKey::fresh(Uuid::from_u128(id), Arc::new(Key128::new([1; 16])), 65_536, at(until))
}

fn open(id: u128) -> TokenMode {
    TokenMode::Open(Uuid::from_u128(id))
}

fn made(cache: &ResumptionCache, id: u128, mode: TokenMode) -> KeptKey {
    cache.made(key(id, NEVER), mode, &format!("p{id}"), at(1000), cache.begin())
}

/// A cache of one hour with the key of token 1 in this mode, kept at second 1000.
fn cache(mode: TokenMode) -> ResumptionCache {
    let cache = ResumptionCache::new(Duration::from_secs(3600));
    assert!(take(&cache, mode, 1000).is_empty());
    cache.keep(made(&cache, 1, mode));
    cache
}

fn take(cache: &ResumptionCache, mode: TokenMode, second: i64) -> Vec<KeptKey> {
    cache.take(mode, RULE, || at(second))
}

fn ids(taken: &[KeptKey]) -> Vec<u128> {
    taken.iter().map(|kept| kept.key().token_id.as_u128()).collect()
}

#[test]
fn a_key_is_taken_out_by_one_tap_at_a_time() {
    let cache = cache(open(1));
    assert!(take(&cache, open(2), 1001).is_empty());
    let mut taken = take(&cache, open(1), 1001);
    assert_eq!(ids(&taken), [1]);
    assert!(take(&cache, open(1), 1001).is_empty());
    cache.keep(taken.remove(0));
    assert_eq!(ids(&take(&cache, open(1), 1002)), [1]);
}

#[test]
fn what_ends_a_key() {
    let there = |cache: &ResumptionCache, second| take(cache, open(1), second).len();
    assert_eq!(there(&cache(open(1)), 4600), 1);
    assert_eq!(there(&cache(open(1)), 4601), 0, "its age");
    assert_eq!(there(&cache(open(1)), 999), 0, "a clock that went back");
    let vouched = cache(open(1));
    let mut taken = take(&vouched, open(1), 1000);
    vouched.keep(taken.remove(0).vouched(Some(at(2000))));
    let kept = take(&vouched, open(1), 2000).remove(0);
    let used = kept.key().clone();
    vouched.keep(kept.used(used));
    assert_eq!(there(&vouched, 2001), 0, "the server's word");
    let forgotten = cache(open(1));
    forgotten.forget(Uuid::from_u128(1));
    assert_eq!(there(&forgotten, 1001), 0);
    let cleared = cache(open(1));
    cleared.clear();
    assert_eq!(there(&cleared, 1001), 0);
    let used_up = cache(open(1));
    let taken = take(&used_up, open(1), 1001).remove(0);
    used_up.keep(taken.used(ResumptionKey { uses_left: 0, ..key(1, NEVER) }));
    assert_eq!(there(&used_up, 1002), 0);
    for denied in ["p1", "00000000-0000-0000-0000-000000000001"] {
        let cache = cache(open(1));
        cache.prune(|| at(1001), |id| id == denied);
        assert_eq!(there(&cache, 1002), 0, "{denied}");
    }
    // The certificates that the full tap relied on.
    let certified = cache(open(2));
    certified.keep(certified.made(key(1, 1500), open(1), "p1", at(1000), certified.begin()));
    assert_eq!(there(&certified, 1501), 0);
}

/// Ending a key also ends one that is taken out; a key made in the meantime stays.
#[test]
fn a_key_that_is_out_ends_as_well() {
    let ends: [fn(&ResumptionCache); 4] = [
        ResumptionCache::clear,
        |cache| cache.forget(Uuid::from_u128(1)),
        |cache| drop(take(cache, open(9), 900)),
        |cache| drop(made(cache, 1, open(1))),
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let cache = cache(open(1));
        let out = take(&cache, open(1), 1001).remove(0);
        end(&cache);
        cache.keep(out);
        assert!(take(&cache, open(1), 1002).is_empty(), "{n}");
    }
    let cache = cache(open(1));
    let out = take(&cache, open(1), 1001).remove(0);
    let newer = cache.made(ResumptionKey { counter: 70_000, ..key(1, NEVER) }, open(1), "p1", at(1001), cache.begin());
    cache.keep(newer);
    cache.keep(out);
    assert_eq!(take(&cache, open(1), 1002)[0].key().counter, 70_000);
}

/// A tap in progress when all keys ended, as at a renewal, leaves none.
#[test]
fn a_tap_of_before_the_end_leaves_no_key() {
    let cache = cache(open(1));
    let era = cache.begin();
    cache.clear();
    cache.keep(cache.made(key(2, NEVER), open(2), "p2", at(1001), era));
    assert!(take(&cache, open(2), 1002).is_empty());
}

/// Readers read the clock one after the other: an earlier reading by one tap does not mean that the clock went back.
#[test]
fn two_readers_do_not_end_each_others_keys() {
    let cache = cache(open(1));
    for second in 1001..1100 {
        assert!(take(&cache, open(2), second).is_empty());
    }
    assert_eq!(take(&cache, open(1), 1100).len(), 1);
}

/// Use does not make a key younger, and the proof that it came from stays the same.
#[test]
fn a_used_key_keeps_its_age_and_its_proof() {
    let cache = cache(open(1));
    let taken = take(&cache, open(1), 4000).remove(0);
    assert_eq!(taken.proved_counter(), 65_536);
    let used = taken.used(ResumptionKey { uses_left: 63, counter: 70_000, ..key(1, NEVER) });
    assert_eq!((used.proved_counter(), used.key().counter), (65_536, 70_000));
    cache.keep(used);
    assert!(take(&cache, open(1), 4601).is_empty());
}

#[test]
fn private_tokens_are_resumed_only_where_it_is_allowed() {
    let set = TokenMode::Private([1; 8]);
    for (rule, open_mode, private) in [(ResumeRule::Never, 0, 0), (ResumeRule::Open, 1, 0), (ResumeRule::Private, 1, 1)]
    {
        assert_eq!(cache(open(1)).take(open(1), rule, || at(1001)).len(), open_mode, "{rule:?}");
        assert_eq!(cache(set).take(set, rule, || at(1001)).len(), private, "{rule:?}");
        assert_eq!(cache(set).wants_slot(set, rule), private == 1);
    }
    // All keys of a set, because the token does not reveal which one it is.
    let cache = cache(set);
    cache.keep(made(&cache, 2, set));
    cache.keep(made(&cache, 3, TokenMode::Private([2; 8])));
    let mut taken = ids(&take(&cache, set, 1001));
    taken.sort_unstable();
    assert_eq!(taken, [1, 2]);
}

#[test]
fn a_token_without_slots_is_not_asked_for_one_again() {
    let cache = cache(open(1));
    assert!(cache.wants_slot(open(2), RULE));
    cache.has_no_slots(Uuid::from_u128(2));
    assert!(!cache.wants_slot(open(2), RULE) && cache.wants_slot(open(1), RULE));
    // Earlier ones stay remembered, until there are too many: then all are asked again.
    for id in 3..2 + REMEMBERED as u128 {
        cache.has_no_slots(Uuid::from_u128(id));
    }
    assert!(!cache.wants_slot(open(2), RULE));
    cache.has_no_slots(Uuid::from_u128(1));
    assert!(cache.wants_slot(open(2), RULE) && !cache.wants_slot(open(1), RULE));
}
