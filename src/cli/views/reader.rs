//! The object for a reader and the card in it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Schema,
    cells::{text, word},
};
use crate::cli::{
    printer::{Column, Printable},
    table::{Cell, Style},
};

/// One reader.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Reader")]
pub struct ReaderView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// The name that PC/SC gives it.
    pub reader: String,
    /// The name that the configuration gives it.
    pub alias: Option<String>,
    /// What its slot is like.
    pub state: ReaderStateView,
    /// The card's answer to reset, in hex.
    pub atr: Option<String>,
    /// `rollcall` or `foreign`; null when the card was not asked or did not answer.
    pub card: Option<String>,
    /// What the answer to reset says, in words.
    pub says: Option<String>,
    /// The answer to reset field by field; empty where there is none, or it is none.
    pub atr_fields: Vec<AtrField>,
    /// What the list of pcsc-tools calls cards with this answer to reset, where it is installed.
    pub names: Vec<String>,
    /// The configuration leaves it out (`ignore`); its card was not asked.
    pub ignored: bool,
    /// What names this reader for good, as an alias: `serial:…` or `usb:…`; null where nothing tells it.
    pub stable: Option<String>,
}

/// A field of an answer to reset (ISO/IEC 7816-3, 8.2).
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AtrField {
    /// `TS`, `T0`, `TA1` …, `historical`, `TCK`.
    pub name: String,
    /// Its bytes, in hex.
    pub bytes: String,
    /// What they say.
    pub meaning: String,
}

/// The state of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ReaderState")]
pub enum ReaderStateView {
    /// No card.
    Empty,
    /// A card that answers.
    Present,
    /// Another program holds the card for itself.
    Exclusive,
    /// A card that does not answer.
    Mute,
    /// The reader does not work.
    Unavailable,
    /// The reader was unplugged (`readers --watch` only).
    Removed,
}

impl Printable for ReaderView {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::both("reader", |reader| reader.reader.clone(), 1, "READER", |reader| reader.reader.as_str().into()),
        Column::both(
            "alias",
            |reader| text(reader.alias.as_ref()),
            2,
            "ALIAS",
            |reader| text(reader.alias.as_ref()).into(),
        ),
        Column::both("state", |reader| word(&reader.state), 3, "STATE", |reader| reader.state.cell()),
        Column::csv("atr", |reader| text(reader.atr.as_ref())),
        Column::both(
            "card",
            |reader| text(reader.card.as_ref()),
            4,
            "CARD",
            |reader| if reader.ignored { "ignored".into() } else { text(reader.card.as_ref()).into() },
        ),
        Column::both(
            "says",
            |reader| text(reader.says.as_ref()),
            5,
            "ITS ATR SAYS",
            |reader| Cell::new(text(reader.says.as_ref()), Style::Dim),
        ),
        Column::csv("ignored", |reader| reader.ignored.to_string()),
        Column::csv("stable", |reader| text(reader.stable.as_ref())),
    ];
}

impl ReaderStateView {
    fn cell(self) -> Cell {
        let style = match self {
            Self::Present => Style::Good,
            Self::Empty => Style::Dim,
            Self::Exclusive | Self::Mute | Self::Removed => Style::Warning,
            Self::Unavailable => Style::Bad,
        };
        Cell::new(word(&self), style)
    }
}
