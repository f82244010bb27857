//! The keys of full taps that this terminal keeps, in memory only, so that the next tap of the same token takes a third
//! of the time.
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

/// The most tokens remembered as having no slots, or having lost a key; beyond that, remembering starts over.
const REMEMBERED: usize = 10_000;

/// The cached keys, shared by all readers of a terminal. Clones share one cache.
#[derive(Debug, Clone)]
pub struct ResumptionCache {
    max_age: Duration,
    kept: Arc<Mutex<KeptKeys>>,
}

#[derive(Debug, Default)]
struct KeptKeys {
    keys: HashMap<Uuid, KeptKey>,
    without_slots: HashSet<Uuid>,
    /// The latest wall-clock time seen: if the clock goes back, all keys end.
    latest: Timestamp,
    /// How often all keys were ended: a key taken out before is not taken back.
    all_ended: u64,
    /// The same for the keys of one token.
    ended: HashMap<Uuid, u64>,
}

/// The era in which a tap began, so that its key is not kept if all keys were ended since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapEra(u64);

/// A key, and the time of the full tap that made it.
#[derive(Debug, Clone)]
pub struct KeptKey {
    key: ResumptionKey,
    mode: TokenMode,
    /// The user of the token: an operator may deny this user.
    holder: String,
    /// The use counter in the proof of the full tap.
    proved_counter: u32,
    by_clock: Timestamp,
    by_uptime: Instant,
    /// How long the server vouches for the token, if it said so.
    vouched_until: Option<Timestamp>,
    era: TapEra,
    ended: u64,
}

impl KeptKey {
    /// The key itself.
    pub const fn key(&self) -> &ResumptionKey {
        &self.key
    }

    /// The use counter in the proof of the full tap that made the key.
    pub const fn proved_counter(&self) -> u32 {
        self.proved_counter
    }

    /// The same key with the state after another use; its age does not change.
    #[must_use]
    pub fn used(self, key: ResumptionKey) -> Self {
        Self { key, ..self }
    }

    /// The same key, valid as long as the server said; servers of earlier releases do not say how long.
    #[must_use]
    pub fn vouched(self, until: Option<Timestamp>) -> Self {
        Self { vouched_until: until, ..self }
    }

    /// Whether it may be used at this time: the full tap is recent enough by both clocks, and neither the certificates
    /// it relied on nor the server's guarantee have expired.
    fn holds(&self, now: Timestamp, max_age: Duration) -> bool {
        let by_clock = Duration::try_from(now.duration_since(self.by_clock)).unwrap_or_default();
        by_clock.max(self.by_uptime.elapsed()) <= max_age
            && now <= self.key.until
            && self.vouched_until.is_none_or(|until| now <= until)
    }
}

impl KeptKeys {
    fn end_all(&mut self) {
        self.keys.clear();
        self.ended.clear();
        self.all_ended += 1;
    }

    /// Ends the keys of one token; returns how often that was done.
    fn end(&mut self, token_id: Uuid) -> u64 {
        if self.ended.len() >= REMEMBERED {
            self.end_all();
        }
        self.keys.remove(&token_id);
        let ended = self.ended.entry(token_id).or_default();
        *ended += 1;
        *ended
    }

    /// Drops expired keys. Call it under the lock, with the clock read under the lock too.
    fn prune(&mut self, now: Timestamp, max_age: Duration) {
        if now < self.latest {
            self.end_all();
        }
        self.latest = now;
        self.keys.retain(|_, key| key.holds(now, max_age));
    }
}

impl ResumptionCache {
    /// Creates a cache that keeps keys for at most this long.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, kept: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, KeptKeys> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the beginning of a tap.
    pub fn begin(&self) -> TapEra {
        TapEra(self.lock().all_ended)
    }

    /// Takes out the keys that a token of this mode may hold: its own, or those of its set. The caller returns each
    /// with [`Self::keep`], unless it is to be dropped.
    pub fn take(&self, mode: TokenMode, rule: ResumeRule, clock: impl FnOnce() -> Timestamp) -> Vec<KeptKey> {
        let mut kept = self.lock();
        kept.prune(clock(), self.max_age);
        if !rule.allows(mode) {
            return Vec::new();
        }
        let fitting: Vec<Uuid> = kept.keys.iter().filter(|(_, key)| key.mode == mode).map(|(id, _)| *id).collect();
        fitting.iter().filter_map(|id| kept.keys.remove(id)).collect()
    }

    /// Drops expired keys, and those of denied tokens or users.
    pub fn prune(&self, clock: impl FnOnce() -> Timestamp, is_denied: impl Fn(&str) -> bool) {
        let mut kept = self.lock();
        kept.prune(clock(), self.max_age);
        let denied =
            kept.keys.values().filter(|key| is_denied(&key.holder) || is_denied(&key.key.token_id.to_string()));
        let denied: Vec<Uuid> = denied.map(|key| key.key.token_id).collect();
        for token_id in denied {
            kept.end(token_id);
        }
    }

    /// Keeps a key, unless the keys of this token, or all keys, were ended since it was made or taken.
    pub fn keep(&self, key: KeptKey) {
        let mut kept = self.lock();
        let ended = kept.ended.get(&key.key.token_id).copied().unwrap_or_default();
        if key.key.uses_left > 0 && key.era == TapEra(kept.all_ended) && key.ended == ended {
            kept.keys.insert(key.key.token_id, key);
        }
    }

    /// The key made by a full tap that began in this era, which may be kept. The previous key of the token is dropped,
    /// whatever becomes of this one.
    pub fn made(&self, key: ResumptionKey, mode: TokenMode, holder: &str, now: Timestamp, era: TapEra) -> KeptKey {
        let ended = self.lock().end(key.token_id);
        let proved_counter = key.counter;
        KeptKey {
            key,
            mode,
            holder: holder.to_owned(),
            proved_counter,
            by_clock: now,
            by_uptime: Instant::now(),
            vouched_until: None,
            era,
            ended,
        }
    }

    /// Drops the key of a token, even one taken out: the token was refused, or has made a full tap.
    pub fn forget(&self, token_id: Uuid) {
        self.lock().end(token_id);
    }

    /// Drops all keys, even those taken out: the terminal's key or its CA has changed.
    pub fn clear(&self) {
        self.lock().end_all();
    }

    /// Whether a full tap of a token of this mode should ask for a slot.
    pub fn wants_slot(&self, mode: TokenMode, rule: ResumeRule) -> bool {
        let known = matches!(mode, TokenMode::Open(id) if self.lock().without_slots.contains(&id));
        rule.allows(mode) && !known
    }

    /// Records that this token has no slots.
    pub fn has_no_slots(&self, token_id: Uuid) {
        let mut kept = self.lock();
        if kept.without_slots.len() >= REMEMBERED {
            kept.without_slots.clear();
        }
        kept.without_slots.insert(token_id);
    }
}

#[cfg(test)]
mod tests;
