//! The objects for people and as csv. Names of csv columns are part of the contract: new ones come last.

mod apdu;
mod finding;
mod rotation;
mod server;
mod token;
mod words;

use super::json::{
    At, AuthenticatedView, BatchView, Denied, Enroll, Enrolled, EventView, Pki, PkiState, ReaderStateView, ReaderView,
    ScanView, ServerVerdictView, UserEntry,
};
use super::printer::Printable;
use super::table::{Cell, Style};
use crate::failure::ErrorObject;
use crate::terminal::presence::{self, EventKind};
use words::{error, failed, proof, seconds, text, user, whose, word, yes};

impl Printable for ReaderView {
    const COLUMNS: &'static [&'static str] = &["reader", "alias", "state", "atr", "card", "says"];
    const HEADS: &'static [&'static str] = &["READER", "ALIAS", "STATE", "CARD", "ITS ATR SAYS"];

    fn record(&self) -> Vec<String> {
        vec![
            self.reader.clone(),
            text(self.alias.as_ref()),
            word(&self.state),
            text(self.atr.as_ref()),
            text(self.card.as_ref()),
            text(self.says.as_ref()),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let style = match self.state {
            ReaderStateView::Present => Style::Good,
            ReaderStateView::Empty => Style::Dim,
            ReaderStateView::Exclusive | ReaderStateView::Mute | ReaderStateView::Removed => Style::Warning,
            ReaderStateView::Unavailable => Style::Bad,
        };
        vec![
            self.reader.as_str().into(),
            text(self.alias.as_ref()).into(),
            Cell::new(word(&self.state), style),
            text(self.card.as_ref()).into(),
            Cell::new(text(self.says.as_ref()), Style::Dim),
        ]
    }
}

impl Printable for ScanView {
    const COLUMNS: &'static [&'static str] = &[
        "at",
        "reader",
        "token_id",
        "identified",
        "authenticated",
        "server",
        "source",
        "user_id",
        "user_name",
        "user_fields",
        "error_code",
        "error_message",
        "proof_counter",
        "proof_nonce_source",
        "proof_cose",
        "total_ms",
    ];
    const HEADS: &'static [&'static str] = &["USER", "NAME", "TOKEN", "READER", "RESULT"];

    fn record(&self) -> Vec<String> {
        let [id, name, fields] = user(self.user.as_ref());
        let [code, message] = error(self.error.as_ref());
        let [counter, nonce_source, sign1] = proof(self.proof.as_ref());
        vec![
            self.at.to_string(),
            self.reader.clone(),
            text(self.token_id.as_ref()),
            self.identified.to_string(),
            self.authenticated.token.to_string(),
            word(&self.authenticated.server),
            self.source.as_ref().map(word).unwrap_or_default(),
            id,
            name,
            fields,
            code,
            message,
            counter,
            nonce_source,
            sign1,
            self.timings_ms.total.0.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let [id, name, _] = user(self.user.as_ref());
        vec![
            Cell::new(id, Style::Strong),
            name.into(),
            Cell::new(text(self.token_id.as_ref()), Style::Dim),
            self.reader.as_str().into(),
            self.authenticated.result(self.identified, self.error.as_ref()),
        ]
    }
}

impl AuthenticatedView {
    fn result(self, identified: bool, error: Option<&ErrorObject>) -> Cell {
        match (error, self.token, self.server) {
            (Some(error), ..) => failed(error),
            (None, true, ServerVerdictView::Unreachable) => {
                Cell::new("authenticated, server unreachable", Style::Warning)
            }
            (None, true, _) => Cell::new("authenticated", Style::Good),
            (None, false, _) if identified => Cell::new("identified", Style::Warning),
            (None, false, _) => Cell::new("unknown", Style::Warning),
        }
    }
}

impl Printable for Enroll {
    const COLUMNS: &'static [&'static str] = &[
        "at",
        "reader",
        "token_id",
        "user_id",
        "user_name",
        "user_fields",
        "result",
        "test_keys",
        "error_code",
        "error_message",
    ];
    const HEADS: &'static [&'static str] = &["USER", "NAME", "TOKEN", "READER", "RESULT"];

    fn record(&self) -> Vec<String> {
        let [id, name, fields] = user(self.user.as_ref());
        let [code, message] = error(self.error.as_ref());
        vec![
            self.at.to_string(),
            self.reader.clone(),
            text(self.token_id.as_ref()),
            id,
            name,
            fields,
            self.result.as_ref().map(word).unwrap_or_default(),
            self.test_keys.to_string(),
            code,
            message,
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let [id, name, _] = user(self.user.as_ref());
        let result = match (&self.error, self.result) {
            (Some(error), _) => failed(error),
            (None, Some(Enrolled::Enrolled)) => Cell::new("enrolled", Style::Good),
            (None, Some(result)) => Cell::new(word(&result), Style::Good),
            (None, None) => Cell::default(),
        };
        vec![
            Cell::new(id, Style::Strong),
            name.into(),
            Cell::new(text(self.token_id.as_ref()), Style::Dim),
            self.reader.as_str().into(),
            result,
        ]
    }

    fn line(&self) -> Vec<Cell> {
        let mut line = self.row();
        if self.test_keys {
            line.push(Cell::new("TEST KEYS", Style::Bad));
        }
        line
    }
}

impl Printable for BatchView {
    const COLUMNS: &'static [&'static str] = &["rows", "done", "begun", "free", "journal", "dry_run"];
    const HEADS: &'static [&'static str] = &["ROWS", "ENROLLED", "BEGUN", "LEFT", "JOURNAL"];

    fn record(&self) -> Vec<String> {
        let numbers = [self.rows, self.done, self.begun, self.free].map(|n| n.to_string());
        [numbers.as_slice(), &[self.journal.clone(), self.dry_run.to_string()]].concat()
    }

    fn row(&self) -> Vec<Cell> {
        self.record().iter().take(5).map(|value| value.as_str().into()).collect()
    }
}

impl Printable for UserEntry {
    const COLUMNS: &'static [&'static str] = &[
        "token_id",
        "user_id",
        "user_name",
        "user_fields",
        "reader",
        "since",
        "last_seen",
        "state",
        "source",
        "authenticated",
    ];
    const HEADS: &'static [&'static str] = &["USER", "NAME", "STATE", "SINCE", "READER", "TOKEN"];

    fn record(&self) -> Vec<String> {
        let entry = &self.entry;
        let [id, name, fields] = user(Some(&entry.user));
        vec![
            entry.token_id.to_string(),
            id,
            name,
            fields,
            entry.reader.clone(),
            At(entry.since).to_string(),
            At(entry.last_seen).to_string(),
            word(&entry.state),
            word(&entry.source),
            entry.authenticated.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let entry = &self.entry;
        let style = match entry.state {
            presence::EntryState::Present => Style::Good,
            presence::EntryState::Unconfirmed => Style::Warning,
        };
        vec![
            Cell::new(&entry.user.id, Style::Strong),
            entry.user.name.as_str().into(),
            Cell::new(word(&entry.state), style),
            seconds(entry.since),
            entry.reader.as_str().into(),
            Cell::new(entry.token_id.to_string(), Style::Dim),
        ]
    }

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let entry = &self.entry;
        let mut details = whose(&entry.user);
        details.extend([
            ("token", entry.token_id.to_string().into()),
            ("reader", entry.reader.as_str().into()),
            ("state", word(&entry.state).into()),
            ("since", seconds(entry.since)),
            ("last seen", seconds(entry.last_seen)),
            ("source", word(&entry.source).into()),
            ("authenticated", yes(entry.authenticated)),
        ]);
        details
    }
}

impl Printable for EventView {
    const COLUMNS: &'static [&'static str] = &[
        "seq",
        "at",
        "event",
        "reader",
        "token_id",
        "user_id",
        "user_name",
        "user_fields",
        "source",
        "authenticated",
        "reason",
        "error_code",
        "error_message",
    ];
    const HEADS: &'static [&'static str] = &["AT", "EVENT", "USER", "NAME", "READER", "TOKEN", "WHY"];

    fn record(&self) -> Vec<String> {
        let event = &self.event;
        let [id, name, fields] = user(event.user.as_ref());
        let [code, message] = error(event.error.as_ref());
        vec![
            event.seq.to_string(),
            At(event.at).to_string(),
            word(&event.event),
            text(event.reader.as_ref()),
            text(event.token_id.as_ref()),
            id,
            name,
            fields,
            event.source.as_ref().map(word).unwrap_or_default(),
            text(event.authenticated.as_ref()),
            event.reason.as_ref().map(word).unwrap_or_default(),
            code,
            message,
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let event = &self.event;
        let [id, name, _] = user(event.user.as_ref());
        let style = match event.event {
            EventKind::Arrived | EventKind::ServiceBack => Style::Good,
            EventKind::Refused | EventKind::ServiceLost => Style::Bad,
            EventKind::Left | EventKind::ReaderAdded | EventKind::ReaderRemoved => Style::Plain,
        };
        let why = match (&event.error, &event.reason) {
            (Some(error), _) => failed(error),
            (None, reason) => reason.as_ref().map(word).unwrap_or_default().into(),
        };
        vec![
            seconds(event.at),
            Cell::new(word(&event.event), style),
            Cell::new(id, Style::Strong),
            name.into(),
            text(event.reader.as_ref()).into(),
            Cell::new(text(event.token_id.as_ref()), Style::Dim),
            why,
        ]
    }
}

impl Printable for Denied {
    const COLUMNS: &'static [&'static str] = &["id"];
    const HEADS: &'static [&'static str] = &["DENIED"];

    fn record(&self) -> Vec<String> {
        vec![self.id.clone()]
    }

    fn row(&self) -> Vec<Cell> {
        vec![Cell::new(&self.id, Style::Strong)]
    }
}

impl Printable for Pki {
    const COLUMNS: &'static [&'static str] =
        &["file", "kind", "class", "subject", "serial", "not_before", "not_after", "state", "new"];
    const HEADS: &'static [&'static str] = &["FILE", "CLASS", "SUBJECT", "STATE", "UNTIL", ""];

    fn record(&self) -> Vec<String> {
        vec![
            self.file.clone(),
            word(&self.kind),
            text(self.class.as_ref()),
            text(self.subject.as_ref()),
            text(self.serial.as_ref()),
            text(self.not_before.as_ref()),
            text(self.not_after.as_ref()),
            word(&self.state),
            self.new.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let style = match self.state {
            PkiState::Valid => Style::Good,
            PkiState::Expiring => Style::Warning,
            PkiState::Expired | PkiState::NotYetValid | PkiState::Broken => Style::Bad,
        };
        vec![
            self.file.as_str().into(),
            text(self.class.as_ref()).into(),
            text(self.subject.as_ref()).into(),
            Cell::new(word(&self.state).replace('_', " "), style),
            self.not_after.map(|at| seconds(at.0)).unwrap_or_default(),
            if self.new { Cell::new("new", Style::Strong) } else { Cell::default() },
        ]
    }
}
