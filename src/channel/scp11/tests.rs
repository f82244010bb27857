//! The terminal's side against a misbehaving card: one case for each check.

use super::*;
use crate::channel::CommandName;
use crate::{card::status::Status, crypto::random::SystemRandom};

const SELECT: &[u8] = b"what SELECT said";
const CERTIFICATE: &[u8] = b"a terminal's certificate";

fn new_key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

/// A handshake waiting for the receipt, and a card that can make it.
struct Play {
    terminal: KeyPair,
    card: KeyPair,
    request: Vec<u8>,
    state: Handshake,
}

fn begun(terminal: &KeyPair, card: &KeyPair) -> Handshake {
    let offer = Offer {
        select: SELECT,
        terminal_key: terminal,
        terminal_certificate: CERTIFICATE,
        ca_kvn: 3,
        card_key: card.public(),
        card_kvn: 0x41,
        ephemeral: new_key(),
    };
    let Step::Send(command, state) = Handshake::begin(offer).unwrap() else { panic!("no step") };
    assert_eq!((command.header(), command.payload()), ([0x80, 0x2A, 3, 0x10], CERTIFICATE));
    state
}

impl Play {
    fn new() -> Self {
        let (terminal, card) = (new_key(), new_key());
        let state = begun(&terminal, &card);
        let Step::Send(command, state) = state.handle(Response::status(Status::OK)).unwrap() else { panic!("no step") };
        assert_eq!(command.header(), [0x80, 0x82, 0x41, 0x11]);
        Self { terminal, card, request: command.payload().to_vec(), state }
    }

    /// The point that the terminal sent.
    fn point(&self) -> Point {
        Point::parse(tlv::only(&self.request[PARAMETERS.len()..], TAG_POINT).unwrap()).unwrap()
    }

    /// The answer of a card with this static key.
    fn answer(&self, fixed: &KeyPair) -> Vec<u8> {
        let ephemeral = new_key();
        let shared = ephemeral.agree(&self.point()).unwrap();
        let derived = derive(&shared, &fixed.agree(self.terminal.public()).unwrap()).unwrap();
        let point = tlv::object(TAG_POINT, ephemeral.public().as_bytes());
        let receipt = derived.receipt(&self.request, &point).unwrap();
        [point, tlv::object(TAG_RECEIPT, &receipt)].concat()
    }

    fn end(self, data: Vec<u8>, status: Status) -> Result<Opened, ChannelError> {
        match self.state.handle(Response { data, status })? {
            Step::Done(opened) => Ok(opened),
            Step::Send(..) => panic!("one step too many"),
        }
    }
}

#[test]
fn a_right_receipt_opens_the_channel_and_binds_all_that_was_said() {
    let play = Play::new();
    let answer = play.answer(&play.card);
    let said = [SELECT, &sha256(&[CERTIFICATE]), &play.request, &answer].concat();
    assert_eq!(play.end(answer, Status::OK).unwrap().binding, sha256(&[&said]));
}

#[test]
fn a_card_without_the_key_of_its_certificate_is_refused() {
    let play = Play::new();
    let answer = play.answer(&new_key());
    assert!(matches!(play.end(answer, Status::OK), Err(ChannelError::Receipt)));
}

#[test]
fn every_bit_of_the_receipt_counts() {
    for bit in 0..128 {
        let play = Play::new();
        let mut answer = play.answer(&play.card);
        let at = answer.len() - 16 + bit / 8;
        answer[at] ^= 1 << (bit % 8);
        assert!(matches!(play.end(answer, Status::OK), Err(ChannelError::Receipt)), "bit {bit}");
    }
}

/// A receipt that the terminal made itself: its own point and parameters sent back.
#[test]
fn a_reflected_point_is_refused() {
    let play = Play::new();
    let point = tlv::object(TAG_POINT, play.point().as_bytes());
    let answer = [point, tlv::object(TAG_RECEIPT, &[0; 16])].concat();
    assert!(matches!(play.end(answer, Status::OK), Err(ChannelError::Receipt)));
}

/// How an answer is altered.
type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

#[test]
fn nothing_may_stand_around_point_and_receipt() {
    let cut = |answer: &[u8]| answer[..answer.len() - 1].to_vec();
    let changes: [(&str, Change<'_>); 7] = [
        ("a byte behind", &|a| [a, &[0]].concat()),
        ("an object behind", &|a| [a, &[0x80, 1, 0]].concat()),
        ("the receipt twice", &|a| [a, &a[a.len() - 18..]].concat()),
        ("a byte missing", &cut),
        ("no receipt", &|a| a[..68].to_vec()),
        ("the receipt first", &|a| [&a[68..], &a[..68]].concat()),
        ("nothing", &|_| Vec::new()),
    ];
    for (what, change) in changes {
        let play = Play::new();
        let answer = change(&play.answer(&play.card));
        assert!(matches!(play.end(answer, Status::OK), Err(ChannelError::Form(_))), "{what}");
    }
}

#[test]
fn points_off_the_curve_compressed_or_at_infinity_are_refused() {
    let good = *new_key().public().as_bytes();
    let mut off = good;
    off[64] ^= 1;
    let mut hybrid = good;
    hybrid[0] = 6 | (good[64] & 1);
    let compressed = [&[2 | (good[64] & 1)], &good[1..33]].concat();
    let zeros = [&[4][..], &[0; 64]].concat();
    for point in [&off[..], &hybrid, &compressed, &[0], &zeros, &[]] {
        let play = Play::new();
        let answer = [tlv::object(TAG_POINT, point), tlv::object(TAG_RECEIPT, &[0; 16])].concat();
        assert!(matches!(play.end(answer, Status::OK), Err(ChannelError::Form(_))), "{}", hex::encode(point));
    }
}

#[test]
fn a_refusal_is_no_answer_whatever_data_it_carries() {
    for status in [Status::SECURITY, Status::CONDITIONS, Status(0x6283), Status(0x6300), Status(0x6CFF)] {
        let play = Play::new();
        let answer = play.answer(&play.card);
        let refused = play.end(answer, status);
        assert!(matches!(refused, Err(ChannelError::Refused { status: s, .. }) if s == status), "{status}");
        let refused = begun(&new_key(), &new_key()).handle(Response::status(status));
        assert!(matches!(refused, Err(ChannelError::Refused { step: CommandName::VerifyCertificate, .. })), "{status}");
    }
}

#[test]
fn the_certificate_step_answers_nothing() {
    let told = begun(&new_key(), &new_key()).handle(Response { data: vec![0], status: Status::OK });
    assert!(matches!(told, Err(ChannelError::Form(_))));
}
