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

/// So many tokens are remembered to have no slots, or to have lost a key; then all are begun with once more.
const REMEMBERED: usize = 10_000;

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
    /// How often all keys have ended: one that is out then is not taken back.
    all_ended: u64,
    /// The same of one token's keys.
    ended: HashMap<Uuid, u64>,
}

/// What had ended when a tap began, so that its key is not kept if more has ended since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapEra(u64);

/// A key, and when the full tap was that it came from.
#[derive(Debug, Clone)]
pub struct KeptKey {
    key: ResumptionKey,
    mode: TokenMode,
    /// Whose token it is: an operator may deny this user.
    holder: String,
    /// The use counter in the proof of the full tap.
    proved_counter: u32,
    by_clock: Timestamp,
    by_uptime: Instant,
    /// Until when the server vouches, where it has said so.
    vouched_until: Option<Timestamp>,
    era: TapEra,
    ended: u64,
}

impl KeptKey {
    /// The key itself.
    pub const fn key(&self) -> &ResumptionKey {
        &self.key
    }

    /// The use counter in the proof of the full tap that it came from.
    pub const fn proved_counter(&self) -> u32 {
        self.proved_counter
    }

    /// The same key with what was seen of it since; its age stays.
    #[must_use]
    pub fn used(self, key: ResumptionKey) -> Self {
        Self { key, ..self }
    }

    /// The same key, as long as the server has said; an earlier one does not say how long.
    #[must_use]
    pub fn vouched(self, until: Option<Timestamp>) -> Self {
        Self { vouched_until: until, ..self }
    }

    /// Whether it may be used at this time: the full tap is not too old, by the larger of what both clocks say, and the
    /// certificates that it rested on have not ended, nor what the server vouches for.
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

    /// Ends those of one token; how often that was done now.
    fn end(&mut self, token_id: Uuid) -> u64 {
        if self.ended.len() >= REMEMBERED {
            self.end_all();
        }
        self.keys.remove(&token_id);
        let ended = self.ended.entry(token_id).or_default();
        *ended += 1;
        *ended
    }

    /// Drops what has ended by itself. The clock is read while nobody else looks at it.
    fn prune(&mut self, now: Timestamp, max_age: Duration) {
        if now < self.latest {
            self.end_all();
        }
        self.latest = now;
        self.keys.retain(|_, key| key.holds(now, max_age));
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

    /// A tap begins.
    pub fn begin(&self) -> TapEra {
        TapEra(self.lock().all_ended)
    }

    /// Takes out the keys that a token of this mode may hold: its own, or those of its set. Whoever takes one gives it
    /// back with [`Self::keep`], unless it is to die.
    pub fn take(&self, mode: TokenMode, rule: ResumeRule, clock: impl FnOnce() -> Timestamp) -> Vec<KeptKey> {
        let mut kept = self.lock();
        kept.prune(clock(), self.max_age);
        if !rule.allows(mode) {
            return Vec::new();
        }
        let fitting: Vec<Uuid> = kept.keys.iter().filter(|(_, key)| key.mode == mode).map(|(id, _)| *id).collect();
        fitting.iter().filter_map(|id| kept.keys.remove(id)).collect()
    }

    /// Drops what is too old, and whose tokens or users are denied.
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

    /// Keeps a key, unless this token's keys, or all, have ended since it was made or taken.
    pub fn keep(&self, key: KeptKey) {
        let mut kept = self.lock();
        let ended = kept.ended.get(&key.key.token_id).copied().unwrap_or_default();
        if key.key.uses_left > 0 && key.era == TapEra(kept.all_ended) && key.ended == ended {
            kept.keys.insert(key.key.token_id, key);
        }
    }

    /// A full tap that began in this era, and made this key now, which may be kept. The key before it is gone, whatever
    /// becomes of this one.
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

    /// Destroys the key of a token, also one that is out: it was refused, or has made a full tap.
    pub fn forget(&self, token_id: Uuid) {
        self.lock().end(token_id);
    }

    /// Destroys all keys, also those that are out: the terminal's key or its CA is another.
    pub fn clear(&self) {
        self.lock().end_all();
    }

    /// Whether a full tap of a token of this mode asks for a slot.
    pub fn wants_slot(&self, mode: TokenMode, rule: ResumeRule) -> bool {
        let known = matches!(mode, TokenMode::Open(id) if self.lock().without_slots.contains(&id));
        rule.allows(mode) && !known
    }

    /// This token has no slots.
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
