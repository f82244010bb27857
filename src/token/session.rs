//! An open channel to a token: each command is wrapped, sent, and its answer checked.

use super::TokenError;
use crate::{
    card::{
        apdu::{Command, Format, Response},
        chaining::exchange,
        link::Link,
        tlv::Reader,
    },
    channel::messaging::Messaging,
    crypto::Key128,
};

use super::{
    commands::{self, PART_MAX},
    record::DETAILS_MAX,
    select::LifeCycle,
};

/// A channel, SCP11a or SCP03. It ends when the card loses power or anything goes wrong in it.
#[derive(Debug)]
pub struct Session {
    messaging: Messaging,
    format: Format,
}

impl Session {
    /// The session over this secure messaging; commands go in this format.
    pub const fn new(messaging: Messaging, format: Format) -> Self {
        Self { messaging, format }
    }

    /// The key under which keys are wrapped inside this session.
    pub const fn dek(&self) -> &Key128 {
        self.messaging.dek()
    }

    /// Sends one command, and returns the verified data of an answer with 9000. `step` names it in errors.
    pub fn send(&mut self, link: &mut dyn Link, step: &'static str, command: &Command) -> Result<Vec<u8>, TokenError> {
        let wrapped = self.messaging.wrap(command, self.format)?;
        let answer: Response = exchange(link, &wrapped, self.format)?;
        let answer = self.messaging.unwrap(&answer)?;
        if answer.status.is_ok() { Ok(answer.data) } else { Err(TokenError::Refused { step, status: answer.status }) }
    }

    /// As [`Self::send`], for a command that answers nothing.
    pub fn tell(&mut self, link: &mut dyn Link, step: &'static str, command: &Command) -> Result<(), TokenError> {
        if self.send(link, step, command)?.is_empty() { Ok(()) } else { Err(TokenError::Form(step)) }
    }

    /// The heartbeat: one exchange that only the same token, still powered, can answer.
    pub fn heartbeat(&mut self, link: &mut dyn Link) -> Result<LifeCycle, TokenError> {
        const STEP: &str = "the heartbeat";
        match self.send(link, STEP, &commands::heartbeat())?[..] {
            [state] => LifeCycle::parse(state).ok_or(TokenError::Form(STEP)),
            _ => Err(TokenError::Form(STEP)),
        }
    }

    /// Reads an object part by part, up to `limit` bytes.
    pub fn read_parts(&mut self, link: &mut dyn Link, tag: u16, limit: usize) -> Result<Vec<u8>, TokenError> {
        const STEP: &str = "GET DATA part";
        let mut object = Vec::new();
        loop {
            let offset = u16::try_from(object.len()).map_err(|_| TokenError::Form(STEP))?;
            let answer = self.send(link, STEP, &commands::read_part(tag, offset))?;
            let mut reader = Reader::new(&answer);
            let part = reader.value(0x53).map_err(|_| TokenError::Form(STEP))?;
            if reader.end().is_err() || part.len() > PART_MAX || object.len() + part.len() > limit {
                return Err(TokenError::Form(STEP));
            }
            object.extend_from_slice(part);
            if part.len() < PART_MAX {
                return Ok(object);
            }
        }
    }

    /// Reads the details object.
    pub fn read_details(&mut self, link: &mut dyn Link) -> Result<Vec<u8>, TokenError> {
        self.read_parts(link, super::constants::TAG_DETAILS, DETAILS_MAX)
    }
}

#[cfg(test)]
mod tests;
