//! Malformed data for every command: cut, lengthened, with other tags and lengths. It is refused despite a valid MAC,
//! the session remains, and nothing is written.

use rollcall::{card::tlv, crypto::Key128};

use crate::{
    draft::{ADMIN, Draft, ECKA, from_hex},
    guard::refused,
    terminal::{CardRig, Channel, START, ca_key, commit, new_key, part, put_keys, set_key, store},
};

/// A command with valid data, the positions of tags and lengths in it, and the status for other data.
struct Form {
    header: &'static str,
    data: Vec<u8>,
    structure: Vec<usize>,
    want: u16,
}

fn form(header: &'static str, data: Vec<u8>, structure: &[usize], want: u16) -> Form {
    Form { header, data, structure: structure.to_vec(), want }
}

impl Form {
    /// All almost valid variants of the data.
    fn bent(&self) -> Vec<Vec<u8>> {
        let mut out: Vec<_> = (0..self.data.len()).map(|length| self.data[..length].to_vec()).collect();
        out.push([&self.data[..], &[0]].concat());
        out.push([&self.data[..], &[0x80, 1, 0]].concat());
        for at in &self.structure {
            for to in
                [0x00, 0x01, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, self.data[*at] ^ 1, self.data[*at].wrapping_add(1)]
            {
                let mut bent = self.data.clone();
                bent[*at] = to;
                if bent != self.data {
                    out.push(bent);
                }
            }
        }
        out
    }
}

fn attack(rig: &mut CardRig, channel: &mut Channel, forms: &[Form]) {
    for form in forms {
        for data in form.bent() {
            let status = rig.status(channel, form.header, &data);
            refused(&format!("{} {}", form.header, hex::encode(&data)), status, form.want);
        }
        let status = rig.status(channel, "04CAFF33", &[]);
        assert!([0x9000, 0x6A88].contains(&status), "{}: the session is gone", form.header);
    }
}

case!(EachCard, data_of_administration_bent);
fn data_of_administration_bent(kind: &str) {
    let mut rig = CardRig::private(kind);
    let (before, count) = (rig.snapshot(), rig.count());
    let mut channel = rig.open(ADMIN);
    let own = Draft::new(ECKA, &rig.own.unwrap(), &rig.ca).sign(&rig.ca);
    let id = rig.ca.public().key_identifier();
    let key_tail = [1, 2, 68, 69, 70, 71];
    let forms = [
        form("04CABF21", from_hex("A60483021141"), &[0, 1, 2, 3], 0x6A80),
        form("04CA0083", tlv::object(0xA6, &tlv::object(0x42, &id)), &[0, 1, 2, 3], 0x6A80),
        form("04880001", vec![5; 32], &[], 0x6700),
        form("04B10102", from_hex("54020000"), &[0, 1], 0x6A80),
        form("04D70102", part(0, b"twelve bytes"), &[0, 1, 4, 5], 0x6A80),
        form("04DA0102", commit(b"twelve bytes"), &[0, 1, 2, 3, 4, 5, 6, 37], 0x6A80),
        form("04DA0104", b"250101000000".to_vec(), &[], 0x6700),
        form("84D80010", ca_key(4, new_key().public()), &key_tail, 0x6A80),
        form("84D80011", set_key(2, &new_key(), &channel.keys.dek), &[1, 2, 35, 36, 37, 38], 0x6A80),
        form("84F10011", from_hex("41F00100"), &[1, 2], 0x6A80),
        form("84E29000", store(0x41, &own), &[0, 1, 2, 3, 6, 7, 8, 9, 10], 0x6A80),
        form(
            "84E29000",
            from_hex(&format!("A61D 800100 4214{} 83021003", hex::encode(id))),
            &[0, 1, 2, 3, 5, 6, 27, 28],
            0x6A80,
        ),
        form("84E40000", from_hex("D00110D20103"), &[0, 1, 3, 4], 0x6A80),
        form("04DA7F21", rig.identity_certificate.clone(), &[0, 1, 2, 3, 4, 5], 0x6A80),
    ];
    // A part has been put, so that each commit is wrong only in its encoding.
    rig.accept(&mut channel, "04D70102", &part(0, b"twelve bytes"));
    attack(&mut rig, &mut channel, &forms);
    // Bytes behind the last object inside a template, whose own length is right.
    for (header, inside) in
        [("04CABF21", "83021141".to_owned()), ("84E29000", format!("800100 4214{} 83021003", hex::encode(id)))]
    {
        for more in ["00", "8000", "83021141"] {
            let data = tlv::object(0xA6, &from_hex(&format!("{inside}{more}")));
            refused(&format!("{header} {inside}, {more}"), rig.status(&mut channel, header, &data), 0x6A80);
        }
        let right = tlv::object(0xA6, &from_hex(&inside));
        assert_eq!(rig.status(&mut channel, header, &right), 0x9000, "{header}");
    }
    assert_eq!(rig.snapshot(), before);
    assert_eq!(rig.count(), count + 1);
}

case!(EachCard, data_of_enrollment_bent);
fn data_of_enrollment_bent(kind: &str) {
    let mut rig = CardRig::blank(kind);
    let mut channel = rig.prepare(true);
    let own = rig.own_certificate.clone();
    let forms = [
        form(
            "84D80081",
            put_keys(&Key128::new(START), &channel.keys.dek),
            &[1, 2, 19, 20, 23, 24, 41, 42, 45, 46, 63, 64],
            0x6A80,
        ),
        form("84D80010", ca_key(4, new_key().public()), &[1, 2, 68, 69, 70, 71], 0x6A80),
        form("84DA0100", vec![0; 17], &[], 0x6700),
        form("84F10021", from_hex("01F00100"), &[1, 2], 0x6A80),
        form("84E29000", store(0x41, &own), &[0, 1, 2, 3, 6, 7, 8, 9, 10], 0x6A80),
        form("84F0401F", vec![0; 32], &[], 0x6700),
        form("04D70103", part(0, b"twelve bytes"), &[0, 1, 4, 5], 0x6A80),
        form("84E40000", from_hex("D00110D20103"), &[0, 1, 3, 4], 0x6A80),
    ];
    attack(&mut rig, &mut channel, &forms);
    // Nothing was written: only the earlier manifest still matches.
    let manifest = rig.manifest();
    for bit in 0..256 {
        let mut other = manifest;
        other[bit / 8] ^= 1 << (bit % 8);
        let status = rig.status(&mut channel, "84F0401F", &other);
        refused("another manifest", status, 0x6A80);
    }
    assert_eq!(rig.status(&mut channel, "84F0401F", &manifest), 0x9000);
}

case!(EachCard, identity_key_is_never_brought_in);
/// The keys that are made on the card are not taken from outside: not the identity key, and not the own key.
fn identity_key_is_never_brought_in(kind: &str) {
    let attempts = |rig: &mut CardRig, channel: &mut Channel| {
        let key = new_key();
        for (header, kvn) in [("84D80021", 1), ("84D80121", 1), ("84D80021", 2), ("84D80011", 0x41), ("84D84111", 0x41)]
        {
            for data in [set_key(kvn, &key, &channel.keys.dek), ca_key(kvn, key.public())] {
                let status = rig.status(channel, header, &data);
                refused(&format!("{header} {}", hex::encode(&data)), status, 0x6A80);
            }
        }
    };
    let mut rig = CardRig::blank(kind);
    let mut channel = rig.prepare(true);
    let manifest = rig.manifest();
    attempts(&mut rig, &mut channel);
    // The earlier keys are still there: the manifest matches.
    assert_eq!(rig.status(&mut channel, "84F0401F", &manifest), 0x9000);
    let (before, count) = (rig.snapshot(), rig.count());
    let mut channel = rig.open(ADMIN);
    attempts(&mut rig, &mut channel);
    assert_eq!(rig.snapshot(), before);
    assert_eq!(rig.count(), count + 1);
}
