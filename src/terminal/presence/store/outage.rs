//! Keeps a watch running while the store cannot be written: the list stays correct in memory, and what happened is
//! written as soon as possible, in order and under the numbers already reported.
//!
//! What is reported in the meantime is not on disk: a watch killed before it could write loses it. If another process
//! changed the list first, what happened here is applied again to that list, and gets new numbers.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};
use uuid::Uuid;

use super::tokens::write_heartbeat;
use super::work::ListTransaction;
use super::{PATIENCE_OF_WATCH, Sync, TerminalStore, TerminalStoreError, begin, data_version, rows};
use crate::failure::Failure;
use crate::terminal::presence::{Change, Event, Input, Policy, PresenceList};

/// The most events that wait in memory: days of a busy door, about 20 MB. The oldest are dropped first.
pub(super) const EVENTS_KEPT: usize = if cfg!(test) { 200 } else { 50_000 };
/// The first and the longest pause between attempts to write.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// How long an attempt waits for another process: nobody at a reader should have to wait for it.
const BRIEF: Duration = Duration::from_millis(50);

/// What a watch has to report about its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNotice {
    /// It cannot be written; reported once for each cause until it can.
    Lost(Failure),
    /// It can be written again.
    Back {
        /// The number of events reported in the meantime and stored now.
        stored: u64,
        /// How many of them have a new number because another process took the reported one.
        renumbered: u64,
        /// How many were dropped because there were too many.
        dropped: u64,
    },
    /// Another process deleted the data of a person named in reported events: show only what is still in the store.
    Forgotten,
}

/// Heartbeat times by token and reader.
pub(super) type Heartbeats = BTreeMap<(Uuid, String), (Duration, Timestamp)>;

/// What is waiting to be written.
#[derive(Debug)]
pub(super) struct Outage {
    code: &'static str,
    /// The list in the store, as far as is known.
    base: PresenceList,
    inputs: VecDeque<(Timestamp, Input)>,
    events: VecDeque<Event>,
    /// Changes other than events.
    changes: Vec<Change>,
    pub(super) counters: BTreeMap<Uuid, u32>,
    /// The least times of tokens at readers, and when each token was last there.
    pub(super) heartbeats: Heartbeats,
    dropped: u64,
    pause: Duration,
    pub(super) retry_at: Instant,
}

impl Outage {
    fn add(&mut self, input: &Input, now: Timestamp, changes: Vec<Change>) -> Vec<Event> {
        let mut told = Vec::new();
        for change in changes {
            match change {
                Change::Event(event) => told.push(*event),
                other if self.changes.contains(&other) => {}
                other => self.changes.push(other),
            }
        }
        if !told.is_empty() || !input.is_routine() {
            self.inputs.push_back((now, input.clone()));
        }
        self.events.extend(told.iter().cloned());
        self.bound();
        told
    }

    fn bound(&mut self) {
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
            self.dropped += 1;
        }
        while self.inputs.len() > EVENTS_KEPT {
            self.inputs.pop_front();
        }
    }
}

impl TerminalStore {
    /// From now on, what cannot be written is kept in memory instead of failing.
    pub(super) fn go_on_without_writing(&mut self) -> Result<(), TerminalStoreError> {
        self.resilient = true;
        self.query(|db| db.busy_timeout(PATIENCE_OF_WATCH))
    }

    /// From now on a scan continues when the store cannot be written: use counters are kept in memory until
    /// [`Self::deliver`] can write them.
    pub const fn read_on(&mut self) {
        self.resilient = true;
    }

    /// Lets the next delivery be tried at once, however recently the last one failed.
    pub fn retry_at_once(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.retry_at = Instant::now();
        }
    }

    /// The notices since the last call.
    pub fn notices(&mut self) -> Vec<StoreNotice> {
        std::mem::take(&mut self.notices)
    }

    /// The time until the next attempt to write what waits: make it with the next input, or [`Self::catch_up`].
    pub fn retries_in(&self) -> Option<Duration> {
        self.outage.as_ref().map(|outage| outage.retry_at.saturating_duration_since(Instant::now()))
    }

    /// Switches to keeping changes in memory after this error, or returns the error if that is not possible.
    pub(super) fn endure(&mut self, error: TerminalStoreError) -> Result<(), TerminalStoreError> {
        if !self.resilient {
            return Err(error);
        }
        if self.outage.is_some() {
            self.postpone(&error);
            return Ok(());
        }
        if self.memory.is_none() && self.reread().is_err() {
            return Err(error);
        }
        let Some(memory) = &self.memory else { return Err(error) };
        self.outage = Some(Outage {
            code: "",
            base: memory.list.clone(),
            inputs: VecDeque::new(),
            events: VecDeque::new(),
            changes: Vec::new(),
            counters: BTreeMap::new(),
            heartbeats: Heartbeats::new(),
            dropped: 0,
            pause: PAUSE.0,
            retry_at: Instant::now(),
        });
        self.postpone(&error);
        Ok(())
    }

    fn postpone(&mut self, error: &TerminalStoreError) {
        let Some(outage) = &mut self.outage else { return };
        outage.retry_at = Instant::now() + outage.pause;
        outage.pause = (outage.pause * 2).min(PAUSE.1);
        let failure = error.to_failure();
        if outage.code != failure.code {
            outage.code = failure.code;
            self.notices.push(StoreNotice::Lost(failure));
        }
    }

    /// Applies an input to the list in memory only.
    pub(super) fn apply_in_memory(&mut self, input: &Input, now: Timestamp, policy: &dyn Policy) -> Vec<Event> {
        let (Some(memory), Some(outage)) = (&mut self.memory, &mut self.outage) else { return Vec::new() };
        let changes = memory.list.apply(input, now, policy);
        memory.given = memory.list.seq();
        outage.add(input, now, changes)
    }

    /// Writes what waits, if an attempt is due: returns the events not reported yet, or `None` while it fails.
    pub(super) fn recovered(&mut self, policy: &dyn Policy) -> Option<Vec<Event>> {
        match &self.outage {
            None => Some(Vec::new()),
            Some(outage) if outage.retry_at > Instant::now() => None,
            Some(_) => match self.write_back(policy) {
                Ok(events) => Some(events),
                Err(error) => {
                    self.postpone(&error);
                    None
                }
            },
        }
    }

    /// Writes what waits; if that fails, everything stays as it is.
    pub(super) fn write_back(&mut self, policy: &dyn Policy) -> Result<Vec<Event>, TerminalStoreError> {
        self.reopen()?;
        self.synchronise(Sync::Full)?;
        let (Some(memory), Some(outage)) = (&mut self.memory, &self.outage) else { return Ok(Vec::new()) };
        let path = self.path.as_path();
        let wrap = |error: rusqlite::Error| TerminalStoreError::database(path, &error);
        self.db.busy_timeout(BRIEF).map_err(wrap)?;
        let attempt = || {
            let tx = begin(&self.db, TransactionBehavior::Immediate).map_err(wrap)?;
            let (version, stored) = (data_version(&tx).map_err(wrap)?, rows::load(&tx).map_err(wrap)?);
            let mut work = ListTransaction::new(&tx, path, stored);
            let unchanged = work.list == outage.base;
            if unchanged {
                work.list = memory.list.clone();
                let told = outage.events.iter().map(|event| Change::Event(Box::new(event.clone())));
                let changes: Vec<_> = told.chain(outage.changes.iter().cloned()).collect();
                work.wrap(rows::save(&tx, &work.list, &changes))?;
            } else {
                outage.inputs.iter().try_for_each(|(at, input)| work.apply(input, *at, policy))?;
            }
            work.watching(true)?;
            work.wrap(write_counters(&tx, &outage.counters))?;
            work.wrap(write_heartbeats(&tx, &outage.heartbeats))?;
            let events = if unchanged { Vec::new() } else { work.wrap(events_after(&tx, outage.base.seq()))? };
            let list = work.list;
            tx.commit().map_err(wrap)?;
            Ok((list, version, events))
        };
        let done = attempt();
        self.db.busy_timeout(PATIENCE_OF_WATCH).map_err(wrap)?;
        let (list, version, events) = done?;
        (memory.given, memory.list, memory.version) = (list.seq(), list, version);
        let Some(mut outage) = self.outage.take() else { return Ok(events) };
        let stored = outage.events.len() as u64;
        let (fresh, renumbered) = compare(events, &mut outage.events);
        self.notices.push(StoreNotice::Back { stored, renumbered, dropped: outage.dropped });
        Ok(fresh)
    }

    /// Whether this counter is greater than the last one; if so, keeps it in memory until it can be written.
    pub(super) fn record_counter_in_memory(
        &mut self,
        token_id: Uuid,
        counter: u32,
    ) -> Result<bool, TerminalStoreError> {
        let last = self.counter(token_id)?;
        let risen = last.is_none_or(|last| counter > last);
        if let (Some(outage), true) = (&mut self.outage, risen) {
            outage.counters.insert(token_id, counter);
        }
        Ok(risen)
    }

    /// The counter of a token that is waiting to be written.
    pub(super) fn waiting_counter(&self, token_id: Uuid) -> Option<u32> {
        self.outage.as_ref()?.counters.get(&token_id).copied()
    }

    /// Keeps the time of a heartbeat in memory until it can be written.
    pub(super) fn keep_heartbeat_in_memory(
        &mut self,
        token_id: Uuid,
        reader: &str,
        (took, now): (Duration, Timestamp),
    ) {
        let Some(outage) = &mut self.outage else { return };
        let kept = outage.heartbeats.entry((token_id, reader.to_owned())).or_insert((took, now));
        *kept = (kept.0.min(took), kept.1.max(now));
    }

    /// The least time of a token at a reader that is waiting to be written.
    pub(super) fn waiting_heartbeat(&self, token_id: Uuid, reader: &str) -> Option<Duration> {
        self.outage.as_ref()?.heartbeats.get(&(token_id, reader.to_owned())).map(|(least, _)| *least)
    }

    /// The number of events that would be lost if the process ended now.
    pub(super) fn waiting(&self) -> usize {
        self.outage.as_ref().map_or(0, |outage| outage.events.len())
    }
}

/// The events not reported yet, and how many of the reported ones got a new number.
fn compare(stored: Vec<Event>, told: &mut VecDeque<Event>) -> (Vec<Event>, u64) {
    let (mut fresh, mut renumbered) = (Vec::new(), 0);
    for event in stored {
        match told.iter().position(|other| Event { seq: event.seq, ..other.clone() } == event) {
            Some(at) => renumbered += u64::from(told.remove(at).is_some_and(|other| other.seq != event.seq)),
            None => fresh.push(event),
        }
    }
    (fresh, renumbered)
}

fn events_after(db: &Connection, seq: u64) -> rusqlite::Result<Vec<Event>> {
    let sql = "SELECT * FROM events WHERE seq > ?1 ORDER BY seq";
    db.prepare_cached(sql)?.query_map([seq.cast_signed()], rows::event)?.collect()
}

pub(super) fn write_counters(db: &Connection, counters: &BTreeMap<Uuid, u32>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT DO UPDATE SET counter = max(counter, excluded.counter)";
    let mut insert = db.prepare_cached(sql)?;
    counters.iter().try_for_each(|(id, counter)| insert.execute(params![id.as_bytes(), counter]).map(drop))
}

pub(super) fn write_heartbeats(db: &Connection, heartbeats: &Heartbeats) -> rusqlite::Result<()> {
    heartbeats.iter().try_for_each(|((token_id, reader), kept)| write_heartbeat(db, *token_id, reader, *kept))
}
