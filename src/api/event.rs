//! An event at a terminal as it is sent: to the server with `POST /v1/events`, and to the command of a hook.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::User;
use crate::failure::ErrorObject;

pub use super::json_schema::EVENT_SCHEMA;

/// The object `rollcall.event/1`: an event preceded by the field `schema`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventObject {
    /// [`EVENT_SCHEMA`].
    schema: &'static str,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

impl From<Event> for EventObject {
    fn from(event: Event) -> Self {
        Self { schema: EVENT_SCHEMA, event }
    }
}

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
    /// A token stays on the list, and nobody can tell any more whether it is there.
    Unconfirmed,
    /// A token that was in doubt was seen again.
    Confirmed,
    /// A card lies there that does not come onto the list; reported once for each insertion that was seen.
    Refused,
    /// A reader was plugged in.
    ReaderAdded,
    /// A reader was unplugged.
    ReaderRemoved,
    /// A reader is plugged in and does not work.
    ReaderUnavailable,
    /// A reader that did not work works again.
    ReaderAvailable,
    /// The PC/SC service went away.
    ServiceLost,
    /// The PC/SC service came back.
    ServiceBack,
    /// The operator put somebody onto the list, without a card.
    CheckedIn,
    /// The operator took somebody off the list, who left at that time.
    CheckedOut,
    /// The operator took an entry off the list.
    Removed,
}

/// Why a token went off the list, or is in doubt.
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
    /// In doubt: a watch starts, and nobody has looked since.
    Restart,
    /// In doubt: the PC/SC service went away.
    ServiceLost,
    /// In doubt: the reader was unplugged.
    ReaderRemoved,
    /// In doubt: the reader does not work.
    ReaderUnavailable,
    /// In doubt: card or reader have not answered for too long.
    NoAnswer,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// 1 for the first event of a list, then one more each time, over restarts too.
    pub seq: u64,
    /// When, to the millisecond. `checked_in` and `checked_out` may be entered later, so that this goes back.
    #[serde(serialize_with = "stamp")]
    pub at: Timestamp,
    /// Where; none for the service.
    pub reader: Option<String>,
    /// Which token, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// `arrived`: there, and true, where the channel was resumed under the key of an earlier tap, without a new proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// `left`, `unconfirmed`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// `refused`, `reader_unavailable`: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// `checked_in`, `checked_out`, `removed`: the name of the system's user who entered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `checked_in`, `checked_out`, `removed`: why, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Event {
    /// An event without any details.
    pub const fn new(event: EventKind, seq: u64, at: Timestamp) -> Self {
        Self {
            event,
            seq,
            at,
            reader: None,
            token_id: None,
            user: None,
            source: None,
            authenticated: None,
            resumed: None,
            reason: None,
            error: None,
            by: None,
            note: None,
        }
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T15:04:05.123Z`.
pub(crate) fn stamp<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server of an earlier release was sent, byte for byte.
    #[test]
    fn the_wire_form_is_as_it_was() {
        let event = Event {
            event: EventKind::Left,
            seq: 7,
            at: "2026-11-22T15:04:05.123456Z".parse().unwrap(),
            reader: Some("Door 00 00".into()),
            token_id: Some(Uuid::nil()),
            user: Some(User { id: "7".into(), name: "Ada".into(), fields: [].into() }),
            source: None,
            authenticated: None,
            resumed: None,
            reason: Some(Reason::Lifted),
            error: None,
            by: None,
            note: None,
        };
        assert_eq!(
            serde_json::to_string(&EventObject::from(event)).unwrap(),
            "{\"schema\":\"rollcall.event/1\",\"event\":\"left\",\"seq\":7,\"at\":\"2026-11-22T15:04:05.123Z\",\
             \"reader\":\"Door 00 00\",\"token_id\":\"00000000-0000-0000-0000-000000000000\",\
             \"user\":{\"id\":\"7\",\"name\":\"Ada\",\"fields\":{}},\"reason\":\"lifted\"}"
        );
    }
}
