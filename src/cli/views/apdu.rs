//! The object for an exchange of `rollcall apdu`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Ms, Schema, cells::text};
use crate::cli::{
    printer::{Column, Printable},
    table::{Cell, Style},
};

/// One exchange.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Exchanged {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// When the answer came.
    pub at: At,
    /// Where.
    pub reader: String,
    /// From 1.
    pub number: u32,
    /// Inside an authenticated channel: command and answer are as they are without it.
    pub secure: bool,
    /// The command APDU, in hex.
    pub command: String,
    /// The data of the answer, in hex.
    pub data: String,
    /// The status word, four hex digits.
    pub status: String,
    /// What it means.
    pub meaning: String,
    /// The data objects of the answer, where it is made of them altogether; those inside another one behind it.
    pub tlv: Vec<Tlv>,
    /// What was expected; empty when anything is right.
    pub expected: Vec<String>,
    /// Whether one of these came; null when nothing was expected.
    pub as_expected: Option<bool>,
    /// What went to a card with T=0 in place of the command, in turn; empty where the command itself went.
    pub followed: Vec<CarriedApdu>,
    /// How long the exchange took.
    pub ms: Ms,
}

/// One of the exchanges that T=0 makes of a command.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CarriedApdu {
    /// What was sent, in hex.
    pub command: String,
    /// The data of the answer, in hex.
    pub data: String,
    /// Its status word, four hex digits.
    pub status: String,
}

/// A data object (ISO/IEC 7816-4, 5.2.2).
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tlv {
    /// How many others it stands in.
    pub depth: usize,
    /// In hex.
    pub tag: String,
    /// Bytes of its value.
    pub length: usize,
    /// In hex.
    pub value: String,
}

impl Printable for Exchanged {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::csv("at", |one| one.at.to_string()),
        Column::csv("reader", |one| one.reader.clone()),
        Column::csv("number", |one| one.number.to_string()),
        Column::csv("secure", |one| one.secure.to_string()),
        Column::both("command", |one| one.command.clone(), 1, "COMMAND", |one| Cell::new(&one.command, Style::Dim)),
        Column::both("data", |one| one.data.clone(), 2, "ANSWER", |one| one.data.as_str().into()),
        Column::both("status", |one| one.status.clone(), 3, "STATUS", |one| Cell::new(&one.status, one.style())),
        Column::both(
            "meaning",
            |one| one.meaning.clone(),
            4,
            "MEANING",
            |one| {
                let wanted = match one.as_expected {
                    Some(false) => format!(", not {}", one.expected.join(" or ")),
                    _ => String::new(),
                };
                Cell::new(format!("{}{wanted}", one.meaning), one.style())
            },
        ),
        Column::csv("expected", |one| one.expected.join(",")),
        Column::csv("as_expected", |one| text(one.as_expected.as_ref())),
        Column::both(
            "ms",
            |one| one.ms.0.to_string(),
            5,
            "MS",
            |one| Cell::new(format!("{} ms", one.ms.0), Style::Dim),
        ),
    ];
}

impl Exchanged {
    const fn style(&self) -> Style {
        match self.as_expected {
            Some(true) => Style::Good,
            Some(false) => Style::Bad,
            None => Style::Plain,
        }
    }
}
