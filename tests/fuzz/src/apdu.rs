//! APDUs on both sides, and exchanges with a card that answers arbitrarily.

use rollcall::card::{
    apdu::{ApduFormat, Command, Received, Response},
    chaining::{ANSWER_MAX, PIECES_MAX, exchange},
    link::{Link, LinkError, Sensitivity},
    status::Status,
};

use crate::input::Input;

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    parse(data);
    let mut input = Input(data);
    let [cla, ins, p1, p2] = [input.byte(), input.byte(), input.byte(), input.byte()];
    let format = if input.byte() & 1 == 0 { ApduFormat::Short } else { ApduFormat::Extended };
    let payload = input.long_run();
    let payload = &payload[..payload.len().min(1024)];
    let mut command = Command::new(cla & !0x10, ins, p1, p2).data(payload);
    command.answers = input.byte() & 1 == 0;
    round(&command, format);
    answer(&command, format, input);
}

/// A command that parses says where each of its bytes is; an answer keeps all of its bytes.
fn parse(data: &[u8]) {
    if let Some(received) = Received::parse(data) {
        let around = data.len() - received.data.len();
        let lc = usize::from(!received.data.is_empty());
        let le = usize::from(received.expected.is_some());
        let allowed = if received.extended { 4 + 1 + 2 * lc + 2 * le } else { 4 + lc + le };
        assert_eq!(around, allowed);
        assert_eq!(received.header, data[..4]);
    }
    if let Some(response) = Response::parse(data) {
        assert_eq!([&response.data[..], &response.status.0.to_be_bytes()].concat(), data);
        let Status(sw) = response.status;
        assert_eq!(response.status.is_ok(), sw == 0x9000);
        assert_eq!(response.status.more().is_some(), sw >> 8 == 0x61);
        assert_eq!(response.status.correct_le().is_some(), sw >> 8 == 0x6C);
        assert!(!response.status.meaning().is_empty());
    }
}

/// What is sent arrives: one APDU, or a chain of short ones, each of at most 261 bytes.
fn round(command: &Command, format: ApduFormat) {
    let apdus = command.encode(format);
    let mut arrived = Vec::new();
    for apdu in &apdus {
        let received = Received::parse(apdu).expect("our own APDU");
        assert!(received.extended || apdu.len() <= 261);
        arrived.extend_from_slice(received.data);
    }
    assert_eq!(arrived, command.payload());
}

struct Liar<'a> {
    answers: Input<'a>,
    asked: usize,
}

impl Link for Liar<'_> {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        assert!(Received::parse(command).is_some());
        self.asked += 1;
        let status = [[0x90, 0], [0x61, 0], [0x61, 0xFF], [0x6C, 1], [0x6C, 0xFF], [0x69, 0x82], [0x62, 0x82]];
        match self.answers.more() {
            None => Ok(vec![0x61, 0x01]),
            Some(0) => Ok(self.answers.run().to_vec()),
            Some(1) => Err(LinkError::CardMute),
            Some(n) if n & 1 == 0 => {
                let repeated = vec![n; 32 * usize::from(self.answers.byte())];
                Ok([&repeated[..], &self.answers.pick(&status)].concat())
            }
            Some(_) => Ok([self.answers.run(), &self.answers.pick(&status)].concat()),
        }
    }
}

/// The exchange ends, soon, with a bounded answer, whatever the card says.
fn answer(command: &Command, format: ApduFormat, answers: Input<'_>) {
    let mut liar = Liar { answers, asked: 0 };
    if let Ok(response) = exchange(&mut liar, command, format) {
        assert!(response.data.len() <= ANSWER_MAX);
        // "More" is followed, unless it is a refusal in the middle of a chain.
        assert!(response.status.more().is_none() || response.data.is_empty());
    }
    assert!(liar.asked <= command.encode(format).len() + 1 + 2 * PIECES_MAX);
}
