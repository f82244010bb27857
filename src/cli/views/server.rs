//! The objects of `rollcall server`.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{At, Schema};
use crate::api::{
    User,
    v1::{self, Role, TokenStatus},
};

/// A server that was made or that runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerState {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Where it keeps what it knows; without a password.
    pub store: String,
    /// Where it listens, once it does.
    pub listening: Option<String>,
    /// `server init`: the terminal that administers it.
    pub terminal: Option<String>,
    /// `server init`: whether that terminal is new there.
    pub new: Option<bool>,
}

/// What `server audit verify` found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Audit {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Whether the log is whole.
    pub whole: bool,
    /// How many records it has, or should have.
    pub records: u64,
    /// The hash of the last one, in hex.
    pub head: String,
    /// The number of the first record that is bad or missing.
    pub first_bad: Option<u64>,
    /// What is wrong with it.
    pub what: Option<String>,
}

/// A user as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Known")]
pub struct ServerUserView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The user.
    #[serde(flatten)]
    pub user: User,
}

impl From<User> for ServerUserView {
    fn from(user: User) -> Self {
        Self { schema: Schema::default(), user }
    }
}

/// A token as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerToken {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The token.
    pub token_id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// Whether it is let in.
    pub status: TokenStatus,
    /// Why not.
    pub reason: Option<String>,
    /// Since when.
    pub changed: At,
    /// The highest use counter that a proof has shown.
    pub counter: Option<u32>,
}

impl From<v1::RegisteredToken> for ServerToken {
    fn from(token: v1::RegisteredToken) -> Self {
        let v1::RegisteredToken { token_id, user_id, status, reason, changed, counter } = token;
        Self { schema: Schema::default(), token_id, user_id, status, reason, changed: changed.into(), counter }
    }
}

/// A terminal as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerTerminal {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Since when it is known.
    pub added: At,
}

impl From<v1::RegisteredTerminal> for ServerTerminal {
    fn from(terminal: v1::RegisteredTerminal) -> Self {
        let v1::RegisteredTerminal { name, role, revoked, added } = terminal;
        Self { schema: Schema::default(), name, role, revoked, added: added.into() }
    }
}

/// What an import came to.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Import {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Users that were not there before.
    pub created: u64,
    /// Users that were there, and other.
    pub changed: u64,
    /// Users that were there already, the same.
    pub unchanged: u64,
}
