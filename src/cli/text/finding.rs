//! Findings for people and as csv.

use super::super::json::{FindingView, Severity};
use super::super::printer::Printable;
use super::super::table::{Cell, Style};
use super::words::{text, word};

impl Printable for FindingView {
    const COLUMNS: &'static [&'static str] =
        &["probe", "subject", "depth", "severity", "code", "what", "remedy", "command", "facts", "took_ms"];
    const HEADS: &'static [&'static str] = &["PROBE", "SEVERITY", "FOUND", "CODE"];

    fn record(&self) -> Vec<String> {
        vec![
            self.probe.clone(),
            text(self.subject.as_ref()),
            self.depth.to_string(),
            word(&self.severity),
            text(self.code.as_ref()),
            self.what.clone(),
            text(self.remedy.as_ref()),
            text(self.command.as_ref()),
            serde_json::to_string(&self.facts).unwrap_or_default(),
            self.took_ms.0.to_string(),
        ]
    }

    fn row(&self) -> Vec<Cell> {
        let place = format!("{}{}", "  ".repeat(self.depth), self.probe);
        vec![
            place.into(),
            self.severity.cell(),
            self.what.as_str().into(),
            Cell::new(text(self.code.as_ref()), Style::Dim),
        ]
    }
}

impl Severity {
    /// The word in its colour.
    pub fn cell(self) -> Cell {
        let (word, style) = match self {
            Self::Ok => ("ok", Style::Good),
            Self::Note => ("-", Style::Dim),
            Self::Warning => ("warning", Style::Warning),
            Self::Fault => ("FAULT", Style::Bad),
        };
        Cell::new(word, style)
    }
}
