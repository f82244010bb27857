//! Enrollment from BLANK to ISSUED, and what a tap then finds.

use super::rig::*;
use crate::{
    card::{apdu::ApduFormat, tlv},
    channel::scp03::StaticKeys,
    crypto::{Key128, ec::Point, random::SystemRandom, sha256},
    proof::{Expected, FIRST_COUNTER, Proof},
};

fn identity_point(rig: &Rig) -> Point {
    *rig.token.state().identity_key.as_ref().unwrap().0.public()
}

fn select_answer(state: u8, kvn: u8, ca: &[u8], last: &[u8]) -> Vec<u8> {
    let inner = [&[0x80, 2, 1, 0, 0x81, 1, state, 0x82, 1, kvn, 0x83, 8][..], ca, last].concat();
    tlv::object(0x6F, &[tlv::object(0x84, b"\xF0ROLLCALL\x01"), tlv::object(0xA5, &inner)].concat())
}

#[test]
fn a_blank_token_tells_nothing() {
    let mut rig = Rig::blank();
    assert_eq!(rig.select(), select_answer(0x07, 0, &[0; 8], &[]));
}

#[test]
fn open_mode_from_blank_to_a_verified_proof() {
    let mut rig = Rig::issued();
    let ca = rig.ca.public().key_identifier();
    assert_eq!(rig.select(), select_answer(0x1F, 0x41, &ca[..8], &tlv::object(0x85, &rig.id)));

    for (format, nth) in [(ApduFormat::Short, 0_u8), (ApduFormat::Extended, 1)] {
        let mut open = rig.role(READ);
        open.format = format;
        let nonce = [nth; 32];
        let answer = rig.accept(&mut open, "04880001", &nonce);
        let terminal = *rig.terminal.public();
        let expected = Expected { terminal: &terminal, nonce: &nonce, token_id: &rig.id, binding: &open.binding };
        let verified = Proof::parse_answer(&answer).unwrap().check(&expected, &identity_point(&rig)).unwrap();
        assert_eq!(verified.counter, FIRST_COUNTER + u32::from(nth));
        assert_eq!(verified.record[..7], RECORD);
        assert_eq!(rig.accept(&mut open, "04CA0100", &[]), [0x1F]);
        assert_eq!(rig.accept(&mut open, "04CA0101", &[]), RECORD);
    }
}

#[test]
fn a_protected_proof_is_232_bytes_long_in_two_short_exchanges_or_one_extended() {
    let mut rig = Rig::issued();
    for format in [ApduFormat::Short, ApduFormat::Extended] {
        let mut open = rig.role(READ);
        let command = crate::card::apdu::Command::new(4, 0x88, 0, 1).data([7; 32]).answered();
        let wrapped = open.messaging.wrap(&command, format).unwrap();
        let answer = rig.token.process(&wrapped.encode(format)[0]);
        assert_eq!(answer.len(), 234);
    }
}

#[test]
fn private_mode_from_blank_to_a_verified_proof() {
    let mut rig = Rig::issued_private();
    let ca = rig.ca.public().key_identifier();
    let certificate = rig.token.state().ecka(1).unwrap().certificate.0.clone();
    let set = tlv::object(0x84, &sha256(&[&certificate])[..8]);
    assert_eq!(rig.select(), select_answer(0x1F, 1, &ca[..8], &set));
    let mut open = rig.under_set_key(ADMIN);
    let answer = rig.accept(&mut open, "04880001", &[9; 32]);
    let terminal = *rig.terminal.public();
    let expected = Expected { terminal: &terminal, nonce: &[9; 32], token_id: &rig.id, binding: &open.binding };
    Proof::parse_answer(&answer).unwrap().check(&expected, &identity_point(&rig)).unwrap();
    // A channel under the set key may only read, whatever the certificate allows.
    assert_eq!(rig.status(&mut open, "04DA0101", "A0"), 0x6982);
    assert_eq!(rig.status(&mut open, "84F0409F", ""), 0x6982);
    let mut open = rig.role(ADMIN);
    assert_eq!(rig.status(&mut open, "04DA0101", "A0"), 0x9000);
}

#[test]
fn enrollment_answers() {
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    let mut open = rig.scp03(&start);
    let keys = rig.keys.clone();
    let data = put_keys(&keys, open.messaging.dek().unwrap());
    let check = crate::crypto::aes::check_value(&keys.enc).unwrap();
    assert_eq!(rig.accept(&mut open, "84D80081", &data), [&[1][..], &check, &check, &check].concat());
    assert_eq!(rig.select()[22], 0x0F);
    // The per-token keys are active, and INITIALIZE UPDATE names them.
    assert_eq!(&rig.raw("80500000 08 0001020304050607 00")[20..26], "010360");
    let mut open = rig.scp03(&keys);
    assert_eq!(rig.accept(&mut open, "84D80010", &ca_key(3, &rig.ca.public().clone())), [3]);
}

#[test]
fn what_is_missing_keeps_a_token_from_being_issued() {
    for (gone, expected) in [
        ("nothing", 0x9000),
        ("ca", 0x6985),
        ("own", 0x6985),
        ("identity", 0x6985),
        ("identity-certificate", 0x6985),
        ("mode", 0x6985),
        ("record", 0x6985),
        ("other-identity", 0x6985),
        ("open-with-set", 0x6985),
        ("private-without-set", 0x6985),
    ] {
        let mut rig = Rig::blank();
        let mut open = rig.prepare(gone == "open-with-set");
        rig.token
            .card
            .change(|state| match gone {
                "ca" => state.ca_keys.clear(),
                "own" => state.ecka_keys.clear(),
                "identity" => state.identity_key = None,
                "identity-certificate" => state.identity_certificate.0.clear(),
                "mode" => state.mode = None,
                "record" => state.record.0.clear(),
                "other-identity" => state.identity_key.as_mut().unwrap().0 = new_key(),
                "open-with-set" => state.mode.as_mut().unwrap().private = false,
                "private-without-set" => state.mode.as_mut().unwrap().private = true,
                _ => {}
            })
            .unwrap();
        // Missing parts are reported before a wrong manifest.
        let manifest = if gone == "nothing" { rig.manifest() } else { [0; 32] };
        assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, expected, "{gone}");
    }
}

#[test]
fn the_manifest_covers_every_byte() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(true);
    let mut manifest = rig.manifest();
    manifest[31] ^= 1;
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, 0x6A80);
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest[1..]).status.0, 0x6700);
    // Another record changes the manifest.
    let manifest = rig.manifest();
    rig.accept(&mut open, "84DA0101", b"\xA0");
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, 0x6A80);
    rig.accept(&mut open, "84DA0101", &RECORD);
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, 0x9000);
    // The answer had its MAC; the session ends with the state.
    assert_eq!(rig.status(&mut open, "84DA0101", "A0"), 0x6985);
    assert_eq!(rig.raw("80500000080001020304050607"), "6985");
}

#[test]
fn reset_leads_back_to_blank_and_keeps_the_session() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(true);
    let diversification = rig.token.state().diversification;
    assert_eq!(rig.status(&mut open, "84F04007", ""), 0x9000);
    // The session keeps its DEK although the keys are gone.
    let data = put_keys(&rig.keys.clone(), open.messaging.dek().unwrap());
    assert_eq!(rig.bytes(&mut open, "84D80081", &data).status.0, 0x9000);
    assert_eq!(rig.status(&mut open, "84F04007", ""), 0x9000);
    assert_eq!(rig.select(), select_answer(0x07, 0, &[0; 8], &[]));
    assert_eq!(rig.token.state().diversification, diversification);
    assert!(rig.token.state().ecka_keys.is_empty() && rig.token.state().mode.is_none());
    rig.enroll(false);
    assert_eq!(rig.select()[22], 0x1F);
}

#[test]
fn wrong_start_keys_are_told_apart_from_a_bad_line() {
    let mut rig = Rig::blank();
    assert_eq!(&rig.raw("80500000 08 0001020304050607 00")[58..], "9000");
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6300");
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6985");
}

#[test]
fn initialize_update_begins_with_the_diversification_data() {
    let mut rig = Rig::blank();
    let told = rig.raw("80500000 08 0001020304050607 00");
    assert_eq!(told[..20], hex::encode_upper(rig.token.state().diversification()));
}

#[test]
fn a_test_card_refuses_set_keys_for_ever() {
    let mut rig = Rig::with_start_keys(StaticKeys::test(), Box::new(SystemRandom));
    assert!(rig.token.state().has_test_keys());
    let mut open = rig.prepare(false);
    rig.accept(&mut open, "84DA0100", &[&[1][..], &rig.id].concat());
    let data = set_key(1, &rig.set, open.messaging.dek().unwrap());
    assert_eq!(rig.bytes(&mut open, "84D80011", &data).status.0, 0x6985);
    // One test key among the three is enough.
    let mut mixed = StaticKeys::all(&Key128::new([1; 16]));
    mixed.mac = StaticKeys::test().mac;
    assert!(Rig::with_start_keys(mixed, Box::new(SystemRandom)).token.state().has_test_keys());
    assert!(!Rig::blank().token.state().has_test_keys());
}
