//! One input at work on the list, by the rules of the module's documentation.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::event::{Entry, EntryState, Event, EventKind, Reason};
use super::input::{Holder, Input, Refused, Tap};
use super::list::{Change, PresenceList, ReaderSlot, Stay, StayEnd};
use super::policy::{Policy, Presence};
use crate::failure::{ExitClass, Failure};

impl PresenceList {
    /// Takes one input at the time `now` (cut to the millisecond).
    pub fn apply(&mut self, input: &Input, now: Timestamp, policy: &dyn Policy) -> Vec<Change> {
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        Transition::new(self, now, policy).run(input)
    }
}

/// One input at work.
struct Transition<'a> {
    list: &'a mut PresenceList,
    now: Timestamp,
    policy: &'a dyn Policy,
    changes: Vec<Change>,
}

impl<'a> Transition<'a> {
    /// `now` is a whole number of milliseconds, as the store keeps it.
    const fn new(list: &'a mut PresenceList, now: Timestamp, policy: &'a dyn Policy) -> Self {
        Self { list, now, policy, changes: Vec::new() }
    }

    fn run(mut self, input: &Input) -> Vec<Change> {
        self.expire();
        self.take(input);
        self.close_stale();
        self.count_empty();
        self.changes
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::Startup => self.startup(),
            Input::Tap(tap) if tap.holder.authenticated => self.tap(tap),
            Input::Tap(tap) => self.identified(tap),
            Input::Seen { reader, token_id } => self.seen(reader, *token_id),
            Input::Lifted { reader } => self.vacated(reader, Reason::Lifted),
            Input::Empty { reader } => self.vacated(reader, Reason::Gone),
            Input::Vacant { reader } => self.vacant(reader),
            Input::Refused(refused) => self.refused(refused),
            Input::ReaderAdded { reader } => self.reader_added(reader),
            Input::ReaderRemoved { reader } => self.reader_removed(reader),
            Input::Readers { attached } => self.readers(attached),
            Input::ServiceLost => self.service_lost(),
            Input::ServiceBack => self.service_back(),
            Input::Tick => {}
            Input::Clear => self.clear(),
            Input::Deny { id } => self.deny(id),
            Input::Allow { id } => self.allow(id),
        }
    }

    // Time.

    fn expire(&mut self) {
        let mut over: Vec<_> = self.due(StayEnd::Until).collect();
        over.sort_unstable();
        for (closes, token_id) in over {
            self.leave_at(token_id, Reason::Expired, closes);
        }
    }

    fn close_stale(&mut self) {
        let over: Vec<_> = self.due(StayEnd::Field).collect();
        for (_, token_id) in over {
            self.leave(token_id, Reason::Stale);
        }
    }

    fn count_empty(&mut self) {
        let over = |slot: &ReaderSlot| slot.empty_at.is_some_and(|at| at <= self.now);
        let slots = self.list.slots.iter().filter(|(_, slot)| over(slot));
        let readers: Vec<_> = slots.map(|(reader, _)| reader.clone()).collect();
        for reader in readers {
            self.vacated(&reader, Reason::Gone);
        }
    }

    fn due(&self, mode: StayEnd) -> impl Iterator<Item = (Timestamp, Uuid)> {
        let stays = self.list.stays.iter().filter(move |(_, stay)| stay.mode == mode);
        stays.filter_map(|(id, stay)| stay.closes.filter(|closes| *closes <= self.now).map(|closes| (closes, *id)))
    }

    fn later(&self, time: Duration) -> Timestamp {
        self.now.checked_add(time).unwrap_or(Timestamp::MAX)
    }

    // Cards.

    fn tap(&mut self, tap: &Tap) {
        let (reader, holder) = (tap.reader.as_str(), &tap.holder);
        let same = self.slot(reader).still_holds(holder.token_id, tap.insertion);
        if !same {
            self.end_field_stays(reader, Reason::Lifted);
        }
        if self.denies(holder) {
            self.refuse_denied(tap);
            return;
        }
        self.hold(tap, same);
        let presence = self.policy.presence(reader);
        let place = self.list.stays.get(&holder.token_id).map(|stay| stay.entry.reader == reader);
        match place {
            None if same && presence != Presence::Field => {}
            None => self.arrive(reader, holder, presence),
            Some(false) if same => {}
            Some(false) => {
                self.leave(holder.token_id, Reason::Moved);
                self.arrive(reader, holder, presence);
            }
            Some(true) if !same && presence == Presence::Toggle => self.leave(holder.token_id, Reason::Toggled),
            Some(true) => self.tapped_again(reader, holder, presence, !same),
        }
    }

    fn tapped_again(&mut self, reader: &str, holder: &Holder, presence: Presence, renew: bool) {
        if self.list.stays.get(&holder.token_id).is_some_and(|stay| stay.entry.user != holder.user) {
            self.leave(holder.token_id, Reason::Updated);
            self.arrive(reader, holder, presence);
        } else {
            self.refresh(holder.token_id, presence, renew);
        }
    }

    /// A card that only says who it is: that another one lies there is all that counts.
    fn identified(&mut self, tap: &Tap) {
        let slot = self.slot(&tap.reader);
        if slot.is_insertion(tap.insertion) || slot.still_holds(tap.holder.token_id, tap.insertion) {
            return;
        }
        self.end_field_stays(&tap.reader, Reason::Lifted);
        self.change_slot(&tap.reader, |slot| slot.turn_over(Some(tap.insertion)));
    }

    fn seen(&mut self, reader: &str, token_id: Uuid) {
        let slot = self.slot(reader);
        if slot.unsure || !slot.holds(token_id) {
            return;
        }
        let may_return = slot.told.is_none();
        let presence = self.policy.presence(reader);
        match self.list.stays.get(&token_id) {
            Some(stay) if stay.entry.reader == reader => self.refresh(token_id, presence, false),
            None if presence == Presence::Field && may_return => {
                if let Some(holder) = self.slot(reader).held.clone() {
                    self.arrive(reader, &holder, presence);
                }
            }
            Some(_) | None => {}
        }
    }

    fn vacated(&mut self, reader: &str, reason: Reason) {
        self.end_field_stays(reader, reason);
        self.change_slot(reader, |slot| slot.turn_over(None));
    }

    fn vacant(&mut self, reader: &str) {
        if self.slot(reader).unsure {
            let empty_at = Some(self.later(self.policy.settles_after()));
            self.change_slot(reader, |slot| slot.empty_at = empty_at);
        } else {
            self.vacated(reader, Reason::Gone);
        }
    }

    fn refused(&mut self, refused: &Refused) {
        let slot = self.slot(&refused.reader);
        let same_card = slot.is_insertion(refused.insertion)
            || slot.unsure
                && match refused.token_id {
                    Some(token_id) => slot.holds(token_id),
                    None => slot.told.as_ref() == Some(&refused.error.code),
                };
        self.end_field_stays(&refused.reader, if same_card { Reason::Refused } else { Reason::Lifted });
        self.tell_refusal(refused, same_card);
    }

    fn refuse_denied(&mut self, tap: &Tap) {
        let refused = Refused {
            reader: tap.reader.clone(),
            insertion: tap.insertion,
            error: denied_here().to_json(),
            token_id: Some(tap.holder.token_id),
            user: Some(tap.holder.user.clone()),
        };
        self.leave(tap.holder.token_id, Reason::Denied);
        let slot = self.slot(&tap.reader);
        let same_card =
            slot.is_insertion(tap.insertion) || slot.unsure && slot.told.as_ref() == Some(&refused.error.code);
        self.tell_refusal(&refused, same_card);
    }

    /// Once per insertion.
    fn tell_refusal(&mut self, refused: &Refused, same_card: bool) {
        let told = same_card && self.slot(&refused.reader).told.is_some();
        self.change_slot(&refused.reader, |slot| {
            if !same_card {
                slot.turn_over(None);
            }
            slot.insertion = Some(refused.insertion);
            (slot.unsure, slot.empty_at) = (false, None);
            slot.told.get_or_insert_with(|| refused.error.code.clone());
        });
        if !told {
            self.tell(Event {
                token_id: refused.token_id,
                user: refused.user.clone(),
                error: Some(refused.error.clone()),
                ..self.event(EventKind::Refused, Some(&refused.reader))
            });
        }
    }

    // Readers and the service.

    fn startup(&mut self) {
        self.doubt(|_| true, true);
    }

    fn service_lost(&mut self) {
        if !std::mem::replace(&mut self.list.service_lost, true) {
            self.changes.push(Change::Service);
            self.tell(self.event(EventKind::ServiceLost, None));
            self.doubt(|_| true, false);
        }
    }

    fn service_back(&mut self) {
        if std::mem::take(&mut self.list.service_lost) {
            self.changes.push(Change::Service);
            self.tell(self.event(EventKind::ServiceBack, None));
        }
    }

    fn reader_added(&mut self, reader: &str) {
        if !self.slot(reader).attached {
            self.change_slot(reader, |slot| slot.attached = true);
            self.tell(self.event(EventKind::ReaderAdded, Some(reader)));
        }
    }

    fn reader_removed(&mut self, reader: &str) {
        if self.slot(reader).attached {
            self.change_slot(reader, |slot| slot.attached = false);
            self.tell(self.event(EventKind::ReaderRemoved, Some(reader)));
            self.doubt(|name| name == reader, false);
        }
    }

    fn readers(&mut self, attached: &BTreeSet<String>) {
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
    fn doubt(&mut self, at: impl Fn(&str) -> bool, anew: bool) {
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

    // The operator.

    fn clear(&mut self) {
        let all: Vec<_> = self.list.stays.keys().copied().collect();
        for token_id in all {
            self.leave(token_id, Reason::Cleared);
        }
        self.forget(|_| true);
    }

    fn deny(&mut self, id: &str) {
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

    fn allow(&mut self, id: &str) {
        if self.list.denied.remove(id) {
            self.changes.push(Change::Denied(id.to_owned()));
        }
    }

    /// Cards that lie there need a new tap.
    fn forget(&mut self, which: impl Fn(&Holder) -> bool) {
        for (reader, slot) in &mut self.list.slots {
            if slot.held.take_if(|held| which(held)).is_some() {
                self.changes.push(Change::ReaderSlot(reader.clone()));
            }
        }
    }

    fn denies(&self, holder: &Holder) -> bool {
        self.list.is_denied(&holder.user.id) || self.list.is_denied(&holder.token_id.to_string())
    }

    // Entries and slots.

    fn arrive(&mut self, reader: &str, holder: &Holder, presence: Presence) {
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
        };
        self.list.stays.insert(holder.token_id, Stay { entry, mode, closes });
        self.changes.push(Change::Stay(holder.token_id));
        self.tell(Event {
            token_id: Some(holder.token_id),
            user: Some(holder.user.clone()),
            source: Some(holder.source),
            authenticated: Some(holder.authenticated),
            ..self.event(EventKind::Arrived, Some(reader))
        });
    }

    fn leave(&mut self, token_id: Uuid, reason: Reason) {
        self.leave_at(token_id, reason, self.now);
    }

    fn leave_at(&mut self, token_id: Uuid, reason: Reason, at: Timestamp) {
        if let Some(Stay { entry, .. }) = self.list.stays.remove(&token_id) {
            self.changes.push(Change::Stay(token_id));
            self.tell(Event {
                at,
                token_id: Some(token_id),
                user: Some(entry.user),
                reason: Some(reason),
                ..self.event(EventKind::Left, Some(&entry.reader))
            });
        }
    }

    fn end_field_stays(&mut self, reader: &str, reason: Reason) {
        let stays = self.list.stays.values();
        let there = stays.filter(|stay| stay.mode == StayEnd::Field && stay.entry.reader == reader);
        let over: Vec<_> = there.map(|stay| stay.entry.token_id).collect();
        for token_id in over {
            self.leave(token_id, reason);
        }
    }

    fn refresh(&mut self, token_id: Uuid, presence: Presence, renew: bool) {
        let (mode, closes) = self.ending(presence);
        let now = self.now;
        if let Some(stay) = self.list.stays.get_mut(&token_id) {
            let keep = mode == StayEnd::Until && stay.mode == StayEnd::Until && !renew;
            let closes = if keep { stay.closes } else { closes };
            *stay = Stay { mode, closes, entry: stay.entry.clone() };
            stay.entry.last_seen = now;
            stay.entry.state = EntryState::Present;
            self.changes.push(Change::Stay(token_id));
        }
    }

    fn ending(&self, presence: Presence) -> (StayEnd, Option<Timestamp>) {
        match presence {
            Presence::Field => (StayEnd::Field, None),
            Presence::Toggle => (StayEnd::Toggle, None),
            Presence::Until(time) => (StayEnd::Until, Some(self.later(time))),
        }
    }

    fn hold(&mut self, tap: &Tap, same: bool) {
        self.change_slot(&tap.reader, |slot| {
            if !same && !slot.is_insertion(tap.insertion) {
                slot.turn_over(None);
            }
            slot.insertion = Some(tap.insertion);
            (slot.unsure, slot.empty_at) = (false, None);
            slot.held = Some(tap.holder.clone());
        });
    }

    fn slot(&self, reader: &str) -> &ReaderSlot {
        const UNKNOWN: &ReaderSlot =
            &ReaderSlot { attached: false, insertion: None, unsure: false, empty_at: None, held: None, told: None };
        self.list.slots.get(reader).unwrap_or(UNKNOWN)
    }

    fn change_slot(&mut self, reader: &str, change: impl FnOnce(&mut ReaderSlot)) {
        let mut slot = self.slot(reader).clone();
        change(&mut slot);
        if &slot != self.slot(reader) {
            self.list.slots.insert(reader.to_owned(), slot);
            self.changes.push(Change::ReaderSlot(reader.to_owned()));
        }
    }

    fn event(&self, event: EventKind, reader: Option<&str>) -> Event {
        Event {
            event,
            seq: 0,
            at: self.now,
            reader: reader.map(str::to_owned),
            token_id: None,
            user: None,
            source: None,
            authenticated: None,
            reason: None,
            error: None,
        }
    }

    fn tell(&mut self, event: Event) {
        self.list.seq += 1;
        self.changes.push(Change::Event(Box::new(Event { seq: self.list.seq, ..event })));
    }
}

/// What a user sees of the refusal of a token or user that the operator denied at this terminal.
pub fn denied_here() -> Failure {
    Failure::new(ExitClass::Refused, "token.denied", "the token or its user is denied at this terminal")
        .hint("allow it again: rollcall users allow ID")
}
