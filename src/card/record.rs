//! The format of the lines of a trace.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    apdu::{Received, Response, SECURE},
    error::{LinkError, Sensitivity},
    status::Status,
    tlv::TlvReader,
};

/// The longest line in bytes.
pub const LINE_MAX: usize = 64 << 10;

/// One line, without the hash that chains it to the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// Line number, from zero.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Which transaction; zero for none.
    pub tap: u32,
    /// What happened.
    #[serde(flatten)]
    pub record: TraceRecord,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceRecord {
    /// The first line.
    Begin {
        /// [`super::trace::SCHEMA`].
        schema: String,
        /// The version of the program.
        version: String,
        /// Whether it contains what cards say of their holders.
        personal: bool,
    },
    /// No connection, or no transaction, was established.
    Unreached {
        /// The reader.
        reader: String,
        /// The reason.
        error: LinkError,
        /// A second attempt of the same tap, after the card was reset.
        again: bool,
    },
    /// A transaction began.
    Transaction {
        /// The reader.
        reader: String,
        /// The answer to reset, hex.
        atr: String,
    },
    /// The transaction is a tap.
    Tap {
        /// Whether the nonce is the server's.
        server_nonce: bool,
        /// A second attempt of the same tap, after the card was reset.
        again: bool,
    },
    /// The terminal's inputs, all of them public.
    Visit(Box<RecordedVisit>),
    /// A certificate that the terminal remembered.
    Remembered {
        /// Which one.
        item: RecordedMemory,
        /// DER, hex.
        certificate: String,
    },
    /// An exchange.
    Exchange(Exchange),
    /// The key agreement is complete.
    Receipt(Receipt),
    /// An answer under secure messaging was opened.
    Answer(RecordedAnswer),
    /// The signature of a presence proof was checked.
    Proof {
        /// Whether it is valid.
        holds: bool,
    },
    /// A heartbeat follows whose time bounds the distance.
    Heartbeat,
    /// What this terminal had against a token that proved who it is.
    Judged(Judged),
    /// The last line.
    End,
}

/// The terminal's inputs for a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedVisit {
    /// Whether only the id was requested.
    pub identify_only: bool,
    /// Whether commands are sent as extended APDUs.
    pub extended: bool,
    /// The time at which certificates were verified.
    pub now: Timestamp,
    /// The nonce that the proof had to contain, hex.
    pub nonce: String,
    /// The terminal's CA.
    pub authority: RecordedAuthority,
    /// The previous CA, while tokens are being moved.
    pub previous: Option<RecordedAuthority>,
}

/// A CA, and the terminal's certificate under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAuthority {
    /// The CA's public key, 65 bytes, hex.
    pub ca: String,
    /// DER, hex.
    pub certificate: String,
}

/// What a terminal caches about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedMemory {
    /// The certificate of the key that opens a channel.
    Ecka,
    /// The certificate of the key that signs proofs.
    Identity,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// How long it took, in microseconds.
    pub us: u64,
    /// The name of the command.
    pub name: String,
    /// The command, hex; if its data are hidden, the four header bytes.
    pub command: String,
    /// The length of the command in bytes.
    pub command_length: usize,
    /// Whether command and answer are written in full.
    pub shown: bool,
    /// The answer, hex; if its data are hidden, the status.
    pub answer: Option<String>,
    /// The length of the answer in bytes.
    pub answer_length: Option<usize>,
    /// What its status means.
    pub meaning: Option<String>,
    /// The tags of its data, if shown and TLV.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Why there is no answer.
    pub error: Option<LinkError>,
}

/// The end of a key agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Whether the card's receipt is valid.
    pub holds: bool,
    /// What binds a proof to the channel, hex.
    pub binding: Option<String>,
}

/// An opened answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    /// The name of the step.
    pub step: String,
    /// The header of the command, hex.
    pub command: String,
    /// Its status, hex; none if the answer could not be opened.
    pub status: Option<String>,
    /// Its data, hex, if shown.
    pub data: Option<String>,
    /// Whether meaningless data replace what the card said of its holder.
    pub masked: bool,
    /// Why it could not be opened.
    pub broken: Option<Broken>,
}

/// Why an answer could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// Its MAC is missing or wrong.
    Mac,
    /// Its padding is wrong.
    Padding,
    /// A failure of the terminal itself.
    Local,
}

/// The terminal's reasons to refuse a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The last use counter, if the new one was not greater.
    pub last_counter: Option<u32>,
    /// The operator has denied it.
    pub denied: bool,
    /// Its heartbeats took too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub too_far: Option<RecordedDistance>,
    /// The server was asked; its answer is not in the trace.
    pub server: bool,
}

/// A heartbeat that exceeded its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedDistance {
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The bound, in microseconds.
    pub most_us: u64,
}

/// What the layers above ask a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether the receipt is valid.
    Receipt,
    /// The content of the answer.
    Answer,
    /// Whether the signature of a proof is valid whose record was masked.
    Proof,
}

/// The trace's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedVerdict {
    /// The receipt is valid, and this binds a proof to the channel.
    Bound([u8; 32]),
    /// The answer was opened.
    Opened(Response),
    /// The answer could not be opened.
    Broken(Broken),
    /// The signature is valid.
    Holds,
    /// The signature is not valid.
    Fails,
}

/// Whether the data of an instruction are public and not personal: SELECT, GET DATA, PERFORM SECURITY OPERATION,
/// INITIALIZE UPDATE, and MUTUAL AUTHENTICATE. GET RESPONSE is like the command before it.
pub fn is_public(header: [u8; 4], sensitivity: Sensitivity) -> bool {
    let [cla, ins, _, p2] = header;
    sensitivity == Sensitivity::Plain
        && cla & SECURE == 0
        && cla != 0xFF
        && (matches!(ins, 0xA4 | 0xCA | 0x2A | 0x50) || (ins, p2) == (0x82, 0x11))
}

/// The name of a command (ISO/IEC 7816-4, table 4.2; GP Card Specification, 11).
pub const fn name(ins: u8) -> &'static str {
    match ins {
        0x20 => "VERIFY",
        0x24 => "CHANGE REFERENCE DATA",
        0x2A => "PERFORM SECURITY OPERATION",
        0x2C => "RESET RETRY COUNTER",
        0x50 => "INITIALIZE UPDATE",
        0x82 => "EXTERNAL OR MUTUAL AUTHENTICATE",
        0x84 => "GET CHALLENGE",
        0x88 => "INTERNAL AUTHENTICATE",
        0xA4 => "SELECT",
        0xB0 | 0xB1 => "READ BINARY",
        0xB2 => "READ RECORD",
        0xC0 => "GET RESPONSE",
        0xCA | 0xCB => "GET DATA",
        0xD6 | 0xD7 => "UPDATE BINARY",
        0xD8 => "PUT KEY",
        0xDA | 0xDB => "PUT DATA",
        0xE2 => "STORE DATA",
        0xE4 => "DELETE",
        0xF0 => "SET STATUS",
        0xF1 => "GENERATE KEY",
        0xF2 => "GET STATUS",
        _ => "unknown",
    }
}

impl Exchange {
    /// Records an exchange that took `us` microseconds. `shown` says whether its data may be recorded.
    pub fn new(command: &[u8], shown: bool, answer: &Result<Vec<u8>, LinkError>, us: u64) -> Self {
        let header = command.get(..4).unwrap_or_default();
        let bytes = answer.as_deref().ok();
        let status =
            bytes.and_then(|bytes| bytes.split_last_chunk::<2>()).map(|(_, sw)| Status(u16::from_be_bytes(*sw)));
        let visible =
            |bytes: &[u8]| hex::encode_upper(if shown { bytes } else { &bytes[bytes.len().saturating_sub(2)..] });
        Self {
            us,
            name: name(header.get(1).copied().unwrap_or_default()).to_owned(),
            command: hex::encode_upper(if shown { command } else { header }),
            command_length: command.len(),
            shown,
            answer: bytes.map(visible),
            answer_length: bytes.map(<[u8]>::len),
            meaning: status.map(|status| status.meaning().to_owned()),
            tags: bytes
                .filter(|_| shown)
                .and_then(|bytes| tags(&bytes[..bytes.len().saturating_sub(2)]))
                .unwrap_or_default(),
            error: answer.as_ref().err().cloned(),
        }
    }
}

/// The outermost tags of an answer that is entirely TLV.
fn tags(data: &[u8]) -> Option<Vec<String>> {
    let mut reader = TlvReader::new(data);
    let mut tags = Vec::new();
    while !reader.is_empty() {
        tags.push(format!("{:02X}", reader.any().ok()?.tag));
    }
    Some(tags)
}

impl RecordedAnswer {
    /// Records what was opened: of writing commands only the status, of reading ones everything, which is masked before
    /// it reaches the file.
    pub fn new(step: &str, header: [u8; 4], opened: Result<&Response, Broken>) -> Self {
        let reads = matches!(header[1], 0x88 | 0xB1 | 0xCA);
        Self {
            step: step.to_owned(),
            command: hex::encode_upper(header),
            status: opened.ok().map(|answer| answer.status.to_string()),
            data: opened.ok().filter(|_| reads).map(|answer| hex::encode_upper(&answer.data)),
            masked: false,
            broken: opened.err(),
        }
    }
}

impl TraceRecord {
    /// Whether hex fields are hex and of the correct length: otherwise a replay would blame the card for a fault of the
    /// file.
    pub(super) fn is_well_formed(&self) -> bool {
        match self {
            Self::Transaction { atr, .. } => bytes(atr, 0..=33),
            Self::Visit(visit) => visit.is_well_formed(),
            Self::Remembered { certificate, .. } => bytes(certificate, 1..=LINE_MAX),
            Self::Exchange(exchange) => exchange.is_well_formed(),
            Self::Receipt(receipt) => receipt.binding.as_ref().map_or(!receipt.holds, |text| bytes(text, 32..=32)),
            Self::Answer(answer) => answer.is_well_formed(),
            _ => true,
        }
    }
}

impl RecordedVisit {
    fn is_well_formed(&self) -> bool {
        let good = |one: &RecordedAuthority| bytes(&one.ca, 65..=65) && bytes(&one.certificate, 1..=LINE_MAX);
        bytes(&self.nonce, 32..=32) && good(&self.authority) && self.previous.as_ref().is_none_or(good)
    }
}

impl Exchange {
    /// An answer or an error, never both; hidden data leave a header and a status.
    fn is_well_formed(&self) -> bool {
        let said = if self.shown { self.command_length..=self.command_length } else { 0..=4 };
        let answered = match (&self.answer, self.answer_length) {
            (Some(text), Some(length)) => bytes(text, if self.shown { length..=length } else { 0..=length.min(2) }),
            (None, None) => true,
            _ => false,
        };
        bytes(&self.command, said) && answered && self.answer.is_some() != self.error.is_some()
    }
}

impl RecordedAnswer {
    fn is_well_formed(&self) -> bool {
        let status = self.status.as_ref().is_none_or(|text| bytes(text, 2..=2));
        let data = self.data.as_ref().is_none_or(|text| bytes(text, 0..=1 << 16));
        bytes(&self.command, 4..=4) && status && data && self.status.is_some() != self.broken.is_some()
    }
}

/// Whether a text is that many bytes in hex.
fn bytes(text: &str, length: RangeInclusive<usize>) -> bool {
    text.len().is_multiple_of(2) && length.contains(&(text.len() / 2)) && text.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Whether an APDU is GET RESPONSE.
pub(super) fn is_get_response(command: &[u8]) -> bool {
    Received::parse(command).is_some_and(|apdu| apdu.header[1] == 0xC0)
}

#[cfg(test)]
mod tests;
