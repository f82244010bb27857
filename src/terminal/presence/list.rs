//! The state of the presence list: its entries, and what it knows about each reader.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{Entry, EntryState, Event, Member};
use super::input::{Holder, RefusalCode, Refused};
use crate::reader::Insertion;

/// One change caused by an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An event to report, in this order.
    Event(Box<Event>),
    /// The entry of this token is new, different, or gone.
    Stay(Uuid),
    /// What is known about this reader changed.
    ReaderSlot(String),
    /// This id is now denied, or no longer.
    Denied(String),
    /// The last tap of this token in mode toggle changed, or was forgotten.
    Tapped(Uuid),
    /// The service was lost, or is back.
    Service,
}

/// What ends the stay of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StayEnd {
    /// The removal of the card.
    Field,
    /// The next tap.
    Toggle,
    /// Time.
    Until,
}

/// An entry and the way it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The entry.
    pub entry: Entry,
    /// What ends its stay.
    pub mode: StayEnd,
    /// When time ends it: always set in mode until, and in mode field while it is unconfirmed.
    pub closes: Option<Timestamp>,
}

/// What is known about one reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReaderSlot {
    /// Whether it is plugged in, as far as reported.
    pub attached: bool,
    /// Whether it is plugged in but does not work.
    pub unavailable: bool,
    /// The last insertion seen, if a card is there.
    pub insertion: Option<Insertion>,
    /// Whether the reader went unwatched since then, so that insertions cannot be compared.
    pub unsure: bool,
    /// When it counts as empty, unless a card is detected before.
    pub empty_at: Option<Timestamp>,
    /// The authenticated card of that insertion.
    pub held: Option<Holder>,
    /// The refusal reported in that insertion.
    pub refusal: Option<RefusalCode>,
}

impl ReaderSlot {
    pub(super) fn is_insertion(&self, insertion: Insertion) -> bool {
        !self.unsure && self.insertion == Some(insertion)
    }

    pub(super) fn holds(&self, token_id: Uuid) -> bool {
        self.held.as_ref().is_some_and(|held| held.token_id == token_id)
    }

    /// Whether the refused card is the one that was here before, as far as can be known.
    pub(super) fn is_card_of(&self, refused: &Refused) -> bool {
        self.is_insertion(refused.insertion)
            || self.unsure
                && match refused.token_id {
                    Some(token_id) => self.holds(token_id),
                    None => self.was_refused_for(&refused.code()),
                }
    }

    pub(super) fn was_refused_for(&self, code: &RefusalCode) -> bool {
        self.refusal.as_ref() == Some(code)
    }

    /// Whether the card that did not answer may be the one that authenticated here.
    pub(super) fn may_be_held(&self, silent: Insertion) -> bool {
        self.held.is_some() && (self.unsure || self.insertion == Some(silent))
    }

    /// Whether this token has not left since it was tapped here.
    pub(super) fn still_holds(&self, token_id: Uuid, insertion: Insertion) -> bool {
        self.holds(token_id) && (self.unsure || self.insertion == Some(insertion))
    }

    /// Resets the slot for another card, or none.
    pub(super) fn turn_over(&mut self, insertion: Option<Insertion>) {
        *self = Self { attached: self.attached, unavailable: self.unavailable, insertion, ..Self::default() };
    }
}

/// The last tap of a token in mode toggle, whether it arrived or left by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTap {
    /// The reader.
    pub reader: String,
    /// The time.
    pub at: Timestamp,
}

/// The current user list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceList {
    pub(super) seq: u64,
    pub(super) stays: BTreeMap<Uuid, Stay>,
    pub(super) slots: BTreeMap<String, ReaderSlot>,
    pub(super) denied: BTreeSet<String>,
    pub(super) taps: BTreeMap<Uuid, LastTap>,
    pub(super) service_lost: bool,
}

impl PresenceList {
    /// Restores a list from storage: the number of its last event, and its rows.
    pub fn restore(
        seq: u64,
        stays: impl IntoIterator<Item = Stay>,
        slots: impl IntoIterator<Item = (String, ReaderSlot)>,
        denied: impl IntoIterator<Item = String>,
        taps: impl IntoIterator<Item = (Uuid, LastTap)>,
        service_lost: bool,
    ) -> Self {
        let stays = stays.into_iter().map(|stay| (stay.entry.token_id, stay)).collect();
        let (slots, denied) = (slots.into_iter().collect(), denied.into_iter().collect());
        Self { seq, stays, slots, denied, taps: taps.into_iter().collect(), service_lost }
    }

    /// The number of the last event, 0 before the first.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The entries, by token id.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.stays.values().map(|stay| &stay.entry)
    }

    /// The readers at which somebody is present in mode field, each with the time of the last sighting.
    pub fn lying(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let stays = self.stays.values().filter(|stay| stay.mode == StayEnd::Field);
        let present = stays.map(|stay| &stay.entry).filter(|entry| entry.state == EntryState::Present);
        present.map(|entry| (entry.reader.as_str(), entry.last_seen))
    }

    /// The readers with an unconfirmed entry in mode field that would be closed by this time.
    pub fn closing_by(&self, at: Timestamp) -> BTreeSet<&str> {
        let stays = self.stays.values().filter(|stay| stay.mode == StayEnd::Field);
        stays
            .filter(|stay| stay.closes.is_some_and(|closes| closes <= at))
            .map(|stay| stay.entry.reader.as_str())
            .collect()
    }

    /// Whether an entry in mode field belongs to this reader, so that its card is, or last was, there.
    pub fn is_expected(&self, reader: &str) -> bool {
        self.stays.values().any(|stay| stay.mode == StayEnd::Field && stay.entry.reader == reader)
    }

    /// The entries in the form that a replay of the events must yield.
    pub fn members(&self) -> BTreeMap<Uuid, Member> {
        self.entries().map(|entry| (entry.token_id, Member::from(entry))).collect()
    }

    /// The entry of a token, and the way it ends.
    pub fn stay(&self, token_id: Uuid) -> Option<&Stay> {
        self.stays.get(&token_id)
    }

    /// What is known about a reader.
    pub fn slot(&self, reader: &str) -> Option<&ReaderSlot> {
        self.slots.get(reader)
    }

    /// What is known about each reader.
    pub fn readers(&self) -> impl Iterator<Item = (&str, &ReaderSlot)> {
        self.slots.iter().map(|(reader, slot)| (reader.as_str(), slot))
    }

    /// The last tap of a token in mode toggle, while it may still bounce.
    pub fn last_tap(&self, token_id: Uuid) -> Option<&LastTap> {
        self.taps.get(&token_id)
    }

    /// Whether this token or user is denied.
    pub fn is_denied(&self, id: &str) -> bool {
        self.denied.contains(id)
    }

    /// Whether this token, or its user, is denied.
    pub fn denies(&self, user_id: &str, token_id: Uuid) -> bool {
        self.is_denied(user_id) || self.is_denied(&token_id.to_string())
    }

    /// Whether the service is lost.
    pub const fn service_lost(&self) -> bool {
        self.service_lost
    }

    /// The next time at which anything changes by itself: a [`Input::Tick`](super::Input::Tick) is due then, not
    /// before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let stays = self.stays.values().filter_map(|stay| stay.closes);
        stays.chain(self.slots.values().filter_map(|slot| slot.empty_at)).min()
    }
}
