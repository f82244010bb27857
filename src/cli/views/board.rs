//! The object for a link to a board.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    At, Schema,
    cells::{seconds, word},
};
use crate::{
    board::links::BoardLink,
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
};

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LinkState")]
pub enum LinkStateView {
    /// Nobody has opened it yet.
    Waiting,
    /// A browser has opened it, and may look.
    Opened,
    /// It was taken back.
    Revoked,
}

/// A link to a board, for one browser.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BoardLinkView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Its name.
    pub id: String,
    /// Who it is for, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What became of it.
    pub state: LinkStateView,
    /// When it was made.
    pub made: At,
    /// Until when it has to be opened.
    pub open_until: At,
    /// Until when who has opened it may look.
    pub ends: At,
    /// The link itself, only where it was just made: whoever opens it first may look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl BoardLinkView {
    /// The view of a link.
    pub fn new(link: BoardLink, state: LinkStateView, url: Option<String>) -> Self {
        let BoardLink { id, label, made, open_until, ends, .. } = link;
        Self {
            schema: Schema::default(),
            id,
            label,
            state,
            made: At(made),
            open_until: At(open_until),
            ends: At(ends),
            url,
        }
    }
}

impl From<BoardLink> for BoardLinkView {
    fn from(link: BoardLink) -> Self {
        let state = if link.is_opened() { LinkStateView::Opened } else { LinkStateView::Waiting };
        Self::new(link, state, None)
    }
}

impl Printable for BoardLinkView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("id", |one| one.id.clone(), 1, "LINK", |one| Cell::new(&one.id, Style::Strong)),
        Column::both(
            "label",
            |one| one.label.clone().unwrap_or_default(),
            2,
            "FOR",
            |one| one.label.as_deref().unwrap_or_default().into(),
        ),
        Column::both("state", |one| word(&one.state), 3, "STATE", |one| word(&one.state).into()),
        Column::csv("made", |one| one.made.to_string()),
        Column::both("open_until", |one| one.open_until.to_string(), 4, "OPEN UNTIL", |one| seconds(one.open_until.0)),
        Column::both("ends", |one| one.ends.to_string(), 5, "ENDS", |one| seconds(one.ends.0)),
        Column::csv("url", |one| one.url.clone().unwrap_or_default()),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details = Vec::new();
        if let Some(url) = &self.url {
            details.push(("url", Cell::solid(url, Style::Plain)));
        }
        details.push(("link", Cell::new(&self.id, Style::Strong)));
        if let Some(label) = &self.label {
            details.push(("for", label.as_str().into()));
        }
        details.extend([
            ("state", word(&self.state).into()),
            ("open until", seconds(self.open_until.0)),
            ("ends", seconds(self.ends.0)),
        ]);
        details
    }
}
