//! Exchanges for people and as csv.

use super::super::json::Exchanged;
use super::super::printer::Printable;
use super::super::table::{Cell, Style};
use super::words::text;

impl Printable for Exchanged {
    const COLUMNS: &'static [&'static str] =
        &["at", "reader", "number", "secure", "command", "data", "status", "meaning", "expected", "as_expected", "ms"];
    const HEADS: &'static [&'static str] = &["COMMAND", "ANSWER", "STATUS", "MEANING", "MS"];

    fn record(&self) -> Vec<String> {
        vec![
            self.at.to_string(),
            self.reader.clone(),
            self.number.to_string(),
            self.secure.to_string(),
            self.command.clone(),
            self.data.clone(),
            self.status.clone(),
            self.meaning.clone(),
            self.expected.join(","),
            text(self.as_expected.as_ref()),
            self.ms.0.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let style = match self.as_expected {
            Some(true) => Style::Good,
            Some(false) => Style::Bad,
            None => Style::Plain,
        };
        let wanted = if self.as_expected == Some(false) {
            format!(", not {}", self.expected.join(" or "))
        } else {
            String::new()
        };
        vec![
            Cell::new(&self.command, Style::Dim),
            self.data.as_str().into(),
            Cell::new(&self.status, style),
            Cell::new(format!("{}{wanted}", self.meaning), style),
            Cell::new(format!("{} ms", self.ms.0), Style::Dim),
        ]
    }
}
