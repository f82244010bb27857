//! What each session state permits, what wipes it, and the dialects of clients.

use super::rig::*;
use crate::{
    card::{
        apdu::{ApduFormat, Command, Response},
        status::Status,
        tlv,
    },
    channel::scp11,
    crypto::{aes, cmac::cmac},
};

const HEARTBEAT: &str = "04CA0100";

fn certificate_seen(rig: &mut Rig) {
    rig.select();
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let command = Command::new(0x80, 0x2A, 3, 0x10).data(certificate);
    assert!(rig.send(&command).status.is_ok());
}

/// Whether a verified certificate is held: an invalid MUTUAL AUTHENTICATE shows that, and consumes it.
fn has_certificate(rig: &mut Rig) -> bool {
    match rig.raw("80824111 00").as_str() {
        "6A80" => true,
        "6985" => false,
        other => panic!("{other}"),
    }
}

#[test]
fn a_certificate_survives_get_data_and_nothing_else() {
    let mut rig = Rig::issued();
    for (apdu, status, survives) in [
        ("00CAFF3400", "6A88", true),
        ("80CAFF3400", "6A88", true),
        ("00CA010100", "6982", true),
        ("00CA999900", "6A80", true),
        ("90CABF21 01 A6", "9000", false),
        ("00C0000000", "6985", true),
        ("00", "6700", true),
        ("04CA010000", "6982", false),
        ("0088000100", "6982", false),
        ("00FF000000", "6D00", false),
        ("20CAFF3400", "6E00", false),
        ("01CAFF3400", "6999", true),
        ("84823300", "6985", false),
        ("80500000080001020304050607", "6985", false),
        ("802A0310", "6A80", false),
        ("00A40400", "6A82", false),
    ] {
        certificate_seen(&mut rig);
        assert_eq!(rig.raw(apdu), status, "{apdu}");
        if apdu.starts_with("90CA") {
            // The chain continues, and a command with another header breaks it.
            assert_eq!(rig.raw("80824111 00"), "6883");
        }
        assert_eq!(has_certificate(&mut rig), survives, "{apdu}");
        assert!(!has_certificate(&mut rig), "used up");
    }
}

#[test]
fn key_agreement_refusals() {
    let mut rig = Rig::issued();
    let good = scp11::request(new_key().public());
    let mut off_curve = good.clone();
    off_curve[82] ^= 1;
    let mut usage = good.clone();
    usage[8] = 0x34;
    let with = |header: [u8; 4], data: &[u8]| Command::new(header[0], header[1], header[2], header[3]).data(data);
    for (command, status) in [
        (with([0x80, 0x82, 0x41, 0x11], &off_curve), 0x6A80),
        (with([0x80, 0x82, 0x41, 0x11], &usage), 0x6A80),
        (with([0x80, 0x82, 0x41, 0x11], &good[..82]), 0x6A80),
        (with([0x80, 0x82, 0x41, 0x11], &[&good[..], &[0]].concat()), 0x6A80),
        (with([0x80, 0x82, 0x41, 0x15], &good), 0x6A80),
        (with([0x80, 0x82, 0x01, 0x11], &[]), 0x6A88),
        (with([0x80, 0x82, 0x41, 0x11], &good), 0x9000),
    ] {
        certificate_seen(&mut rig);
        assert_eq!(rig.send(&command).status.0, status, "{command:?}");
        let expected = if status == 0x9000 { 0x6982 } else { 0x6985 };
        assert_eq!(rig.send(&command).status.0, expected, "used up");
    }
}

/// An unknown extension with this BOOLEAN: only FF is true in DER, and false is omitted (X.690, 11.1 and 11.5).
fn with_flag(flag: &[u8]) -> Vec<u8> {
    tlv::object(0x30, &[&[6, 3, 0x55, 0x1D, 14][..], flag, &[4, 1, 0]].concat())
}

/// The rest of an answer is not available to the next session.
#[test]
fn a_reset_drops_the_rest_of_an_answer_and_an_open_chain() {
    let mut rig = Rig::issued();
    let asked = "00CABF21 06 A60483021141 10";
    let answer = rig.raw(asked);
    assert_eq!(&answer[answer.len() - 4..answer.len() - 2], "61", "{answer}");
    rig.token.reset();
    rig.select();
    assert_eq!(rig.raw("00C0000000"), "6985");

    assert_eq!(rig.raw("902A0310 01 30"), "9000");
    rig.token.reset();
    rig.select();
    assert_eq!(rig.raw("00CAFF3400"), "6A88", "no chain is under way");
}

#[test]
fn nothing_stands_in_a_key_reference_but_the_key() {
    let mut rig = Rig::issued();
    assert_ne!(&rig.raw("00CABF21 06 A60483021141 00")[..2], "6A");
    for data in ["07 A60583021141 00", "08 A60683021141 8000", "0A A608 83021141 83021141", "07 A60483021141 00"] {
        assert_eq!(rig.raw(&format!("00CABF21 {data} 00")), "6A80", "{data}");
    }
}

#[test]
fn wrong_padding_under_a_right_mac_ends_the_session() {
    let mut rig = Rig::issued();
    assert!(sealed(&mut rig, &[[0x80].as_slice(), &[0; 15]].concat()).ends_with("9000"));
    assert_eq!(sealed(&mut rig, &[1; 16]), "6982");
    assert!(!rig.token.session.has_keys());
}

#[test]
fn terminal_certificates_that_the_card_refuses() {
    let mut rig = Rig::issued();
    let key = *rig.terminal.public();
    let good = Draft::new(READ, &key, &rig.ca);
    let bend = |change: &dyn Fn(&mut Draft)| {
        let mut draft = good.clone();
        change(&mut draft);
        draft
    };
    let refused = [
        bend(&|d| d.class = ECKA),
        bend(&|d| d.class = 4),
        bend(&|d| d.class = 0),
        bend(&|d| d.usage = vec![3, 2, 7, 0x80]),
        bend(&|d| d.authority[0] ^= 1),
        bend(&|d| d.authority.truncate(19)),
        bend(&|d| d.not_before = "801101000000".into()),
        bend(&|d| d.not_after = "2611010000AA".into()),
        bend(&|d| d.not_after = "20261101000000".into()),
        bend(&|d| d.more_extensions = extension(99, true, &[0])),
        bend(&|d| d.more_extensions = extension(35, false, &[0])),
        bend(&|d| d.more_extensions = with_flag(&[1, 1, 0])),
        bend(&|d| d.more_extensions = with_flag(&[1, 1, 1])),
        bend(&|d| d.more_extensions = with_flag(&[1, 0])),
        bend(&|d| d.more_extensions = vec![0x30, 0]),
        bend(&|d| d.subject = vec![b'x'; 120]),
        bend(&|d| d.point.truncate(33)),
    ];
    for (i, draft) in refused.iter().enumerate() {
        let command = Command::new(0x80, 0x2A, 3, 0x10).data(draft.sign(&rig.ca));
        assert_eq!(rig.send(&command).status, Status::WRONG_DATA, "case {i}");
    }
    let mut signed = good.sign(&rig.ca);
    let last = signed.len() - 1;
    signed[last] ^= 1;
    assert_eq!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(signed)).status, Status::WRONG_DATA);
    let other = good.sign(&new_key());
    assert_eq!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(other)).status, Status::WRONG_DATA);
    let good_der = good.sign(&rig.ca);
    for (p1, p2, status) in [(3, 0x11, 0x6A80), (4, 0x10, 0x6A88), (4, 0x11, 0x6A80), (0, 0x10, 0x6A88)] {
        let command = Command::new(0x80, 0x2A, p1, p2).data(good_der.clone());
        assert_eq!(rig.send(&command).status.0, status, "{p1} {p2}");
    }
    // Dates are not checked here, and an unknown extension that is not critical is ignored.
    for draft in [
        bend(&|d| d.not_after = "010101000000".into()),
        bend(&|d| d.more_extensions = extension(14, false, &[4, 1, 0])),
    ] {
        assert!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(draft.sign(&rig.ca))).status.is_ok());
    }
}

#[test]
fn a_point_off_the_curve_is_found_at_the_key_agreement() {
    let mut rig = Rig::issued();
    let mut draft = Draft::new(READ, rig.terminal.public(), &rig.ca);
    draft.point[64] ^= 1;
    let certificate = draft.sign(&rig.ca);
    assert!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(certificate)).status.is_ok());
    let request = scp11::request(new_key().public());
    assert_eq!(rig.send(&Command::new(0x80, 0x82, 0x41, 0x11).data(request)).status, Status::WRONG_DATA);
}

#[test]
fn plain_commands_in_a_channel_are_refused_and_wipe() {
    let mut rig = Rig::issued();
    for used in [false, true] {
        for (apdu, status) in [
            ("00CAFF3300", "6982"),
            ("80CAFF3300", "6982"),
            ("80824111 00", "6982"),
            ("0088000100", "6982"),
            ("10DA0101 01 00", "6982"),
            ("00FF0000", "6D00"),
            ("0CCA0000", "6E00"),
            ("94FF0000", "6D00"),
            ("04A40400", "6E00"),
            ("84823300", "6985"),
            ("80500000080001020304050607", "6985"),
            ("802A0310", "6A80"),
            ("00A40400", "6A82"),
        ] {
            let mut open = rig.role(READ);
            if used {
                assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x9000);
            }
            assert_eq!(rig.raw(apdu), status, "{apdu}");
            assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x6982, "wiped by {apdu}");
        }
        let mut open = rig.role(READ);
        assert_eq!(rig.raw("00C0000000"), "6985");
        assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x9000);
    }
}

#[test]
fn a_good_mac_with_an_unknown_instruction_leaves_the_session() {
    let mut rig = Rig::issued();
    let mut open = rig.role(READ);
    for (header, status) in [("04FF0000", 0x6D00), ("84200000", 0x6D00), ("84500000", 0x6E00), ("04A40400", 0x6E00)] {
        assert_eq!(rig.status(&mut open, header, "0102"), status, "{header}");
        assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x9000);
    }
    assert_eq!(rig.raw("04FF0000 08 0000000000000000"), "6D00");
    assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x6982);
}

#[test]
fn a_bad_mac_wipes() {
    let mut rig = Rig::issued();
    for apdu in ["04CA0100", "04CA010000", "04CA0100 07 00000000000000", "04CA0100 08 0000000000000000"] {
        let mut open = rig.role(READ);
        assert_eq!(rig.raw(apdu), "6982", "{apdu}");
        assert_eq!(rig.status(&mut open, HEARTBEAT, ""), 0x6982);
    }
    // A valid MAC can be used once.
    let mut open = rig.role(READ);
    let wrapped = open.messaging.wrap(&Command::new(4, 0xCA, 1, 0), ApduFormat::Short).unwrap();
    assert!(rig.send(&wrapped).status.is_ok());
    assert_eq!(rig.send(&wrapped).status, Status::SECURITY);
    // The header is covered by the MAC.
    let mut open = rig.role(READ);
    let wrapped = open.messaging.wrap(&Command::new(4, 0xCA, 1, 0), ApduFormat::Short).unwrap();
    let bent = Command::new(4, 0xCA, 1, 1).data(wrapped.payload());
    assert_eq!(rig.send(&bent).status, Status::SECURITY);
}

#[test]
fn lc_counts_as_it_was_sent() {
    let mut rig = Rig::issued();
    let mut open = rig.role(WRITE);
    // A short command in an extended APDU, Lc 00 hh ll.
    open.format = ApduFormat::Extended;
    assert_eq!(rig.status(&mut open, "04DA0101", "A0"), 0x9000);
    // A chain that would fit into one short APDU counts as one.
    let wrapped = open.messaging.wrap(&Command::new(4, 0xDA, 1, 1).data([1; 40]), ApduFormat::Short).unwrap();
    let (head, tail) = wrapped.payload().split_at(20);
    assert_eq!(rig.raw(&format!("14DA0101{:02X}{}", head.len(), hex::encode(head))), "9000");
    let answer = rig.raw(&format!("04DA0101{:02X}{}", tail.len(), hex::encode(tail)));
    let data = hex::decode(&answer[..answer.len() - 4]).unwrap();
    open.messaging.unwrap(&Response { data, status: Status::OK }).unwrap();
    // A longer one counts as an extended APDU: the rig's own chains do so.
    open.format = ApduFormat::Short;
    let part = [&[0x54, 2, 0, 0, 0x53, 0x81, 224][..], &[7; 224]].concat();
    let wrapped = rig.bytes(&mut open, "04D70102", &[&part[..]].concat());
    assert!(wrapped.status.is_ok());
    // Lc in another form than sent makes the MAC wrong.
    let wrapped = open.messaging.wrap(&Command::new(4, 0xCA, 1, 0), ApduFormat::Short).unwrap();
    let apdu = format!("04CA010000{:04X}{}", wrapped.payload().len(), hex::encode(wrapped.payload()));
    assert_eq!(rig.raw(&apdu), "6982");
}

/// A terminal that makes its own MACs, to send what our code never sends.
fn sealed(rig: &mut Rig, padded: &[u8]) -> String {
    certificate_seen(rig);
    let ephemeral = new_key();
    let request = scp11::request(ephemeral.public());
    let answer = rig.send(&Command::new(0x80, 0x82, 0x41, 0x11).data(request.clone())).data;
    let point = crate::crypto::ec::Point::parse(&answer[3..68]).unwrap();
    let fixed = rig.terminal.agree(&rig.own_point()).unwrap();
    let derived = scp11::derive(&ephemeral.agree(&point).unwrap(), &fixed).unwrap();
    let mut counter = [0; 16];
    counter[15] = 1;
    let icv = aes::block_encrypt(&derived.keys.enc, &counter).unwrap();
    let data = aes::cbc_encrypt(&derived.keys.enc, &icv, padded).unwrap();
    let chain = &answer[70..86];
    let length = u8::try_from(data.len() + 8).unwrap();
    let mac = cmac(&derived.keys.mac, &[chain, &[4, 0xCA, 1, 0, length], &data]).unwrap();
    rig.raw(&format!("04CA0100{length:02X}{}{}", hex::encode(&data), hex::encode(&mac[..8])))
}

#[test]
fn padding_dialects() {
    let mut rig = Rig::issued();
    let mut empty = [0; 16];
    empty[0] = 0x80;
    assert!(sealed(&mut rig, &empty).ends_with("9000"), "an encrypted empty block is an empty command");
    let mut two = [0; 32];
    two[0] = 0x80;
    for padded in [&[0; 16][..], &[1; 16], &two] {
        assert_eq!(sealed(&mut rig, padded), "6982");
        assert_eq!(rig.raw("04CA0100 08 0000000000000000"), "6982");
    }
}

#[test]
fn scp03_authenticates_directly_after_initialize_update() {
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    for (apdu, status) in [
        ("84823300 01 00", "6700"),
        ("84823000 10 00000000000000000000000000000000", "6A80"),
        ("84823301 10 00000000000000000000000000000000", "6A80"),
        ("00CAFF3400", "6A88"),
        ("80824111 00", "6985"),
        ("00880001", "6982"),
        ("04CA0100", "6982"),
    ] {
        assert!(rig.raw("80500000 08 0001020304050607 00").ends_with("9000"));
        assert_eq!(rig.raw(apdu), status, "{apdu}");
        assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6985", "{apdu}");
    }
    // GET RESPONSE does not intervene.
    assert!(rig.raw("80500000 08 0001020304050607 0A").ends_with("6113"));
    assert!(rig.raw("00C0000000").ends_with("9000"));
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6300");
    for (apdu, status) in [
        ("80500100 08 0001020304050607", "6A88"),
        ("80500001 08 0001020304050607", "6A80"),
        ("80500000 07 00010203040506", "6700"),
    ] {
        assert_eq!(rig.raw(apdu), status);
    }
    assert!(rig.raw("8050FF00 08 0001020304050607").ends_with("9000"));
    // A correct cryptogram with a wrong MAC is distinguished from a wrong key.
    let (command, state) = crate::channel::scp03::begin([7; 8]);
    let (_, choose) = state.handle(rig.send(&command)).unwrap();
    let crate::channel::Step::Send(command, _) = choose.with(&start).unwrap() else { panic!("no step") };
    let mut data = command.payload().to_vec();
    data[15] ^= 1;
    assert_eq!(rig.send(&Command::new(0x84, 0x82, 0x33, 0).data(data)).status, Status::SECURITY);
}
