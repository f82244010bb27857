//! The signed revocation feed, and what a terminal keeps of a log that the server has lost.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{PAGE_MAX, TokenStatus};
use crate::api::json_schema::{Jws, Sha256Hex, Text};

/// `GET /v1/revocations?since=VERSION`: the answer holds a JWS of [`Feed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedFeed {
    /// The JWS, header `typ` = `rollcall-feed+jws`.
    #[schemars(with = "Jws")]
    pub jws: String,
}

/// What changed in the status of tokens since a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feed {
    /// The version that the terminal had; 0 for none.
    pub since: u64,
    /// The version that it has with these entries.
    pub version: u64,
    /// When the server said so.
    pub at: Timestamp,
    /// Whether more follows after `version` (a page is full).
    pub more: bool,
    /// The newest status of each token that changed, the oldest change first; active ones too.
    pub entries: Vec<FeedEntry>,
    /// The head of the audit log, so that a cut tail is seen.
    pub audit: AuditHead,
    /// What this log has in the place of the record that the terminal named, where it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldRecord>,
}

/// What a log has in the place of a record that a terminal was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRecord {
    /// The number of the record.
    pub seq: u64,
    /// Its hash here (SHA-256, hex); none where this log ends before it. Another hash than the terminal's: the log was
    /// restored from a backup, or written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Sha256Hex>")]
    pub hash: Option<String>,
    /// Whether an administrator has reconciled this log with the one that holds the terminal's record.
    #[serde(default)]
    pub reconciled: bool,
}

/// One changed token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedEntry {
    /// The token.
    pub token_id: Uuid,
    /// What it is now.
    pub status: TokenStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the feed that brought it.
    pub version: u64,
}

/// The newest record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditHead {
    /// Its number; 0 when the log is empty.
    pub seq: u64,
    /// Its hash (SHA-256, hex).
    pub hash: String,
}

/// `POST /v1/witness`: what a terminal holds of a log that is not this server's any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The newest feed that the terminal took of that log, as a JWS: it names the newest record that is missing here.
    #[schemars(with = "Jws")]
    pub feed: String,
    /// Tokens that it keeps out, at most [`PAGE_MAX`]; none is active.
    #[schemars(length(max = PAGE_MAX))]
    pub statuses: Vec<WitnessedStatus>,
}

/// A token that a terminal keeps out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessedStatus {
    /// The token.
    pub token_id: Uuid,
    /// What the server said of it.
    pub status: TokenStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Text<1, 200>>")]
    pub reason: Option<String>,
}

/// The answer to [`Witness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessTaken {
    /// Whether it tells of a record that this log does not have, and that nobody has reconciled.
    pub missing: bool,
}
