//! The objects for present users and events as the server merges them from all terminals.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    At, Schema,
    cells::{seconds, span, text, user_fields, user_id, user_name, word},
    event::{kind_words, reason_words},
};
use crate::{
    api::{
        User,
        v1::{ForgottenUser, PresenceState, PresentUser, StoredEvent},
    },
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
};

/// One person who is here: at the terminal where they were last seen.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PresenceView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The moment that this is true of.
    pub at: At,
    /// Who it is; null where no event says so.
    pub user: Option<User>,
    /// The token that was seen last; null for who came without one.
    pub token_id: Option<Uuid>,
    /// The terminal.
    pub terminal: String,
    /// Its reader.
    pub reader: Option<String>,
    /// Since when they are on the list of that terminal.
    pub since: At,
    /// When they were last seen there, as far as events tell.
    pub last_seen: At,
    /// Whether the terminal is sure.
    pub state: PresenceState,
    /// Whether the terminal is silent; null with `--at`.
    pub silent: Option<bool>,
    /// When the terminal last asked the server; null where that is not known, and with `--at`.
    pub last_word: Option<At>,
    /// Whether a card proved who came; false for who was entered by hand, null where no event says so.
    pub authenticated: Option<bool>,
    /// Who entered them by hand.
    pub by: Option<String>,
}

impl PresenceView {
    /// The server's entry at this time; and when the terminal last asked.
    pub fn new(one: PresentUser, at: Timestamp, last_word: Option<Timestamp>) -> Self {
        let PresentUser { user, token_id, terminal, reader, since, last_seen, state, silent, authenticated, by } = one;
        let (since, last_seen, last_word) = (since.into(), last_seen.into(), last_word.map(At));
        let (schema, at) = (Schema::default(), at.into());
        Self {
            schema,
            at,
            user,
            token_id,
            terminal,
            reader,
            since,
            last_seen,
            state,
            silent,
            last_word,
            authenticated,
            by,
        }
    }

    fn state(&self) -> Cell {
        match (self.silent, self.state) {
            (Some(true), _) => {
                let age = self.last_word.map(|last| format!(" for {}", span(last.0, self.at.0)));
                Cell::new(format!("terminal silent{}", age.unwrap_or_default()), Style::Bad)
            }
            (_, PresenceState::Present) => Cell::new(word(&self.state), Style::Good),
            (_, PresenceState::Unconfirmed) => Cell::new(word(&self.state), Style::Warning),
        }
    }
}

impl Printable for PresenceView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "user_id",
            |one| user_id(one.user.as_ref()),
            1,
            "USER",
            |one| Cell::new(user_id(one.user.as_ref()), Style::Strong),
        ),
        Column::both(
            "user_name",
            |one| user_name(one.user.as_ref()),
            2,
            "NAME",
            |one| user_name(one.user.as_ref()).into(),
        ),
        Column::csv("user_fields", |one| user_fields(one.user.as_ref())),
        Column::both("terminal", |one| one.terminal.clone(), 4, "TERMINAL", |one| one.terminal.as_str().into()),
        Column::both("reader", |one| text(one.reader.as_ref()), 7, "READER", |one| text(one.reader.as_ref()).into()),
        Column::both("since", |one| one.since.to_string(), 5, "SINCE", |one| seconds(one.since.0)),
        Column::text(6, "FOR", |one| span(one.since.0, one.at.0).into()),
        Column::csv("last_seen", |one| one.last_seen.to_string()),
        Column::both("state", |one| word(&one.state), 3, "STATE", Self::state),
        Column::csv("silent", |one| text(one.silent.as_ref())),
        Column::csv("last_word", |one| text(one.last_word.as_ref())),
        Column::csv("token_id", |one| text(one.token_id.as_ref())),
        Column::csv("at", |one| one.at.to_string()),
        Column::csv("authenticated", |one| text(one.authenticated.as_ref())),
        Column::both("by", |one| text(one.by.as_ref()), 8, "ENTERED BY", |one| text(one.by.as_ref()).into()),
    ];
}

/// An event of a terminal, as the server keeps it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerEventView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The terminal that brought it.
    pub terminal: String,
    /// The list that numbers it.
    pub list: Uuid,
    /// When the server got it.
    pub received: At,
    /// The object `rollcall.event/1`, as the terminal sent it; one of a later release may have more.
    pub event: Value,
}

impl From<StoredEvent> for ServerEventView {
    fn from(stored: StoredEvent) -> Self {
        let StoredEvent { terminal, list, received, event } = stored;
        Self { schema: Schema::default(), terminal, list, received: received.into(), event }
    }
}

impl ServerEventView {
    fn value(&self, pointer: &str) -> String {
        match self.event.pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The time, or the terminal's own text if a later release writes it differently.
    fn at(&self) -> Cell {
        let said = self.value("/at");
        said.parse().map_or_else(|_| said.as_str().into(), seconds)
    }

    fn why(&self) -> Cell {
        let code = self.value("/error/code");
        if code.is_empty() {
            let reason = self.value("/reason");
            return in_words(&reason, reason_words).into();
        }
        Cell::new(format!("{} ({code})", self.value("/error/message")), Style::Bad)
    }
}

/// A code in words for people; an unknown one of a later release unchanged.
fn in_words<T: serde::de::DeserializeOwned>(code: &str, words: impl Fn(T) -> &'static str) -> String {
    serde_json::from_value(code.into()).map_or_else(|_| code.to_owned(), |known| words(known).to_owned())
}

impl Printable for ServerEventView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("at", |one| one.value("/at"), 1, "AT", Self::at),
        Column::both("terminal", |one| one.terminal.clone(), 2, "TERMINAL", |one| one.terminal.as_str().into()),
        Column::csv("seq", |one| one.value("/seq")),
        Column::both(
            "event",
            |one| one.value("/event"),
            3,
            "EVENT",
            |one| in_words(&one.value("/event"), kind_words).into(),
        ),
        Column::both("reader", |one| one.value("/reader"), 6, "READER", |one| one.value("/reader").into()),
        Column::csv("token_id", |one| one.value("/token_id")),
        Column::both(
            "user_id",
            |one| one.value("/user/id"),
            4,
            "USER",
            |one| Cell::new(one.value("/user/id"), Style::Strong),
        ),
        Column::both("user_name", |one| one.value("/user/name"), 5, "NAME", |one| one.value("/user/name").into()),
        Column::both("reason", |one| one.value("/reason"), 7, "WHY", Self::why),
        Column::csv("error_code", |one| one.value("/error/code")),
        Column::csv("by", |one| one.value("/by")),
        Column::csv("note", |one| one.value("/note")),
        Column::csv("received", |one| one.received.to_string()),
        Column::csv("list", |one| one.list.to_string()),
    ];
}

/// What the server forgot of a user, and what stays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerForgotten {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// What it was.
    #[serde(flatten)]
    pub done: ForgottenUser,
}

impl From<ForgottenUser> for ServerForgotten {
    fn from(done: ForgottenUser) -> Self {
        Self { schema: Schema::default(), done }
    }
}

macro_rules! number {
    ($field:ident, $place:literal, $head:literal) => {
        Column::both(
            stringify!($field),
            |one| one.done.$field.to_string(),
            $place,
            $head,
            |one| one.done.$field.to_string().into(),
        )
    };
}

impl Printable for ServerForgotten {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("id", |one| one.done.id.clone(), 1, "FORGOTTEN", |one| Cell::new(&one.done.id, Style::Strong)),
        number!(tokens, 2, "TOKENS REVOKED"),
        number!(events, 3, "EVENTS"),
        number!(proofs, 4, "PROOFS"),
        number!(records, 5, "RECORDS BLANKED"),
        number!(unsealed_records, 6, "WITHOUT SALT"),
        number!(token_records, 7, "RECORDS THAT STAY"),
    ];
}
