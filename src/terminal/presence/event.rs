//! What the list tells: its events, and the replay that makes a list of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::api::User;
use crate::failure::ErrorObject;

/// Where the user information of an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The card itself.
    Card,
    /// The server.
    Server,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Kind")]
pub enum EventKind {
    /// A token came onto the list.
    Arrived,
    /// A token went off the list.
    Left,
    /// A card lies there that does not come onto the list; reported once for each insertion that was seen.
    Refused,
    /// A reader was plugged in.
    ReaderAdded,
    /// A reader was unplugged.
    ReaderRemoved,
    /// The PC/SC service went away.
    ServiceLost,
    /// The PC/SC service came back.
    ServiceBack,
}

/// Why a token went off the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The card was lifted.
    Lifted,
    /// The reader was looked at later, and the card was not there any more.
    Gone,
    /// The second tap at a reader in mode toggle.
    Toggled,
    /// The time of mode until is over.
    Expired,
    /// Unconfirmed, and not seen again in time.
    Stale,
    /// The token was tapped at another reader, where it arrives with the next event.
    Moved,
    /// The token brought other user information; it arrives again with the next event.
    Updated,
    /// The card on the reader was on the list, and is refused now.
    Refused,
    /// The operator denied this token or user.
    Denied,
    /// The operator cleared the list.
    Cleared,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// 1 for the first event of a list, then one more each time, over restarts too.
    pub seq: u64,
    /// When, to the millisecond.
    #[serde(serialize_with = "stamp")]
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Where; none for the service.
    pub reader: Option<String>,
    /// Which token, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub token_id: Option<Uuid>,
    /// Whose, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// `arrived`: where the user information came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// `arrived`: whether the token was authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// `left`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// `refused`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T15:04:05.123Z`.
pub(crate) fn stamp<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

/// Whether an entry was seen lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "State")]
pub enum EntryState {
    /// It is there, as far as its mode can tell.
    Present,
    /// It was there, and nobody could look since a start, a crash, or the loss of the reader or service.
    Unconfirmed,
}

/// One token on the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Entry {
    /// The token.
    #[schemars(with = "String")]
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// Where it was tapped.
    pub reader: String,
    /// When it arrived.
    #[serde(serialize_with = "stamp")]
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When it was last seen there.
    #[serde(serialize_with = "stamp")]
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
    /// Whether it was seen lately.
    pub state: EntryState,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held.
    pub authenticated: bool,
}

/// An entry as the events tell it: without `last_seen` and `state`, which say how fresh the knowledge is and change
/// with every heartbeat, and a heartbeat is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The token.
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// Where it was tapped.
    pub reader: String,
    /// When it arrived.
    pub since: Timestamp,
    /// Where the user information came from.
    pub source: Source,
    /// Whether the handshake and the presence proof both held.
    pub authenticated: bool,
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
        }
    }
}

/// Why events are not those of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The numbers do not go up by one.
    #[error("event {found} follows {after}")]
    Gap {
        /// The event before, 0 at the start.
        after: u64,
        /// The event found.
        found: u64,
    },
    /// `arrived` while on the list, `left` while not, or from another reader, or without its parts.
    #[error("event {0} does not fit what went before")]
    Contradiction(u64),
}

/// The list that these events, which begin with the first, leave behind. It equals the list itself at any time, after
/// a crash too; tests hold it to that.
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

fn follow(list: &mut BTreeMap<Uuid, Member>, event: &Event) -> Option<()> {
    match event.event {
        EventKind::Arrived => {
            let member = Member {
                token_id: event.token_id?,
                user: event.user.clone()?,
                reader: event.reader.clone()?,
                since: event.at,
                source: event.source?,
                authenticated: event.authenticated?,
            };
            list.insert(member.token_id, member).is_none().then_some(())
        }
        EventKind::Left => {
            let gone = list.remove(&event.token_id?)?;
            (Some(gone.reader) == event.reader && event.reason.is_some()).then_some(())
        }
        EventKind::Refused
        | EventKind::ReaderAdded
        | EventKind::ReaderRemoved
        | EventKind::ServiceLost
        | EventKind::ServiceBack => Some(()),
    }
}
