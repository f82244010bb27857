//! The keys of full taps that this terminal keeps, in memory only, so that the same person is through in a third of the
//! time.
//!
//! Specification: docs/protocol.md, "The fast tap".

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::token::{open::ResumptionKey, resume::ResumeRule, select::TokenMode};

/// So many tokens are remembered to have no slots; then all are asked once more.
const WITHOUT_SLOTS: usize = 10_000;
/// The keys, shared by all readers of a terminal. A clone is the same place.
#[derive(Debug, Clone)]
pub struct ResumptionCache {
    max_age: Duration,
    kept: Arc<Mutex<KeptKeys>>,
}

#[derive(Debug, Default)]
struct KeptKeys {
    keys: HashMap<Uuid, KeptKey>,
    without_slots: HashSet<Uuid>,
    /// The latest time of the wall clock that was seen: one that goes back ends all keys.
    latest: Timestamp,
}

/// A key, and when the full tap was that it came from.
#[derive(Debug, Clone)]
pub struct KeptKey {
    key: ResumptionKey,
    mode: TokenMode,
    by_clock: Timestamp,
    by_uptime: Instant,
}

impl KeptKey {
    /// The key of a full tap that was made now.
    pub fn fresh(key: ResumptionKey, mode: TokenMode, now: Timestamp) -> Self {
        Self { key, mode, by_clock: now, by_uptime: Instant::now() }
    }

    /// The key itself.
    pub const fn key(&self) -> &ResumptionKey {
        &self.key
    }

    /// The same key with what was seen of it since; its age stays.
    #[must_use]
    pub fn used(self, key: ResumptionKey) -> Self {
        Self { key, ..self }
    }
}

impl ResumptionCache {
    /// Keeps keys for so long at most.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, KeptKeys> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the keys that a token of this mode may hold: its own, or those of its set. Whoever takes one gives it
    /// back with [`Self::keep`], unless it is to die.
    pub fn take(&self, mode: TokenMode, rule: ResumeRule, now: Timestamp) -> Vec<KeptKey> {
        let mut kept = self.lock();
        if now < kept.latest {
            kept.keys.clear();
        }
        kept.latest = now;
        kept.keys.retain(|_, key| key.age(now) <= self.max_age);
        if !rule.allows(mode) {
            return Vec::new();
        }
        let fitting: Vec<Uuid> = kept.keys.iter().filter(|(_, key)| key.mode == mode).map(|(id, _)| *id).collect();
        fitting.iter().filter_map(|id| kept.keys.remove(id)).collect()
    }

    /// Keeps a key, in the place of any other of this token.
    pub fn keep(&self, key: KeptKey) {
        if key.key.uses_left > 0 {
            self.lock().keys.insert(key.key.token_id, key);
        }
    }

    /// Destroys the key of a token: it was refused, or has made a full tap.
    pub fn forget(&self, token_id: Uuid) {
        self.lock().keys.remove(&token_id);
    }

    /// Destroys all keys: the terminal's key or its CA is another.
    pub fn clear(&self) {
        self.lock().keys.clear();
    }

    /// Whether a full tap of a token of this mode asks for a slot.
    pub fn wants_slot(&self, mode: TokenMode, rule: ResumeRule) -> bool {
        let known = matches!(mode, TokenMode::Open(id) if self.lock().without_slots.contains(&id));
        rule.allows(mode) && !known
    }

    /// This token has no slots.
    pub fn has_no_slots(&self, token_id: Uuid) {
        let mut kept = self.lock();
        if kept.without_slots.len() >= WITHOUT_SLOTS {
            kept.without_slots.clear();
        }
        kept.without_slots.insert(token_id);
    }
}

impl KeptKey {
    /// The larger of what both clocks say.
    fn age(&self, now: Timestamp) -> Duration {
        let by_clock = Duration::try_from(now.duration_since(self.by_clock)).unwrap_or_default();
        by_clock.max(self.by_uptime.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Key128;

    const RULE: ResumeRule = ResumeRule::Private;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key(id: u128) -> ResumptionKey {
        ResumptionKey::fresh(Uuid::from_u128(id), Key128::new([1; 16]), 65_536)
    }

    fn open(id: u128) -> TokenMode {
        TokenMode::Open(Uuid::from_u128(id))
    }

    /// A cache of one hour with the key of token 1 of this mode, kept at second 1000.
    fn cache(mode: TokenMode) -> ResumptionCache {
        let cache = ResumptionCache::new(Duration::from_secs(3600));
        assert!(cache.take(mode, RULE, at(1000)).is_empty());
        cache.keep(KeptKey::fresh(key(1), mode, at(1000)));
        cache
    }

    fn ids(taken: &[KeptKey]) -> Vec<u128> {
        taken.iter().map(|kept| kept.key().token_id.as_u128()).collect()
    }

    #[test]
    fn a_key_is_taken_out_by_one_tap_at_a_time() {
        let cache = cache(open(1));
        assert!(cache.take(open(2), RULE, at(1001)).is_empty());
        let mut taken = cache.take(open(1), RULE, at(1001));
        assert_eq!(ids(&taken), [1]);
        assert!(cache.take(open(1), RULE, at(1001)).is_empty());
        cache.keep(taken.remove(0));
        assert_eq!(ids(&cache.take(open(1), RULE, at(1002))), [1]);
    }

    #[test]
    fn what_ends_a_key() {
        let there = |cache: &ResumptionCache, second| cache.take(open(1), RULE, at(second)).len();
        assert_eq!(there(&cache(open(1)), 4600), 1);
        assert_eq!(there(&cache(open(1)), 4601), 0, "its age");
        assert_eq!(there(&cache(open(1)), 999), 0, "a clock that went back");
        let forgotten = cache(open(1));
        forgotten.forget(Uuid::from_u128(1));
        assert_eq!(there(&forgotten, 1001), 0);
        let cleared = cache(open(1));
        cleared.clear();
        assert_eq!(there(&cleared, 1001), 0);
        let used_up = cache(open(1));
        let taken = used_up.take(open(1), RULE, at(1001)).remove(0);
        used_up.keep(taken.used(ResumptionKey { uses_left: 0, ..key(1) }));
        assert_eq!(there(&used_up, 1002), 0);
    }

    /// A use makes no key younger.
    #[test]
    fn a_used_key_keeps_its_age() {
        let cache = cache(open(1));
        let taken = cache.take(open(1), RULE, at(4000)).remove(0);
        cache.keep(taken.used(ResumptionKey { uses_left: 63, ..key(1) }));
        assert!(cache.take(open(1), RULE, at(4601)).is_empty());
    }

    #[test]
    fn private_tokens_are_resumed_only_where_it_is_allowed() {
        let set = TokenMode::Private([1; 8]);
        for (rule, open_mode, private) in
            [(ResumeRule::Never, 0, 0), (ResumeRule::Open, 1, 0), (ResumeRule::Private, 1, 1)]
        {
            assert_eq!(cache(open(1)).take(open(1), rule, at(1001)).len(), open_mode, "{rule:?}");
            assert_eq!(cache(set).take(set, rule, at(1001)).len(), private, "{rule:?}");
            assert_eq!(cache(set).wants_slot(set, rule), private == 1);
        }
        // All keys of a set, for nobody says before which token it is.
        let cache = cache(set);
        cache.keep(KeptKey::fresh(key(2), set, at(1000)));
        cache.keep(KeptKey::fresh(key(3), TokenMode::Private([2; 8]), at(1000)));
        let mut taken = ids(&cache.take(set, RULE, at(1001)));
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn a_token_without_slots_is_not_asked_for_one_again() {
        let cache = cache(open(1));
        assert!(cache.wants_slot(open(2), RULE));
        cache.has_no_slots(Uuid::from_u128(2));
        assert!(!cache.wants_slot(open(2), RULE) && cache.wants_slot(open(1), RULE));
    }
}
