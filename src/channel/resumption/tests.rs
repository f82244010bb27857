use super::*;
use crate::card::status::Status;

const SELECT: &[u8] = b"what SELECT answered";

fn answer(key: &Key128, nonce: &[u8; NONCE]) -> Vec<u8> {
    let card = [9; NONCE];
    [&card[..], &Resumed::derive(key, nonce, &card, SELECT).unwrap().cryptogram].concat()
}

fn key(byte: u8) -> Key128 {
    Key128::new([byte; 16])
}

fn ok(data: Vec<u8>) -> Response {
    Response { data, status: Status::OK }
}

#[test]
fn the_key_that_the_card_holds_is_found_among_others() {
    let (command, waiting) = Resumption::begin(&[1; TID], [2; NONCE], SELECT);
    assert_eq!(command.header(), [0x80, 0x86, 0, 0]);
    assert_eq!(command.payload(), [[1; TID].as_slice(), &[2; NONCE]].concat());
    let told = answer(&key(5), &[2; NONCE]);
    let found = waiting.handle(ok(told.clone()), &[key(4), key(5), key(6)]).unwrap();
    assert_eq!(found.map(|(place, _)| place), Some(1));
    assert!(waiting.handle(ok(told.clone()), &[key(4), key(6)]).unwrap().is_none());
    assert!(waiting.handle::<Key128>(ok(told), &[]).unwrap().is_none());
}

#[test]
fn each_changed_bit_of_the_answer_is_a_miss() {
    let (_, waiting) = Resumption::begin(&[1; TID], [2; NONCE], SELECT);
    let told = answer(&key(5), &[2; NONCE]);
    for bit in 0..told.len() * 8 {
        let mut bent = told.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(waiting.handle(ok(bent), &[key(5)]).unwrap().is_none(), "bit {bit}");
    }
}

#[test]
fn another_form_or_a_refusal_is_an_error() {
    let (_, waiting) = Resumption::begin(&[1; TID], [2; NONCE], SELECT);
    for length in [0, 15, 16, 23, 25, 40] {
        let outcome = waiting.handle(ok(vec![0; length]), &[key(5)]);
        assert!(matches!(outcome, Err(ChannelError::Form(CommandName::Resume))), "{length}");
    }
    let refused = waiting.handle(Response::status(Status::UNKNOWN_INSTRUCTION), &[key(5)]);
    assert!(matches!(refused, Err(ChannelError::Refused { step: CommandName::Resume, .. })));
}

/// Reflected, replayed, or from another token: the cryptogram depends on each of the four inputs.
#[test]
fn the_cryptogram_depends_on_key_both_numbers_and_select() {
    let (one, two) = ([1; NONCE], [2; NONCE]);
    let cryptogram =
        |key: &Key128, terminal, card, select| Resumed::derive(key, terminal, card, select).unwrap().cryptogram;
    let right = cryptogram(&key(5), &one, &two, SELECT);
    assert_eq!(right, cryptogram(&key(5), &one, &two, SELECT));
    assert_ne!(right, cryptogram(&key(6), &one, &two, SELECT));
    assert_ne!(right, cryptogram(&key(5), &two, &one, SELECT));
    assert_ne!(right, cryptogram(&key(5), &one, &two, b"what SELECT answereD"));
}

#[test]
fn no_key_can_be_wrapped_in_a_resumed_channel() {
    assert!(Resumed::derive(&key(5), &[1; NONCE], &[2; NONCE], SELECT).unwrap().messaging.dek().is_none());
}
