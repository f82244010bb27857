//! What a watch does about cards and readers that do not answer: it doubts who lies there, and asks again.

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
    /// Doubts whoever has not answered for too long, and says when the next will have been silent so long.
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
            // A worker that took the card for gone does not ask by itself.
            if let Some(insertion) = self.unanswered.lying(&reader).filter(|_| !self.unanswered.contains(&reader)) {
                self.unanswered.failed(&reader, insertion, true, Instant::now());
            }
        }
    }

    /// Keeps those in doubt of whom nobody can say that they have left: the service hangs, or their reader does, or does not work, or
    /// shows a card with which each exchange fails.
    pub(super) fn keep_at_hanging(&mut self, now: Timestamp) -> Result<(), Failure> {
        let soon = now.checked_add(self.config.context.policy.stale_after() / 2).unwrap_or(Timestamp::MAX);
        let list = self.store.list()?;
        let is_kept = |reader: &&str| {
            // Where no card was seen last nobody asks again.
            let is_silent = self.unanswered.lying(reader).is_some() && hangs(reader);
            let is_unavailable = list.slot(reader).is_some_and(|slot| slot.unavailable);
            self.service_hangs
                || self.pool.contains(reader) && (is_silent || is_unavailable)
                || self.unanswered.is_broken(reader)
        };
        let readers: BTreeSet<_> = list.closing_by(soon).into_iter().filter(is_kept).map(str::to_owned).collect();
        if readers.is_empty() { Ok(()) } else { self.apply(&Input::Hang { readers }) }
    }

    /// Has the cards tapped again that did not answer, and says how long it is until the next.
    pub(super) fn ask_again(&mut self, now: Instant) -> Option<Duration> {
        for (reader, insertion) in self.unanswered.due(now) {
            self.pool.tap_again(&reader, insertion);
        }
        self.unanswered.next().map(|due| due.saturating_duration_since(now))
    }

    /// Sees to it that a card which did not answer is asked again.
    pub(super) fn fails(&mut self, reader: &str, insertion: Insertion) -> Result<(), Failure> {
        let is_expected = self.store.list()?.is_expected(reader);
        self.unanswered.failed(reader, insertion, is_expected, Instant::now());
        Ok(())
    }
}
