//! The objects for a token that is inspected or changed by hand.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, ProofView, Schema, UserChangeView,
    cells::{self, error_code, error_message, failed, holder, text, user_fields, user_id, user_name, word, yes},
};
use crate::{
    api::{User, v1::TokenStatus},
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
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
    /// What `write` changes about what the card says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<UserChangeView>>,
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

impl Printable for TokenChange {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |change| change.at.to_string()),
        Column::both("reader", |change| change.reader.clone(), 5, "READER", |change| change.reader.as_str().into()),
        Column::both(
            "token_id",
            |change| text(change.token_id.as_ref()),
            1,
            "TOKEN",
            |change| cells::token(change.token_id.as_ref()),
        ),
        Column::both("action", |change| word(&change.action), 2, "ACTION", |change| word(&change.action).into()),
        Column::both("result", |change| word(&change.result), 3, "RESULT", |change| change.result.cell()),
        Column::both("state", |change| word(&change.state), 4, "STATE", |change| change.state.cell()),
        Column::csv("user_id", |change| user_id(change.user.as_ref())),
        Column::csv("user_name", |change| user_name(change.user.as_ref())),
        Column::csv("user_fields", |change| user_fields(change.user.as_ref())),
        Column::csv("server", |change| change.server.as_ref().map(word).unwrap_or_default()),
        Column::csv("changes", |change| UserChangeView::in_words(change.changes.as_deref().unwrap_or_default())),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details: Vec<_> = Self::heads().into_iter().zip(self.row()).collect();
        details.extend(UserChangeView::details(self.changes.as_deref().unwrap_or_default()));
        details
    }
}

impl Printable for TokenView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("reader", |token| token.reader.clone(), 1, "READER", |token| token.reader.as_str().into()),
        Column::csv("atr", |token| text(token.atr.as_ref())),
        Column::both("state", |token| word(&token.state), 2, "STATE", |token| token.state.cell()),
        Column::both(
            "mode",
            |token| token.mode.as_ref().map(word).unwrap_or_default(),
            3,
            "MODE",
            |token| token.mode.as_ref().map(word).unwrap_or_default().into(),
        ),
        Column::csv("version", |token| token.version.clone()),
        Column::both(
            "token_id",
            |token| text(token.token_id.as_ref()),
            4,
            "TOKEN",
            |token| cells::token(token.token_id.as_ref()),
        ),
        Column::csv("set_id", |token| text(token.set_id.as_ref())),
        Column::csv("ecka_kvn", |token| text(token.ecka_kvn.as_ref())),
        Column::csv("ca_id", |token| text(token.ca_id.as_ref())),
        Column::both("authenticated", |token| text(token.authenticated.as_ref()), 6, "RESULT", Self::result),
        Column::both(
            "user_id",
            |token| user_id(token.user.as_ref()),
            5,
            "USER",
            |token| user_id(token.user.as_ref()).into(),
        ),
        Column::csv("user_name", |token| user_name(token.user.as_ref())),
        Column::csv("user_fields", |token| user_fields(token.user.as_ref())),
        Column::csv("error_code", |token| error_code(token.error.as_ref())),
        Column::csv("error_message", |token| error_message(token.error.as_ref())),
        Column::csv("proof_counter", |token| ProofView::counter(token.proof.as_ref())),
        Column::csv("proof_nonce_source", |token| ProofView::nonce_source(token.proof.as_ref())),
        Column::csv("proof_cose", |token| ProofView::cose(token.proof.as_ref())),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details = vec![("reader", self.reader.as_str().into()), ("state", self.state.cell())];
        if let Some(mode) = &self.mode {
            details.push(("mode", word(mode).into()));
        }
        details.extend(self.token_id.map(|id| ("token", Cell::token(id, Style::Plain))));
        let known = [
            ("set", self.set_id.clone()),
            ("protocol", Some(self.version.clone())),
            ("ECKA key", self.ecka_kvn.clone()),
            ("trusts CA", self.ca_id.clone()),
            ("ATR", self.atr.clone()),
        ];
        details.extend(known.into_iter().filter_map(|(label, value)| Some((label, Cell::from(value?)))));
        if let Some(authenticated) = self.authenticated {
            details.push(("authenticated", yes(authenticated)));
        }
        if let Some(error) = &self.error {
            details.push(("because", failed(error)));
        }
        details.extend(self.user.as_ref().map(holder).unwrap_or_default());
        if let Some(proof) = &self.proof {
            details.push(("signatures", proof.counter.to_string().into()));
        }
        details
    }
}

impl TokenView {
    fn result(&self) -> Cell {
        match (&self.error, self.authenticated) {
            (Some(error), _) => failed(error),
            (None, Some(authenticated)) => yes(authenticated),
            (None, None) => Cell::default(),
        }
    }
}

impl TokenChanged {
    /// Its cell for people.
    pub fn cell(self) -> Cell {
        let style = match self {
            Self::Done => Style::Good,
            Self::Unchanged => Style::Dim,
            Self::Planned => Style::Warning,
        };
        Cell::new(word(&self), style)
    }
}

impl TokenState {
    fn cell(self) -> Cell {
        let style = match self {
            Self::Issued => Style::Good,
            Self::Blank | Self::Personalised => Style::Plain,
            Self::Blocked => Style::Warning,
            Self::Terminated => Style::Bad,
        };
        Cell::new(word(&self), style)
    }
}
