//! The command table: which role may do what, and the refusals of each row.

use super::rig::*;
use crate::{
    card::tlv,
    channel::scp03::StaticKeys,
    crypto::{Key128, sha256},
};

const ALL: [&str; 25] = [
    "04CA0100", "04CA0101", "04CA7F21", "04CA0102", "04CA9999", "04CAFF34", "04880001", "04880002", "04B10102",
    "04B10101", "04D70102", "04D70101", "04DA0101", "04DA0102", "04DA7F21", "04DA0100", "04DA0104", "04DA0105",
    "84D80081", "84D80010", "84D80011", "84D80021", "84F10011", "84F10021", "84E40000",
];

const NO: u16 = 0x6982;
const LEN: u16 = 0x6700;
const BAD: u16 = 0x6A80;
const CON: u16 = 0x6985;

/// The statuses of all rows with one byte that is valid for none of them.
fn row(rig: &mut Rig, open: &mut Open) -> Vec<u16> {
    ALL.iter().map(|header| rig.status(open, header, "EE")).collect()
}

#[test]
fn roles() {
    let mut rig = Rig::issued();
    let reading = [LEN, LEN, LEN, BAD, BAD, LEN, LEN, BAD, BAD, BAD];
    let mut open = rig.role(READ);
    assert_eq!(row(&mut rig, &mut open), [&reading[..], &[NO; 15]].concat());
    let mut open = rig.role(WRITE);
    let writing = [BAD, BAD, 0x9000, BAD, NO, NO, NO, BAD];
    assert_eq!(row(&mut rig, &mut open), [&reading[..], &writing, &[NO; 7]].concat());
    let mut open = rig.role(ADMIN);
    let administering = [BAD, BAD, 0x9000, BAD, BAD, NO, LEN, BAD, NO, BAD, CON, BAD, BAD, NO, BAD];
    assert_eq!(row(&mut rig, &mut open), [&reading[..], &administering].concat());

    let mut rig = Rig::blank();
    let mut open = rig.prepare(false);
    let enrolling = [
        NO, NO, NO, BAD, BAD, LEN, NO, NO, NO, NO, BAD, BAD, 0x9000, BAD, BAD, LEN, NO, BAD, BAD, BAD, CON, BAD, BAD,
        BAD, BAD,
    ];
    assert_eq!(row(&mut rig, &mut open), enrolling);
}

#[test]
fn set_status_by_role_and_state() {
    let mut rig = Rig::issued();
    for role in [READ, WRITE] {
        let mut open = rig.role(role);
        for header in ["84F0409F", "84F0407F", "84F04042", "84F0009F"] {
            assert_eq!(rig.status(&mut open, header, ""), 0x6982, "{header}");
        }
    }
    let mut open = rig.role(ADMIN);
    for (header, data, status) in [
        ("84F04042", "", 0x6A80),
        ("84F0009F", "", 0x6A80),
        ("84F04007", "", 0x6985),
        ("84F0400F", "", 0x6985),
        ("84F0401F", "", 0x6985),
        ("84F0409F", "00", 0x6700),
        ("84F0407F", "00", 0x6700),
        ("84F0409F", "", 0x9000),
        ("84F0409F", "", 0x6985),
        ("84F04007", "", 0x6985),
        ("84F0401F", "", 0x9000),
    ] {
        assert_eq!(rig.status(&mut open, header, data), status, "{header} {data}");
    }
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    let mut open = rig.scp03(&start);
    for header in ["84F0400F", "84F0401F", "84F0409F", "84F0407F"] {
        assert_eq!(rig.status(&mut open, header, ""), 0x6985, "{header}");
    }
    assert_eq!(rig.status(&mut open, "84F04007", "00"), 0x6700);
}

#[test]
fn reading_in_parts() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    assert_eq!(rig.status(&mut open, "04B10102", "54020000"), 0x6A88);
    let details: Vec<u8> = (0..=255).cycle().take(500).collect();
    put_parts(&mut rig, &mut open, "0102", &details);
    let mut seen = Vec::new();
    for (offset, length) in [(0, 224), (224, 224), (448, 52), (500, 0), (501, 0), (0xFFFF, 0)] {
        let data = [&[0x54, 2][..], &u16::to_be_bytes(offset)].concat();
        let answer = rig.accept(&mut open, "04B10102", &data);
        let part = tlv::only(&answer, 0x53).unwrap();
        assert_eq!(part.len(), length);
        seen.extend_from_slice(part);
    }
    assert_eq!(seen, details);
    for bad in ["", "5400", "540100", "5403000000", "5502 0000", "54020000 00", "54020000 5300"] {
        assert_eq!(rig.status(&mut open, "04B10102", bad), 0x6A80, "{bad}");
    }
    assert_eq!(rig.status(&mut open, "04B10103", "54020000"), 0x6A88);
}

fn part(offset: u16, data: &[u8]) -> Vec<u8> {
    [&[0x54, 2][..], &offset.to_be_bytes(), &tlv::object(0x53, data)].concat()
}

fn commit(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [&[0x80, 2][..], &length, &[0x81, 32], &sha256(&[data])].concat()
}

fn put_parts(rig: &mut Rig, open: &mut Open, tag: &str, data: &[u8]) {
    for (i, piece) in data.chunks(224).enumerate() {
        rig.accept(open, &format!("04D7{tag}"), &part(u16::try_from(i * 224).unwrap(), piece));
    }
    rig.accept(open, &format!("04DA{tag}"), &commit(data));
}

#[test]
fn writing_in_parts() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    let mut put = |header: &str, data: Vec<u8>| rig.bytes(&mut open, header, &data).status.0;
    assert_eq!(put("04DA0102", commit(&[])), 0x6A80, "nothing was put");
    assert_eq!(put("04D70102", part(1, &[1])), 0x6A80, "not from 0");
    assert_eq!(put("04D70102", part(0, &[1; 224])), 0x9000);
    assert_eq!(put("04D70102", part(0, &[1; 225])), 0x6A80);
    assert_eq!(put("04D70102", part(223, &[1])), 0x6A80);
    assert_eq!(put("04D70103", part(224, &[1])), 0x6A80, "of another object");
    assert_eq!(put("04DA0103", commit(&[1; 224])), 0x6A80, "of another object");
    assert_eq!(put("04DA0102", commit(&[1; 223])), 0x6A80);
    assert_eq!(put("04DA0102", commit(&[2; 224])), 0x6A80);
    let right = commit(&[1; 224]);
    assert_eq!(put("04DA0102", [&right[..], &[0]].concat()), 0x6A80, "a byte behind a right commit");
    assert_eq!(put("04DA0102", [&right[..], &[0x80, 0]].concat()), 0x6A80, "an object behind it");
    for length in [0_u8, 223, 225] {
        let mut other = right.clone();
        other[3] = length;
        assert_eq!(put("04DA0102", other), 0x6A80, "the right hash and another length");
    }
    assert_eq!(put("04D70102", part(2047, &[1, 2])), 0x6A84, "room comes before order");
    assert_eq!(put("04D70102", part(0xFFFF, &[1])), 0x6A84);
    for bad in ["", "54020000", "53 01 01", "54020000 5301", "54020000 530101 00", "54010 0 530101"] {
        let data = hex::decode(bad.replace(' ', "")).unwrap();
        assert_eq!(put("04D70102", data), 0x6A80, "{bad}");
    }
    // Refusals kept the progress; offset 0 starts over, and a part of another object discards the first.
    assert_eq!(put("04DA0102", commit(&[1; 224])), 0x9000);
    assert_eq!(put("04DA0102", commit(&[1; 224])), 0x6A80, "committed already");
    assert_eq!(put("04D70102", part(0, &[3])), 0x9000);
    assert_eq!(put("04D70102", part(0, &[4])), 0x9000);
    assert_eq!(put("04D70102", part(1, &[5])), 0x9000);
    assert_eq!(put("04DA0102", commit(&[4, 5])), 0x9000);
    assert_eq!(put("04D70102", part(0, &[6])), 0x9000);
    assert_eq!(put("04D70103", part(0, &[7])), 0x9000);
    assert_eq!(put("04DA0102", commit(&[6])), 0x6A80);
    assert_eq!(rig.token.state().details.0, [4, 5]);
    // An empty part and an empty commit remove the object.
    let mut put = |header: &str, data: Vec<u8>| rig.bytes(&mut open, header, &data).status.0;
    assert_eq!(put("04D70102", part(0, &[])), 0x9000);
    assert_eq!(put("04DA0102", commit(&[])), 0x9000);
    assert_eq!(put("04B10102", vec![0x54, 2, 0, 0]), 0x6A88);
}

#[test]
fn parts_have_room_and_end_with_the_session() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    put_parts(&mut rig, &mut open, "0103", &[9; 8192]);
    put_parts(&mut rig, &mut open, "0102", &[8; 2048]);
    rig.accept(&mut open, "04D70102", &part(0, &[1]));
    let mut open = rig.role(WRITE);
    assert_eq!(rig.bytes(&mut open, "04DA0102", &commit(&[1])).status.0, 0x6A80);
    assert_eq!(rig.token.state().details.0, [8; 2048]);
}

#[test]
fn whole_objects() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(false);
    let identity = rig.token.state().identity_certificate.0.clone();
    let own = rig.token.state().ecka(0x41).unwrap().certificate.0.clone();
    let mut put = |header: &str, data: &[u8]| rig.bytes(&mut open, header, data).status.0;
    assert_eq!(put("04DA0101", &[]), 0x6A80);
    assert_eq!(put("04DA0101", &[1; 120]), 0x9000);
    assert_eq!(put("04DA0101", &[1; 121]), 0x6A84);
    assert_eq!(put("04DA7F21", &identity), 0x9000);
    assert_eq!(put("04DA7F21", &own), 0x6A80, "holds another key");
    assert_eq!(put("04DA7F21", &identity[..300]), 0x6A80);
    assert_eq!(put("04DA7F21", &[0x30; 481]), 0x6A84);
    assert_eq!(put("04DA7F21", &[]), 0x6A80);
    assert_eq!(put("04DA0100", &[0; 17]), 0x9000);
    assert_eq!(put("04DA0100", &[0; 16]), 0x6700);
    assert_eq!(put("04DA0100", &[2; 17]), 0x6A80);
    assert_eq!(put("04DA0100", &[1; 17]), 0x9000);
    assert_eq!(put("84DA0100", &[0; 18]), 0x6700);
}

#[test]
fn scp03_keys() {
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    let mut open = rig.scp03(&start);
    let keys = StaticKeys { enc: Key128::new([1; 16]), mac: Key128::new([2; 16]), dek: Key128::new([3; 16]) };
    let good = put_keys(&keys, open.messaging.dek().unwrap());
    let bend = |at: usize, to: u8| {
        let mut data = good.clone();
        data[at] = to;
        data
    };
    let mut put = |header: &str, data: &[u8]| rig.bytes(&mut open, header, data).status.0;
    for bad in [bend(0, 2), bend(0, 0xFF), bend(1, 0x80), bend(2, 0x11), bend(19, 4), bend(20, 0), bend(66, 0)] {
        assert_eq!(put("84D80081", &bad), 0x6A80);
    }
    assert_eq!(put("84D80081", &good[..66]), 0x6A80);
    assert_eq!(put("84D80081", &[]), 0x6A80);
    assert_eq!(put("84D80181", &good), 0x6A80, "not the version in force");
    assert_eq!(put("84D80080", &good), 0x6A80);
    assert_eq!(put("84D80001", &good), 0x6A80);
    assert_eq!(put("84D8FF81", &good), 0x9000);
    // The session keeps its DEK, but another version is active now.
    assert_eq!(put("84D8FF81", &good), 0x6A80);
    let long: Vec<u8> = good.chunks(22).enumerate().fold(vec![1], |mut out, (i, _)| {
        let block = &good[1 + i * 22..];
        if let Some(block) = block.get(..22) {
            out.extend_from_slice(&[0x88, 0x11]);
            out.extend_from_slice(&block[1..]);
        }
        out
    });
    assert_eq!(long.len(), 70);
    assert_eq!(put("84D80181", &long), 0x9000);
    let mut open = rig.scp03(&keys);
    assert_eq!(rig.status(&mut open, "84F04007", ""), 0x9000);
}

#[test]
fn ca_keys_alternate() {
    let mut rig = Rig::issued();
    let (first, second) = (*rig.ca.public(), *new_key().public());
    let mut open = rig.role(ADMIN);
    let id = |point: &crate::crypto::ec::Point| point.key_identifier();
    let entry = |point, kvn| [&[0x42, 20][..], &id(point), &[0x83, 2, 0x10, kvn]].concat();
    assert_eq!(rig.accept(&mut open, "04CAFF33", &[]), entry(&first, 3));
    for (header, data) in [
        ("84D80010", ca_key(5, &second)),
        ("84D80310", ca_key(4, &second)),
        ("84D80010", ca_key(4, &second)[..71].to_vec()),
        ("84D80010", [&ca_key(4, &second)[..], &[0]].concat()),
        ("84D80010", vec![4; 72]),
    ] {
        assert_eq!(rig.bytes(&mut open, header, &data).status.0, 0x6A80);
    }
    let mut off = ca_key(4, &second);
    off[67] ^= 1;
    assert_eq!(rig.bytes(&mut open, "84D80010", &off).status.0, 0x6A80);
    // The last one cannot be deleted.
    assert_eq!(rig.status(&mut open, "84E40000", "D00110D20103"), 0x6985);
    assert_eq!(rig.status(&mut open, "84E40000", "D00110D20104"), 0x6A88);
    assert_eq!(rig.accept(&mut open, "84D80410", &ca_key(4, &second)), [4]);
    let both = [entry(&first, 3), entry(&second, 4)].concat();
    assert_eq!(rig.accept(&mut open, "84CAFF33", &[]), tlv::object(0xFF33, &both));
    let lookup = tlv::object(0xA6, &tlv::object(0x42, &id(&second)));
    assert_eq!(rig.accept(&mut open, "04CA0083", &lookup), [0x83, 2, 0x10, 4]);
    assert_eq!(rig.bytes(&mut open, "04CA0083", &lookup[..23]).status.0, 0x6A80);
    let nobody = tlv::object(0xA6, &tlv::object(0x42, &[0; 20]));
    assert_eq!(rig.bytes(&mut open, "04CA0083", &nobody).status.0, 0x6A88);
    // SELECT names the oldest; one that is stored again counts as the newest.
    assert_eq!(rig.select()[28..36], id(&first)[..8]);
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, "84D80310", &ca_key(3, &first));
    assert_eq!(rig.select()[28..36], id(&second)[..8]);
    let mut open = rig.role(ADMIN);
    assert_eq!(rig.status(&mut open, "84E40000", "D00110D20104"), 0x9000);
    assert_eq!(rig.select()[28..36], id(&first)[..8]);
}

#[test]
fn store_data_and_the_own_key() {
    let mut rig = Rig::issued();
    let before = rig.own_point();
    let certificate = rig.token.state().ecka(0x41).unwrap().certificate.0.clone();
    let mut open = rig.role(ADMIN);
    let mut put = |header: &str, data: &[u8]| rig.bytes(&mut open, header, data).status.0;
    assert_eq!(put("84E29000", &store(0x41, &certificate)), 0x9000, "again");
    assert_eq!(put("84E20000", &store(0x41, &certificate)), 0x6A80);
    assert_eq!(put("84E29000", &store(0x42, &certificate)), 0x6A88);
    assert_eq!(put("84E29000", &store(0x01, &certificate)), 0x6A88);
    assert_eq!(put("84E29000", &store(0x41, &[0x30; 481])), 0x6A84);
    assert_eq!(put("84E29000", &store(0x41, &certificate[1..])), 0x6A80);
    assert_eq!(put("84E29000", &[]), 0x6A80);
    let mut other = store(0x41, &certificate);
    other[4] = 0x10;
    assert_eq!(put("84E29000", &other), 0x6A80);
    for bad in ["41", "41F00101", "42F00100", "41F0010000"] {
        assert_eq!(put("84F10011", &hex::decode(bad).unwrap()), 0x6A80, "{bad}");
    }
    assert_eq!(put("84F10111", &[0x41, 0xF0, 1, 0]), 0x6A80);
    assert_eq!(put("84F10015", &[0x41, 0xF0, 1, 0]), 0x6A80);
    // A new own key is pending: the old pair stays active until a certificate of the new one is stored.
    let answer = rig.accept(&mut open, "84F14111", &[0x41, 0xF0, 1, 0]);
    let point = crate::crypto::ec::Point::parse(tlv::only(&answer, 0xB0).unwrap()).unwrap();
    assert_eq!(rig.bytes(&mut open, "84E29000", &store(0x41, &certificate)).status.0, 0x6A80);
    assert_eq!(rig.own_point(), before);
    let mut old = rig.role(READ);
    assert_eq!(rig.status(&mut old, "04CA0100", ""), 0x9000, "under the old key");
    let mut open = rig.role(ADMIN);
    let fresh = Draft::new(ECKA, &point, &rig.ca).sign(&rig.ca);
    rig.accept(&mut open, "84E29000", &store(0x41, &fresh));
    assert_eq!(rig.own_point(), point);
    assert_eq!(rig.status(&mut open, "84E40000", "D00111D20141"), 0x6985);
}

#[test]
fn store_data_of_a_ca_identifier_is_checked() {
    let mut rig = Rig::issued();
    let id = rig.ca.public().key_identifier();
    let mut open = rig.role(ADMIN);
    let data = |kind: u8, id: &[u8], kid: u8, kvn: u8| {
        tlv::object(0xA6, &[&[0x80, 1, kind][..], &tlv::object(0x42, id), &[0x83, 2, kid, kvn]].concat())
    };
    for (data, status) in [
        (data(0, &id, 0x10, 3), 0x9000),
        (data(1, &id, 0x10, 3), 0x6A80),
        (data(0, &id, 0x11, 3), 0x6A80),
        (data(0, &id, 0x10, 4), 0x6A88),
        (data(0, &[0; 20], 0x10, 3), 0x6A80),
        (data(0, &id[..19], 0x10, 3), 0x6A80),
        (vec![0xA6, 4, 0x83, 2, 0x11, 0x41], 0x6A80),
    ] {
        assert_eq!(rig.bytes(&mut open, "84E29000", &data).status.0, status);
    }
}

#[test]
fn delete_key_refusals() {
    let mut rig = Rig::issued();
    let mut open = rig.role(ADMIN);
    for (header, data, status) in [
        ("84E40001", "D00110D20103", 0x6A80),
        ("84E40000", "D00112D20103", 0x6A80),
        ("84E40000", "D00110D20103 00", 0x6A80),
        ("84E40000", "D20103D00110", 0x6A80),
        ("84E40000", "D00110", 0x6A80),
        ("84E40000", "D00110D20177", 0x6A88),
        ("84E40000", "D00111D20101", 0x6A88),
        ("84E40000", "D00111D20141", 0x6985),
        ("84E40000", "D00121D20101", 0x6985),
        ("84E40000", "D00121D20102", 0x6A88),
    ] {
        assert_eq!(rig.status(&mut open, header, data), status, "{header} {data}");
    }
}

#[test]
fn an_identity_key_is_generated_at_enrollment_only_and_counts_at_once() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(false);
    let certificate = rig.token.state().identity_certificate.0.clone();
    rig.accept(&mut open, "84F10121", &[1, 0xF0, 1, 0]);
    assert_eq!(rig.bytes(&mut open, "84DA7F21", &certificate).status.0, 0x6A80);
    let manifest = rig.manifest();
    assert_eq!(rig.bytes(&mut open, "84F0401F", &manifest).status.0, 0x6985);
    assert_eq!(rig.status(&mut open, "84F10021", "02F00100"), 0x6A80);
    assert_eq!(rig.status(&mut open, "84D80021", "01"), 0x6A80, "PUT KEY 21 is always refused");
}
