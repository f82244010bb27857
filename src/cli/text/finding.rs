//! Findings for people and as csv.

use super::super::json::{Found, Verdict};
use super::super::printer::Record;
use super::super::table::{Cell, Style};
use super::words::{text, word};

impl Record for Found {
    const COLUMNS: &'static [&'static str] =
        &["probe", "subject", "depth", "verdict", "code", "message", "remedy", "facts", "took_ms"];
    const HEADS: &'static [&'static str] = &["PROBE", "VERDICT", "FOUND", "CODE"];

    fn record(&self) -> Vec<String> {
        vec![
            self.probe.clone(),
            text(self.subject.as_ref()),
            self.depth.to_string(),
            word(&self.verdict),
            text(self.code.as_ref()),
            self.message.clone(),
            text(self.remedy.as_ref()),
            serde_json::to_string(&self.facts).unwrap_or_default(),
            self.took_ms.0.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let place = format!("{}{}", "  ".repeat(self.depth), self.probe);
        vec![
            place.into(),
            self.verdict.cell(),
            self.message.as_str().into(),
            Cell::new(text(self.code.as_ref()), Style::Dim),
        ]
    }
}

impl Verdict {
    /// The word in its colour.
    pub fn cell(self) -> Cell {
        let (word, style) = match self {
            Self::Good => ("ok", Style::Good),
            Self::Skipped => ("-", Style::Dim),
            Self::Warning => ("warning", Style::Warning),
            Self::Fault => ("FAULT", Style::Bad),
        };
        Cell::new(word, style)
    }
}
