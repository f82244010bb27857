//! The objects of a rotation for people and as csv.

use super::{error, failed, text, word};
use crate::cli::json::{RotationState, RotationView, SetRotationView, TokenChanged};
use crate::cli::printer::Printable;
use crate::cli::table::{Cell, Style};

impl Printable for RotationView {
    const COLUMNS: &'static [&'static str] = &["at", "reader", "token_id", "result", "error_code", "error_message"];
    const HEADS: &'static [&'static str] = &["TOKEN", "READER", "RESULT"];

    fn record(&self) -> Vec<String> {
        let [code, message] = error(self.error.as_ref());
        let result = self.result.as_ref().map(word).unwrap_or_default();
        vec![self.at.to_string(), self.reader.clone(), text(self.token_id.as_ref()), result, code, message]
    }

    fn row(&self) -> Vec<Cell> {
        let result = match (&self.error, self.result) {
            (Some(error), _) => failed(error),
            (None, Some(TokenChanged::Done)) => Cell::new("done", Style::Good),
            (None, Some(other)) => Cell::new(word(&other), Style::Dim),
            (None, None) => Cell::default(),
        };
        vec![Cell::new(text(self.token_id.as_ref()), Style::Dim), self.reader.as_str().into(), result]
    }
}

impl Printable for RotationState {
    const COLUMNS: &'static [&'static str] = &["tokens", "done", "left"];
    const HEADS: &'static [&'static str] = &["TOKENS", "DONE", "LEFT"];

    fn record(&self) -> Vec<String> {
        let left: Vec<_> = self.left.iter().map(ToString::to_string).collect();
        vec![self.tokens.to_string(), self.done.to_string(), left.join(" ")]
    }

    fn row(&self) -> Vec<Cell> {
        [self.tokens, self.done, self.left.len()].map(|n| n.to_string().as_str().into()).into()
    }
}

impl Printable for SetRotationView {
    const COLUMNS: &'static [&'static str] = &["set", "successor", "tokens", "done", "left", "finished"];
    const HEADS: &'static [&'static str] = &["SET", "SUCCESSOR", "TOKENS", "DONE", "LEFT"];

    fn record(&self) -> Vec<String> {
        let [tokens, done, left] = [self.tokens, self.done, self.left].map(|n| n.to_string());
        vec![self.set.clone(), self.successor.clone(), tokens, done, left, self.finished.to_string()]
    }

    fn row(&self) -> Vec<Cell> {
        let [tokens, done, left] = [self.tokens, self.done, self.left].map(|n| n.to_string().as_str().into());
        vec![self.set.as_str().into(), self.successor.as_str().into(), tokens, done, left]
    }
}
