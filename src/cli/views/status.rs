//! The object of `rollcall status`: whether all is well.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    Schema,
    cells::{text, word},
};
use crate::cli::{
    printer::{Column, Printable},
    table::{Cell, Style},
};

/// One area, and whether it is well.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub struct AreaView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Which area: `readers`, `keys`, `list`, `watch`, `server`; where a server has its home also `store`, `terminals` and
    /// `certificates`. Others may be added.
    pub area: String,
    /// Whether it is well.
    pub mark: AreaMark,
    /// Which fault, as `rollcall doctor` and other commands name it; null where there is none, or it has no code.
    pub code: Option<String>,
    /// How it is, in words.
    pub what: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// The command to type, where the remedy has one.
    pub command: Option<String>,
    /// What was counted or read. Names may be added, and none is always there.
    pub facts: BTreeMap<String, Value>,
}

/// Whether an area is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AreaMark {
    /// As it should be, or nothing is there to look at.
    Ok,
    /// It works, and should not stay so.
    Look,
    /// It does not work.
    Fault,
}

impl AreaMark {
    /// The word for people, and its colour.
    pub fn shown(self) -> (&'static str, Style) {
        match self {
            Self::Ok => ("ok", Style::Good),
            Self::Look => ("look", Style::Warning),
            Self::Fault => ("FAULT", Style::Bad),
        }
    }
}

impl Printable for AreaView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("area", |one| one.area.clone(), 2, "AREA", |one| one.area.as_str().into()),
        Column::both(
            "mark",
            |one| word(&one.mark),
            1,
            "MARK",
            |one| {
                let (word, style) = one.mark.shown();
                Cell::new(word, style)
            },
        ),
        Column::both(
            "code",
            |one| text(one.code.as_ref()),
            4,
            "CODE",
            |one| Cell::new(text(one.code.as_ref()), Style::Dim),
        ),
        Column::both("what", |one| one.what.clone(), 3, "DETAIL", |one| one.what.as_str().into()),
        Column::csv("remedy", |one| text(one.remedy.as_ref())),
        Column::csv("command", |one| text(one.command.as_ref())),
        Column::csv("facts", |one| serde_json::to_string(&one.facts).unwrap_or_default()),
    ];
}
