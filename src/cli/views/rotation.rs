//! The objects of a rotation of the CA, or of the key of a set.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{At, Schema, TokenChanged};
use crate::failure::ErrorObject;

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
