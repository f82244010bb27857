//! Present users and events of all doors.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::{User, json_schema::SomeEvent};

/// Whether somebody was seen lately, according to their terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// They are there.
    Present,
    /// They were there, but the terminal can no longer tell.
    Unconfirmed,
}

/// One person who is present, at the terminal where they were last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresentUser {
    /// The user; null if no event names one.
    pub user: Option<User>,
    /// The token that was seen last; null for a person who came without one.
    pub token_id: Option<Uuid>,
    /// The terminal.
    pub terminal: String,
    /// The reader of that terminal; null for a person who came without a token.
    pub reader: Option<String>,
    /// Since when they have been on the list of that terminal.
    pub since: Timestamp,
    /// When they were last seen there, according to its events.
    pub last_seen: Timestamp,
    /// Whether the terminal is sure that they are still there.
    pub state: PresenceState,
    /// Whether the terminal is silent, so that this may no longer hold; null if a past time was asked for.
    pub silent: Option<bool>,
    /// Whether a card proved who came: false for a person who was entered by hand; absent if no event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// Who entered them by hand: the name of that user in the terminal's system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Why a terminal cannot use a part of its equipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EquipmentFaultKind {
    /// The reader was unplugged.
    Unplugged,
    /// The reader is plugged in and does not work.
    Unavailable,
    /// The card service cannot be reached.
    ServiceLost,
}

/// A part of a terminal's equipment that is out of order, according to its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EquipmentFault {
    /// The reader; null for the card service.
    pub reader: Option<String>,
    /// What is wrong.
    pub fault: EquipmentFaultKind,
    /// Since when it has been out of order.
    pub since: Timestamp,
}

/// For how many seconds an unplugged reader counts as missing; after that it is considered removed.
pub const UNPLUGGED_SECONDS: i64 = 86_400;

/// A terminal that reports who is present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceTerminal {
    /// Its name.
    pub name: String,
    /// When it last sent the server a request; null if that is not known, or a past time was asked for.
    pub last_word: Option<Timestamp>,
    /// When its last event happened; null if a past time was asked for.
    pub last_event: Option<Timestamp>,
    /// Whether it has sent no request for [`SILENT_SECONDS`]; null if a past time was asked for.
    pub silent: Option<bool>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// How many people are counted there.
    pub present: u64,
    /// Which of its readers, and whether its card service, are out of order; empty if a past time was asked for. An
    /// unplugged reader is listed for [`UNPLUGGED_SECONDS`]. All terminals together have at most 1000 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<EquipmentFault>,
}

/// After how many seconds without a request a terminal is called silent: a watch asks once a minute.
pub const SILENT_SECONDS: i64 = 300;

/// How far in the future the last request of a terminal may be, because servers have several clocks. A later time was
/// noted before a clock was set back, and means nothing.
pub const AHEAD_SECONDS: i64 = 60;

/// How many people are present, and which terminals report it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceSummary {
    /// How many people are present, including those in doubt.
    pub present: u64,
    /// How many of them are in doubt.
    pub unconfirmed: u64,
    /// The terminals that have ever sent events, in the order of their names; at most 1000.
    pub terminals: Vec<PresenceTerminal>,
}

/// `GET /v1/presence`: a page of the people who are present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// The time that this page describes.
    pub at: Timestamp,
    /// The people.
    pub items: Vec<PresentUser>,
    /// Where the next page begins; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The summary of all pages; only on the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<PresenceSummary>,
}

/// An event as the server stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredEvent {
    /// The terminal that sent it.
    pub terminal: String,
    /// The list in which it has its number.
    pub list: Uuid,
    /// When the server received it.
    pub received: Timestamp,
    /// The object `rollcall.event/1`, as the terminal sent it.
    #[schemars(with = "SomeEvent")]
    pub event: serde_json::Value,
}

/// `DELETE /v1/users/{id}`: what was deleted about a user, and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenUser {
    /// The id of the user.
    pub id: String,
    /// The tokens that are now revoked and belong to nobody: they stay, so that they are refused.
    pub tokens: u64,
    /// Events that were deleted.
    pub events: u64,
    /// Presence proofs that were deleted.
    pub proofs: u64,
    /// Records of the audit log that were blanked: time, actor, action and a hash stay.
    pub records: u64,
    /// How many of those an earlier release wrote: their hash has no salt, so that a guess can be checked against it.
    pub unsealed_records: u64,
    /// Records of the audit log that stay: they name one of the tokens, but no person.
    pub token_records: u64,
}
