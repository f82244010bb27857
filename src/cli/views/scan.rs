//! The outcome of a tap: who it was, what was proved, and where the time went.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Ms, ProofView, Schema,
    cells::{error_code, error_message, failed, text, user_fields, user_id, user_name, word},
};
use crate::{
    api::User,
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    failure::ErrorObject,
    terminal::presence,
};

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

impl Printable for ScanView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |scan| scan.at.to_string()),
        Column::both("reader", |scan| scan.reader.clone(), 4, "READER", |scan| scan.reader.as_str().into()),
        Column::both(
            "token_id",
            |scan| text(scan.token_id.as_ref()),
            3,
            "TOKEN",
            |scan| Cell::new(text(scan.token_id.as_ref()), Style::Dim),
        ),
        Column::csv("identified", |scan| scan.identified.to_string()),
        Column::both("authenticated", |scan| scan.authenticated.token.to_string(), 5, "RESULT", Self::result),
        Column::csv("server", |scan| word(&scan.authenticated.server)),
        Column::csv("source", |scan| scan.source.as_ref().map(word).unwrap_or_default()),
        Column::both(
            "user_id",
            |scan| user_id(scan.user.as_ref()),
            1,
            "USER",
            |scan| Cell::new(user_id(scan.user.as_ref()), Style::Strong),
        ),
        Column::both(
            "user_name",
            |scan| user_name(scan.user.as_ref()),
            2,
            "NAME",
            |scan| user_name(scan.user.as_ref()).into(),
        ),
        Column::csv("user_fields", |scan| user_fields(scan.user.as_ref())),
        Column::csv("error_code", |scan| error_code(scan.error.as_ref())),
        Column::csv("error_message", |scan| error_message(scan.error.as_ref())),
        Column::csv("proof_counter", |scan| ProofView::counter(scan.proof.as_ref())),
        Column::csv("proof_nonce_source", |scan| ProofView::nonce_source(scan.proof.as_ref())),
        Column::csv("proof_cose", |scan| ProofView::cose(scan.proof.as_ref())),
        Column::csv("total_ms", |scan| scan.timings_ms.total.0.to_string()),
    ];
}

impl ScanView {
    fn result(&self) -> Cell {
        match (&self.error, self.authenticated.token, self.authenticated.server) {
            (Some(error), ..) => failed(error),
            (None, true, ServerVerdictView::Unreachable) => {
                Cell::new("authenticated, server unreachable", Style::Warning)
            }
            (None, true, _) => Cell::new("authenticated", Style::Good),
            (None, false, _) if self.identified => Cell::new("identified", Style::Warning),
            (None, false, _) => Cell::new("unknown", Style::Warning),
        }
    }
}
