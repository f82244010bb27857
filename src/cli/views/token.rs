//! A token as it is looked at and changed by hand.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{At, ProofView, Schema};
use crate::{
    api::{User, v1::TokenStatus},
    failure::ErrorObject,
    token::select::LifeCycle,
};

/// What a token says about itself (`token info`), and whether that holds (`token verify`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct TokenView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Where it lies.
    pub reader: String,
    /// The answer to reset, in hex.
    pub atr: Option<String>,
    /// Its life cycle.
    pub state: TokenState,
    /// Its privacy mode, from ISSUED on.
    pub mode: Option<TokenModeView>,
    /// The version of the protocol that it speaks.
    pub version: String,
    /// Its id: in mode open as told, in mode private after authentication only.
    pub token_id: Option<Uuid>,
    /// The set that a private token belongs to, 16 hex digits.
    pub set_id: Option<String>,
    /// The version of the ECKA key to use, 2 hex digits.
    pub ecka_kvn: Option<String>,
    /// The beginning of the identifier of the CA that it trusts, 16 hex digits.
    pub ca_id: Option<String>,
    /// Whether handshake and signature hold; null when not asked.
    pub authenticated: Option<bool>,
    /// Whose token it is, once authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Why it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
    /// The presence proof, once authenticated.
    pub proof: Option<ProofView>,
}

/// What was done to a token (`token write`, `block`, `unblock`, `terminate`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TokenChange {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When it was over.
    pub at: At,
    /// Where it lies.
    pub reader: String,
    /// Its id; null when it was terminated before, for then it tells none.
    pub token_id: Option<Uuid>,
    /// What was asked for.
    pub action: TokenAction,
    /// What came of it.
    pub result: TokenChanged,
    /// Its life cycle afterwards; after a dry run, as it is.
    pub state: TokenState,
    /// The status that the server has the token in afterwards; null where it was not told: there is none, the order was
    /// `write` or a dry run, or it did not take it (which stderr tells, and the exit status).
    pub server: Option<RegisteredView>,
    /// Whose token it becomes by `write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
}

/// What can be done to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenAction {
    /// Replace the user information.
    Write,
    /// Take it out of use for now.
    Block,
    /// Take it into use again.
    Unblock,
    /// Take it out of use for ever.
    Terminate,
}

/// What a server has a token registered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Registered")]
pub enum RegisteredView {
    /// It is let in.
    Active,
    /// Not for now.
    Suspended,
    /// Reported lost.
    Lost,
    /// Never again.
    Revoked,
    /// This server does not know it.
    Unknown,
}

impl From<TokenStatus> for RegisteredView {
    fn from(status: TokenStatus) -> Self {
        match status {
            TokenStatus::Active => Self::Active,
            TokenStatus::Suspended => Self::Suspended,
            TokenStatus::Lost => Self::Lost,
            TokenStatus::Revoked => Self::Revoked,
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenChanged {
    /// It was done.
    Done,
    /// It had been done before.
    Unchanged,
    /// It would be done (`--dry-run`).
    Planned,
}

/// The life cycle of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// Nothing on it.
    Blank,
    /// Enrollment has begun.
    Personalised,
    /// In use.
    Issued,
    /// Taken out of use for now.
    Blocked,
    /// Taken out of use for ever.
    Terminated,
}

impl From<LifeCycle> for TokenState {
    fn from(state: LifeCycle) -> Self {
        match state {
            LifeCycle::Blank => Self::Blank,
            LifeCycle::Personalised => Self::Personalised,
            LifeCycle::Issued => Self::Issued,
            LifeCycle::Blocked => Self::Blocked,
            LifeCycle::Terminated => Self::Terminated,
        }
    }
}

/// The privacy mode of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TokenMode")]
pub enum TokenModeView {
    /// It tells its id to everybody.
    Open,
    /// It tells its id in the channel only.
    Private,
}
