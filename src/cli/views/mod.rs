//! The JSON objects, exactly as scripts see them (the contract: `rollcall schema NAME`). No logic here: they are
//! filled in by the commands.
//!
//! Fields may be added to an object; none changes its meaning or goes away without a new number in `schema`.
//!
//! Specification: docs/cli.md, "JSON objects".

mod apdu;
mod finding;
mod parts;
mod pki;
mod rotation;
mod server;
mod token;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use uuid::Uuid;

use crate::api::User;
use crate::failure::ErrorObject;
use crate::terminal::presence;

pub use apdu::{Exchanged, Tlv};
pub use finding::{FindingView, Severity};
pub use parts::{At, Ms, Named, Schema};
pub use pki::{Pki, PkiKind, PkiState};
pub use rotation::{RotationState, RotationView, SetRotationView};
pub use server::{Audit, Import, ServerState, ServerTerminal, ServerToken, ServerUserView};
pub use token::{RegisteredView, TokenAction, TokenChange, TokenChanged, TokenModeView, TokenState, TokenView};

macro_rules! named {
    ($($object:ty = $name:literal),+ $(,)?) => {
        $(impl Named for $object {
            const SCHEMA: &'static str = $name;
        })+

        /// The names of all objects, in the order of the contract.
        pub const NAMES: &[&str] = &[$($name),+];

        /// The JSON Schema (draft 2020-12) of the object with this name: `rollcall.scan/1`, `rollcall.scan` or `scan`.
        pub fn json_schema_of(name: &str) -> Option<schemars::Schema> {
            $(if is_called(name, $name) {
                return Some(as_printed().into_root_schema_for::<$object>());
            })+
            None
        }
    };
}

named! {
    ReaderView = "rollcall.reader/1",
    ScanView = "rollcall.scan/1",
    Enroll = "rollcall.enroll/1",
    BatchView = "rollcall.batch/1",
    UserEntry = "rollcall.user/1",
    EventView = "rollcall.event/1",
    Denied = "rollcall.denied/1",
    TokenView = "rollcall.token/1",
    TokenChange = "rollcall.token-change/1",
    RotationView = "rollcall.rotation/1",
    RotationState = "rollcall.rotation-state/1",
    SetRotationView = "rollcall.set-rotation/1",
    Pki = "rollcall.pki/1",
    ServerState = "rollcall.server/1",
    Audit = "rollcall.audit/1",
    ServerUserView = "rollcall.server-user/1",
    ServerToken = "rollcall.server-token/1",
    ServerTerminal = "rollcall.server-terminal/1",
    Import = "rollcall.import/1",
    FindingView = "rollcall.finding/1",
    Exchanged = "rollcall.apdu/1",
}

/// Schemas of what is written, not of what could be read.
fn as_printed() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn is_called(typed: &str, name: &str) -> bool {
    let unnumbered = name.split_once('/').map_or(name, |(before, _)| before);
    typed == name || typed == unnumbered || unnumbered.strip_prefix("rollcall.") == Some(typed)
}

/// One reader.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Reader")]
pub struct ReaderView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The name that PC/SC gives it.
    pub reader: String,
    /// The name that the configuration gives it.
    pub alias: Option<String>,
    /// What its slot is like.
    pub state: ReaderStateView,
    /// The card's answer to reset, in hex.
    pub atr: Option<String>,
    /// `rollcall` or `foreign`; null when the card was not asked or did not answer.
    pub card: Option<String>,
    /// What the answer to reset says, in words.
    pub says: Option<String>,
    /// The answer to reset field by field; empty where there is none, or it is none.
    pub atr_fields: Vec<AtrField>,
    /// What the list of pcsc-tools calls cards with this answer to reset, where it is installed.
    pub names: Vec<String>,
}

/// A field of an answer to reset (ISO/IEC 7816-3, 8.2).
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AtrField {
    /// `TS`, `T0`, `TA1` …, `historical`, `TCK`.
    pub name: String,
    /// Its bytes, in hex.
    pub bytes: String,
    /// What they say.
    pub meaning: String,
}

/// The state of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ReaderState")]
pub enum ReaderStateView {
    /// No card.
    Empty,
    /// A card that answers.
    Present,
    /// Another program holds the card for itself.
    Exclusive,
    /// A card that does not answer.
    Mute,
    /// The reader does not work.
    Unavailable,
    /// The reader was unplugged (`readers --watch` only).
    Removed,
}

/// The outcome of one tap.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Scan")]
pub struct ScanView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When the tap was over.
    pub at: At,
    /// Where.
    pub reader: String,
    /// Which token, as far as it told.
    pub token_id: Option<Uuid>,
    /// Whether it told who it is.
    pub identified: bool,
    /// What was proved.
    pub authenticated: AuthenticatedView,
    /// Where the user information comes from.
    pub source: Option<presence::Source>,
    /// Whose token it is. Not there when the tap failed or only identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Why the tap failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// The presence proof.
    pub proof: Option<ProofView>,
    /// Where the time went.
    pub timings_ms: TimingsView,
    /// How many exchanges with the card it took.
    pub exchanges: u32,
}

/// What was proved in a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Authenticated")]
pub struct AuthenticatedView {
    /// The handshake and the token's signature both hold.
    pub token: bool,
    /// What the server said to it.
    pub server: ServerVerdictView,
}

/// What the server said to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Server")]
pub enum ServerVerdictView {
    /// There is none, or it was not needed.
    NotAsked,
    /// It knows the token.
    Authenticated,
    /// It did not answer.
    Unreachable,
    /// It refused the token.
    Refused,
}

/// The presence proof of a tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Proof")]
pub struct ProofView {
    /// The terminal verified it.
    pub verified: bool,
    /// The token's use counter.
    pub counter: u32,
    /// Who made the nonce.
    pub nonce_source: NonceSource,
    /// The `COSE_Sign1` message, base64url without padding; with `--proof` only.
    pub cose: Option<String>,
}

/// Who made the nonce of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonceSource {
    /// This terminal.
    Local,
    /// The server.
    Server,
}

/// Where the time of a tap went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Timings")]
pub struct TimingsView {
    /// To the open connection.
    pub connect: Ms,
    /// The handshake and the proof.
    pub authenticate: Ms,
    /// Reading user information that the proof does not carry.
    pub read: Ms,
    /// The server's answer.
    pub server: Option<Ms>,
    /// All of it.
    pub total: Ms,
    /// The part of it that was spent in exchanges with the card.
    pub card: Ms,
}

/// The outcome of one enrollment.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Enroll {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When it was over.
    pub at: At,
    /// Where.
    pub reader: String,
    /// The token.
    pub token_id: Option<Uuid>,
    /// Whose token it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// How it ended, unless it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Enrolled>,
    /// The set of a token in private mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The card came with the well-known test keys: never trust it with anything.
    pub test_keys: bool,
}

/// How far a batch of enrollments is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Batch")]
pub struct BatchView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Rows of the file.
    pub rows: u64,
    /// Rows that are tokens.
    pub done: u64,
    /// Rows that were begun with a card that is not finished.
    pub begun: u64,
    /// Rows that any blank card can take.
    pub free: u64,
    /// The journal of the batch.
    pub journal: String,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// How an enrollment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Enrolled {
    /// From blank to issued.
    Enrolled,
    /// An enrollment that had been interrupted was finished.
    Resumed,
    /// It stands for another token of its user, which is refused from now on.
    Replaced,
}

/// One entry of the current user list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserEntry {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The entry.
    #[serde(flatten)]
    pub entry: presence::Entry,
}

impl From<presence::Entry> for UserEntry {
    fn from(entry: presence::Entry) -> Self {
        Self { schema: Schema::default(), entry }
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The event.
    #[serde(flatten)]
    pub event: presence::Event,
}

impl From<presence::Event> for EventView {
    fn from(event: presence::Event) -> Self {
        Self { schema: Schema::default(), event }
    }
}

/// A user or token that is refused here.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Denied {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The id of the user, or the token id.
    pub id: String,
}

#[cfg(test)]
mod tests;
