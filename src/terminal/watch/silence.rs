//! What a watch does about cards and readers that do not answer: it doubts who lies there, and asks again.

use std::time::{Duration, Instant};

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

    /// Keeps those in doubt who lie at a reader that hangs, or at one that shows a card with which each exchange fails: it is the
    /// reader that does not answer, and they may well lie there.
    pub(super) fn keep_at_hanging(&mut self, now: Timestamp) -> Result<(), Failure> {
        // Where no card was seen last, or the reader is unavailable, nobody asks again.
        let asked = self.unanswered.readers().filter(|reader| self.pool.contains(reader));
        let hanging = asked.filter(|reader| hangs(reader)).chain(self.unanswered.broken());
        let mut hanging: Vec<_> = hanging.cloned().collect();
        // As a rule: the list need not be read for it.
        if hanging.is_empty() {
            return Ok(());
        }
        let soon = now.checked_add(self.config.context.policy.stale_after() / 2).unwrap_or(Timestamp::MAX);
        let closing = self.store.list()?.closing_by(soon);
        hanging.retain(|reader| closing.contains(reader.as_str()));
        hanging.into_iter().try_for_each(|reader| self.apply(&Input::Hangs { reader }))
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
