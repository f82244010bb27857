//! Entries: how they get onto the list, stay there, and leave it.

use jiff::Timestamp;
use uuid::Uuid;

use super::Transition;
use crate::terminal::presence::{
    Change, Entry, EntryState, Event, EventKind, Holder, PresenceMode, Reason, Stay, StayEnd, Tap,
};

impl Transition<'_> {
    pub(super) fn arrive(&mut self, reader: &str, holder: &Holder, presence: PresenceMode) {
        let (mode, closes) = self.ending(presence);
        let entry = Entry {
            token_id: holder.token_id,
            user: holder.user.clone(),
            reader: reader.to_owned(),
            since: self.now,
            last_seen: self.now,
            state: EntryState::Present,
            source: holder.source,
            authenticated: holder.authenticated,
            resumed: holder.resumed,
        };
        self.list.stays.insert(holder.token_id, Stay { entry, mode, closes });
        self.changes.push(Change::Stay(holder.token_id));
        self.emit(Event {
            token_id: Some(holder.token_id),
            user: Some(holder.user.clone()),
            source: Some(holder.source),
            authenticated: Some(holder.authenticated),
            resumed: holder.resumed.then_some(true),
            ..self.event(EventKind::Arrived, Some(reader))
        });
    }

    pub(super) fn leave(&mut self, token_id: Uuid, reason: Reason) {
        self.leave_at(token_id, reason, self.now);
    }

    pub(super) fn leave_at(&mut self, token_id: Uuid, reason: Reason, at: Timestamp) {
        if let Some(Stay { entry, .. }) = self.list.stays.remove(&token_id) {
            self.changes.push(Change::Stay(token_id));
            if !matches!(reason, Reason::Toggled | Reason::Updated) {
                self.forget_tap(token_id);
            }
            self.emit(Event {
                at,
                token_id: Some(token_id),
                user: Some(entry.user),
                reason: Some(reason),
                ..self.event(EventKind::Left, Some(&entry.reader))
            });
        }
    }

    pub(super) fn end_field_stays(&mut self, reader: &str, reason: Reason) {
        let stays = self.list.stays.values();
        let there = stays.filter(|stay| stay.mode == StayEnd::Field && stay.entry.reader == reader);
        let over: Vec<_> = there.map(|stay| stay.entry.token_id).collect();
        for token_id in over {
            self.leave(token_id, reason);
        }
    }

    pub(super) fn refresh(&mut self, token_id: Uuid, presence: PresenceMode, renew: bool) {
        let (mode, closes) = self.ending(presence);
        let now = self.now;
        if let Some(stay) = self.list.stays.get_mut(&token_id) {
            let keep = mode == StayEnd::Until && stay.mode == StayEnd::Until && !renew;
            let closes = if keep { stay.closes } else { closes };
            *stay = Stay { mode, closes, entry: stay.entry.clone() };
            stay.entry.last_seen = now;
            let before = std::mem::replace(&mut stay.entry.state, EntryState::Present);
            let confirmed = (before == EntryState::Unconfirmed).then(|| stay.entry.clone());
            self.changes.push(Change::Stay(token_id));
            if let Some(entry) = confirmed {
                self.emit(self.event_of(EventKind::Confirmed, &entry));
            }
        }
    }

    /// An event about an entry.
    pub(super) fn event_of(&self, event: EventKind, entry: &Entry) -> Event {
        let (token_id, user) = (Some(entry.token_id), Some(entry.user.clone()));
        Event { token_id, user, ..self.event(event, Some(&entry.reader)) }
    }

    pub(super) fn ending(&self, presence: PresenceMode) -> (StayEnd, Option<Timestamp>) {
        match presence {
            PresenceMode::Field => (StayEnd::Field, None),
            PresenceMode::Toggle => (StayEnd::Toggle, None),
            PresenceMode::Until(time) => (StayEnd::Until, Some(self.later(time))),
        }
    }

    pub(super) fn hold(&mut self, tap: &Tap, same: bool) {
        self.change_slot(&tap.reader, |slot| {
            if !same && !slot.is_insertion(tap.insertion) {
                slot.turn_over(None);
            }
            slot.insertion = Some(tap.insertion);
            (slot.unsure, slot.empty_at) = (false, None);
            slot.held = Some(tap.holder.clone());
        });
    }
}
