//! Taps in mode toggle that are one tap: a card that bounces.

use uuid::Uuid;

use super::Transition;
use crate::terminal::presence::{Change, list::LastTap};

impl Transition<'_> {
    /// Whether a tap of this token here is still its last one.
    pub(super) fn bounces(&self, reader: &str, token_id: Uuid) -> bool {
        self.list.taps.get(&token_id).is_some_and(|last| last.reader == reader && self.may_bounce(last))
    }

    /// Remembers this one, and forgets what cannot bounce any more.
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

    /// Whatever the clock was set to meanwhile.
    fn may_bounce(&self, last: &LastTap) -> bool {
        self.now.duration_since(last.at).unsigned_abs() < self.policy.min_stay()
    }
}
