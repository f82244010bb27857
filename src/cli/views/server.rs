//! The objects of `rollcall server`.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    At, Schema, TokenChanged, UserChangeView,
    cells::{seconds, span, text, word},
};
use crate::{
    api::{
        User,
        v1::{self, Role, TokenStatus},
    },
    cli::{
        printer::{Column, Printable},
        table::{Cell, Style},
    },
    terminal::user_csv::TableColumn,
};

/// How many changed users of an import text lists; the others are counted.
const TOLD: usize = 20;

/// A server that was made or that runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerState {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Where it keeps what it knows; without a password.
    pub store: String,
    /// Where it listens, once it does.
    pub listening: Option<String>,
    /// `server init`: the terminal that administers it.
    pub terminal: Option<String>,
    /// `server init`: whether that terminal is new there.
    pub new: Option<bool>,
}

/// What `server audit verify` found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Audit {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Whether the log is whole.
    pub whole: bool,
    /// How many records it has, or should have.
    pub records: u64,
    /// The hash of the last one, in hex.
    pub head: String,
    /// The number of the first record that is bad or missing.
    pub first_bad: Option<u64>,
    /// What is wrong with it.
    pub what: Option<String>,
}

/// A backup of a store that was made or restored.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Backup {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The file.
    pub file: String,
    /// How many records the audit log in it has.
    pub records: u64,
    /// Whether that log is whole.
    pub whole: bool,
    /// How many users there are.
    pub users: u64,
    /// How many tokens there are.
    pub tokens: u64,
    /// How many terminals there are.
    pub terminals: u64,
    /// How many events of terminals there are.
    pub events: u64,
}

/// A token whose status terminals still know, and the store does not: it was restored from a backup.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Reconciliation {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The token.
    pub token_id: Uuid,
    /// Whose it is; null where the store does not know the token any more.
    pub user_id: Option<String>,
    /// What the store said of it; null where it does not know it: then nothing is brought back.
    pub before: Option<TokenStatus>,
    /// What terminals were told, and what it is from now on.
    pub status: TokenStatus,
    /// Why.
    pub reason: Option<String>,
    /// The terminals that say so.
    pub terminals: Vec<String>,
}

#[cfg(feature = "server")]
impl From<crate::server::store::LostStatus> for Reconciliation {
    fn from(lost: crate::server::store::LostStatus) -> Self {
        let crate::server::store::LostStatus { token_id, user_id, known, status, reason, terminals } = lost;
        Self { schema: Schema::default(), token_id, user_id, before: known, status, reason, terminals }
    }
}

/// A user as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Known")]
pub struct ServerUserView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// `server user add`: what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<TokenChanged>,
    /// `server user add`: what it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<UserChangeView>>,
}

impl From<User> for ServerUserView {
    fn from(user: User) -> Self {
        Self { schema: Schema::default(), user, result: None, changes: None }
    }
}

/// A token as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerToken {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The token.
    pub token_id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// Their name, in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// Whether it is let in.
    pub status: TokenStatus,
    /// Why not.
    pub reason: Option<String>,
    /// Since when.
    pub changed: At,
    /// The highest use counter that a proof has shown.
    pub counter: Option<u32>,
}

impl From<v1::RegisteredToken> for ServerToken {
    fn from(token: v1::RegisteredToken) -> Self {
        let v1::RegisteredToken { token_id, user_id, status, reason, changed, counter } = token;
        let (user_name, changed) = (None, changed.into());
        Self { schema: Schema::default(), token_id, user_id, user_name, status, reason, changed, counter }
    }
}

/// A terminal as the server knows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerTerminal {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Since when it is known.
    pub added: At,
    /// When it last asked; null where it never did, or the server is of an earlier release.
    pub last_seen: Option<At>,
    /// When the newest of its certificates ends.
    pub certificate_until: Option<At>,
    /// The moment at which it is shown, for people.
    #[serde(skip)]
    pub now: Timestamp,
}

impl From<v1::RegisteredTerminal> for ServerTerminal {
    fn from(terminal: v1::RegisteredTerminal) -> Self {
        let v1::RegisteredTerminal { name, role, revoked, added, last_seen, certificate_until } = terminal;
        let (last_seen, certificate_until) = (last_seen.map(At), certificate_until.map(At));
        let (schema, now) = (Schema::default(), Timestamp::now());
        Self { schema, name, role, revoked, added: added.into(), last_seen, certificate_until, now }
    }
}

/// What an import came to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Import {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Users that were not there before.
    pub created: u64,
    /// Users that were there, and other.
    pub changed: u64,
    /// Users that were there already, the same.
    pub unchanged: u64,
    /// What came of it.
    pub result: TokenChanged,
    /// What is different about users that were there.
    pub changes: Vec<ChangedUser>,
}

/// What an import changed about one user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ChangedUser {
    /// The user.
    pub id: String,
    /// What is different.
    pub changes: Vec<UserChangeView>,
}

impl Printable for ServerState {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("store", |state| state.store.clone(), 1, "STORE", |state| state.store.as_str().into()),
        Column::both(
            "listening",
            |state| text(state.listening.as_ref()),
            2,
            "LISTENING",
            |state| text(state.listening.as_ref()).into(),
        ),
        Column::both(
            "terminal",
            |state| text(state.terminal.as_ref()),
            3,
            "TERMINAL",
            |state| text(state.terminal.as_ref()).into(),
        ),
        Column::both(
            "new",
            |state| text(state.new.as_ref()),
            4,
            "",
            |state| {
                if state.new == Some(true) { Cell::new("new", Style::Strong) } else { Cell::default() }
            },
        ),
    ];

    fn line(&self) -> Vec<Cell> {
        let at = text(self.listening.as_ref());
        vec![Cell::new(format!("listening on {at}"), Style::Good), Cell::new(&self.store, Style::Dim)]
    }
}

impl Printable for Audit {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "whole",
            |audit| audit.whole.to_string(),
            1,
            "AUDIT LOG",
            |audit| {
                if audit.whole { Cell::new("whole", Style::Good) } else { Cell::new("NOT WHOLE", Style::Bad) }
            },
        ),
        Column::both(
            "records",
            |audit| audit.records.to_string(),
            2,
            "RECORDS",
            |audit| audit.records.to_string().into(),
        ),
        Column::both("head", |audit| audit.head.clone(), 3, "HEAD", |audit| Cell::new(&audit.head, Style::Dim)),
        Column::both(
            "first_bad",
            |audit| text(audit.first_bad.as_ref()),
            4,
            "FIRST BAD RECORD",
            |audit| text(audit.first_bad.as_ref()).into(),
        ),
        Column::both("what", |audit| text(audit.what.as_ref()), 5, "WHAT", |audit| text(audit.what.as_ref()).into()),
    ];
}

impl Printable for Backup {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("file", |one| one.file.clone(), 1, "FILE", |one| one.file.as_str().into()),
        Column::both("records", |one| one.records.to_string(), 7, "RECORDS", |one| one.records.to_string().into()),
        Column::both(
            "whole",
            |one| one.whole.to_string(),
            2,
            "AUDIT LOG",
            |one| {
                if one.whole { Cell::new("whole", Style::Good) } else { Cell::new("NOT WHOLE", Style::Bad) }
            },
        ),
        Column::both("users", |one| one.users.to_string(), 3, "USERS", |one| one.users.to_string().into()),
        Column::both("tokens", |one| one.tokens.to_string(), 4, "TOKENS", |one| one.tokens.to_string().into()),
        Column::both(
            "terminals",
            |one| one.terminals.to_string(),
            5,
            "TERMINALS",
            |one| one.terminals.to_string().into(),
        ),
        Column::both("events", |one| one.events.to_string(), 6, "EVENTS", |one| one.events.to_string().into()),
    ];
}

impl Printable for Reconciliation {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "token_id",
            |one| one.token_id.to_string(),
            2,
            "TOKEN",
            |one| Cell::token(one.token_id, Style::Plain),
        ),
        Column::both(
            "user_id",
            |one| text(one.user_id.as_ref()),
            1,
            "USER",
            |one| Cell::new(text(one.user_id.as_ref()), Style::Strong),
        ),
        Column::both(
            "before",
            |one| one.before.as_ref().map(word).unwrap_or_default(),
            3,
            "STORE SAYS",
            |one| one.before.map_or_else(|| Cell::new("unknown", Style::Bad), status),
        ),
        Column::both("status", |one| word(&one.status), 4, "TERMINALS SAY", |one| status(one.status)),
        Column::both("reason", |one| text(one.reason.as_ref()), 5, "REASON", |one| text(one.reason.as_ref()).into()),
        Column::both(
            "terminals",
            |one| one.terminals.join(" "),
            6,
            "TERMINALS",
            |one| Cell::new(one.terminals.join(", "), Style::Dim),
        ),
    ];
}

impl Printable for ServerUserView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("id", |one| one.user.id.clone(), 1, "USER", |one| Cell::new(&one.user.id, Style::Strong)),
        Column::both("name", |one| one.user.name.clone(), 2, "NAME", |one| one.user.name.as_str().into()),
        Column::text(3, "FIELDS", |one| {
            let fields: Vec<_> = one.user.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Cell::new(fields.join(", "), Style::Dim)
        }),
    ];

    fn free_columns(all: &[&Self]) -> Vec<String> {
        let keys: BTreeSet<_> = all.iter().flat_map(|one| one.user.fields.keys()).collect();
        keys.into_iter().map(|key| TableColumn::head_of_field(key)).collect()
    }

    fn free_value(&self, column: &str) -> String {
        let field = self.user.fields.iter().find(|(key, _)| TableColumn::head_of_field(key) == column);
        field.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details: Vec<_> = Self::heads().into_iter().zip(self.row()).collect();
        if let Some(result) = self.result {
            details.push(("result", result.cell()));
        }
        details.extend(UserChangeView::details(self.changes.as_deref().unwrap_or_default()));
        details
    }
}

impl Printable for ServerToken {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "token_id",
            |token| token.token_id.to_string(),
            3,
            "TOKEN",
            |token| Cell::token(token.token_id, Style::Plain),
        ),
        Column::both(
            "user_id",
            |token| token.user_id.clone(),
            1,
            "USER",
            |token| Cell::new(&token.user_id, Style::Strong),
        ),
        Column::both("status", |token| word(&token.status), 4, "STATUS", |token| status(token.status)),
        Column::both(
            "reason",
            |token| text(token.reason.as_ref()),
            7,
            "REASON",
            |token| text(token.reason.as_ref()).into(),
        ),
        Column::both("changed", |token| token.changed.to_string(), 5, "SINCE", |token| seconds(token.changed.0)),
        Column::both(
            "counter",
            |token| text(token.counter.as_ref()),
            6,
            "COUNTER",
            |token| text(token.counter.as_ref()).into(),
        ),
        Column::both(
            "user_name",
            |token| text(token.user_name.as_ref()),
            2,
            "NAME",
            |token| text(token.user_name.as_ref()).into(),
        ),
    ];
}

fn status(status: TokenStatus) -> Cell {
    let style = match status {
        TokenStatus::Active => Style::Good,
        TokenStatus::Suspended => Style::Warning,
        TokenStatus::Lost | TokenStatus::Revoked => Style::Bad,
    };
    Cell::new(word(&status), style)
}

impl ServerTerminal {
    fn last_seen(&self) -> Cell {
        match &self.last_seen {
            None => Cell::new("never", Style::Dim),
            Some(at) => {
                let silent = self.now.duration_since(at.0).as_secs() > v1::SILENT_SECONDS;
                let style = if silent && !self.revoked { Style::Warning } else { Style::Plain };
                Cell::moment(at.0, format!("({} ago)", span(at.0, self.now)), style)
            }
        }
    }

    fn certificate(&self) -> Cell {
        match &self.certificate_until {
            None => Cell::default(),
            Some(at) if at.0 < self.now && !self.revoked => Cell::moment(at.0, "(ended)", Style::Bad),
            Some(at) => seconds(at.0),
        }
    }
}

impl Printable for ServerTerminal {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("name", |one| one.name.clone(), 1, "TERMINAL", |one| Cell::new(&one.name, Style::Strong)),
        Column::both("role", |one| word(&one.role), 2, "ROLE", |one| word(&one.role).into()),
        Column::both(
            "revoked",
            |one| one.revoked.to_string(),
            6,
            "",
            |one| {
                if one.revoked { Cell::new("revoked", Style::Bad) } else { Cell::default() }
            },
        ),
        Column::both("added", |one| one.added.to_string(), 3, "SINCE", |one| seconds(one.added.0)),
        Column::both("last_seen", |one| text(one.last_seen.as_ref()), 4, "LAST SEEN", Self::last_seen),
        Column::both(
            "certificate_until",
            |one| text(one.certificate_until.as_ref()),
            5,
            "CERTIFICATE ENDS",
            Self::certificate,
        ),
    ];
}

impl Printable for Import {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("created", |one| one.created.to_string(), 1, "CREATED", |one| one.created.to_string().into()),
        Column::both("changed", |one| one.changed.to_string(), 2, "CHANGED", |one| one.changed.to_string().into()),
        Column::both(
            "unchanged",
            |one| one.unchanged.to_string(),
            3,
            "UNCHANGED",
            |one| one.unchanged.to_string().into(),
        ),
        Column::both("result", |one| word(&one.result), 4, "RESULT", |one| one.result.cell()),
    ];

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details: Vec<_> = Self::heads().into_iter().zip(self.row()).collect();
        let user = |one: &ChangedUser| format!("{}: {}", one.id, UserChangeView::in_words(&one.changes));
        details.extend(self.changes.iter().take(TOLD).map(|one| ("user", user(one).into())));
        let more = self.changes.len().saturating_sub(TOLD);
        if more > 0 {
            details.push(("user", Cell::new(format!("and {more} more"), Style::Dim)));
        }
        details
    }
}
