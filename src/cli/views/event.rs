//! The object for an event at a terminal.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    At, Schema,
    cells::{error_code, error_message, failed, seconds, text, token, user_fields, user_id, user_name, word},
};
use crate::{
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    terminal::presence::{self, EventKind, Reason},
};

/// Something that happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The event.
    #[serde(flatten)]
    pub event: presence::Event,
}

impl From<presence::Event> for EventView {
    fn from(event: presence::Event) -> Self {
        Self { schema: Schema::default(), event }
    }
}

impl Printable for EventView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("seq", |one| one.event.seq.to_string()),
        Column::both("at", |one| At(one.event.at).to_string(), 1, "AT", |one| seconds(one.event.at)),
        Column::both("event", |one| word(&one.event.event), 2, "EVENT", |one| kind(one.event.event)),
        Column::both(
            "reader",
            |one| text(one.event.reader.as_ref()),
            5,
            "READER",
            |one| text(one.event.reader.as_ref()).into(),
        ),
        Column::both(
            "token_id",
            |one| text(one.event.token_id.as_ref()),
            6,
            "TOKEN",
            |one| token(one.event.token_id.as_ref()),
        ),
        Column::both(
            "user_id",
            |one| user_id(one.event.user.as_ref()),
            3,
            "USER",
            |one| Cell::new(user_id(one.event.user.as_ref()), Style::Strong),
        ),
        Column::both(
            "user_name",
            |one| user_name(one.event.user.as_ref()),
            4,
            "NAME",
            |one| user_name(one.event.user.as_ref()).into(),
        ),
        Column::csv("user_fields", |one| user_fields(one.event.user.as_ref())),
        Column::csv("source", |one| one.event.source.as_ref().map(word).unwrap_or_default()),
        Column::csv("authenticated", |one| text(one.event.authenticated.as_ref())),
        Column::both(
            "reason",
            |one| one.event.reason.as_ref().map(word).unwrap_or_default(),
            7,
            "WHY",
            |one| {
                let reason = || match (&one.event.by, &one.event.note) {
                    (Some(by), Some(note)) => format!("{note} (by {by})").into(),
                    (Some(by), None) => format!("by {by}").into(),
                    _ => one.event.reason.map(reason_words).unwrap_or_default().into(),
                };
                one.event.error.as_ref().map_or_else(reason, failed)
            },
        ),
        Column::csv("error_code", |one| error_code(one.event.error.as_ref())),
        Column::csv("error_message", |one| error_message(one.event.error.as_ref())),
        Column::csv("by", |one| text(one.event.by.as_ref())),
        Column::csv("note", |one| text(one.event.note.as_ref())),
        Column::csv("resumed", |one| text(one.event.resumed.as_ref())),
    ];
}

fn kind(kind: EventKind) -> Cell {
    let style = match kind {
        EventKind::Arrived
        | EventKind::CheckedIn
        | EventKind::Confirmed
        | EventKind::ReaderAvailable
        | EventKind::ServiceBack => Style::Good,
        EventKind::Unconfirmed => Style::Warning,
        EventKind::Refused | EventKind::ReaderUnavailable | EventKind::ServiceLost => Style::Bad,
        EventKind::Left
        | EventKind::CheckedOut
        | EventKind::Removed
        | EventKind::ReaderAdded
        | EventKind::ReaderRemoved => Style::Plain,
    };
    Cell::new(kind_words(kind), style)
}

/// What happened, in words for people; JSON and CSV have the code.
pub(super) const fn kind_words(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Arrived => "arrived",
        EventKind::Left => "left",
        EventKind::Unconfirmed => "unconfirmed",
        EventKind::Confirmed => "confirmed",
        EventKind::Refused => "refused",
        EventKind::ReaderAdded => "reader connected",
        EventKind::ReaderRemoved => "reader disconnected",
        EventKind::ReaderUnavailable => "reader failed",
        EventKind::ReaderAvailable => "reader works again",
        EventKind::ServiceLost => "card service lost",
        EventKind::ServiceBack => "card service back",
        EventKind::CheckedIn => "checked in",
        EventKind::CheckedOut => "checked out",
        EventKind::Removed => "removed",
    }
}

/// The reason, in words for people.
pub(super) const fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Lifted => "card removed",
        Reason::Gone => "card no longer there",
        Reason::Toggled => "second tap",
        Reason::Expired => "expired",
        Reason::Stale => "unconfirmed for too long",
        Reason::Moved => "now at another reader",
        Reason::Updated => "new user information",
        Reason::Refused => "refused now",
        Reason::Denied => "denied here",
        Reason::Cleared => "list cleared",
        Reason::Restart => "watch restarted",
        Reason::ServiceLost => "card service lost",
        Reason::ReaderRemoved => "reader disconnected",
        Reason::ReaderUnavailable => "reader failed",
        Reason::NoAnswer => "no answer",
    }
}
