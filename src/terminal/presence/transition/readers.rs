//! Readers and the service: what comes and goes, and what is in doubt since.

use std::collections::BTreeSet;

use super::Transition;
use crate::terminal::presence::{Change, EntryState, EventKind, ReaderSlot, StayEnd};

impl Transition<'_> {
    pub(super) fn startup(&mut self) {
        self.doubt(|_| true, true);
    }

    pub(super) fn service_lost(&mut self) {
        if !std::mem::replace(&mut self.list.service_lost, true) {
            self.changes.push(Change::Service);
            self.emit(self.event(EventKind::ServiceLost, None));
            self.doubt(|_| true, false);
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
            self.change_slot(reader, |slot| slot.attached = false);
            self.emit(self.event(EventKind::ReaderRemoved, Some(reader)));
            self.doubt(|name| name == reader, false);
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

    /// Nobody can look at these readers, or could for a while.
    pub(super) fn doubt(&mut self, at: impl Fn(&str) -> bool, anew: bool) {
        let closes = self.later(self.policy.stale_after());
        for (token_id, stay) in &mut self.list.stays {
            let hit = stay.mode == StayEnd::Field && at(&stay.entry.reader);
            if hit && (anew || stay.entry.state == EntryState::Present) {
                stay.entry.state = EntryState::Unconfirmed;
                stay.closes = Some(closes);
                self.changes.push(Change::Stay(*token_id));
            }
        }
        for (reader, slot) in &mut self.list.slots {
            let doubted = ReaderSlot { unsure: slot.insertion.is_some(), empty_at: None, ..slot.clone() };
            if at(reader) && *slot != doubted {
                *slot = doubted;
                self.changes.push(Change::ReaderSlot(reader.clone()));
            }
        }
    }
}
