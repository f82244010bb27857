//! A token for people and as csv.

use super::{error, failed, proof, text, user, whose, word, yes};
use crate::cli::json::{TokenChange, TokenChanged, TokenState, TokenView};
use crate::cli::printer::Printable;
use crate::cli::table::{Cell, Style};

impl Printable for TokenChange {
    const COLUMNS: &'static [&'static str] =
        &["at", "reader", "token_id", "action", "result", "state", "user_id", "user_name", "user_fields", "server"];
    const HEADS: &'static [&'static str] = &["TOKEN", "ACTION", "RESULT", "STATE", "READER"];

    fn record(&self) -> Vec<String> {
        let [id, name, fields] = user(self.user.as_ref());
        vec![
            self.at.to_string(),
            self.reader.clone(),
            text(self.token_id.as_ref()),
            word(&self.action),
            word(&self.result),
            word(&self.state),
            id,
            name,
            fields,
            self.server.as_ref().map(word).unwrap_or_default(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let style = match self.result {
            TokenChanged::Done => Style::Good,
            TokenChanged::Unchanged => Style::Dim,
            TokenChanged::Planned => Style::Warning,
        };
        vec![
            Cell::new(text(self.token_id.as_ref()), Style::Dim),
            word(&self.action).into(),
            Cell::new(word(&self.result), style),
            self.state.cell(),
            self.reader.as_str().into(),
        ]
    }
}

impl Printable for TokenView {
    const COLUMNS: &'static [&'static str] = &[
        "reader",
        "atr",
        "state",
        "mode",
        "version",
        "token_id",
        "set_id",
        "ecka_kvn",
        "ca_id",
        "authenticated",
        "user_id",
        "user_name",
        "user_fields",
        "error_code",
        "error_message",
        "proof_counter",
        "proof_nonce_source",
        "proof_cose",
    ];
    const HEADS: &'static [&'static str] = &["READER", "STATE", "MODE", "TOKEN", "USER", "RESULT"];

    fn record(&self) -> Vec<String> {
        let [id, name, fields] = user(self.user.as_ref());
        let [code, message] = error(self.error.as_ref());
        let [counter, nonce_source, sign1] = proof(self.proof.as_ref());
        vec![
            self.reader.clone(),
            text(self.atr.as_ref()),
            word(&self.state),
            self.mode.as_ref().map(word).unwrap_or_default(),
            self.version.clone(),
            text(self.token_id.as_ref()),
            text(self.set_id.as_ref()),
            text(self.ecka_kvn.as_ref()),
            text(self.ca_id.as_ref()),
            text(self.authenticated.as_ref()),
            id,
            name,
            fields,
            code,
            message,
            counter,
            nonce_source,
            sign1,
        ]
    }

    fn row(&self) -> Vec<Cell> {
        vec![
            self.reader.as_str().into(),
            self.state.cell(),
            self.mode.as_ref().map(word).unwrap_or_default().into(),
            Cell::new(text(self.token_id.as_ref()), Style::Dim),
            user(self.user.as_ref())[0].as_str().into(),
            match (&self.error, self.authenticated) {
                (Some(error), _) => failed(error),
                (None, Some(authenticated)) => yes(authenticated),
                (None, None) => Cell::default(),
            },
        ]
    }

    fn details(&self) -> Vec<(&'static str, Cell)> {
        let mut details = vec![("reader", self.reader.as_str().into()), ("state", self.state.cell())];
        let known = [
            ("mode", self.mode.as_ref().map(word)),
            ("token", self.token_id.map(|id| id.to_string())),
            ("set", self.set_id.clone()),
            ("protocol", Some(self.version.clone())),
            ("ECKA key", self.ecka_kvn.clone()),
            ("trusts CA", self.ca_id.clone()),
            ("ATR", self.atr.clone()),
        ];
        details.extend(known.into_iter().filter_map(|(label, value)| Some((label, Cell::from(value?)))));
        if let Some(authenticated) = self.authenticated {
            details.push(("authenticated", yes(authenticated)));
        }
        if let Some(error) = &self.error {
            details.push(("because", failed(error)));
        }
        details.extend(self.user.as_ref().map(whose).unwrap_or_default());
        if let Some(proof) = &self.proof {
            details.push(("signatures", proof.counter.to_string().into()));
        }
        details
    }
}

impl TokenState {
    fn cell(self) -> Cell {
        let style = match self {
            Self::Issued => Style::Good,
            Self::Blank | Self::Personalised => Style::Plain,
            Self::Blocked => Style::Warning,
            Self::Terminated => Style::Bad,
        };
        Cell::new(word(&self), style)
    }
}
