//! Replays one transaction of a trace in the place of a card.

use super::record::{Exchange, Question, Receipt, RecordedAnswer, RecordedVerdict, TraceRecord};
use crate::card::{
    apdu::Response,
    link::{Link, LinkError, Sensitivity},
    status::Status,
};

/// A link that replays a recording in order. Any deviation ends the answers.
#[derive(Debug)]
pub struct Replay<'t> {
    records: &'t [TraceRecord],
    /// Exchanges replayed so far.
    played: u32,
    diverged: bool,
    withheld: bool,
    /// Whether the answer of INTERNAL AUTHENTICATE was masked.
    masked: bool,
}

impl<'t> Replay<'t> {
    /// Replays these records.
    pub const fn new(records: &'t [TraceRecord]) -> Self {
        Self { records, played: 0, diverged: false, withheld: false, masked: false }
    }

    /// After how many exchanges the dialogue deviated; `None` if the whole recording was replayed.
    pub fn diverged(&self) -> Option<u32> {
        let left = self.records.iter().any(|record| matches!(record, TraceRecord::Exchange(_)));
        (self.diverged || left).then_some(self.played)
    }

    /// Whether something was requested that the trace does not contain: it was not a user record, and could not be
    /// masked.
    pub const fn withheld(&self) -> bool {
        self.withheld
    }

    /// Takes the next record that is part of the dialogue.
    fn next(&mut self) -> Option<&'t TraceRecord> {
        loop {
            let (first, rest) = self.records.split_first()?;
            self.records = rest;
            if matches!(
                first,
                TraceRecord::Exchange(_) | TraceRecord::Receipt(_) | TraceRecord::Answer(_) | TraceRecord::Proof { .. }
            ) {
                return Some(first);
            }
        }
    }

    /// The next record, without taking it.
    fn upcoming(&self) -> Option<&'t TraceRecord> {
        Self::new(self.records).next()
    }
}

impl Link for Replay<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        // A proof that was verified again is not asked about.
        if let Some(TraceRecord::Proof { .. }) = self.upcoming() {
            self.next();
        }
        let played = match self.next() {
            Some(TraceRecord::Exchange(exchange)) if !self.diverged && is_same(exchange, command) => answer(exchange),
            _ => None,
        };
        if let Some(answer) = played {
            self.played += 1;
            return answer;
        }
        self.diverged = true;
        Err(LinkError::Other("the exchange is not the recorded one".to_owned()))
    }

    fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
        let verdict = match (question, self.upcoming()?) {
            (Question::Receipt, TraceRecord::Receipt(receipt)) => bound(receipt)?,
            (Question::Answer, TraceRecord::Answer(answer)) => {
                if answer.command.get(2..4) == Some("88") {
                    self.masked = answer.masked;
                }
                self.withheld |= answer.masked && answer.data.is_none();
                opened(answer)?
            }
            // Without masking the signature was verified, and is really invalid.
            (Question::Proof, TraceRecord::Proof { holds }) if self.masked => {
                if *holds {
                    RecordedVerdict::Holds
                } else {
                    RecordedVerdict::Fails
                }
            }
            _ => return None,
        };
        self.next();
        Some(verdict)
    }
}

/// Whether this is the recorded command. If its data are hidden, header and length are compared, since the key in
/// MUTUAL AUTHENTICATE differs each time.
fn is_same(exchange: &Exchange, command: &[u8]) -> bool {
    let header = command.get(..4).unwrap_or_default();
    let Ok(recorded) = hex::decode(&exchange.command) else { return false };
    let agrees_on_keys = header.get(1) == Some(&0x82);
    let whole = exchange.shown && !agrees_on_keys;
    exchange.command_length == command.len()
        && if whole { recorded == command } else { recorded.get(..4) == Some(header) }
}

fn answer(exchange: &Exchange) -> Option<Result<Vec<u8>, LinkError>> {
    if let Some(error) = &exchange.error {
        return Some(Err(error.clone()));
    }
    let recorded = hex::decode(exchange.answer.as_ref()?).ok()?;
    let length = exchange.answer_length.filter(|length| *length <= 1 << 16)?;
    let hidden = length.checked_sub(recorded.len()).filter(|hidden| *hidden == 0 || !exchange.shown)?;
    Some(Ok([vec![0; hidden], recorded].concat()))
}

fn bound(receipt: &Receipt) -> Option<RecordedVerdict> {
    if !receipt.holds {
        return Some(RecordedVerdict::Fails);
    }
    let mut binding = [0; 32];
    hex::decode_to_slice(receipt.binding.as_ref()?, &mut binding).ok()?;
    Some(RecordedVerdict::Bound(binding))
}

fn opened(answer: &RecordedAnswer) -> Option<RecordedVerdict> {
    if let Some(broken) = answer.broken {
        return Some(RecordedVerdict::Broken(broken));
    }
    let status = Status(u16::from_str_radix(answer.status.as_ref()?, 16).ok()?);
    let data = hex::decode(answer.data.as_deref().unwrap_or_default()).ok()?;
    Some(RecordedVerdict::Opened(Response { data, status }))
}
