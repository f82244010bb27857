//! Handles cards and readers that do not answer: marks their entries as unconfirmed, and retries.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::WatchRun;
use crate::{
    failure::Failure,
    reader::{Insertion, pcsc::hangs},
    terminal::presence::Input,
};

impl WatchRun<'_> {
    /// Marks entries as unconfirmed that were silent for too long; returns when the next one will have been.
    pub(super) fn doubt_silent(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        let Some(heartbeat) = self.config.pool.heartbeat else { return Ok(None) };
        let limit = self.config.context.policy.stale_after().max(heartbeat * 2);
        loop {
            let watched = self.store.list()?.lying().filter(|(reader, _)| self.pool.contains(reader));
            let Some((reader, seen)) = watched.min_by_key(|(_, seen)| *seen) else { return Ok(None) };
            let at = seen.checked_add(limit).unwrap_or(Timestamp::MAX);
            if at > now {
                return Ok(Some(at));
            }
            let reader = reader.to_owned();
            self.apply(&Input::Silent { reader: reader.clone() })?;
            // A worker that believed the card was gone does not retry by itself.
            if let Some(insertion) = self.unanswered.lying(&reader).filter(|_| !self.unanswered.contains(&reader)) {
                self.unanswered.failed(&reader, insertion, true, Instant::now());
            }
        }
    }

    /// Extends unconfirmed entries whose holders nobody can say have left: the service or the reader hangs, the reader
    /// does not work, or it shows a card with which every exchange fails.
    pub(super) fn keep_at_hanging(&mut self, now: Timestamp) -> Result<(), Failure> {
        let soon = now.checked_add(self.config.context.policy.stale_after() / 2).unwrap_or(Timestamp::MAX);
        let list = self.store.list()?;
        let is_kept = |reader: &&str| {
            // If no card was seen there last, nothing is retried.
            let is_silent = self.unanswered.lying(reader).is_some() && hangs(reader);
            let is_unavailable = list.slot(reader).is_some_and(|slot| slot.unavailable);
            self.service_hangs
                || self.pool.contains(reader) && (is_silent || is_unavailable)
                || self.unanswered.is_broken(reader)
        };
        let readers: BTreeSet<_> = list.closing_by(soon).into_iter().filter(is_kept).map(str::to_owned).collect();
        if readers.is_empty() { Ok(()) } else { self.apply(&Input::Hang { readers }) }
    }

    /// Has due cards tapped again that did not answer; returns the time until the next is due.
    pub(super) fn ask_again(&mut self, now: Instant) -> Option<Duration> {
        for (reader, insertion) in self.unanswered.due(now) {
            self.pool.tap_again(&reader, insertion);
        }
        self.unanswered.next().map(|due| due.saturating_duration_since(now))
    }

    /// Schedules another try of a card that did not answer.
    pub(super) fn fails(&mut self, reader: &str, insertion: Insertion) -> Result<(), Failure> {
        let is_expected = self.store.list()?.is_expected(reader);
        self.unanswered.failed(reader, insertion, is_expected, Instant::now());
        Ok(())
    }
}
