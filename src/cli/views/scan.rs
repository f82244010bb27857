//! The object for the outcome of a tap: the user, what was proved, and the timings.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Ms, ProofView, Schema,
    card_outcome::{self, CardOutcome},
    cells::{failed, word},
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

impl CardOutcome for ScanView {
    fn reader(&self) -> &str {
        &self.reader
    }

    fn token_id(&self) -> Option<&Uuid> {
        self.token_id.as_ref()
    }

    fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    fn error(&self) -> Option<&ErrorObject> {
        self.error.as_ref()
    }
}

impl Printable for ScanView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |scan| scan.at.to_string()),
        card_outcome::reader(),
        card_outcome::token(),
        Column::csv("identified", |scan| scan.identified.to_string()),
        Column::both("authenticated", |scan| scan.authenticated.token.to_string(), 5, "RESULT", Self::result),
        Column::csv("server", |scan| word(&scan.authenticated.server)),
        Column::csv("source", |scan| scan.source.as_ref().map(word).unwrap_or_default()),
        card_outcome::id_of_user(),
        card_outcome::name_of_user(),
        card_outcome::fields_of_user(),
        card_outcome::code_of_error(),
        card_outcome::message_of_error(),
        Column::csv("proof_counter", |scan| ProofView::counter(scan.proof.as_ref())),
        Column::csv("proof_nonce_source", |scan| ProofView::nonce_source(scan.proof.as_ref())),
        Column::csv("proof_cose", |scan| ProofView::cose(scan.proof.as_ref())),
        Column::csv("total_ms", |scan| scan.timings_ms.total.0.to_string()),
        Column::csv("proof_identity_certificate", |scan| ProofView::identity_certificate(scan.proof.as_ref())),
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
