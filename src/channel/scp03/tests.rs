//! The terminal's side against a misbehaving card: one case for each check.

use super::*;
use crate::card::status::Status;

const HOST: [u8; 8] = [1; 8];
const CARD: [u8; 8] = [2; 8];

fn keys() -> StaticKeys {
    StaticKeys::all(&Key128::new([3; 16]))
}

/// The answer of a card that holds these keys.
fn answer(keys: &StaticKeys) -> Vec<u8> {
    let cryptogram = Agreed::derive(keys, &HOST, &CARD).unwrap().card_cryptogram().unwrap();
    [&[9; 10][..], &[0x01, 0x03, 0x60], &CARD, &cryptogram].concat()
}

fn response(data: Vec<u8>, status: Status) -> Response {
    Response { data, status }
}

fn challenged(data: Vec<u8>) -> Result<(CardChallenge, ChooseKeys), ChannelError> {
    begin(HOST).1.handle(response(data, Status::OK))
}

#[test]
fn only_scp03_with_our_parameter_is_taken_and_only_29_bytes() {
    let good = answer(&keys());
    let (challenge, _) = challenged(good.clone()).unwrap();
    assert_eq!((challenge.diversification, challenge.kvn, challenge.challenge), ([9; 10], 1, CARD));
    for (at, value) in [(11, 0x02), (11, 0x11), (12, 0x00), (12, 0x20), (12, 0x70)] {
        let mut bent = good.clone();
        bent[at] = value;
        assert!(matches!(challenged(bent), Err(ChannelError::Form(_))), "{at} {value:02X}");
    }
    for length in 0..good.len() {
        assert!(matches!(challenged(good[..length].to_vec()), Err(ChannelError::Form(_))), "{length}");
    }
    // Three more bytes would be a sequence counter, which random challenges do not have.
    for more in 1..=3 {
        let long = [&good[..], &vec![0; more]].concat();
        assert!(matches!(challenged(long), Err(ChannelError::Form(_))), "{more} more");
    }
}

#[test]
fn a_card_that_does_not_hold_the_keys_is_sent_nothing_more() {
    let good = answer(&keys());
    for bit in 0..64 {
        let mut bent = good.clone();
        bent[21 + bit / 8] ^= 1 << (bit % 8);
        let (_, choose) = challenged(bent).unwrap();
        assert!(!choose.proves(&keys()).unwrap(), "bit {bit}");
        assert!(matches!(choose.with(&keys()), Err(ChannelError::Cryptogram)), "bit {bit}");
    }
    let (_, choose) = challenged(answer(&StaticKeys::test())).unwrap();
    assert!(!choose.proves(&keys()).unwrap());
    assert!(choose.proves(&StaticKeys::test()).unwrap());
    assert!(matches!(choose.with(&keys()), Err(ChannelError::Cryptogram)));
}

#[test]
fn the_hosts_own_cryptogram_sent_back_proves_nothing() {
    let agreed = Agreed::derive(&keys(), &HOST, &CARD).unwrap();
    let mut reflected = answer(&keys());
    reflected[21..].copy_from_slice(&agreed.host_cryptogram().unwrap());
    let (_, choose) = challenged(reflected).unwrap();
    assert!(matches!(choose.with(&keys()), Err(ChannelError::Cryptogram)));
}

#[test]
fn a_refusal_is_no_answer_whatever_data_it_carries() {
    for status in [Status::SECURITY, Status::CONDITIONS, Status(0x6283), Status(0x6300)] {
        let refused = begin(HOST).1.handle(response(answer(&keys()), status));
        assert!(matches!(refused, Err(ChannelError::Refused { status: s, .. }) if s == status), "{status}");
        let refused = accepted_with(response(Vec::new(), status));
        assert!(matches!(refused, Err(ChannelError::Refused { status: s, .. }) if s == status), "{status}");
    }
}

#[test]
fn external_authenticate_answers_nothing() {
    assert!(accepted_with(Response::status(Status::OK)).is_ok());
    for length in [1, 8] {
        let outcome = accepted_with(response(vec![0; length], Status::OK));
        assert!(matches!(outcome, Err(ChannelError::Form(_))), "{length}");
    }
}

/// The result of this answer to EXTERNAL AUTHENTICATE.
fn accepted_with(response: Response) -> Result<Messaging, ChannelError> {
    let (_, choose) = challenged(answer(&keys())).unwrap();
    let Step::Send(_, state) = choose.with(&keys()).unwrap() else { panic!("no step") };
    state.handle(response)
}

/// The answer of a card with these keys to INITIALIZE UPDATE.
fn challenge_of(statics: &StaticKeys, host: [u8; 8]) -> Response {
    let card = [9; 8];
    let cryptogram = Agreed::derive(statics, &host, &card).unwrap().card_cryptogram().unwrap();
    Response { data: [&[1; 10][..], &[1, 3, I_PARAMETER], &card, &cryptogram].concat(), status: Status::OK }
}

#[test]
fn the_keys_are_told_by_the_cards_cryptogram() {
    let keys = StaticKeys::all(&Key128::new([5; 16]));
    let (_, state) = begin([8; 8]);
    let (_, choose) = state.handle(challenge_of(&keys, [8; 8])).unwrap();
    assert!(choose.proves(&keys).unwrap());
    assert!(!choose.proves(&StaticKeys::test()).unwrap());
    assert!(matches!(choose.with(&StaticKeys::test()), Err(ChannelError::Cryptogram)));
}
