//! Readers and the service: what is added or lost, and which entries become unconfirmed by that.

use std::collections::BTreeSet;

use super::Transition;
use crate::failure::ErrorObject;
use crate::terminal::presence::{Change, EntryState, Event, EventKind, ReaderSlot, Reason, StayEnd};

impl Transition<'_> {
    pub(super) fn startup(&mut self) {
        self.doubt(|_| true, true, Reason::Restart);
    }

    pub(super) fn service_lost(&mut self) {
        if !std::mem::replace(&mut self.list.service_lost, true) {
            self.changes.push(Change::Service);
            self.emit(self.event(EventKind::ServiceLost, None));
            self.doubt(|_| true, false, Reason::ServiceLost);
        }
    }

    pub(super) fn service_back(&mut self) {
        if std::mem::take(&mut self.list.service_lost) {
            self.changes.push(Change::Service);
            self.emit(self.event(EventKind::ServiceBack, None));
        }
    }

    pub(super) fn reader_added(&mut self, reader: &str) {
        if !self.slot(reader).attached {
            self.change_slot(reader, |slot| slot.attached = true);
            self.emit(self.event(EventKind::ReaderAdded, Some(reader)));
        }
    }

    pub(super) fn reader_removed(&mut self, reader: &str) {
        if self.slot(reader).attached {
            self.change_slot(reader, |slot| (slot.attached, slot.unavailable) = (false, false));
            self.emit(self.event(EventKind::ReaderRemoved, Some(reader)));
            self.doubt(|name| name == reader, false, Reason::ReaderRemoved);
        }
    }

    pub(super) fn reader_unavailable(&mut self, reader: &str, error: &ErrorObject) {
        if !self.slot(reader).unavailable {
            self.change_slot(reader, |slot| slot.unavailable = true);
            let event = self.event(EventKind::ReaderUnavailable, Some(reader));
            self.emit(Event { error: Some(error.clone()), ..event });
            self.doubt(|name| name == reader, false, Reason::ReaderUnavailable);
        }
    }

    pub(super) fn reader_available(&mut self, reader: &str) {
        if self.slot(reader).unavailable {
            self.change_slot(reader, |slot| slot.unavailable = false);
            self.emit(self.event(EventKind::ReaderAvailable, Some(reader)));
        }
    }

    pub(super) fn readers(&mut self, attached: &BTreeSet<String>) {
        let known = self.list.slots.iter().filter(|(_, slot)| slot.attached);
        let gone: Vec<_> = known.map(|(name, _)| name).filter(|name| !attached.contains(*name)).cloned().collect();
        for reader in &gone {
            self.reader_removed(reader);
        }
        for reader in attached {
            self.reader_added(reader);
        }
    }

    /// Marks entries and slots of these readers as unconfirmed: nobody can or could watch them.
    fn doubt(&mut self, at: impl Fn(&str) -> bool, anew: bool, reason: Reason) {
        self.doubt_stays(&at, anew, reason);
        for (reader, slot) in &mut self.list.slots {
            let doubted = ReaderSlot { unsure: slot.insertion.is_some(), empty_at: None, ..slot.clone() };
            if at(reader) && *slot != doubted {
                *slot = doubted;
                self.changes.push(Change::ReaderSlot(reader.clone()));
            }
        }
    }

    /// Marks the entries at these readers as unconfirmed, to be closed after `stale_after`; with `anew`, restarts that
    /// time for those already unconfirmed.
    pub(super) fn doubt_stays(&mut self, at: impl Fn(&str) -> bool, anew: bool, reason: Reason) {
        let closes = self.later(self.policy.stale_after());
        let mut doubted = Vec::new();
        for (token_id, stay) in &mut self.list.stays {
            let hit = stay.mode == StayEnd::Field && at(&stay.entry.reader);
            let known = stay.entry.state == EntryState::Unconfirmed;
            if hit && (anew || !known) {
                stay.entry.state = EntryState::Unconfirmed;
                stay.closes = Some(closes);
                self.changes.push(Change::Stay(*token_id));
                doubted.extend((!known).then(|| stay.entry.clone()));
            }
        }
        for entry in doubted {
            let event = self.event_of(EventKind::Unconfirmed, &entry);
            self.emit(Event { reason: Some(reason), ..event });
        }
    }

    /// Restarts that time for the unconfirmed entries at these readers.
    pub(super) fn keep_in_doubt(&mut self, readers: &BTreeSet<String>) {
        let closes = self.later(self.policy.stale_after());
        for (token_id, stay) in &mut self.list.stays {
            let is_doubted = stay.mode == StayEnd::Field && stay.entry.state == EntryState::Unconfirmed;
            if is_doubted && readers.contains(&stay.entry.reader) {
                stay.closes = Some(closes);
                self.changes.push(Change::Stay(*token_id));
            }
        }
    }
}
