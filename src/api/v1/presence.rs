//! Present users and events of all doors.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::{User, json_schema::SomeEvent};

/// Whether somebody was seen lately, as their terminal tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceState {
    /// They are there.
    Present,
    /// They were, and the terminal cannot tell any more.
    Unconfirmed,
}

/// One person who is here: where they were last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresentUser {
    /// Who it is; none where no event says so.
    pub user: Option<User>,
    /// The token that was seen last; none for who came without one.
    pub token_id: Option<Uuid>,
    /// The terminal.
    pub terminal: String,
    /// Its reader; none for who came without a token.
    pub reader: Option<String>,
    /// Since when they are on the list of that terminal.
    pub since: Timestamp,
    /// When they were last seen there, as far as events tell.
    pub last_seen: Timestamp,
    /// Whether the terminal is sure.
    pub state: PresenceState,
    /// Whether the terminal is silent, so that nobody knows whether this still holds; none where the past was asked for.
    pub silent: Option<bool>,
    /// Whether a card proved who came; false for who was entered by hand, none where no event says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<bool>,
    /// Who entered them by hand, as their terminal's system calls that user.
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
    /// There is no card service.
    ServiceLost,
}

/// A part of a terminal's equipment that is out of order, as its events tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EquipmentFault {
    /// The reader; none for the card service.
    pub reader: Option<String>,
    /// What is wrong.
    pub fault: EquipmentFaultKind,
    /// Since when.
    pub since: Timestamp,
}

/// For how many seconds an unplugged reader counts as missing; after that it is considered removed.
pub const UNPLUGGED_SECONDS: i64 = 86_400;

/// A terminal that tells who is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceTerminal {
    /// Its name.
    pub name: String,
    /// When it last asked the server anything; none where that is not known, or the past was asked for.
    pub last_word: Option<Timestamp>,
    /// When its last event happened; none where the past was asked for.
    pub last_event: Option<Timestamp>,
    /// Whether it has not asked for [`SILENT_SECONDS`]; none where the past was asked for.
    pub silent: Option<bool>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// How many people are counted there.
    pub present: u64,
    /// Its readers and card service that are out of order; empty where the past was asked for. A reader that was unplugged
    /// is among them for [`UNPLUGGED_SECONDS`]. Of all terminals together there are at most 1000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<EquipmentFault>,
}

/// After how many seconds without a request a terminal is called silent: a watch asks once a minute.
pub const SILENT_SECONDS: i64 = 300;

/// How far in the future the last request of a terminal may be, because servers have several clocks. A later time was
/// noted before a clock was set back, and means nothing.
pub const AHEAD_SECONDS: i64 = 60;

/// How many there are, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceSummary {
    /// How many people are here, those in doubt included.
    pub present: u64,
    /// How many of them are in doubt.
    pub unconfirmed: u64,
    /// The terminals that ever brought events, in the order of their names; at most 1000.
    pub terminals: Vec<PresenceTerminal>,
}

/// `GET /v1/presence`: a page of the people who are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// The moment that this is true of.
    pub at: Timestamp,
    /// The people.
    pub items: Vec<PresentUser>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// On the first page: all of it, counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<PresenceSummary>,
}

/// An event as the server keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredEvent {
    /// The terminal that brought it.
    pub terminal: String,
    /// The list that numbers it.
    pub list: Uuid,
    /// When the server got it.
    pub received: Timestamp,
    /// The object `rollcall.event/1`, as the terminal sent it.
    #[schemars(with = "SomeEvent")]
    pub event: serde_json::Value,
}

/// `DELETE /v1/users/{id}`: what was forgotten of a user, and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenUser {
    /// Who it was.
    pub id: String,
    /// Tokens that are revoked now and belong to nobody: they stay, so that they are refused.
    pub tokens: u64,
    /// Events that were deleted.
    pub events: u64,
    /// Presence proofs that were deleted.
    pub proofs: u64,
    /// Records of the audit log that were blanked: moment, actor and action stay, and a hash.
    pub records: u64,
    /// How many of those an earlier release wrote: their hash has no salt, so that a guess can be tried on it.
    pub unsealed_records: u64,
    /// Records of the audit log that stay: they name one of the tokens, and nobody.
    pub token_records: u64,
}
