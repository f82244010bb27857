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
    /// The version that the terminal already had; 0 for no version.
    pub since: u64,
    /// The version that it has once it has taken these entries.
    pub version: u64,
    /// When the server signed this.
    pub at: Timestamp,
    /// Whether there are more changes after `version`.
    pub more: bool,
    /// The present status of each token that changed, also of those that are active again; the oldest change first.
    pub entries: Vec<FeedEntry>,
    /// The newest record of the audit log, by which a terminal notices that the end of the log was lost.
    pub audit: AuditHead,
    /// The record of this log with the number that the terminal named; absent if it named none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldRecord>,
}

/// The record that a log has under a number of which a terminal knows the hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldRecord {
    /// The number of the record.
    pub seq: u64,
    /// Its hash in this log (SHA-256, hex); absent if this log ends before it. If the terminal knows another hash, the
    /// log was restored from a backup or replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Sha256Hex>")]
    pub hash: Option<String>,
    /// Whether an administrator has reconciled this log with the one that has the terminal's record.
    #[serde(default)]
    pub reconciled: bool,
}

/// One changed token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedEntry {
    /// The token.
    pub token_id: Uuid,
    /// Its present status.
    pub status: TokenStatus,
    /// The reason that was given for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of the feed with which it changed.
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

/// `POST /v1/witness`: what a terminal keeps of a log that this server no longer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The newest feed that the terminal has from that log, as a JWS: it names the newest record that is missing here.
    #[schemars(with = "Jws")]
    pub feed: String,
    /// The tokens that it refuses, at most [`PAGE_MAX`]; their status is never `active`.
    #[schemars(length(max = PAGE_MAX))]
    pub statuses: Vec<WitnessedStatus>,
}

/// A token that a terminal refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessedStatus {
    /// The token.
    pub token_id: Uuid,
    /// The status that the server gave it.
    pub status: TokenStatus,
    /// The reason that was given for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Text<1, 200>>")]
    pub reason: Option<String>,
}

/// The answer to [`Witness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessTaken {
    /// Whether it names a record that this log does not have and that no administrator has reconciled.
    pub missing: bool,
}
