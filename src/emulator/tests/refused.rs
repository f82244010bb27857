//! Unknown commands with a correct C-MAC: only a well-formed one, alone and in the class of secure messaging, keeps the
//! session. The MACs are made here, because our own messaging makes no others.

use super::rig::*;
use crate::{
    card::{
        apdu::{Command, Response},
        tlv,
    },
    channel::scp03::{Agreed, CardChallenge},
    crypto::{Key128, aes, cmac::cmac, kdf::scp03_block, random::SystemRandom},
    emulator::{PersistentState, SoftwareToken},
};

/// A session under SCP03 with known MAC key and chaining value.
struct Scp03Session {
    rig: Rig,
    enc: Key128,
    mac: Key128,
    chain: [u8; 16],
}

impl Scp03Session {
    fn new() -> Self {
        let mut rig = Rig::blank();
        let host = [8; 8];
        let answer = rig.token.process(&[&[0x80, 0x50, 0, 0, 8][..], &host, &[0]].concat());
        let challenge = CardChallenge::parse(&Response::parse(&answer).unwrap().data).unwrap();
        let agreed = Agreed::derive(&rig.start, &host, &challenge.challenge).unwrap();
        let header = [0x84, 0x82, 0x33, 0];
        let cryptogram = agreed.host_cryptogram().unwrap();
        let chain = agreed.authenticate_mac(header, &[16], &cryptogram).unwrap();
        let apdu = [&header[..], &[16], &cryptogram, &chain[..8]].concat();
        assert_eq!(rig.token.process(&apdu), [0x90, 0]);
        let context = [host, challenge.challenge].concat();
        let key = |of, constant| Key128::new(scp03_block(of, constant, 128, &context).unwrap());
        let (enc, mac) = (key(&rig.start.enc, 4), key(&rig.start.mac, 6));
        Self { rig, enc, mac, chain }
    }

    /// Sends these bytes unchanged, followed by their MAC.
    fn send(&mut self, header: [u8; 4], data: &[u8], extended: bool) -> u16 {
        let length = u16::try_from(data.len() + 8).unwrap().to_be_bytes();
        let lc = if extended { vec![0, length[0], length[1]] } else { vec![length[1]] };
        let full = cmac(&self.mac, &[&self.chain, &header, &lc, data]).unwrap();
        let answer = self.rig.token.process(&[&header[..], &lc, data, &full[..8]].concat());
        self.chain = full;
        u16::from_be_bytes(*answer.last_chunk().unwrap())
    }

    /// Whether the session is alive: GET DATA FF34 inside it finds nothing, and outside it is not permitted.
    fn lives(&mut self) -> bool {
        match self.send([0x84, 0xCA, 0xFF, 0x34], &[], false) {
            0x6A88 => true,
            0x6982 => false,
            other => panic!("{other:04X}"),
        }
    }
}

#[test]
fn only_a_sound_unknown_command_leaves_the_session() {
    for (header, status, survives) in [
        ([0x84, 0xFF, 0, 0], 0x6D00, true),
        ([0x04, 0xFF, 0, 0], 0x6D00, true),
        // Well-formed, but in plain, in a chain, or in an unknown class.
        ([0x80, 0xFF, 0, 0], 0x6D00, false),
        ([0x00, 0xFF, 0, 0], 0x6D00, false),
        ([0x94, 0xFF, 0, 0], 0x6D00, false),
        ([0x14, 0xFF, 0, 0], 0x6D00, false),
        ([0x0C, 0xFF, 0, 0], 0x6E00, false),
        ([0x8C, 0xCA, 1, 0], 0x6E00, false),
    ] {
        let mut known = Scp03Session::new();
        assert!(known.lives());
        assert_eq!(known.send(header, &[], false), status, "{header:02X?}");
        assert_eq!(known.lives(), survives, "{header:02X?}");
    }
}

#[test]
fn an_unknown_command_inside_a_chain_ends_the_session() {
    let mut known = Scp03Session::new();
    assert_eq!(known.rig.raw("94CAFF34 01 00"), "9000");
    assert_eq!(known.send([0x84, 0xFF, 0, 0], &[], false), 0x6D00);
    assert!(!known.lives());
}

#[test]
fn an_unknown_command_may_be_as_long_as_any() {
    // At most 512 bytes with the MAC. Only whole blocks can be opened.
    for (length, status, survives) in
        [(0, 0x6D00, true), (496, 0x6D00, false), (504, 0x6D00, false), (505, 0x6700, false)]
    {
        let mut known = Scp03Session::new();
        // It decrypts to zeros, which lack padding; other bytes might end in valid padding.
        let mut data = aes::cbc_encrypt(&known.enc, &[0; 16], &vec![0; length / 16 * 16]).unwrap();
        data.resize(length, 0);
        assert_eq!(known.send([0x84, 0xFF, 0, 0], &data, true), status, "{length}");
        assert_eq!(known.lives(), survives, "{length}");
    }
}

#[test]
fn a_wrong_mac_ends_the_session_whatever_the_command() {
    let mut known = Scp03Session::new();
    known.chain[0] ^= 1;
    assert_eq!(known.send([0x84, 0xFF, 0, 0], &[], false), 0x6D00);
    assert!(!known.lives());
}

#[test]
fn before_select_there_is_only_select() {
    let mut rig = Rig::issued();
    rig.token.reset();
    for (apdu, status) in [
        ("00A4040005F000000001", "6A82"),
        ("00A404000AF0524F4C4C43414C4C02", "6A82"),
        ("00A40400", "6A82"),
        ("00A4040C0AF0524F4C4C43414C4C01", "6A82"),
        ("80A404000AF0524F4C4C43414C4C01", "6D00"),
        ("00CAFF3400", "6D00"),
        ("00C0000000", "6D00"),
    ] {
        assert_eq!(rig.raw(apdu), status, "{apdu}");
    }
    assert!(rig.raw("00A404000AF0524F4C4C43414C4C01").ends_with("9000"));
}

#[test]
fn a_terminal_certificate_has_at_most_416_bytes() {
    let mut rig = Rig::issued();
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca);
    // The signature is 70 to 72 bytes long, so each length is reached by retrying.
    let of_length = |length: usize| {
        let mut filled = (0..60).cycle().map(|filler| {
            let mut draft = good.clone();
            draft.more_extensions = extension(99, false, &vec![0; filler]);
            draft.sign(&rig.ca)
        });
        filled.find(|der| der.len() == length).unwrap()
    };
    let certificates =
        [(416, 0x9000), (417, 0x6A80), (418, 0x6A80)].map(|(length, status)| (of_length(length), status));
    for (der, status) in certificates {
        assert_eq!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(der)).status.0, status);
    }
}

#[test]
fn external_authenticate_needs_its_beginning_in_a_chain_too() {
    let mut rig = Rig::blank();
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6985");
    assert_eq!(rig.raw("94823300 01 00"), "6985");
}

#[test]
fn what_was_uploaded_goes_with_a_reset() {
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    let commit = [&[0x80, 2, 0, 2, 0x81, 32][..], &crate::crypto::sha256(&[&[0xAA, 0xBB]])].concat();
    for (reset, status) in [(false, 0x9000), (true, 0x6A80)] {
        let mut open = rig.scp03(&start);
        rig.accept(&mut open, "84D70103", &[0x54, 2, 0, 0, 0x53, 2, 0xAA, 0xBB]);
        if reset {
            rig.accept(&mut open, "84F04007", &[]);
        }
        assert_eq!(rig.bytes(&mut open, "84DA0103", &commit).status.0, status);
    }
}

#[test]
fn a_key_under_the_certificate_of_another_is_not_issued() {
    let mut rig = Rig::blank();
    rig.prepare(false);
    let manifest_of = |rig: &Rig| rig.token.state().manifest().unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&rig.token.state().to_file().unwrap()).unwrap();
    file["ecka_keys"]["65"]["in_force"]["certificate"] = file["identity_certificate"].clone();
    let state = PersistentState::from_file(file.to_string().as_bytes()).unwrap();
    rig.token = SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(SystemRandom));
    rig.select();
    let keys = rig.keys.clone();
    let mut open = rig.scp03(&keys);
    let manifest = manifest_of(&rig);
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, 0x6985);
}

#[test]
fn the_fixed_parts_of_a_certificate_are_fixed() {
    let mut rig = Rig::issued();
    let good = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let outer = tlv::only(&good, 0x30).unwrap();
    let signed = tlv::TlvReader::new(outer).object(0x30).unwrap().whole;
    let algorithm = hex::decode("300a06082a8648ce3d040302").unwrap();
    let at = signed.windows(12).position(|window| window == algorithm).unwrap();
    let version = signed.windows(5).position(|window| window == [0xA0, 3, 2, 1, 2]).unwrap();
    for (place, outer_place, status) in [
        (None, None, 0x9000),
        (Some(version + 4), None, 0x6A80), // version 2
        (Some(at + 11), None, 0x6A80),     // ecdsa-with-SHA384
        (None, Some(11), 0x6A80),
    ] {
        let (mut signed, mut algorithm) = (signed.to_vec(), algorithm.clone());
        if let Some(place) = place {
            signed[place] ^= 1;
        }
        if let Some(place) = outer_place {
            algorithm[place] ^= 1;
        }
        let signature = tlv::object(3, &[&[0], &rig.ca.sign(&signed).unwrap()[..]].concat());
        let der = tlv::object(0x30, &[signed, algorithm, signature].concat());
        let command = Command::new(0x80, 0x2A, 3, 0x10).data(der);
        assert_eq!(rig.send(&command).status.0, status, "{place:?} {outer_place:?}");
    }
}
