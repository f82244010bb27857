//! Bouncing cards: several taps in mode toggle that count as one.

use uuid::Uuid;

use super::Transition;
use crate::terminal::presence::{Change, list::LastTap};

impl Transition<'_> {
    /// Whether a tap of this token here still counts as its last one.
    pub(super) fn bounces(&self, reader: &str, token_id: Uuid) -> bool {
        self.list.taps.get(&token_id).is_some_and(|last| last.reader == reader && self.may_bounce(last))
    }

    /// Remembers this tap, and drops those that can no longer bounce.
    pub(super) fn remember_tap(&mut self, reader: &str, token_id: Uuid) {
        let over = self.list.taps.iter().filter(|(_, last)| !self.may_bounce(last));
        let over: Vec<_> = over.map(|(token_id, _)| *token_id).collect();
        for old in over {
            self.forget_tap(old);
        }
        if !self.policy.min_stay().is_zero() {
            self.list.taps.insert(token_id, LastTap { reader: reader.to_owned(), at: self.now });
            self.changes.push(Change::Tapped(token_id));
        }
    }

    pub(super) fn forget_tap(&mut self, token_id: Uuid) {
        if self.list.taps.remove(&token_id).is_some() {
            self.changes.push(Change::Tapped(token_id));
        }
    }

    /// The time since the tap, in either direction: the clock may have been set in between.
    fn may_bounce(&self, last: &LastTap) -> bool {
        self.now.duration_since(last.at).unsigned_abs() < self.policy.min_stay()
    }
}
