//! The events of the presence list, and their replay into a list.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use crate::api::event::{Event, EventKind, Reason, Source};
use crate::api::{User, event::stamp};

/// Whether an entry was seen lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "State")]
pub enum EntryState {
    /// It is there, as far as its mode can tell.
    Present,
    /// It was there, and nobody has seen it since a start, a crash, the loss of reader or service, or for too long.
    Unconfirmed,
}

/// One token on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// The token.
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// Where it was tapped.
    pub reader: String,
    /// When it arrived.
    #[serde(serialize_with = "stamp")]
    pub since: Timestamp,
    /// When it was last seen there.
    #[serde(serialize_with = "stamp")]
    pub last_seen: Timestamp,
    /// Whether it was seen lately.
    pub state: EntryState,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held, in this tap or in the one that it resumes.
    pub authenticated: bool,
    /// Whether it arrived in a channel that was resumed under the key of an earlier tap, without a new proof.
    pub resumed: bool,
}

/// An entry as the events describe it: without `last_seen`, which changes with every heartbeat and is not an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The token.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// Where it was tapped.
    pub reader: String,
    /// When it arrived.
    pub since: Timestamp,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held, in this tap or in the one that it resumes.
    pub authenticated: bool,
    /// Whether it arrived in a channel that was resumed.
    pub resumed: bool,
    /// Whether it was seen recently.
    pub state: EntryState,
}

impl From<&Entry> for Member {
    fn from(entry: &Entry) -> Self {
        Self {
            token_id: entry.token_id,
            user: entry.user.clone(),
            reader: entry.reader.clone(),
            since: entry.since,
            source: entry.source,
            authenticated: entry.authenticated,
            resumed: entry.resumed,
            state: entry.state,
        }
    }
}

/// Why a sequence of events does not make a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The numbers do not increase by one.
    #[error("event {found} follows {after}")]
    Gap {
        /// The number of the event before it, 0 at the start.
        after: u64,
        /// The number of the event found.
        found: u64,
    },
    /// An arrival of somebody already on the list, another event of somebody who is not or at another reader, or a
    /// missing part.
    #[error("event {0} does not fit what went before")]
    Contradiction(u64),
}

/// The list that results from these events, beginning with the first. It equals the list itself at any time, even after
/// a crash; tests check this.
///
/// # Errors
/// [`ReplayError::Gap`] or [`ReplayError::Contradiction`] with the first event that does not follow.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<BTreeMap<Uuid, Member>, ReplayError> {
    let mut list = BTreeMap::new();
    let mut before = 0;
    for event in events {
        if event.seq != before + 1 {
            return Err(ReplayError::Gap { after: before, found: event.seq });
        }
        before = event.seq;
        follow(&mut list, event).ok_or(ReplayError::Contradiction(before))?;
    }
    Ok(list)
}

/// Applies the next event to a list; `None` when it contradicts the earlier ones.
pub fn follow(list: &mut BTreeMap<Uuid, Member>, event: &Event) -> Option<()> {
    match event.event {
        EventKind::Arrived | EventKind::CheckedIn => {
            let member = Member {
                token_id: event.token_id?,
                user: event.user.clone()?,
                reader: event.reader.clone()?,
                since: event.at,
                source: event.source?,
                authenticated: event.authenticated?,
                resumed: event.resumed.unwrap_or_default(),
                state: EntryState::Present,
            };
            list.insert(member.token_id, member).is_none().then_some(())
        }
        EventKind::Left => {
            let gone = list.remove(&event.token_id?)?;
            (Some(gone.reader) == event.reader && event.reason.is_some()).then_some(())
        }
        EventKind::CheckedOut | EventKind::Removed => {
            let gone = list.remove(&event.token_id?)?;
            (Some(gone.reader) == event.reader && event.by.is_some()).then_some(())
        }
        EventKind::Unconfirmed => doubt(list, event, EntryState::Unconfirmed),
        // An earlier release marked entries as unconfirmed without an event.
        EventKind::Confirmed => doubt(list, event, EntryState::Present),
        EventKind::Refused
        | EventKind::ReaderAdded
        | EventKind::ReaderRemoved
        | EventKind::ReaderUnavailable
        | EventKind::ReaderAvailable
        | EventKind::ServiceLost
        | EventKind::ServiceBack => Some(()),
    }
}

fn doubt(list: &mut BTreeMap<Uuid, Member>, event: &Event, state: EntryState) -> Option<()> {
    let member = list.get_mut(&event.token_id?)?;
    member.state = state;
    (Some(&member.reader) == event.reader.as_ref()).then_some(())
}
