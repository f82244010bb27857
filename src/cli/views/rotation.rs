//! The objects for a rotation of the CA, or of the key of a set.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema, TokenChanged,
    cells::{self, error_code, error_message, failed, text, word},
};
use crate::{
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    failure::ErrorObject,
};

/// A token that was moved to the new CA or the new set, or was not (`token rotate`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Rotation")]
pub struct RotationView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When it was over.
    pub at: At,
    /// Where it lies.
    pub reader: String,
    /// Its id; null when it failed before that was proven.
    pub token_id: Option<Uuid>,
    /// What came of it; null when it failed.
    pub result: Option<TokenChanged>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// How far a rotation is (`token rotate --all --dry-run`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RotationState {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Tokens that the CA before has certified.
    pub tokens: usize,
    /// How many of them have the new CA.
    pub done: usize,
    /// The others.
    pub left: Vec<Uuid>,
}

/// How far the key of a set is replaced (`pki rotate-set`, `token rotate --set ID --all --dry-run`).
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "SetRotation")]
pub struct SetRotationView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The set before, 16 hex digits.
    pub set: String,
    /// The set in its place, 16 hex digits.
    pub successor: String,
    /// How many tokens were counted in the set before.
    pub tokens: usize,
    /// How many of them have the new key.
    pub done: usize,
    /// How many are not known to have it.
    pub left: usize,
    /// Whether the old key was destroyed here.
    pub finished: bool,
}

impl Printable for RotationView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |one| one.at.to_string()),
        Column::both("reader", |one| one.reader.clone(), 2, "READER", |one| one.reader.as_str().into()),
        Column::both(
            "token_id",
            |one| text(one.token_id.as_ref()),
            1,
            "TOKEN",
            |one| cells::token(one.token_id.as_ref()),
        ),
        Column::both("result", |one| one.result.as_ref().map(word).unwrap_or_default(), 3, "RESULT", Self::outcome),
        Column::csv("error_code", |one| error_code(one.error.as_ref())),
        Column::csv("error_message", |one| error_message(one.error.as_ref())),
    ];
}

impl RotationView {
    fn outcome(&self) -> Cell {
        match (&self.error, self.result) {
            (Some(error), _) => failed(error),
            (None, Some(TokenChanged::Done)) => Cell::new("done", Style::Good),
            (None, Some(other)) => Cell::new(word(&other), Style::Dim),
            (None, None) => Cell::default(),
        }
    }
}

impl Printable for RotationState {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("tokens", |state| state.tokens.to_string(), 1, "TOKENS", |state| state.tokens.to_string().into()),
        Column::both("done", |state| state.done.to_string(), 2, "DONE", |state| state.done.to_string().into()),
        Column::both("left", Self::left, 3, "LEFT", |state| state.left.len().to_string().into()),
    ];
}

impl RotationState {
    fn left(&self) -> String {
        let left: Vec<_> = self.left.iter().map(ToString::to_string).collect();
        left.join(" ")
    }
}

impl Printable for SetRotationView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("set", |one| one.set.clone(), 1, "SET", |one| one.set.as_str().into()),
        Column::both("successor", |one| one.successor.clone(), 2, "SUCCESSOR", |one| one.successor.as_str().into()),
        Column::both("tokens", |one| one.tokens.to_string(), 3, "TOKENS", |one| one.tokens.to_string().into()),
        Column::both("done", |one| one.done.to_string(), 4, "DONE", |one| one.done.to_string().into()),
        Column::both("left", |one| one.left.to_string(), 5, "LEFT", |one| one.left.to_string().into()),
        Column::csv("finished", |one| one.finished.to_string()),
    ];
}
