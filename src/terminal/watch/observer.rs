//! The events of a watch, and the observer that receives them.

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

/// An event of a watch.
#[derive(Debug)]
pub enum WatchEvent<'a> {
    /// The list has changed, or the state of its readers and service.
    Presence(Event),
    /// A tap has ended; its effect on the list follows.
    Tap(&'a TapOutcome, TapEffect),
    /// A failed tap that causes no event of the list: the person at the reader should know.
    TapFailed(&'a TapOutcome),
    /// Whether this reader is selected cannot be determined until its driver answers: it is left out for now.
    Undecided {
        /// Its name.
        reader: String,
    },
    /// The PC/SC service is still down, now for this reason.
    ServiceAway(Failure),
    /// A change in the state of the server connection.
    Server(ServerEvent),
    /// This terminal's certificates were renewed, and expire then.
    Renewed(Timestamp),
    /// They were not renewed, and expire then.
    NotRenewed(Timestamp, Failure),
    /// A report about the command for events.
    Hook(HookReport),
    /// The store cannot be written, or can again.
    Store(StoreNotice),
    /// The card of a reader comes and goes.
    Flapping(Failure),
    /// A token has repeatedly lost its key for fast taps.
    Evicted(Failure),
    /// The portrait of a token, which the observer had asked for.
    Portrait(Uuid, Portrait),
}

/// What the person at the reader should learn about a finished tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapEffect {
    /// The decision.
    Decided,
    /// The card was removed before it was admitted, but has to stay.
    Lifted,
    /// Nothing: another card has been there since, and would seem to be meant.
    Overtaken,
}

/// Receives the events of a watch.
pub trait WatchObserver {
    /// Handles one event.
    ///
    /// # Errors
    /// Why the observer could not report the event: it ends the watch.
    fn event(&mut self, event: WatchEvent<'_>) -> Result<(), Failure>;

    /// Whether the observer's output is closed: then the watch ends.
    fn is_closed(&self) -> bool;

    /// Whether the portrait of this token, which is now on the list, is wanted.
    fn wants_portrait(&self, token_id: Uuid) -> bool {
        let _ = token_id;
        false
    }

    /// Calls `then` once the outcome of the tap was shown at this reader, because reading a portrait must not delay the
    /// signal. Returns false when nothing is being shown, so that there is nothing to wait for.
    fn after_signal(&mut self, reader: &str, then: AfterSignal) -> bool {
        drop(then);
        let _ = reader;
        false
    }

    /// Called before each wait, at least every ten seconds.
    fn pause(&mut self) {}
}
