//! What the operator does: clear, deny, allow.

use super::Transition;
use crate::terminal::presence::{Change, Entry, Holder, Reason};

impl Transition<'_> {
    pub(super) fn clear(&mut self) {
        let all: Vec<_> = self.list.stays.keys().copied().collect();
        for token_id in all {
            self.leave(token_id, Reason::Cleared);
        }
        self.forget(|_| true);
    }

    pub(super) fn deny(&mut self, id: &str) {
        if self.list.denied.insert(id.to_owned()) {
            self.changes.push(Change::Denied(id.to_owned()));
        }
        let hit = |entry: &Entry| entry.user.id == id || entry.token_id.to_string() == id;
        let over: Vec<_> = self.list.entries().filter(|entry| hit(entry)).map(|entry| entry.token_id).collect();
        for token_id in over {
            self.leave(token_id, Reason::Denied);
        }
        self.forget(|holder| holder.user.id == id || holder.token_id.to_string() == id);
    }

    pub(super) fn allow(&mut self, id: &str) {
        if self.list.denied.remove(id) {
            self.changes.push(Change::Denied(id.to_owned()));
        }
    }

    /// Cards that lie there need a new tap.
    pub(super) fn forget(&mut self, which: impl Fn(&Holder) -> bool) {
        for (reader, slot) in &mut self.list.slots {
            if slot.held.take_if(|held| which(held)).is_some() {
                self.changes.push(Change::ReaderSlot(reader.clone()));
            }
        }
    }
}
