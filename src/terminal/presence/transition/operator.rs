//! Commands of the operator: clear, deny, allow, and entries by hand.

use jiff::Timestamp;
use uuid::Uuid;

use super::Transition;
use crate::terminal::presence::{
    Change, CheckIn, Entry, EntryState, Event, EventKind, Hand, Holder, PresenceMode, Reason, Stay, StayEnd,
};

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

    /// Enters a token as a tap at that reader and time would have, except that lifting a card does not end it.
    pub(super) fn check_in(&mut self, entered: &CheckIn) {
        let CheckIn { holder, reader, at, hand } = entered;
        // A manual entry confirms nobody: entries due to be closed at this moment are closed first.
        self.close_stale();
        self.count_empty();
        if self.denies(holder) || self.list.stays.contains_key(&holder.token_id) {
            return;
        }
        let at = self.entered_at(*at);
        let (mode, closes) = match self.policy.presence(reader) {
            PresenceMode::Field | PresenceMode::Toggle => (StayEnd::Toggle, None),
            PresenceMode::Until(time) => (StayEnd::Until, Some(at.checked_add(time).unwrap_or(Timestamp::MAX))),
        };
        let entry = Entry {
            token_id: holder.token_id,
            user: holder.user.clone(),
            reader: reader.clone(),
            since: at,
            last_seen: at,
            state: EntryState::Present,
            source: holder.source,
            authenticated: false,
            resumed: false,
        };
        let event = self.event_of(EventKind::CheckedIn, &entry);
        self.list.stays.insert(holder.token_id, Stay { entry, mode, closes });
        self.changes.push(Change::Stay(holder.token_id));
        self.forget_tap(holder.token_id);
        let (source, authenticated) = (Some(holder.source), Some(false));
        self.emit(Event { at, source, authenticated, ..signed(event, hand) });
        self.expire();
    }

    /// Ends an entry at the given time, but not before its arrival or after now.
    pub(super) fn check_out(&mut self, token_id: Uuid, at: Timestamp, hand: &Hand) {
        let Some(since) = self.list.stays.get(&token_id).map(|stay| stay.entry.since) else { return };
        let at = self.entered_at(at).max(since);
        self.take_off(token_id, EventKind::CheckedOut, at, hand);
    }

    pub(super) fn remove(&mut self, token_id: Uuid, hand: &Hand) {
        self.take_off(token_id, EventKind::Removed, self.now, hand);
    }

    fn take_off(&mut self, token_id: Uuid, kind: EventKind, at: Timestamp, hand: &Hand) {
        let Some(Stay { entry, .. }) = self.list.stays.remove(&token_id) else { return };
        self.changes.push(Change::Stay(token_id));
        self.forget_tap(token_id);
        self.forget(|holder| holder.token_id == token_id);
        self.emit(Event { at, ..signed(self.event_of(kind, &entry), hand) });
    }

    /// Truncated to the millisecond, as the store keeps it.
    fn entered_at(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(self.now).min(self.now)
    }

    /// Forgets the cards in the readers, so that they need a new tap.
    pub(super) fn forget(&mut self, which: impl Fn(&Holder) -> bool) {
        for (reader, slot) in &mut self.list.slots {
            if slot.held.take_if(|held| which(held)).is_some() {
                self.changes.push(Change::ReaderSlot(reader.clone()));
            }
        }
    }
}

/// Adds who entered it, and why.
fn signed(event: Event, hand: &Hand) -> Event {
    Event { by: Some(hand.by.clone()), note: hand.note.clone(), ..event }
}
