//! The API `/v1` between terminal and server: request and response bodies, and the limits that both sides enforce.
//!
//! Every failure is `application/problem+json` (RFC 9457): [`Problem`]. Binary values are base64url without padding.

mod moment;
mod presence;
mod revocations;
mod terminals;
mod whole;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    User,
    json_schema::{Base64Url, Jws, SomeEvent, Text},
};
pub use moment::{optional_moment, read_moment};
pub use presence::{
    AHEAD_SECONDS, EquipmentFault, EquipmentFaultKind, ForgottenUser, Presence, PresenceState, PresenceSummary,
    PresenceTerminal, PresentUser, SILENT_SECONDS, StoredEvent, UNPLUGGED_SECONDS,
};
pub use revocations::{AuditHead, Feed, FeedEntry, HeldRecord, SignedFeed, Witness, WitnessTaken, WitnessedStatus};
pub use terminals::{PreviousCertificates, RegisteredTerminal, RenewalRequest, TerminalCertificates, TerminalRequest};
pub use whole::whole_number;

/// Most bytes of a request body.
pub const BODY_MAX: usize = 256 * 1024;
/// Most bytes of an answer: it repeats the content of a body, with additions.
pub const ANSWER_MAX: usize = 2 * BODY_MAX;
/// Most nonces in one batch.
pub const NONCES_MAX: u16 = 64;
/// Most users in one batch of an import.
pub const USERS_MAX: usize = 500;
/// Most events in one batch.
pub const EVENTS_MAX: usize = 256;
/// How long after its issue a nonce may be used, in hours.
pub const NONCE_HOURS: i64 = 24;
/// How many days after [`NONCE_HOURS`] a proof over a nonce is still accepted, once, and marked late.
pub const LATE_DAYS: i64 = 7;
/// `typ` of the JWS of a [`SignedUser`].
pub const USER_TYPE: &str = "rollcall-user+jws";
/// `typ` of the JWS of a [`Feed`].
pub const FEED_TYPE: &str = "rollcall-feed+jws";
/// Most entries on one page of a list.
pub const PAGE_MAX: u32 = 500;

/// What a terminal may do at the server; a role may do what the lower ones may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nonces, lookups, events, the revocation feed.
    Read,
    /// The same; also registers tokens and creates users.
    Enroll,
    /// Everything.
    Admin,
}

/// Whether a token is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Status")]
pub enum TokenStatus {
    /// It is let in.
    Active,
    /// It is refused for now.
    Suspended,
    /// It was reported lost: it is refused until it is found.
    Lost,
    /// It is refused for ever.
    Revoked,
}

/// A failure, RFC 9457. `code` is stable; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:rollcall:problem:<code>`.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri"))]
    pub kind: String,
    /// What happened, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is particular to this occurrence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The code, such as `token.unknown`.
    pub code: String,
}

/// `POST /v1/nonces`: requests nonces for this terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NonceRequest {
    /// How many, 1 to [`NONCES_MAX`].
    #[serde(deserialize_with = "whole::number")]
    #[schemars(range(min = 1, max = NONCES_MAX))]
    pub count: u16,
}

/// A nonce for one presence proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nonce {
    /// 32 bytes that nobody can guess: the moment of the issue in the first 6, then random ones.
    #[schemars(with = "Base64Url<32, 32>")]
    pub nonce: String,
    /// It must have been used by then (24 h after its issue).
    pub use_by: Timestamp,
}

/// The answer to [`NonceRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nonces {
    /// As many as were asked for.
    pub nonces: Vec<Nonce>,
}

/// `POST /v1/lookups`: whose token is this?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupRequest {
    /// The token.
    pub token_id: Uuid,
    /// The presence proof as COSE_Sign1, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Base64Url<0, 1024>>")]
    pub proof: Option<String>,
    /// The token's identity certificate (DER), with a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Base64Url<0, 1024>>")]
    pub identity_certificate: Option<String>,
    /// In place of a proof: the token was authenticated in a resumed channel, whose key comes from the tap with the
    /// proof of this use counter.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    pub resumed: Option<u32>,
    /// Nonces to send along, 0 to [`NONCES_MAX`], so that a tap with proof costs one request.
    #[serde(default, deserialize_with = "whole::number")]
    #[schemars(range(max = NONCES_MAX))]
    pub nonces: u16,
}

/// What the server found about a proof. A proof that does not hold is a [`Problem`] (`proof.…`), not one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The nonce was the server's, and in time.
    Fresh,
    /// The same, but the proof came after the nonce's 24 hours (accepted for 7 days).
    Late,
    /// The terminal made the nonce: who signed is proven, when is not.
    Unverified,
}

/// The answer to [`LookupRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lookup {
    /// The token asked for.
    pub token_id: Uuid,
    /// Whether it is let in.
    pub status: TokenStatus,
    /// Why it is not let in; absent if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user to whom it belongs; only for an active token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The same, signed by the server for use while it is away: a JWS (RFC 7515) of [`SignedUser`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Jws>")]
    pub signed_user: Option<String>,
    /// What the proof showed; absent if none was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Freshness>,
    /// Whether the next taps of this token at this terminal may resume the channel of the tap with this proof.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// Until when they may, if `resume` is true; absent from an earlier server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_until: Option<Timestamp>,
    /// The requested nonces.
    #[serde(default)]
    pub nonces: Vec<Nonce>,
}

/// The payload of [`Lookup::signed_user`], header `typ` = `rollcall-user+jws`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedUser {
    /// The token.
    pub token_id: Uuid,
    /// The user to whom it belongs.
    pub user: User,
    /// When the server signed this.
    pub at: Timestamp,
}

/// `POST /v1/tokens`: registers an enrolled token and certifies its keys. A repeated request gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The token.
    pub token_id: Uuid,
    /// The user to whom it belongs, who is created or updated.
    pub user: User,
    /// The public identity key, 65 bytes.
    #[schemars(with = "Base64Url<65, 65>")]
    pub identity_key: String,
    /// The token's own public ECKA key, 65 bytes.
    #[schemars(with = "Base64Url<65, 65>")]
    pub ecka_key: String,
    /// The token that this one replaces, which is revoked in the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Uuid>,
}

/// The answer to [`TokenRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCertificates {
    /// The certificate of the identity key, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub identity: String,
    /// The certificate of the token's own ECKA key, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ecka: String,
}

/// A registered token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct RegisteredToken {
    /// Its id.
    pub token_id: Uuid,
    /// The user to whom it belongs.
    pub user_id: String,
    /// Whether it is let in.
    pub status: TokenStatus,
    /// Why it is not let in; absent if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it has had this status.
    pub changed: Timestamp,
    /// The highest use counter that a proof has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u32>,
}

/// `PUT /v1/tokens/{id}/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {
    /// The new status. `revoked` is final.
    pub status: TokenStatus,
    /// The reason: required for every status but `active`, which takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Text<1, 200>>")]
    pub reason: Option<String>,
}

/// A page of a list, ordered by id. `GET …?after=ID&limit=N`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `POST /v1/users/import`: creates and changes all users of a batch, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserBatch {
    /// 1 to [`USERS_MAX`], each id once.
    #[schemars(length(min = 1, max = USERS_MAX))]
    pub users: Vec<User>,
}

/// The answer to [`UserBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// How many users were created.
    pub created: u32,
    /// How many users were changed.
    pub changed: u32,
    /// How many users were the same already.
    pub unchanged: u32,
}

/// `POST /v1/events`: what happened at a terminal. An event that is already stored under its `list` and `seq` is skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventBatch {
    /// The list in which these events have their numbers; a new store of a terminal begins a new list.
    pub list: Uuid,
    /// 1 to [`EVENTS_MAX`] objects `rollcall.event/1`, in the order of `seq`.
    #[schemars(with = "Vec<SomeEvent>", length(min = 1, max = EVENTS_MAX))]
    pub events: Vec<serde_json::Value>,
}

/// The answer to [`EventBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsTaken {
    /// How many events were new.
    pub stored: u32,
    /// How many events were already stored.
    pub known: u32,
    /// The first number under which another event is already stored; then nothing was stored. The terminal was
    /// restored, and must number its events in another list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<u64>,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The version of the server.
    pub version: String,
    /// Its clock.
    pub at: Timestamp,
    /// The name of the terminal that sent the request.
    pub terminal: String,
    /// The role of that terminal.
    pub role: Role,
}
