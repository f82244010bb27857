//! What `rollcall apdu` exchanges with a card.

use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Ms, Schema};

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
    /// How long the exchange took.
    pub ms: Ms,
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
