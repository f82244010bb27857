//! The object for a finding of `rollcall doctor`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    Ms, Schema,
    cells::{text, word},
};
use crate::cli::{
    printer::{Column, Printable},
    table::{Cell, Style},
};

/// What one probe found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Found")]
pub struct FindingView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Which probe it was.
    pub probe: String,
    /// What it looked at: a reader, a file, a URL.
    pub subject: Option<String>,
    /// How deep in the tree of probes it stands; what is one deeper, below, was begun by it.
    pub depth: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Which fault, stable; null for what is as it should be.
    pub code: Option<String>,
    /// What was found, in words.
    pub what: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// The command to type, where the remedy has one.
    pub command: Option<String>,
    /// What was measured or read. Names may be added, and none is always there.
    pub facts: BTreeMap<String, Value>,
    /// How long the probe had run by then.
    pub took_ms: Ms,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// There was nothing to look at.
    Note,
    /// It works, and should not stay so.
    Warning,
    /// It does not work.
    Fault,
}

impl Printable for FindingView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both(
            "probe",
            |finding| finding.probe.clone(),
            1,
            "PROBE",
            |finding| format!("{}{}", "  ".repeat(finding.depth), finding.probe).into(),
        ),
        Column::csv("subject", |finding| text(finding.subject.as_ref())),
        Column::csv("depth", |finding| finding.depth.to_string()),
        Column::both("severity", |finding| word(&finding.severity), 2, "SEVERITY", |finding| finding.severity.cell()),
        Column::both(
            "code",
            |finding| text(finding.code.as_ref()),
            4,
            "CODE",
            |finding| Cell::new(text(finding.code.as_ref()), Style::Dim),
        ),
        Column::both("what", |finding| finding.what.clone(), 3, "FOUND", |finding| finding.what.as_str().into()),
        Column::csv("remedy", |finding| text(finding.remedy.as_ref())),
        Column::csv("command", |finding| text(finding.command.as_ref())),
        Column::csv("facts", |finding| serde_json::to_string(&finding.facts).unwrap_or_default()),
        Column::csv("took_ms", |finding| finding.took_ms.0.to_string()),
    ];
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
