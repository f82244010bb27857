//! Before SELECT: classes and instructions, chaining, and answers in pieces.

use super::rig::*;

const SELECT: &str = "00A404000AF0524F4C4C43414C4C01";

#[test]
fn before_select_the_platform_answers() {
    let mut rig = Rig::issued();
    rig.token.reset();
    for apdu in ["00CAFF3300", "00C0000000", "80500000080001020304050607", "FFFF0000", "80A40000"] {
        assert_eq!(rig.raw(apdu), "6D00", "{apdu}");
    }
    for apdu in ["00A40000", "00A4040C", "00A4040005A000000151", "00A4040004F0524F4C"] {
        assert_eq!(rig.raw(apdu), "6A82", "{apdu}");
    }
    assert_eq!(rig.raw("00CAFF3300"), "6D00");
    assert!(rig.raw(SELECT).ends_with("9000"));
    assert_ne!(rig.raw("00CAFF3300"), "6D00");
}

#[test]
fn a_beginning_of_the_name_selects_what_refuses_it() {
    let mut rig = Rig::issued();
    let mut open = rig.role(READ);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
    assert_eq!(rig.raw("00A4040005F0524F4C4C"), "6A82");
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x6982);
    rig.token.reset();
    assert_eq!(rig.raw("00A4040005F0524F4C4C"), "6A82");
    assert_eq!(rig.raw("00CA010000"), "6982");
}

#[test]
fn other_channels_leave_the_session() {
    let mut rig = Rig::issued();
    let mut open = rig.role(READ);
    for (apdu, answer) in [
        ("01CA000000", "6999"),
        ("4FCA000000", "6999"),
        ("81CA000000", "6881"),
        ("C1CA000000", "6881"),
        ("0070000000", "6C01"),
        ("00700014", "6A86"),
        ("0470000001", "6882"),
        ("00708001", "6200"),
        ("00708000", "6A81"),
        ("00700101", "6A81"),
        ("0070000001", "019000"),
        ("00700001", "6A86"),
        ("00700003", "9000"),
        ("0170000001", "029000"),
        ("0070000001", "049000"),
        ("81CA000000", "6999"),
        ("01A404000AF0524F4C4C43414C4C01", "6985"),
        ("00708003", "9000"),
        ("00708003", "6200"),
        ("05A404000AF0524F4C4C43414C4C01", "6999"),
    ] {
        assert_eq!(rig.raw(apdu), answer, "{apdu}");
    }
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
    rig.token.reset();
    assert_eq!(rig.raw("01A404000AF0524F4C4C43414C4C01"), "6999");
    assert_eq!(rig.raw("00708001"), "9000", "SELECT opened it");
    rig.token.reset();
    for number in 1..20 {
        assert_eq!(rig.raw("0070000001"), format!("{number:02X}9000"));
    }
    assert_eq!(rig.raw("0070000001"), "6A81");
}

#[test]
fn select_takes_our_name_only() {
    let mut rig = Rig::blank();
    for (apdu, status) in [
        ("00A4040009F0524F4C4C43414C4C", "6A82"),
        ("00A404000BF0524F4C4C43414C4C0100", "6A82"),
        ("00A40400", "6A82"),
        ("00A4040C0AF0524F4C4C43414C4C01", "6A80"),
        ("00A404020AF0524F4C4C43414C4C01", "6A80"),
        ("04A404000AF0524F4C4C43414C4C01", "6E00"),
        ("10A404000AF0524F4C4C43414C4C01", "6E00"),
    ] {
        assert_eq!(rig.raw(apdu), status, "{apdu}");
    }
    assert!(rig.raw("00A4040000000AF0524F4C4C43414C4C010000").ends_with("9000"), "extended");
}

#[test]
fn malformed_apdus_change_nothing() {
    let mut rig = Rig::issued();
    let mut open = rig.role(READ);
    for apdu in ["", "00", "00CAFF", "00A404000000000000", "0084000005010203", "00CAFF330001"] {
        assert_eq!(rig.raw(apdu), "6700", "{apdu}");
    }
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
}

#[test]
fn classes_come_before_instructions() {
    let mut rig = Rig::blank();
    for (cla, ins, status) in [
        ("0C", "CA", "6E00"),
        ("20", "FF", "6E00"),
        ("A1", "88", "6E00"),
        ("00", "FF", "6D00"),
        ("84", "20", "6D00"),
        ("90", "B0", "6D00"),
        ("00", "2A", "6E00"),
        ("84", "2A", "6E00"),
        ("00", "50", "6E00"),
        ("04", "82", "6E00"),
        ("00", "82", "6E00"),
        ("10", "C0", "6E00"),
        ("80", "A4", "6E00"),
    ] {
        assert_eq!(rig.raw(&format!("{cla}{ins}0000")), status, "{cla} {ins}");
    }
    for ins in ["88", "B1", "D7", "DA", "D8", "F1", "E2", "E4", "F0"] {
        for cla in ["00", "80", "04", "84", "10", "94"] {
            assert_eq!(rig.raw(&format!("{cla}{ins}0000")), "6982", "{cla} {ins}");
        }
    }
}

#[test]
fn long_answers_wait_for_get_response() {
    let mut rig = Rig::issued();
    let certificate = hex::encode_upper(&rig.token.state().ecka(0x41).unwrap().certificate.0);
    let length = certificate.len() / 2;
    assert!(length > 300);
    let ask = "00CABF2106A60483021141";
    // Without Le, and with 00: 256 bytes.
    for apdu in [ask.to_owned(), format!("{ask}00")] {
        let first = rig.raw(&apdu);
        assert_eq!(first, format!("{}61{:02X}", &certificate[..512], length - 256));
    }
    // 256 or more are waiting: 6100.
    let first = rig.raw(&format!("{ask}01"));
    assert_eq!(first, format!("{}6100", &certificate[..2]));
    // Any class, any P1 P2, any Le.
    assert_eq!(rig.raw("80C0000001"), format!("{}6100", &certificate[2..4]));
    let rest = length - 2 - 200;
    assert_eq!(rig.raw("84C01234C8"), format!("{}61{rest:02X}", &certificate[4..404]));
    assert_eq!(rig.raw("04C00000"), format!("{}9000", &certificate[404..]));
    assert_eq!(rig.raw("00C0000000"), "6985");
    // Extended: complete, and nothing is left for GET RESPONSE.
    assert_eq!(rig.raw("00CABF21 000006 A60483021141 0000"), format!("{certificate}9000"));
    assert_eq!(rig.raw("00CABF21 000006 A60483021141"), format!("{certificate}9000"));
    // In pieces of at most 256 even when GET RESPONSE is extended.
    rig.raw(&format!("{ask}01"));
    assert_eq!(rig.raw("00C00000000000").len(), 2 * 258);
    // Any other command discards the rest.
    rig.raw(&format!("{ask}01"));
    rig.raw("00CAFF3400");
    assert_eq!(rig.raw("00C0000000"), "6985");
}

#[test]
fn a_certificate_comes_in_any_chain() {
    let mut rig = Rig::issued();
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let (a, b) = certificate.split_at(100);
    let (b, c) = b.split_at(100);
    let piece = |head: &str, data: &[u8]| format!("{head}{:02X}{}", data.len(), hex::encode(data));
    let pass = |rig: &mut Rig, last: &str| {
        assert_eq!(rig.raw(last), "9000");
        // Without the certificate the status would be 6985.
        assert_eq!(rig.raw("80824111 02 0102"), "6A80");
    };
    // Chaining bit, P1 bit, both, and empty pieces between.
    for heads in [["902A0310", "902A0310"], ["802A8310", "802A8310"], ["902A8310", "802A8310"]] {
        assert_eq!(rig.raw(&piece(heads[0], a)), "9000");
        assert_eq!(rig.raw(heads[1]), "9000");
        // Without data, extended and short forms are indistinguishable: Le alone makes no piece invalid.
        assert_eq!(rig.raw(&format!("{}00", heads[1])), "9000");
        assert_eq!(rig.raw(&format!("{}000000", heads[1])), "9000");
        assert_eq!(rig.raw(&piece(heads[1], b)), "9000");
        pass(&mut rig, &piece("802A0310", c));
    }
    let extended = format!("802A031000{:04X}{}", certificate.len(), hex::encode(&certificate));
    pass(&mut rig, &extended);
    // In the middle of another chain a PSO with another header starts over.
    assert_eq!(rig.raw(&piece("902A0410", a)), "9000");
    assert_eq!(rig.raw(&piece("902A0310", &certificate[..200])), "9000");
    assert_eq!(rig.raw("00C0000000"), "6985", "GET RESPONSE is no part of it");
    pass(&mut rig, &piece("802A0310", &certificate[200..]));
}

#[test]
fn odd_chains_are_refused_and_wipe() {
    let mut rig = Rig::issued();
    for (second, status) in [
        ("00CAFF3300", "6883"),
        ("80824111 00", "6883"),
        ("84820000", "6883"),
        ("00880000", "6883"),
        ("20CA0000", "6E00"),
        ("00FF0000", "6D00"),
        ("802A0310 000001 00", "6883"),
        ("902A0310 000001 00", "6883"),
    ] {
        assert_eq!(rig.raw("902A0310 02 3082"), "9000");
        assert_eq!(rig.raw(second), status, "{second}");
        // The chain is gone: the same piece begins a new one, and its single byte is not a certificate.
        assert_eq!(rig.raw("802A0310 01 00"), "6A80");
    }
    assert_eq!(rig.raw("902A0310 000001 00"), "6883");
    assert_eq!(rig.raw("802A8310 000001 00"), "6883");
    // SELECT and INITIALIZE UPDATE start over.
    assert_eq!(rig.raw("902A0310 02 3082"), "9000");
    assert!(rig.raw(SELECT).ends_with("9000"));
    assert_eq!(rig.raw("90CABF21 02 A604"), "9000");
    assert_eq!(rig.raw("80500000080001020304050607"), "6985");
    assert_eq!(rig.raw("00CABF21 04 83021141"), "6A80");
}

#[test]
fn no_more_than_512_bytes() {
    let mut rig = Rig::issued();
    let full = "00".repeat(255);
    assert_eq!(rig.raw(&format!("902A0310FF{full}")), "9000");
    assert_eq!(rig.raw(&format!("902A0310FF{full}")), "9000");
    assert_eq!(rig.raw("902A0310020000"), "9000");
    assert_eq!(rig.raw("802A03100100"), "6700");
    assert_eq!(rig.raw(&format!("802A0310000200{}", "00".repeat(512))), "6A80");
    assert_eq!(rig.raw(&format!("802A0310000201{}", "00".repeat(513))), "6700");
    assert_eq!(rig.raw(&format!("00CABF21000201{}", "00".repeat(513))), "6700");
    assert_eq!(rig.raw(&format!("00DA0101000201{}", "00".repeat(513))), "6982");
}
