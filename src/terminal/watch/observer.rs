//! What happens in a watch, and who is told.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    failure::Failure,
    terminal::{
        admission::TapOutcome,
        feedback::AfterSignal,
        hooks::HookReport,
        lookups::ServerEvent,
        presence::{Event, store::StoreNotice},
        tap::worker::Portrait,
    },
};

/// What happens in a watch.
#[derive(Debug)]
pub enum WatchEvent<'a> {
    /// The list has changed, or whoever tells so.
    Presence(Event),
    /// A tap has ended; what it means for the list follows.
    Tap(&'a TapOutcome, TapEffect),
    /// A tap that is no event of the list has failed: whoever stands there wants to know.
    TapFailed(&'a TapOutcome),
    /// Nobody can say of this reader whether it is meant, until its driver is asked again: it is left out.
    Undecided {
        /// Its name.
        reader: String,
    },
    /// The PC/SC service stays away, for this reason from now on.
    ServiceAway(Failure),
    /// Something happened to the server.
    Server(ServerEvent),
    /// This terminal's certificates were renewed, and end then.
    Renewed(Timestamp),
    /// They were not renewed, and end then.
    NotRenewed(Timestamp, Failure),
    /// Something happened to the command that events are given to.
    Hook(HookReport),
    /// The store cannot be written, or can again.
    Store(StoreNotice),
    /// The card of a reader comes and goes.
    Flapping(Failure),
    /// A token has lost the key for fast taps again and again.
    Evicted(Failure),
    /// The portrait of a token whose portrait the observer wanted.
    Portrait(Uuid, Portrait),
}

/// What whoever stands there is to know of a tap that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapEffect {
    /// What was decided.
    Decided,
    /// The card was lifted before it was let in, and has to lie there.
    Lifted,
    /// Nothing: another card was there since, and it would seem to be about that one.
    Overtaken,
}

/// Who is told of a watch.
pub trait WatchObserver {
    /// Something happened.
    ///
    /// # Errors
    /// What keeps the observer from telling it: it ends the watch.
    fn event(&mut self, event: WatchEvent<'_>) -> Result<(), Failure>;

    /// Whether nobody hears it any more: then the watch ends.
    fn is_closed(&self) -> bool;

    /// Whether a portrait is wanted of this token, which is on the list now.
    fn wants_portrait(&self, token_id: Uuid) -> bool {
        let _ = token_id;
        false
    }

    /// Has this called once what became of the tap at this reader was shown there: a portrait must not take the reader from
    /// the signal. False where nothing is being shown, so that nothing need be waited for.
    fn after_signal(&mut self, reader: &str, then: AfterSignal) -> bool {
        drop(then);
        let _ = reader;
        false
    }

    /// Called before each wait, at least every ten seconds.
    fn pause(&mut self) {}
}
