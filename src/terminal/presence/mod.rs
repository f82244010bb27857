//! The current user list: a pure core, `PresenceList::apply(input, now, policy) -> changes`, and its store.
//!
//! The core has no clock and no input or output. It takes [`Input`]s, in the order in which things happened, and
//! returns [`Change`]s: the events to report, and which of its rows changed. Invariant: the list equals a [`replay`] of
//! the events, whatever the inputs were.
//!
//! # The rules
//!
//! There is one entry per token; a user with two tokens has two. It names the reader where the token arrived. Who
//! counts as present is set per reader ([`PresenceMode`]); an entry keeps the mode of its last sighting, so that a
//! changed configuration takes effect with the next one.
//!
//! **Insertions.** Each reader has a slot, which remembers the card last seen in it and its insertion. A tap counts
//! once until removal: the same token with the same insertion is no second tap, unless it was refused or cleared in
//! between. After a start, or the loss of the service or of the reader, insertions cannot be compared; the token that
//! was there before is then assumed never to have left, because a tap that is not counted can be repeated, while one
//! counted too often takes somebody off the list.
//!
//! **A tap** (authenticated) with a new insertion first ends the stay of whoever was there in mode field, even if it is
//! the same token (`lifted`: the number of the insertion proves it). Then
//! - not on the list: it arrives. With the same insertion only in mode field: in toggle and until, a card that stays in
//!   the reader does not come back by itself once it left.
//! - on the list at another reader: it leaves there (`moved`) and arrives here. With the same insertion nothing
//!   happens: when two readers see one token, the newest insertion has it, and it does not jump back and forth. Once it
//!   is lifted there, the next sighting here brings it back (mode field).
//! - on the list here: in toggle a new insertion ends it (`toggled`), unless it bounced. Otherwise it is seen, and in
//!   until a new insertion restarts its time. When the user information differs, it leaves (`updated`) and arrives with
//!   the new information.
//!
//! **A bounce**: in toggle, a tap within `min_stay` after the last one of the same token at the same reader counts as
//! part of that tap, whether the token arrived or left by it, and may bounce again. If something else took it off the
//! list in between, the next tap counts.
//!
//! **A heartbeat** refreshes the entry at its reader, if the slot holds that very token. In mode field it also brings
//! back a token that is nowhere on the list, unless it was refused, denied or cleared: those need a new tap.
//!
//! **Lifted, empty**: ends the stay in mode field (`lifted` when the removal was seen, `gone` when a check found the
//! card missing). Toggle and until entries stay.
//!
//! **Vacant**: after a start or a loss, a reader that shows no card counts as empty only after `settles_after`, because
//! a service that has just started detects the cards already there a moment later.
//!
//! **Refused**: reported once per insertion. Whoever was there in mode field leaves (`refused` when it is the same
//! insertion, `lifted` otherwise). Toggle and until entries stay: anybody can make a card that names a token and fails.
//! A token that authenticated and is refused as such (**barred**: lost, revoked, suspended, denied) leaves (`refused`)
//! wherever and however it came onto the list; the same applies when only the server says so. An identification without
//! authentication counts for nothing except that another card is there.
//!
//! **Silent**: a card that did not answer is refused only if no authenticated card is there; about such a card it says
//! nothing. Its entry in mode field becomes unconfirmed when it was last seen `stale_after` ago.
//!
//! **Loss** of the service or of a reader, a reader that does not work, and a start: entries in mode field become
//! unconfirmed. Toggle and until entries are not touched. Losing what is already lost, and adding what is already
//! there, is reported once.
//!
//! **Unconfirmed** entries are closed (`stale`) after `stale_after` unless seen, which confirms them; both changes are
//! reported (`unconfirmed`, `confirmed`). A start gives them that time again.
//!
//! **Time**: before anything else, until entries whose time is over leave (`expired`, at the moment it ended, even when
//! nothing was running then). Stale entries are closed after the input, so that it may still confirm them.
//!
//! **Denied** ids (token or user) leave at once and are refused (`token.denied`) from then on, with or without a
//! server. **Clear** ends every entry; a card still in a reader then needs a new tap or scan.
//!
//! **By hand**: a manual check-in puts a token on the list as if it had been tapped at that reader and time, but
//! unauthenticated: the next tap there ends it in toggle, time in until, and lifting a card does not. A tap that does
//! not end it, or a heartbeat, authenticates it: it leaves (`updated`) and arrives. Entries that were checked out or
//! removed need a new tap. Such an event is numbered in the order of entry, and may have an earlier time.
//!
//! `moved` and `updated` are followed by `arrived` of the same token.

mod event;
mod input;
mod list;
pub mod operator;
mod policy;
pub mod store;
#[cfg(test)]
mod tests;
mod transition;

pub use event::{Entry, EntryState, Event, EventKind, Member, Reason, ReplayError, Source, follow, replay};
pub use input::{CheckIn, Hand, Holder, Input, RefusalCode, Refused, Tap};
pub use list::{Change, LastTap, PresenceList, ReaderSlot, Stay, StayEnd};
pub use policy::{Policy, PresenceMode, PresenceModeError, duration};
pub use store::{Denial, StoreNotice, TerminalStore, TerminalStoreError};
pub use transition::denied_here;
