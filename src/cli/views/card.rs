//! The object for an entry in the register of cards issued here.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema,
    cells::{seconds, text, user_fields, word},
};
use crate::{
    api::User,
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    terminal::presence::store::{CardState, IssuedCard},
};

/// A card that was issued at this terminal.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IssuedCardView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The token on it.
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// What the card is told apart by when its keys are made: its diversification data, hex. Null for a token that was
    /// given up for another one on the same card.
    pub card: Option<String>,
    /// What became of it, as far as this terminal did that.
    pub state: IssuedCardState,
    /// Whether the token or its user is denied at this terminal.
    pub denied: bool,
    /// When it was issued.
    pub issued: At,
    /// When it was last changed here.
    pub changed: At,
}

/// What became of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssuedCardState {
    /// It is in use.
    Issued,
    /// It was blocked.
    Blocked,
    /// It was terminated.
    Terminated,
    /// Another one was issued in its place.
    Replaced,
}

impl IssuedCardView {
    /// The view of an entry in the register.
    pub fn new(card: IssuedCard, denied: bool) -> Self {
        let state = match card.state {
            CardState::Issued => IssuedCardState::Issued,
            CardState::Blocked => IssuedCardState::Blocked,
            CardState::Terminated => IssuedCardState::Terminated,
            CardState::Replaced => IssuedCardState::Replaced,
        };
        let IssuedCard { token_id, user, card, issued, changed, .. } = card;
        let (issued, changed) = (issued.into(), changed.into());
        Self { schema: Schema::default(), token_id, user, card, state, denied, issued, changed }
    }
}

impl Printable for IssuedCardView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "token_id",
            |one| one.token_id.to_string(),
            3,
            "TOKEN",
            |one| Cell::token(one.token_id, Style::Dim),
        ),
        Column::both("user_id", |one| one.user.id.clone(), 1, "USER", |one| Cell::new(&one.user.id, Style::Strong)),
        Column::both("user_name", |one| one.user.name.clone(), 2, "NAME", |one| one.user.name.as_str().into()),
        Column::csv("user_fields", |one| user_fields(Some(&one.user))),
        Column::both("card", |one| text(one.card.as_ref()), 4, "CARD", |one| text(one.card.as_ref()).into()),
        Column::both("state", |one| word(&one.state), 5, "STATE", |one| state(one.state, one.denied)),
        Column::csv("denied", |one| one.denied.to_string()),
        Column::both("issued", |one| one.issued.to_string(), 6, "ISSUED", |one| seconds(one.issued.0)),
        Column::csv("changed", |one| one.changed.to_string()),
    ];
}

fn state(state: IssuedCardState, denied: bool) -> Cell {
    let style = match state {
        _ if denied => Style::Bad,
        IssuedCardState::Issued => Style::Good,
        IssuedCardState::Blocked => Style::Warning,
        IssuedCardState::Terminated | IssuedCardState::Replaced => Style::Dim,
    };
    let told = if denied { format!("{}, denied here", word(&state)) } else { word(&state) };
    Cell::new(told, style)
}
