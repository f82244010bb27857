//! The objects for the list of present users, and for those who are denied here.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema,
    cells::{holder, seconds, span, text, user_fields, word, yes},
};
use crate::{
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    terminal::presence,
};

/// One entry of the current user list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UserEntry {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The entry.
    #[serde(flatten)]
    pub entry: presence::Entry,
    /// The moment at which it is shown, for people.
    #[serde(skip)]
    now: Timestamp,
}

impl UserEntry {
    /// The view at this time.
    pub fn new(entry: presence::Entry, now: Timestamp) -> Self {
        Self { schema: Schema::default(), entry, now }
    }

    /// `2026-11-22T15:04:05Z (3h 20m ago)`
    fn ago(&self, at: Timestamp) -> Cell {
        Cell::moment(at, format!("({} ago)", span(at, self.now)), Style::Plain)
    }
}

/// A user or token that is refused here.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Denied {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The id of the user, or the token id.
    pub id: String,
    /// Whose it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when; none where an earlier release denied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

impl Denied {
    /// A token by its first digits, which are enough to allow it again.
    fn cell(&self) -> Cell {
        let token_id = self.id.parse::<Uuid>().ok().filter(|token_id| token_id.to_string() == self.id);
        token_id.map_or_else(|| Cell::new(&self.id, Style::Strong), |id| Cell::token(id, Style::Strong))
    }
}

/// A user or token that was denied, and is let in again.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Allowed {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The id that was denied: of a user, or a token id.
    pub id: String,
}

impl From<presence::Denial> for Denied {
    fn from(denial: presence::Denial) -> Self {
        let presence::Denial { id, at, name, reason } = denial;
        Self { schema: Schema::default(), id, name, reason, at: at.map(At) }
    }
}

impl Printable for UserEntry {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "token_id",
            |one| one.entry.token_id.to_string(),
            7,
            "TOKEN",
            |one| Cell::token(one.entry.token_id, Style::Dim),
        ),
        Column::both(
            "user_id",
            |one| one.entry.user.id.clone(),
            1,
            "USER",
            |one| Cell::new(&one.entry.user.id, Style::Strong),
        ),
        Column::both(
            "user_name",
            |one| one.entry.user.name.clone(),
            2,
            "NAME",
            |one| one.entry.user.name.as_str().into(),
        ),
        Column::csv("user_fields", |one| user_fields(Some(&one.entry.user))),
        Column::both("reader", |one| one.entry.reader.clone(), 6, "READER", |one| one.entry.reader.as_str().into()),
        Column::both("since", |one| At(one.entry.since).to_string(), 4, "SINCE", |one| seconds(one.entry.since)),
        Column::text(5, "FOR", |one| span(one.entry.since, one.now).into()),
        Column::csv("last_seen", |one| At(one.entry.last_seen).to_string()),
        Column::both("state", |one| word(&one.entry.state), 3, "STATE", |one| state(&one.entry)),
        Column::csv("source", |one| word(&one.entry.source)),
        Column::csv("authenticated", |one| one.entry.authenticated.to_string()),
        Column::csv("resumed", |one| one.entry.resumed.to_string()),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let entry = &self.entry;
        let mut details = holder(&entry.user);
        details.extend([
            ("token", Cell::token(entry.token_id, Style::Plain)),
            ("reader", entry.reader.as_str().into()),
            ("state", word(&entry.state).into()),
            ("since", self.ago(entry.since)),
            ("last seen", self.ago(entry.last_seen)),
            ("source", word(&entry.source).into()),
            ("authenticated", if entry.resumed { "resumed".into() } else { yes(entry.authenticated) }),
        ]);
        details
    }
}

/// A user who was entered by hand has shown no card.
fn state(entry: &presence::Entry) -> Cell {
    let style = match entry.state {
        presence::EntryState::Present => Style::Good,
        presence::EntryState::Unconfirmed => Style::Warning,
    };
    let how = if entry.authenticated { "" } else { ", by hand" };
    Cell::new(format!("{}{how}", word(&entry.state)), style)
}

impl Printable for Denied {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("id", |denied| denied.id.clone(), 1, "DENIED", Denied::cell),
        Column::both(
            "name",
            |denied| text(denied.name.as_ref()),
            2,
            "NAME",
            |denied| text(denied.name.as_ref()).into(),
        ),
        Column::both(
            "reason",
            |denied| text(denied.reason.as_ref()),
            4,
            "WHY",
            |denied| text(denied.reason.as_ref()).into(),
        ),
        Column::both(
            "at",
            |denied| text(denied.at.as_ref()),
            3,
            "SINCE",
            |denied| denied.at.as_ref().map(|at| seconds(at.0)).unwrap_or_default(),
        ),
    ];
}

impl Printable for Allowed {
    const COLUMNS: &'static [Column<Self>] =
        &[Column::both("id", |one| one.id.clone(), 1, "ALLOWED", |one| Cell::new(&one.id, Style::Strong))];
}
