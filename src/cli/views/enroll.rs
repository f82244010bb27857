//! An enrollment, and a batch of them.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema,
    cells::{error_code, error_message, failed, text, user_fields, user_id, user_name, word},
};
use crate::{
    api::User,
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    failure::ErrorObject,
};

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

impl Printable for Enroll {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |enroll| enroll.at.to_string()),
        Column::both("reader", |enroll| enroll.reader.clone(), 4, "READER", |enroll| enroll.reader.as_str().into()),
        Column::both(
            "token_id",
            |enroll| text(enroll.token_id.as_ref()),
            3,
            "TOKEN",
            |enroll| Cell::new(text(enroll.token_id.as_ref()), Style::Dim),
        ),
        Column::both(
            "user_id",
            |enroll| user_id(enroll.user.as_ref()),
            1,
            "USER",
            |enroll| Cell::new(user_id(enroll.user.as_ref()), Style::Strong),
        ),
        Column::both(
            "user_name",
            |enroll| user_name(enroll.user.as_ref()),
            2,
            "NAME",
            |enroll| user_name(enroll.user.as_ref()).into(),
        ),
        Column::csv("user_fields", |enroll| user_fields(enroll.user.as_ref())),
        Column::both(
            "result",
            |enroll| enroll.result.as_ref().map(word).unwrap_or_default(),
            5,
            "RESULT",
            Self::outcome,
        ),
        Column::csv("test_keys", |enroll| enroll.test_keys.to_string()),
        Column::csv("error_code", |enroll| error_code(enroll.error.as_ref())),
        Column::csv("error_message", |enroll| error_message(enroll.error.as_ref())),
    ];

    fn line(&self) -> Vec<Cell> {
        let mut line = self.row();
        if self.test_keys {
            line.push(Cell::new("TEST KEYS", Style::Bad));
        }
        line
    }
}

impl Enroll {
    fn outcome(&self) -> Cell {
        match (&self.error, self.result) {
            (Some(error), _) => failed(error),
            (None, Some(result)) => Cell::new(word(&result), Style::Good),
            (None, None) => Cell::default(),
        }
    }
}

impl Printable for BatchView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("rows", |batch| batch.rows.to_string(), 1, "ROWS", |batch| batch.rows.to_string().into()),
        Column::both("done", |batch| batch.done.to_string(), 2, "ENROLLED", |batch| batch.done.to_string().into()),
        Column::both("begun", |batch| batch.begun.to_string(), 3, "BEGUN", |batch| batch.begun.to_string().into()),
        Column::both("free", |batch| batch.free.to_string(), 4, "LEFT", |batch| batch.free.to_string().into()),
        Column::both("journal", |batch| batch.journal.clone(), 5, "JOURNAL", |batch| batch.journal.as_str().into()),
        Column::csv("dry_run", |batch| batch.dry_run.to_string()),
    ];
}
