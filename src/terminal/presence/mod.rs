//! The current user list: a pure core, `PresenceList::apply(input, now, policy) -> changes`, and its store.
//!
//! The core has no clock and no input or output. What it is told are [`Input`]s, in the order in which things
//! happened; what it answers are [`Change`]s: the events to tell, and which of its rows are new. Invariant: the list
//! equals a [`replay`] of the events, whatever it was told.
//!
//! # The rules
//!
//! There is one entry per token; a user with two tokens has two. It names the reader where the token arrived. Who
//! counts as present is set per reader ([`PresenceMode`]); an entry keeps the mode of its last sighting, so that a changed
//! configuration takes effect with the next one.
//!
//! **Insertions.** Each reader has a slot, which remembers the card that was last seen in it and its insertion. A tap
//! counts once until removal: the same token with the same insertion is no second tap. It is one again when it was
//! refused or cleared in between. After a start, the loss of the service or of the reader, insertions cannot be
//! compared; the token that lay there before is then taken as never lifted, since a tap that is not counted can be
//! repeated, and one too many throws somebody off the list.
//!
//! **A tap** (authenticated) with a new insertion first ends the stay of whoever lay there in mode field, the same
//! token included (`lifted`: the number of the insertion proves it). Then
//! - not on the list: it arrives. With the same insertion only in mode field: in toggle and until a card that lies
//!   there does not come back by itself once it left.
//! - on the list at another reader: it left there (`moved`) and arrives here. With the same insertion nothing happens:
//!   when two readers see one token, the newest insertion has it, and it does not jump to and fro. Once it is lifted
//!   there, the next sighting here brings it back (mode field).
//! - on the list here: in toggle a new insertion ends it (`toggled`), unless it bounced. Otherwise it is seen, and in until its time
//!   starts anew with a new insertion. When the user information differs, it left (`updated`) and arrives with the
//!   new one.
//!
//! **A bounce**: in toggle, a tap within `min_stay` after the last one of the same token at the same reader is that tap,
//! whether it then came or went, and may bounce again. What took it off the list otherwise ends that: the next tap counts.
//!
//! **A heartbeat** refreshes the entry at its reader, if the slot holds that very token. In mode field it also brings
//! a token back that is nowhere on the list, unless it was refused, denied or cleared: those need a new tap.
//!
//! **Lifted, empty**: ends the stay in mode field (`lifted` when the removal was seen, `gone` when a look found the
//! card missing). Toggle and until entries stay.
//!
//! **Vacant**: after a start or a loss, a reader that comes empty counts as empty only after `settles_after`, for a
//! service that has just started finds the cards that lie there a moment later.
//!
//! **Refused**: told once per insertion. Whoever lay there in mode field left (`refused` when it is the same
//! insertion, `lifted` otherwise). Toggle and until entries stay: anybody can make a card that names a token and fails.
//! One that has proved which token it is, and is refused for that (**barred**: lost, revoked, suspended, denied), leaves
//! (`refused`) wherever and however it came onto the list; and so it does when the server only says so.
//! An identification without authentication counts for nothing but that another card lies there.
//!
//! **Silent**: a card that did not answer is refused only where none lies that has proved who it is: of that one it says
//! nothing. Its entry in mode field becomes unconfirmed when it was last seen `stale_after` ago.
//!
//! **Loss** of the service or of a reader, a reader that does not work, and a start: entries in mode field become
//! unconfirmed. Toggle and until entries are not touched. Losing what is lost already, and adding what is there already,
//! is told once.
//!
//! **Unconfirmed** entries are closed (`stale`) after `stale_after` unless seen, which confirms them; both ways are told
//! (`unconfirmed`, `confirmed`). A start gives them that time anew.
//!
//! **Time**: before anything else, until entries whose time is over leave (`expired`, at the moment it was over, also
//! when nobody was running then). Stale entries are closed after the input, so that it may still confirm them.
//!
//! **Denied** ids (token or user) leave at once and are refused (`token.denied`) from then on, with or without a
//! server. **Clear** ends every entry; a card that lies on a reader then needs a new tap or scan.
//!
//! **By hand**: who is checked in is on the list as if the token had been tapped at that reader and time, unauthenticated:
//! the next tap there ends it in toggle, time in until, and no lifted card. A tap that does not end it, or a heartbeat, proves who it is: it left (`updated`) and arrives.
//! Checked out and removed entries need a new tap.
//! Such an event has the number of the moment at which it was entered, and may have an earlier time. `moved` and
//! `updated` are followed by `arrived` of the same token.

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
