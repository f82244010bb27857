//! The objects for an enrollment, and for a batch of them.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema, UserChangeView,
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
    terminal::enrollment::batch::difference::{RowDifference, RowNow},
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
    /// What it changed about what the server knew of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<UserChangeView>,
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
    /// Rows that were edited after they went to a card, and rows of the journal that the file does not have any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<RowDifferenceView>,
}

/// What the file says otherwise than the journal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "RowDifference")]
pub struct RowDifferenceView {
    /// The id of the user in the journal.
    pub id: String,
    /// What became of the row.
    pub row: RowNowView,
    /// The token, where the row is done; null: it is begun.
    pub token_id: Option<Uuid>,
    /// What the row said when it went to its card; null where an older journal does not keep that.
    pub before: Option<User>,
    /// What it says now; of a row that is gone: rows that may be the same person.
    pub after: Vec<User>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RowNow")]
pub enum RowNowView {
    /// It says something else.
    Changed,
    /// It is not in the file.
    Gone,
}

impl From<&RowDifference> for RowDifferenceView {
    fn from(difference: &RowDifference) -> Self {
        let RowDifference { id, token_id, before, now } = difference.clone();
        let (row, after) = match now {
            RowNow::Changed(after) => (RowNowView::Changed, vec![after]),
            RowNow::Gone(alike) => (RowNowView::Gone, alike),
        };
        Self { id, row, token_id, before, after }
    }
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
    /// It would be done (`--dry-run`).
    Planned,
}

impl CardOutcome for Enroll {
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

impl Printable for Enroll {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |enroll| enroll.at.to_string()),
        card_outcome::reader(),
        card_outcome::token(),
        card_outcome::id_of_user(),
        card_outcome::name_of_user(),
        card_outcome::fields_of_user(),
        Column::both(
            "result",
            |enroll| enroll.result.as_ref().map(word).unwrap_or_default(),
            5,
            "RESULT",
            Self::outcome,
        ),
        Column::csv("test_keys", |enroll| enroll.test_keys.to_string()),
        card_outcome::code_of_error(),
        card_outcome::message_of_error(),
        Column::csv("changes", |enroll| UserChangeView::in_words(&enroll.changes)),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details: Vec<_> = Self::heads().into_iter().zip(self.row()).collect();
        details.extend(UserChangeView::details(&self.changes));
        details
    }

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
        Column::csv("changed", |batch| batch.different(RowNowView::Changed).to_string()),
        Column::csv("gone", |batch| batch.different(RowNowView::Gone).to_string()),
    ];
}

impl BatchView {
    fn different(&self, row: RowNowView) -> usize {
        self.differences.iter().filter(|difference| difference.row == row).count()
    }
}
