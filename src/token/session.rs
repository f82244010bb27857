//! An open channel to a token: wraps and sends each command, and verifies its answer.
//!
//! Specification: docs/protocol.md, "Secure messaging"; docs/protocol.md, "Objects in parts".

use super::TokenError;
use crate::channel::CommandName;
use crate::{
    card::{
        apdu::{ApduFormat, Command, Response},
        chaining::exchange,
        link::Link,
        status::Status,
        tlv::TlvReader,
    },
    channel::{ChannelError, messaging::Messaging},
    crypto::{Key128, sha256},
};

use super::{
    commands::{self, PART_MAX},
    constants::{PORTRAIT_MAX, TAG_DETAILS, TAG_PORTRAIT},
    record::DETAILS_MAX,
    select::LifeCycle,
    trace_points,
};

/// A channel, SCP11a or SCP03. It ends when the card loses power or anything fails in it.
#[derive(Debug)]
pub struct Session {
    messaging: Messaging,
    format: ApduFormat,
}

impl Session {
    /// A session over this secure messaging, sending commands in this format.
    pub const fn new(messaging: Messaging, format: ApduFormat) -> Self {
        Self { messaging, format }
    }

    /// The key that wraps keys inside this session.
    ///
    /// # Errors
    /// [`ChannelError::NoDek`] in a resumed channel.
    pub fn dek(&self) -> Result<&Key128, ChannelError> {
        self.messaging.dek().ok_or(ChannelError::NoDek)
    }

    /// Sends one command, and returns the verified data of an answer with 9000. `step` names it in errors. Any other
    /// status is [`TokenError::Refused`]; a wrong R-MAC or padding is [`TokenError::Channel`], and ends the session.
    ///
    /// # Errors
    /// [`TokenError::Refused`] for any other status; [`TokenError::Channel`] for a wrong R-MAC or padding, which ends
    /// the session; [`TokenError::Link`] when the exchange fails.
    pub fn send(&mut self, link: &mut dyn Link, step: CommandName, command: &Command) -> Result<Vec<u8>, TokenError> {
        let answer = self.ask(link, step, command)?;
        if answer.status.is_ok() { Ok(answer.data) } else { Err(TokenError::Refused { step, status: answer.status }) }
    }

    /// Sends one command, and returns its verified answer, whatever its status; `step` names it. After an error of the
    /// channel itself the session must not be used any further.
    ///
    /// # Errors
    /// [`TokenError::Link`] or [`TokenError::Channel`].
    pub fn ask(&mut self, link: &mut dyn Link, step: CommandName, command: &Command) -> Result<Response, TokenError> {
        let wrapped = self.messaging.wrap(command, self.format)?;
        let answer: Response = exchange(link, &wrapped, self.format)?;
        if answer.status.carries_mac() {
            return Ok(trace_points::answer(link, step.as_str(), command.header(), &answer, &mut self.messaging)?);
        }
        Ok(self.messaging.unwrap(&answer)?)
    }

    /// As [`Self::send`], for a command whose answer has no data; data in the answer are [`TokenError::Form`].
    ///
    /// # Errors
    /// [`TokenError::Form`] for data in the answer; else as [`Self::send`].
    pub fn tell(&mut self, link: &mut dyn Link, step: CommandName, command: &Command) -> Result<(), TokenError> {
        if self.send(link, step, command)?.is_empty() { Ok(()) } else { Err(TokenError::Form(step)) }
    }

    /// The heartbeat: one exchange that only the same token, still powered, can answer.
    ///
    /// # Errors
    /// [`TokenError::Link`] or [`TokenError::Channel`] when it is no longer the same token; [`TokenError::Refused`] or
    /// [`TokenError::Form`] when it does not report its state.
    pub fn heartbeat(&mut self, link: &mut dyn Link) -> Result<LifeCycle, TokenError> {
        const STEP: CommandName = CommandName::Heartbeat;
        match self.send(link, STEP, &commands::heartbeat())?[..] {
            [state] => LifeCycle::parse(state).ok_or(TokenError::Form(STEP)),
            _ => Err(TokenError::Form(STEP)),
        }
    }

    /// Reads an object in parts of at most [`PART_MAX`] bytes, up to `limit` bytes. A longer part or object is
    /// [`TokenError::Form`].
    ///
    /// # Errors
    /// [`TokenError::Form`] for a longer part or object, or a malformed one; else as [`Self::send`].
    pub fn read_parts(&mut self, link: &mut dyn Link, tag: u16, limit: usize) -> Result<Vec<u8>, TokenError> {
        const STEP: CommandName = CommandName::GetPart;
        let mut object = Vec::new();
        loop {
            let offset = u16::try_from(object.len()).map_err(|_| TokenError::Form(STEP))?;
            let answer = self.send(link, STEP, &commands::read_part(tag, offset))?;
            let mut reader = TlvReader::new(&answer);
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

    /// Writes an object in parts, and activates it.
    ///
    /// # Errors
    /// [`TokenError::Refused`] when the token rejects a part; [`TokenError::Link`] or [`TokenError::Channel`].
    pub fn write_parts(&mut self, link: &mut dyn Link, tag: u16, object: &[u8]) -> Result<(), TokenError> {
        const STEP: CommandName = CommandName::PutData;
        let mut offset: u16 = 0;
        // An empty object is sent as one empty part.
        let parts = if object.is_empty() { vec![object] } else { object.chunks(PART_MAX).collect() };
        for part in parts {
            self.tell(link, STEP, &commands::write_part(tag, offset, part))?;
            offset += u16::try_from(part.len()).unwrap_or(u16::MAX);
        }
        self.tell(link, STEP, &commands::commit_parts(tag, offset, &sha256(&[object])))
    }

    /// Reads the portrait, of at most [`PORTRAIT_MAX`] bytes, if there is one.
    ///
    /// # Errors
    /// [`TokenError::Refused`], [`TokenError::Form`], [`TokenError::Link`] or [`TokenError::Channel`].
    pub fn read_portrait(&mut self, link: &mut dyn Link) -> Result<Option<Vec<u8>>, TokenError> {
        match self.read_parts(link, TAG_PORTRAIT, PORTRAIT_MAX) {
            // An error status carries no MAC, so this may be forged; all it achieves is to hide the picture.
            Err(TokenError::Refused { status: Status::NO_DATA, .. }) => Ok(None),
            read => read.map(Some),
        }
    }

    /// Reads the details object, of at most [`DETAILS_MAX`] bytes.
    ///
    /// # Errors
    /// [`TokenError::Refused`], [`TokenError::Form`], [`TokenError::Link`] or [`TokenError::Channel`].
    pub fn read_details(&mut self, link: &mut dyn Link) -> Result<Vec<u8>, TokenError> {
        self.read_parts(link, TAG_DETAILS, DETAILS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        card::{
            apdu::Received,
            link::{LinkError, Sensitivity},
            status::Status,
            tlv,
        },
        channel::messaging::SessionKeys,
    };

    fn side() -> Messaging {
        let key = |byte| Key128::new([byte; 16]);
        Messaging::new(SessionKeys { enc: key(1), mac: key(2), rmac: key(3), dek: key(4) }, [5; 16])
    }

    /// A card that opens each command and seals its next answer.
    struct Card {
        messaging: Messaging,
        answers: Vec<(Vec<u8>, Status)>,
        asked: Vec<([u8; 4], Vec<u8>)>,
    }

    impl Link for Card {
        fn transmit(&mut self, apdu: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            let received = Received::parse(apdu).unwrap();
            let opened = self.messaging.open(received.header, &apdu[4..5], received.data).unwrap().unwrap();
            self.asked.push((received.header, opened.to_vec()));
            let (data, status) = self.answers.remove(0);
            let sealed = if status.carries_mac() { self.messaging.seal(&data, status).unwrap() } else { data };
            Ok([sealed, status.0.to_be_bytes().to_vec()].concat())
        }
    }

    fn session(answers: impl IntoIterator<Item = (Vec<u8>, Status)>) -> (Session, Card) {
        let card = Card { messaging: side(), answers: answers.into_iter().collect(), asked: Vec::new() };
        (Session::new(side(), ApduFormat::Short), card)
    }

    /// Reads an object that the card returns in these parts.
    fn read(parts: &[&[u8]], limit: usize) -> (Result<Vec<u8>, TokenError>, Card) {
        let (mut session, mut card) = session(parts.iter().map(|part| (tlv::object(0x53, part), Status::OK)));
        (session.read_parts(&mut card, 0x0102, limit), card)
    }

    fn refused(result: &Result<Vec<u8>, TokenError>) -> bool {
        matches!(result, Err(TokenError::Form(CommandName::GetPart)))
    }

    #[test]
    fn an_object_is_read_to_its_first_short_part() {
        for length in [0, 1, PART_MAX - 1, PART_MAX, PART_MAX + 1, 2 * PART_MAX, 2048] {
            let object: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut parts: Vec<&[u8]> = object.chunks(PART_MAX).collect();
            if length % PART_MAX == 0 {
                parts.push(&[]);
            }
            let (read_back, card) = read(&parts, length);
            assert_eq!(read_back.unwrap(), object, "{length}");
            let asked: Vec<_> = (0..parts.len())
                .map(|at| ([0x04, 0xB1, 1, 2], tlv::object(0x54, &u16::try_from(at * PART_MAX).unwrap().to_be_bytes())))
                .collect();
            assert_eq!(card.asked, asked);
            assert!(card.answers.is_empty());
            if length > 0 {
                assert!(refused(&read(&parts, length - 1).0), "{length}");
            }
        }
    }

    #[test]
    fn a_part_is_one_object_of_bounded_length() {
        assert!(refused(&read(&[&[0; PART_MAX + 1]], 4096).0));
        let odd = [tlv::object(0x54, &[]), vec![], vec![0x53], [tlv::object(0x53, &[1]), vec![0]].concat()];
        for answer in odd {
            let (mut session, mut card) = session([(answer.clone(), Status::OK)]);
            assert!(refused(&session.read_parts(&mut card, 0x0102, 4096)), "{answer:?}");
        }
    }

    #[test]
    fn details_end_at_their_limit() {
        let all = |parts: usize, last: usize| {
            let mut parts = vec![vec![7; PART_MAX]; parts];
            parts.push(vec![7; last]);
            let (mut session, mut card) = session(parts.iter().map(|part| (tlv::object(0x53, part), Status::OK)));
            (session.read_details(&mut card), card.asked[0].0)
        };
        let (read, header) = all(9, 32);
        assert_eq!((read.unwrap(), header), (vec![7; DETAILS_MAX], [0x04, 0xB1, 1, 2]));
        assert!(refused(&all(9, 33).0));
    }

    #[test]
    fn an_error_status_is_a_refusal_and_a_bent_answer_none() {
        let command = commands::heartbeat();
        for status in [Status::SECURITY, Status(0x6282), Status(0x6300)] {
            let (mut session, mut card) = session([(vec![], status)]);
            let refusal = session.send(&mut card, CommandName::PutKey, &command).unwrap_err();
            assert!(
                matches!(refusal, TokenError::Refused { step: CommandName::PutKey, status: s } if s == status),
                "{refusal}"
            );
        }
        let (mut session, mut card) = session([(vec![1, 2, 3], Status::OK)]);
        assert_eq!(session.send(&mut card, CommandName::PutKey, &command).unwrap(), [1, 2, 3]);
        assert!(matches!(session.send(&mut Mirror, CommandName::PutKey, &command), Err(TokenError::Channel(_))));
    }

    /// Returns each command as its answer.
    struct Mirror;

    impl Link for Mirror {
        fn transmit(&mut self, apdu: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            Ok([&apdu[5..apdu.len() - 1], &[0x90, 0]].concat())
        }
    }

    #[test]
    fn telling_expects_silence() {
        let (mut session, mut card) = session([(vec![], Status::OK), (vec![0], Status::OK)]);
        assert!(session.tell(&mut card, CommandName::PutKey, &commands::heartbeat()).is_ok());
        let odd = session.tell(&mut card, CommandName::PutKey, &commands::heartbeat());
        assert!(matches!(odd, Err(TokenError::Form(CommandName::PutKey))));
    }

    #[test]
    fn a_heartbeat_is_one_state() {
        for (answer, state) in [(0x1F, LifeCycle::Issued), (0x9F, LifeCycle::Blocked), (0x07, LifeCycle::Blank)] {
            let (mut session, mut card) = session([(vec![answer], Status::OK)]);
            assert_eq!(session.heartbeat(&mut card).unwrap(), state);
        }
        for odd in [vec![], vec![0x42], vec![0x1F, 0x1F]] {
            let (mut session, mut card) = session([(odd, Status::OK)]);
            assert!(matches!(session.heartbeat(&mut card), Err(TokenError::Form(CommandName::Heartbeat))));
        }
    }
}
