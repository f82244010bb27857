//! MUTUAL AUTHENTICATE and SCP03's EXTERNAL AUTHENTICATE: every parameter altered, repeated, or out of sequence.

use rollcall::{
    channel::{messaging::SessionKeys, scp11},
    crypto::{Key128, ec::Point},
};

use crate::{
    certificates::no_points,
    draft::{ADMIN, Draft, READ, from_hex},
    guard::refused,
    terminal::{CardRig, Channel, KVN_OWN, SELECT, START, new_key},
};

/// A certificate of the role READ, as it may be sent.
fn good_certificate(rig: &CardRig) -> Vec<u8> {
    Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca)
}

/// Each request is refused with its status after a good certificate, which it uses up.
fn all_refused(rig: &mut CardRig, header: &str, requests: Vec<(String, Vec<u8>, u16)>) {
    let certificate = good_certificate(rig);
    let (before, count) = (rig.snapshot(), rig.count());
    for (what, request, want) in requests {
        rig.select();
        assert_eq!(rig.verify_certificate(&certificate), 0x9000);
        let status = rig.plain(header, &request).sw;
        refused(&what, status, want);
        rig.assert_no_session(&what);
    }
    assert_eq!(rig.snapshot(), before);
    assert_eq!(rig.count(), count + 1);
}

fn request() -> Vec<u8> {
    scp11::request(new_key().public())
}

case!(EachCard, agreement_with_any_byte_changed);
/// Every byte before the point says something: the control reference template and the point's tag and length.
fn agreement_with_any_byte_changed(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let mut requests = Vec::new();
    for at in 0..18 {
        for change in [0x01, 0x02, 0x04, 0x40, 0x80, 0xFF] {
            let mut bent = request();
            bent[at] ^= change;
            requests.push((format!("byte {at} xor {change:02X}"), bent, 0x6A80));
        }
    }
    all_refused(&mut rig, "80824111", requests);
}

case!(EachCard, agreement_cut_or_lengthened);
fn agreement_cut_or_lengthened(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let good = request();
    let mut requests: Vec<_> =
        (0..good.len()).map(|length| (format!("cut at {length}"), good[..length].to_vec(), 0x6A80)).collect();
    for (what, more) in [("a byte more", vec![0]), ("an object more", vec![0x80, 1, 0]), ("twice", good.clone())] {
        requests.push((what.to_owned(), [good.clone(), more].concat(), 0x6A80));
    }
    requests.push(("too long".to_owned(), [good.clone(), vec![0; 430]].concat(), 0x6700));
    let point = &good[15..];
    for (what, template) in [
        ("key usage 34: no response MAC", "A60D90021101950134800188810110"),
        ("key usage 1C", "A60D9002110195011C800188810110"),
        ("key usage 0C", "A60D9002110195010C800188810110"),
        ("key usage 10", "A60D90021101950110800188810110"),
        ("key usage of two bytes", "A60E90021101 9502003C 800188 810110"),
        ("SCP11b", "A60D9002110095013C800188810110"),
        ("SCP11c", "A60D9002110395013C800188810110"),
        ("with a host identifier", "A60D9002110595013C800188810110"),
        ("SCP03 in the parameters", "A60D9002030195013C800188810110"),
        ("key type 80, DES", "A60D9002110195013C800180810110"),
        ("key length 24", "A60D9002110195013C800188810118"),
        ("key length 32", "A60D9002110195013C800188810120"),
        ("key length 0", "A60D9002110195013C800188810100"),
        ("another order", "A60D 95013C 90021101 800188 810110"),
        ("no key type", "A60A 90021101 95013C 810110"),
        ("no key length", "A60A 90021101 95013C 800188"),
        ("key usage twice", "A610 90021101 95013C 95013C 800188 810110"),
        ("a host identifier", "A611 90021101 95013C 800188 810110 84020000"),
        ("an empty template", "A600"),
        ("a long length", "A6810D 90021101 95013C 800188 810110"),
        ("an indefinite length", "A680 90021101 95013C 800188 810110 0000"),
    ] {
        requests.push((what.to_owned(), [&from_hex(template)[..], point].concat(), 0x6A80));
    }
    requests.push(("the point first".to_owned(), [point, &good[..15]].concat(), 0x6A80));
    requests.push(("no point".to_owned(), good[..15].to_vec(), 0x6A80));
    all_refused(&mut rig, "80824111", requests);
}

case!(EachCard, agreement_with_a_bad_point);
fn agreement_with_a_bad_point(kind: &str) {
    let mut rig = CardRig::private(kind);
    let good = request();
    let requests = || {
        no_points(new_key().public().as_bytes())
            .into_iter()
            .map(|(what, point)| {
                let object = [&[0x5F, 0x49, u8::try_from(point.len()).unwrap()][..], &point].concat();
                (what.to_owned(), [&good[..15], &object].concat(), 0x6A80)
            })
            .collect()
    };
    // Under its own key, the set key, and a missing key: no difference.
    for header in ["80824111", "80820111", "80820211", "80827711"] {
        all_refused(&mut rig, header, requests());
    }
}

case!(EachCard, agreement_under_other_parameters);
fn agreement_under_other_parameters(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let unknown = |kvn: u8| (format!("{kvn:02X}"), request(), 0x6A88);
    for kvn in [0, 1, 2, 3, 0x40, 0x42, 0x7F, 0x80, 0xC1, 0xFF] {
        all_refused(&mut rig, &format!("8082{kvn:02X}11"), vec![unknown(kvn)]);
    }
    for header in ["80824110", "80824100", "80824111", "80824191", "808241FF"] {
        let (what, data, want) = match header {
            "80824111" => (header, Vec::new(), 0x6A80),
            _ => (header, request(), 0x6A80),
        };
        all_refused(&mut rig, header, vec![(what.to_owned(), data, want)]);
    }
    all_refused(&mut rig, "00824111", vec![("class 00".to_owned(), request(), 0x6E00)]);
    all_refused(&mut rig, "04824111", vec![("class 04".to_owned(), request(), 0x6E00)]);
}

case!(EachCard, agreement_out_of_turn);
fn agreement_out_of_turn(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let certificate = good_certificate(&rig);
    let own = rig.own.unwrap();
    let before = rig.snapshot();
    rig.select();
    let status = rig.agree(KVN_OWN, &own).0;
    refused("without a certificate", status, 0x6985);
    // Anything but a plain GET DATA between the two discards the certificate, even when it is rejected.
    for apdu in [
        SELECT,
        "8050000008000102030405060700",
        "80500000",
        "0020000000",
        "8020000000",
        "20CA000000",
        "04CA010000",
        "04CA0100080000000000000000 00",
        "0488000100",
        "84F0409F00",
        "802A031001 00",
    ] {
        rig.select();
        assert_eq!(rig.verify_certificate(&certificate), 0x9000);
        rig.raw(apdu);
        let status = rig.agree(KVN_OWN, &own).0;
        refused(&format!("{apdu} in between"), status, 0x6985);
    }
    for apdu in ["00CAFF3300", "80CAFF3300", "00CABF2106A6048302114100", "00CAFF3400", "00C0000000", "00CA999900"] {
        rig.select();
        assert_eq!(rig.verify_certificate(&certificate), 0x9000);
        rig.raw(apdu);
        assert_eq!(rig.agree(KVN_OWN, &own).0, 0x9000, "{apdu} leaves the certificate");
    }
    // An open chain of another command.
    assert_eq!(rig.verify_certificate(&certificate), 0x9000);
    assert_eq!(rig.raw("90CAFF3300"), 0x9000);
    let status = rig.agree(KVN_OWN, &own).0;
    refused("a chain in between", status, 0x6883);
    rig.assert_no_session("a chain in between");
    // Power off in between.
    assert_eq!(rig.verify_certificate(&certificate), 0x9000);
    rig.card.reset();
    rig.select();
    let status = rig.agree(KVN_OWN, &own).0;
    refused("reset in between", status, 0x6985);
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, agreement_replayed);
fn agreement_replayed(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let certificate = good_certificate(&rig);
    let before = rig.snapshot();
    // A replayed handshake yields other keys, so its first command fails.
    rig.select();
    assert_eq!(rig.verify_certificate(&certificate), 0x9000);
    let recorded = request();
    let first = rig.plain("80824111", &recorded);
    let again = rig.plain("80824111", &recorded);
    assert_eq!(first.sw, 0x9000);
    refused("the same request again", again.sw, 0x6982);
    rig.assert_no_session("the same request again");
    rig.select();
    assert_eq!(rig.verify_certificate(&certificate), 0x9000);
    let later = rig.plain("80824111", &recorded);
    assert_ne!(later.data, first.data, "the token's ephemeral key is new each time");
    let mut channel = rig.agreed(ADMIN);
    let recorded: Vec<_> = channel.command("04CA0100", &[]);
    assert_eq!(rig.chain(&recorded).sw, 0x9000);
    rig.agreed(ADMIN);
    let status = rig.chain(&recorded).sw;
    refused("a command of an earlier session", status, 0x6982);
    rig.assert_no_session("a command of an earlier session");
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, first_mac_proves_the_terminal);
/// A terminal that sends another's certificate gets a receipt, but cannot make a C-MAC.
fn first_mac_proves_the_terminal(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let own = rig.own.unwrap();
    let sniffed = Draft::new(ADMIN, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let before = rig.snapshot();
    rig.terminal = new_key();
    for (what, bend) in [("guessed keys", 0_u8), ("a chaining value of zeros", 1), ("no receipt", 2)] {
        rig.select();
        assert_eq!(rig.verify_certificate(&sniffed), 0x9000);
        let (status, channel) = rig.agree(KVN_OWN, &own);
        assert_eq!((status, channel.is_none()), (0x9000, true), "the receipt is not for this key");
        let key = || Key128::new([bend; 16]);
        let keys = SessionKeys { enc: key(), mac: key(), rmac: key(), dek: key() };
        let mut channel = Channel { keys, chain: [bend; 16], counter: 0 };
        let status = rig.chain(&channel.command("04CA0100", &[])).sw;
        refused(what, status, 0x6982);
        rig.assert_no_session(what);
    }
    // Without any MAC at all.
    for apdu in ["04CA010000", "04CA0100 08 0000000000000000 00", "00CA010000", "0488000120"] {
        rig.select();
        assert_eq!(rig.verify_certificate(&sniffed), 0x9000);
        assert_eq!(rig.agree(KVN_OWN, &own).0, 0x9000);
        let apdu = if apdu == "0488000120" { format!("{apdu}{}00", "05".repeat(32)) } else { apdu.to_owned() };
        let status = rig.raw(&apdu);
        refused(&apdu, status, 0x6982);
        rig.assert_no_session(&apdu);
    }
    assert_eq!(rig.snapshot(), before);
}

case!(EachCard, agreement_answers_differ);
fn agreement_answers_differ(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let certificate = good_certificate(&rig);
    let mut points = std::collections::BTreeSet::new();
    for _ in 0..50 {
        rig.select();
        assert_eq!(rig.verify_certificate(&certificate), 0x9000);
        let answer = rig.plain("80824111", &request());
        assert_eq!((answer.sw, answer.data.len()), (0x9000, 86));
        Point::parse(&answer.data[3..68]).expect("a point of the curve");
        assert!(points.insert(answer.data), "an ephemeral key came twice");
    }
}

case!(EachCard, external_authenticate_bent);
fn external_authenticate_bent(kind: &str) {
    let mut rig = CardRig::blank(kind);
    let start = Key128::new(START);
    // How to recognize an SCP03 session: its commands are accepted.
    let dead = |rig: &mut CardRig, channel: &mut Channel, what: &str| {
        let status = rig.chain(&channel.command("84F04007", &[])).sw;
        assert_eq!(status, 0x6982, "{what}: a session stands");
    };
    for bit in 0..128 {
        let (mut data, mut channel) = rig.initialize(&start);
        data[bit / 8] ^= 1 << (bit % 8);
        let status = rig.plain("84823300", &data).sw;
        refused(&format!("bit {bit}"), status, if bit < 64 { 0x6300 } else { 0x6982 });
        dead(&mut rig, &mut channel, "a flipped bit");
    }
    for level in [0x00, 0x01, 0x03, 0x11, 0x13, 0x30, 0x31, 0x32, 0x73, 0xFF] {
        let (_, mut channel) = rig.initialize(&start);
        let (data, _) = rig.initialize(&start);
        let status = rig.plain(&format!("8482{level:02X}00"), &data).sw;
        refused(&format!("level {level:02X}"), status, 0x6A80);
        dead(&mut rig, &mut channel, "another level");
    }
    for length in (0..16).chain([17, 24]) {
        let (mut data, mut channel) = rig.initialize(&start);
        data.resize(length, 0);
        let status = rig.plain("84823300", &data).sw;
        refused(&format!("{length} bytes"), status, 0x6700);
        dead(&mut rig, &mut channel, "another length");
    }
    let (data, mut channel) = rig.initialize(&start);
    let status = rig.plain("84823301", &data).sw;
    refused("P2 01", status, 0x6A80);
    dead(&mut rig, &mut channel, "P2 01");
    for key in [[0; 16], [0xFF; 16], *b"\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4A\x4B\x4C\x4D\x4E\x4F"] {
        let (data, mut channel) = rig.initialize(&Key128::new(key));
        let status = rig.plain("84823300", &data).sw;
        refused("another key", status, 0x6300);
        dead(&mut rig, &mut channel, "another key");
    }
}

case!(EachCard, external_authenticate_out_of_turn);
fn external_authenticate_out_of_turn(kind: &str) {
    let mut rig = CardRig::blank(kind);
    let start = Key128::new(START);
    let (data, mut channel) = rig.initialize(&start);
    assert_eq!(rig.plain("84823300", &data).sw, 0x9000);
    let status = rig.plain("84823300", &data).sw;
    refused("again", status, 0x6985);
    let status = rig.chain(&channel.command("84F04007", &[])).sw;
    assert_eq!(status, 0x6982);
    for apdu in [SELECT, "00CAFF3300", "80CAFF3400", "0020000000", "04CA010000", "84F0400700", "8082411100"] {
        let (data, _) = rig.initialize(&start);
        rig.raw(apdu);
        let status = rig.plain("84823300", &data).sw;
        refused(&format!("{apdu} in between"), status, 0x6985);
    }
    rig.select();
    let status = rig.plain("84823300", &data).sw;
    refused("without INITIALIZE UPDATE", status, 0x6985);
    // Challenges do not repeat, and an old cryptogram does not match a new challenge.
    let (first, _) = rig.initialize(&start);
    rig.initialize(&start);
    let status = rig.plain("84823300", &first).sw;
    refused("of an earlier challenge", status, 0x6300);
    for (header, data, want) in [
        ("80500001", "0001020304050607", 0x6A80),
        ("80500100", "0001020304050607", 0x6A88),
        ("80504100", "0001020304050607", 0x6A88),
        ("80500000", "00010203040506", 0x6700),
        ("80500000", "000102030405060708", 0x6700),
        ("80500000", "", 0x6700),
        ("00500000", "0001020304050607", 0x6E00),
        ("84500000", "0001020304050607", 0x6E00),
    ] {
        let status = rig.plain(header, &from_hex(data)).sw;
        refused(&format!("{header} {data}"), status, want);
    }
}

case!(EachCard, scp03_is_over_once_issued);
fn scp03_is_over_once_issued(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let before = rig.snapshot();
    for header in ["80500000", "80500100", "8050FF00"] {
        let status = rig.plain(header, &[7; 8]).sw;
        refused(header, status, 0x6985);
    }
    let status = rig.plain("84823300", &[7; 16]).sw;
    refused("EXTERNAL AUTHENTICATE", status, 0x6985);
    rig.set_status(0x9F);
    let status = rig.plain("80500000", &[7; 8]).sw;
    refused("blocked", status, 0x6985);
    rig.set_status(0x1F);
    assert_eq!(rig.snapshot(), before);
    // The session that issued the token is over with its last answer.
    let mut rig = CardRig::blank(kind);
    let mut channel = rig.prepare(false);
    let manifest = rig.manifest();
    rig.accept(&mut channel, "84F0401F", &manifest);
    for (header, data) in [("84DA0101", "A0"), ("84F04007", ""), ("84D80010", "03"), ("04CAFF33", "")] {
        let status = rig.chain(&channel.command(header, &from_hex(data))).sw;
        refused(&format!("{header} after ISSUED"), status, 0x6985);
    }
}
