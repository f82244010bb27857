//! An open channel to a card that holds the right keys and lies all the same: one case for each check.

use super::*;
use crate::{
    card::{
        apdu::Received,
        link::{LinkError, Privacy},
        status::Status,
        tlv,
    },
    channel::messaging::SessionKeys,
    token::{constants::TAG_DETAILS, constants::TAG_PORTRAIT},
};

/// The other end of the channel: it gives these answers, the last one for ever, under right R-MACs.
struct Liar {
    messaging: Messaging,
    answers: Vec<(Vec<u8>, Status)>,
    asked: usize,
}

impl Link for Liar {
    fn transmit(&mut self, command: &[u8], _: Privacy) -> Result<Vec<u8>, LinkError> {
        let received = Received::parse(command).unwrap();
        let lc = [0, 0, u8::try_from(received.data.len()).unwrap()];
        let opened = self.messaging.open(received.header, &lc, received.data).unwrap();
        assert!(opened.is_some(), "the terminal's own C-MAC");
        let (data, status) = self.answers[self.asked.min(self.answers.len() - 1)].clone();
        self.asked += 1;
        let sealed = if status.carries_mac() { self.messaging.seal(&data, status).unwrap() } else { data };
        Ok([&sealed[..], &status.0.to_be_bytes()].concat())
    }
}

fn play(answers: &[(&[u8], Status)]) -> (Session, Liar) {
    let keys = || SessionKeys {
        enc: Key128::new([1; 16]),
        mac: Key128::new([2; 16]),
        rmac: Key128::new([3; 16]),
        dek: Key128::new([4; 16]),
    };
    let answers = answers.iter().map(|(data, status)| (data.to_vec(), *status)).collect();
    let liar = Liar { messaging: Messaging::new(keys(), [5; 16]), answers, asked: 0 };
    (Session::new(Messaging::new(keys(), [5; 16]), Format::Extended), liar)
}

fn ok(data: &[u8]) -> (&[u8], Status) {
    (data, Status::OK)
}

const FORM: fn(&TokenError) -> bool = |e| matches!(e, TokenError::Form(_));

#[test]
fn only_9000_is_an_answer() {
    // A warning comes under an R-MAC, an error does not: both are refusals.
    for status in [Status(0x6283), Status(0x6300), Status::SECURITY, Status::NO_DATA] {
        let (mut session, mut liar) = play(&[(&[0x1F], status)]);
        let outcome = session.send(&mut liar, "a step", &commands::heartbeat());
        assert!(matches!(outcome, Err(TokenError::Refused { status: s, .. }) if s == status), "{status}: {outcome:?}");
    }
}

#[test]
fn a_command_that_answers_nothing_is_answered_nothing() {
    let (mut session, mut liar) = play(&[ok(&[]), ok(&[0])]);
    session.tell(&mut liar, "a step", &commands::heartbeat()).unwrap();
    let outcome = session.tell(&mut liar, "a step", &commands::heartbeat());
    assert!(outcome.is_err_and(|e| FORM(&e)));
}

#[test]
fn a_heartbeat_is_one_known_byte() {
    let (mut session, mut liar) = play(&[ok(&[0x1F])]);
    assert_eq!(session.heartbeat(&mut liar).unwrap(), LifeCycle::Issued);
    for answer in [&[][..], &[0x1F, 0x1F], &[0x1F, 0], &[0], &[0x42]] {
        let (mut session, mut liar) = play(&[ok(answer)]);
        assert!(session.heartbeat(&mut liar).is_err_and(|e| FORM(&e)), "{answer:02X?}");
    }
}

#[test]
fn parts_are_one_object_each_and_no_longer_than_they_may_be() {
    let whole = tlv::object(0x53, &[7; PART_MAX]);
    let last = tlv::object(0x53, &[7; 3]);
    let (mut session, mut liar) = play(&[ok(&whole), ok(&last)]);
    assert_eq!(session.read_parts(&mut liar, TAG_PORTRAIT, 1024).unwrap(), [7; PART_MAX + 3]);

    let behind = [&last[..], &[0]].concat();
    let twice = [&last[..], &last].concat();
    let other = tlv::object(0x54, &[7; 3]);
    // Too long a part would end the object: all of what follows would be lost.
    let long = tlv::object(0x53, &[7; PART_MAX + 1]);
    for answer in [&behind, &twice, &other, &long, &Vec::new()] {
        let (mut session, mut liar) = play(&[ok(answer), ok(&last)]);
        let outcome = session.read_parts(&mut liar, TAG_PORTRAIT, 1024);
        assert!(outcome.is_err_and(|e| FORM(&e)), "{}", hex::encode(answer));
    }
}

#[test]
fn an_object_without_end_is_given_up_at_its_limit() {
    let whole = tlv::object(0x53, &[7; PART_MAX]);
    let (mut session, mut liar) = play(&[ok(&whole)]);
    assert!(session.read_details(&mut liar).is_err_and(|e| FORM(&e)));
    assert_eq!(liar.asked, DETAILS_MAX / PART_MAX + 1);

    // To the byte: what fills the limit is taken, one more is not.
    let last = tlv::object(0x53, &[7; 3]);
    for (limit, taken) in [(PART_MAX + 3, true), (PART_MAX + 2, false)] {
        let (mut session, mut liar) = play(&[ok(&whole), ok(&last)]);
        assert_eq!(session.read_parts(&mut liar, TAG_DETAILS, limit).is_ok(), taken, "{limit}");
    }
}
