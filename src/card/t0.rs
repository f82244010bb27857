//! Implements what the protocol T=0 leaves to the sender of commands (ISO/IEC 7816-3, 12.2): neither PC/SC nor its
//! drivers do it.
//!
//! - Le is sent only without data: with data the card answers 61xx, and the rest is fetched.
//! - There is no extended length.
//! - GET RESPONSE has class 00, unless the card requires another.

use super::{
    apdu::{Received, Response},
    chaining::{ANSWER_MAX, PIECES_MAX},
    error::LinkError,
    status::Status,
};

/// The bits of CLA for secure messaging, in the first range and in the others (ISO/IEC 7816-4, 5.4.1).
const SECURE_BITS: u8 = 0x0C;
const GET_RESPONSE: u8 = 0xC0;

/// The class with which GET RESPONSE is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseClass {
    /// 00.
    Plain,
    /// That of the command.
    Same,
    /// That of the command, without the bits of secure messaging.
    Open,
}

const CLASSES: [ResponseClass; 3] = [ResponseClass::Plain, ResponseClass::Same, ResponseClass::Open];

impl ResponseClass {
    const fn of(self, cla: u8) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Same => cla,
            Self::Open => cla & !SECURE_BITS,
        }
    }
}

/// Sends one TPDU to the card, and returns its answer.
pub type TpduSender<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, LinkError> + 'a;

/// The state of one connection with the protocol T=0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct T0 {
    /// The class that the card accepted last.
    class: ResponseClass,
}

impl Default for T0 {
    fn default() -> Self {
        Self { class: ResponseClass::Plain }
    }
}

impl T0 {
    /// Sends a command APDU as TPDUs, and returns the complete answer with its status word.
    ///
    /// 6Cxx is obeyed once for each command, 61xx until nothing is waiting. Bytes that are not a command APDU are sent
    /// as they are.
    ///
    /// # Errors
    /// Those of `send`; [`LinkError::NoExtendedLength`] for a command that does not fit a short APDU;
    /// [`LinkError::Malformed`] for an answer without a status word, or an endless one.
    pub fn exchange(&mut self, command: &[u8], send: &mut TpduSender<'_>) -> Result<Vec<u8>, LinkError> {
        let Some(received) = Received::parse(command) else { return send(command) };
        if received.extended {
            return Err(LinkError::NoExtendedLength);
        }
        let outgoing = received.data.is_empty() && received.expected.is_some();
        let case4 = !received.data.is_empty() && received.expected.is_some();
        let tpdu = if case4 { &command[..command.len() - 1] } else { command };
        let mut answer = parse(&send(tpdu)?)?;
        if let Some(le) = corrected(&answer).filter(|_| outgoing) {
            answer = parse(&send(&with_le(tpdu, le))?)?;
        }
        if received.header[1] != GET_RESPONSE {
            self.collect(received.header[0], &mut answer, send)?;
        }
        Ok([&answer.data[..], &answer.status.0.to_be_bytes()].concat())
    }

    fn collect(&mut self, cla: u8, answer: &mut Response, send: &mut TpduSender<'_>) -> Result<(), LinkError> {
        for _ in 0..=PIECES_MAX {
            let Some(waiting) = answer.status.more() else { return Ok(()) };
            let next = self.fetch(cla, waiting, send)?;
            answer.status = next.status;
            answer.data.extend_from_slice(&next.data);
            if answer.data.len() > ANSWER_MAX {
                break;
            }
        }
        Err(LinkError::Malformed(answer.data.len()))
    }

    /// One GET RESPONSE, with each possible class until the card accepts one.
    fn fetch(&mut self, cla: u8, waiting: usize, send: &mut TpduSender<'_>) -> Result<Response, LinkError> {
        let mut tried = Vec::new();
        let mut answer = Response::status(Status::UNKNOWN_CLASS);
        for class in [&[self.class], &CLASSES[..]].concat() {
            let byte = class.of(cla);
            if tried.contains(&byte) {
                continue;
            }
            tried.push(byte);
            let ask = [byte, GET_RESPONSE, 0, 0, 0];
            answer = parse(&send(&with_le(&ask, waiting))?)?;
            if let Some(le) = corrected(&answer) {
                answer = parse(&send(&with_le(&ask, le))?)?;
            }
            if !matches!(answer.status, Status::UNKNOWN_CLASS | Status::UNKNOWN_INSTRUCTION) {
                self.class = class;
                break;
            }
        }
        Ok(answer)
    }
}

/// Splits an answer into data and status.
fn parse(bytes: &[u8]) -> Result<Response, LinkError> {
    Response::parse(bytes).filter(|answer| answer.data.len() <= ANSWER_MAX).ok_or(LinkError::Malformed(bytes.len()))
}

/// The Le that the card expects instead.
fn corrected(answer: &Response) -> Option<usize> {
    answer.status.correct_le().filter(|_| answer.data.is_empty())
}

/// The same TPDU with another last byte; 256 is 00.
fn with_le(tpdu: &[u8], le: usize) -> Vec<u8> {
    let mut again = tpdu.to_vec();
    if let Some(last) = again.last_mut() {
        *last = u8::try_from(le).unwrap_or(0);
    }
    again
}

#[cfg(test)]
mod tests;
