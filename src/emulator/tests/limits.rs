//! Inputs that just fit, and inputs that are just too large.

use super::rig::*;
use crate::{
    card::tlv::{self, only},
    crypto::{ec::Point, sha256},
};

/// A certificate for this key of exactly this length, by retrying: the signature is 70 to 72 bytes long.
fn of_length(rig: &Rig, class: u8, point: &Point, length: usize) -> Vec<u8> {
    let subject = uuid::Uuid::from_bytes(rig.id).to_string().into_bytes();
    let mut draft = Draft { subject, ..Draft::new(class, point, &rig.ca) };
    for filler in (40..100).cycle() {
        draft.more_extensions = extension(99, false, &vec![0; filler]);
        let der = draft.sign(&rig.ca);
        if der.len() == length {
            return der;
        }
    }
    unreachable!()
}

#[test]
fn a_certificate_of_480_bytes_has_room() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(false);
    let own = rig.own_point();
    let answer = rig.accept(&mut open, "84F10021", &[1, 0xF0, 1, 0]);
    let identity = Point::parse(only(&answer, 0xB0).unwrap()).unwrap();
    for (length, status) in [(480, 0x9000), (481, 0x6A84), (482, 0x6A84)] {
        let certificate = of_length(&rig, ECKA, &own, length);
        assert_eq!(rig.bytes(&mut open, "84E29000", &store(0x41, &certificate)).status.0, status, "{length}");
        let certificate = of_length(&rig, IDENTITY, &identity, length);
        assert_eq!(rig.bytes(&mut open, "84DA7F21", &certificate).status.0, status, "{length}");
    }
}

#[test]
fn before_issued_select_names_nobody() {
    for private in [false, true] {
        let mut rig = Rig::blank();
        rig.prepare(private);
        let answer = rig.select();
        let inside = only(only(&answer, 0x6F).unwrap().get(12..).unwrap(), 0xA5).unwrap();
        // Only version, state, KVN and CA are given, and no id of a token or a set.
        assert_eq!(inside.len(), 4 + 3 + 3 + 10, "{inside:02X?}");
    }
}

#[test]
fn a_record_and_its_parts_have_their_room() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    for (length, status) in [(0, 0x6A80), (1, 0x9000), (120, 0x9000), (121, 0x6A84)] {
        assert_eq!(rig.bytes(&mut open, "84DA0101", &vec![7; length]).status.0, status, "{length}");
    }
    let part = |offset: u16, length: usize| {
        [tlv::object(0x54, &offset.to_be_bytes()), tlv::object(0x53, &vec![9; length])].concat()
    };
    for (length, status) in [(223, 0x9000), (224, 0x9000), (225, 0x6A80)] {
        assert_eq!(rig.bytes(&mut open, "84D70102", &part(0, length)).status.0, status, "{length}");
    }
    for (name, room) in [("0102", 2048_u16), ("0103", 8192)] {
        let write = format!("84D7{name}");
        for offset in (0..room - 224).step_by(224) {
            rig.accept(&mut open, &write, &part(offset, 224));
        }
        let last = (room - 1) / 224 * 224;
        let rest = usize::from(room - last);
        assert_eq!(rig.bytes(&mut open, &write, &part(last, rest + 1)).status.0, 0x6A84, "{name}");
        assert_eq!(rig.bytes(&mut open, &write, &part(last + 1, 1)).status.0, 0x6A80, "{name}");
        rig.accept(&mut open, &write, &part(last, rest));
        let whole = vec![9; room.into()];
        let commit = [tlv::object(0x80, &room.to_be_bytes()), tlv::object(0x81, &sha256(&[&whole]))].concat();
        let short = [tlv::object(0x80, &(room - 1).to_be_bytes()), tlv::object(0x81, &sha256(&[&whole]))].concat();
        assert_eq!(rig.bytes(&mut open, &format!("84DA{name}"), &short).status.0, 0x6A80);
        rig.accept(&mut open, &format!("84DA{name}"), &commit);
        let read = rig.accept(&mut open, &format!("84B1{name}"), &tlv::object(0x54, &last.to_be_bytes()));
        assert_eq!(only(&read, 0x53).unwrap(), vec![9; rest]);
        // A committed upload is no longer pending.
        assert_eq!(rig.bytes(&mut open, &format!("84DA{name}"), &commit).status.0, 0x6A80);
    }
}
