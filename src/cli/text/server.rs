//! The objects of `rollcall server` for people and as csv.

use super::{seconds, text, word};
use crate::api::v1::TokenStatus;
use crate::cli::json::{Audit, Import, ServerState, ServerTerminal, ServerToken, ServerUserView};
use crate::cli::printer::Printable;
use crate::cli::table::{Cell, Style};

impl Printable for ServerState {
    const COLUMNS: &'static [&'static str] = &["store", "listening", "terminal", "new"];
    const HEADS: &'static [&'static str] = &["STORE", "LISTENING", "TERMINAL", ""];

    fn record(&self) -> Vec<String> {
        let new = text(self.new.as_ref());
        vec![self.store.clone(), text(self.listening.as_ref()), text(self.terminal.as_ref()), new]
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            self.store.as_str().into(),
            text(self.listening.as_ref()).into(),
            text(self.terminal.as_ref()).into(),
            if self.new == Some(true) { Cell::new("new", Style::Strong) } else { Cell::default() },
        ]
    }

    fn line(&self) -> Vec<Cell> {
        let at = text(self.listening.as_ref());
        vec![Cell::new(format!("listening on {at}"), Style::Good), Cell::new(&self.store, Style::Dim)]
    }
}

impl Printable for Audit {
    const COLUMNS: &'static [&'static str] = &["whole", "records", "head", "first_bad", "what"];
    const HEADS: &'static [&'static str] = &["AUDIT LOG", "RECORDS", "HEAD", "FIRST BAD RECORD", "WHAT"];

    fn record(&self) -> Vec<String> {
        vec![
            self.whole.to_string(),
            self.records.to_string(),
            self.head.clone(),
            text(self.first_bad.as_ref()),
            text(self.what.as_ref()),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            if self.whole { Cell::new("whole", Style::Good) } else { Cell::new("NOT WHOLE", Style::Bad) },
            self.records.to_string().as_str().into(),
            Cell::new(&self.head, Style::Dim),
            text(self.first_bad.as_ref()).into(),
            text(self.what.as_ref()).into(),
        ]
    }
}

impl Printable for ServerUserView {
    const COLUMNS: &'static [&'static str] = &["id", "name", "fields"];
    const HEADS: &'static [&'static str] = &["USER", "NAME", "FIELDS"];

    fn record(&self) -> Vec<String> {
        super::user(Some(&self.user)).into()
    }

    fn row(&self) -> Vec<Cell> {
        let fields: Vec<_> = self.user.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            Cell::new(&self.user.id, Style::Strong),
            self.user.name.as_str().into(),
            Cell::new(fields.join(", "), Style::Dim),
        ]
    }
}

impl Printable for ServerToken {
    const COLUMNS: &'static [&'static str] = &["token_id", "user_id", "status", "reason", "changed", "counter"];
    const HEADS: &'static [&'static str] = &["TOKEN", "USER", "STATUS", "SINCE", "COUNTER", "REASON"];

    fn record(&self) -> Vec<String> {
        vec![
            self.token_id.to_string(),
            self.user_id.clone(),
            word(&self.status),
            text(self.reason.as_ref()),
            self.changed.to_string(),
            text(self.counter.as_ref()),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let style = match self.status {
            TokenStatus::Active => Style::Good,
            TokenStatus::Suspended => Style::Warning,
            TokenStatus::Lost | TokenStatus::Revoked => Style::Bad,
        };
        vec![
            self.token_id.to_string().as_str().into(),
            Cell::new(&self.user_id, Style::Strong),
            Cell::new(word(&self.status), style),
            seconds(self.changed.0),
            text(self.counter.as_ref()).into(),
            text(self.reason.as_ref()).into(),
        ]
    }
}

impl Printable for ServerTerminal {
    const COLUMNS: &'static [&'static str] = &["name", "role", "revoked", "added"];
    const HEADS: &'static [&'static str] = &["TERMINAL", "ROLE", "SINCE", ""];

    fn record(&self) -> Vec<String> {
        vec![self.name.clone(), word(&self.role), self.revoked.to_string(), self.added.to_string()]
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            Cell::new(&self.name, Style::Strong),
            word(&self.role).into(),
            seconds(self.added.0),
            if self.revoked { Cell::new("revoked", Style::Bad) } else { Cell::default() },
        ]
    }
}

impl Printable for Import {
    const COLUMNS: &'static [&'static str] = &["created", "changed", "unchanged"];
    const HEADS: &'static [&'static str] = &["CREATED", "CHANGED", "UNCHANGED"];

    fn record(&self) -> Vec<String> {
        [self.created, self.changed, self.unchanged].map(|number| number.to_string()).into()
    }

    fn row(&self) -> Vec<Cell> {
        self.record().iter().map(|number| number.as_str().into()).collect()
    }
}
