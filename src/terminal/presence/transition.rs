//! Applies one input to the list, by the rules in the module's documentation.

mod bounce;
mod operator;
mod readers;
mod stays;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::event::{Entry, Event, EventKind, Reason};
use super::input::{Holder, Input, Refused, Tap};
use super::list::{Change, PresenceList, ReaderSlot, StayEnd};
use super::policy::{Policy, PresenceMode};
use crate::failure::{ExitClass, Failure, Remedy};

impl PresenceList {
    /// Applies one input at the time `now` (truncated to the millisecond).
    pub fn apply(&mut self, input: &Input, now: Timestamp, policy: &dyn Policy) -> Vec<Change> {
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        Transition::new(self, now, policy).run(input)
    }
}

/// The application of one input.
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
        if let Some(reader) = input.working_reader() {
            self.reader_available(reader);
        }
        self.dispatch(input);
        self.close_stale();
        self.count_empty();
        self.changes
    }

    fn dispatch(&mut self, input: &Input) {
        match input {
            Input::Startup => self.startup(),
            Input::Tap(tap) if tap.holder.authenticated => self.tap(tap),
            Input::Tap(tap) => self.identified(tap),
            Input::Seen { reader, token_id } => self.seen(reader, *token_id),
            Input::Silent { reader } => self.doubt_stays(|name| name == reader, false, Reason::NoAnswer),
            Input::Hang { readers } => self.keep_in_doubt(readers),
            Input::Lifted { reader } => self.vacated(reader, Reason::Lifted),
            Input::Empty { reader } => self.vacated(reader, Reason::Gone),
            Input::Vacant { reader } => self.vacant(reader),
            Input::Refused(refused) => self.refused(refused),
            Input::Barred { token_id } => self.bar(*token_id),
            Input::ReaderAdded { reader } => self.reader_added(reader),
            Input::ReaderRemoved { reader } => self.reader_removed(reader),
            Input::ReaderUnavailable { reader, error } => self.reader_unavailable(reader, error),
            Input::Readers { attached } => self.readers(attached),
            Input::ServiceLost => self.service_lost(),
            Input::ServiceBack => self.service_back(),
            // Every input that shows a working reader was handled in `run` already.
            Input::ReaderAvailable { .. } | Input::Tick => {}
            Input::Clear => self.clear(),
            Input::Deny { id } => self.deny(id),
            Input::Allow { id } => self.allow(id),
            Input::CheckIn(entered) => self.check_in(entered),
            Input::CheckOut { token_id, at, hand } => self.check_out(*token_id, *at, hand),
            Input::Remove { token_id, hand } => self.remove(*token_id, hand),
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
        let toggles = !same && presence == PresenceMode::Toggle;
        let bounced = toggles && self.bounces(reader, holder.token_id);
        let place = self.list.stays.get(&holder.token_id).map(|stay| stay.entry.reader == reader);
        match place {
            None if bounced || same && presence != PresenceMode::Field => {}
            None => self.arrive(reader, holder, presence),
            Some(false) if same => {}
            Some(false) => {
                self.leave(holder.token_id, Reason::Moved);
                self.arrive(reader, holder, presence);
            }
            Some(true) if toggles && !bounced => self.leave(holder.token_id, Reason::Toggled),
            Some(true) => self.tapped_again(reader, holder, presence, !same),
        }
        if toggles {
            self.remember_tap(reader, holder.token_id);
        }
    }

    fn tapped_again(&mut self, reader: &str, holder: &Holder, presence: PresenceMode, renew: bool) {
        // An entry made by hand was not authenticated until now.
        let is_new = |entry: &Entry| entry.user != holder.user || !entry.authenticated;
        if self.list.stays.get(&holder.token_id).is_some_and(|stay| is_new(&stay.entry)) {
            self.leave(holder.token_id, Reason::Updated);
            self.arrive(reader, holder, presence);
        } else {
            self.refresh(holder.token_id, presence, renew);
        }
    }

    /// A card that only claims its identity: it counts only as another card being there.
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
        let may_return = slot.refusal.is_none();
        let presence = self.policy.presence(reader);
        match self.list.stays.get(&token_id) {
            Some(stay) if stay.entry.reader == reader && stay.entry.authenticated => {
                self.refresh(token_id, presence, false);
            }
            Some(stay) if stay.entry.reader == reader => {
                if let Some(holder) = self.slot(reader).held.clone() {
                    self.tapped_again(reader, &holder, presence, false);
                }
            }
            None if presence == PresenceMode::Field && may_return => {
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
        if refused.silent && self.slot(&refused.reader).may_be_held(refused.insertion) {
            self.change_slot(&refused.reader, |slot| slot.empty_at = None);
            self.unanswered(&refused.reader);
            return;
        }
        let same_card = self.slot(&refused.reader).is_card_of(refused);
        self.end_field_stays(&refused.reader, if same_card { Reason::Refused } else { Reason::Lifted });
        if let (true, Some(token_id)) = (refused.barred, refused.token_id) {
            self.leave(token_id, Reason::Refused);
        }
        self.report_refusal(refused, same_card);
    }

    /// Removes the token; it does not come back by itself while its card stays.
    fn bar(&mut self, token_id: Uuid) {
        self.leave(token_id, Reason::Refused);
        self.forget(|holder| holder.token_id == token_id);
    }

    /// The card did not answer: a holder seen within `stale_after` is not in doubt yet.
    fn unanswered(&mut self, reader: &str) {
        let stays = self.list.stays.values();
        let stays = stays.filter(|stay| stay.mode == StayEnd::Field && stay.entry.reader == reader);
        let last = stays.map(|stay| stay.entry.last_seen).max();
        let over = |seen: Timestamp| seen.checked_add(self.policy.stale_after()).is_ok_and(|over| over <= self.now);
        if last.is_some_and(over) {
            self.doubt_stays(|name| name == reader, false, Reason::NoAnswer);
        }
    }

    fn refuse_denied(&mut self, tap: &Tap) {
        let refused = Refused {
            reader: tap.reader.clone(),
            insertion: tap.insertion,
            error: denied_here().to_json(),
            silent: false,
            barred: true,
            token_id: Some(tap.holder.token_id),
            user: Some(tap.holder.user.clone()),
        };
        self.leave(tap.holder.token_id, Reason::Denied);
        let slot = self.slot(&tap.reader);
        let same_card = slot.is_insertion(tap.insertion) || slot.unsure && slot.was_refused_for(&refused.code());
        self.report_refusal(&refused, same_card);
    }

    /// Reports a refusal, once per insertion.
    fn report_refusal(&mut self, refused: &Refused, same_card: bool) {
        let reported = same_card && self.slot(&refused.reader).refusal.is_some();
        self.change_slot(&refused.reader, |slot| {
            if !same_card {
                slot.turn_over(None);
            }
            slot.insertion = Some(refused.insertion);
            (slot.unsure, slot.empty_at) = (false, None);
            slot.refusal.get_or_insert_with(|| refused.code());
        });
        if !reported {
            self.emit(Event {
                token_id: refused.token_id,
                user: refused.user.clone(),
                error: Some(refused.error.clone()),
                ..self.event(EventKind::Refused, Some(&refused.reader))
            });
        }
    }

    fn denies(&self, holder: &Holder) -> bool {
        self.list.denies(&holder.user.id, holder.token_id)
    }

    // Building blocks of the rules.

    fn slot(&self, reader: &str) -> &ReaderSlot {
        const UNKNOWN: &ReaderSlot = &ReaderSlot {
            attached: false,
            unavailable: false,
            insertion: None,
            unsure: false,
            empty_at: None,
            held: None,
            refusal: None,
        };
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
        Event { reader: reader.map(str::to_owned), ..Event::new(event, 0, self.now) }
    }

    fn emit(&mut self, event: Event) {
        self.list.seq += 1;
        self.changes.push(Change::Event(Box::new(Event { seq: self.list.seq, ..event })));
    }
}

/// The refusal of a token or user that the operator denied at this terminal.
pub fn denied_here() -> Failure {
    Failure::new(ExitClass::Refused, "token.denied", "the token or its user is denied at this terminal")
        .hint(Remedy::with("allow it again", "rollcall users allow ID"))
}
