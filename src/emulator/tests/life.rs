//! Blocked and terminated tokens, private mode, the date, the counter.

use super::rig::*;
use crate::{
    card::apdu::{ApduFormat, Command},
    crypto::ec::Point,
    proof::FIRST_COUNTER,
};

#[test]
fn a_blocked_token_speaks_to_administrators() {
    let mut rig = Rig::issued();
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, "84F0409F", &[]);
    assert_eq!(rig.accept(&mut open, "04CA0100", &[]), [0x9F]);
    assert_eq!(rig.bytes(&mut open, "04880001", &[0; 32]).status.0, 0x6985);
    assert_eq!(rig.status(&mut open, "04880002", ""), 0x6985);
    assert_eq!(rig.accept(&mut open, "04CA0101", &[]), RECORD);
    assert_eq!(rig.select()[22], 0x9F);
    for role in [READ, WRITE] {
        let mut open = rig.role(role);
        for header in ["04CA0100", "04CA0101", "04CAFF34", "04880001", "04DA0101", "84D80010", "04CA9999"] {
            assert_eq!(rig.status(&mut open, header, ""), 0x6985, "{header}");
        }
        assert_eq!(rig.status(&mut open, "04FF0000", ""), 0x6D00);
        assert_eq!(rig.status(&mut open, "04CABF21", "A60483021141"), 0x9000);
        assert_eq!(rig.status(&mut open, "04CAFF33", ""), 0x9000);
        assert_eq!(rig.status(&mut open, "04CA0083", ""), 0x6A80);
    }
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, "84F0401F", &[]);
    assert_eq!(rig.bytes(&mut open, "04880001", &[0; 32]).status.0, 0x9000);
}

#[test]
fn a_terminated_token_is_empty_for_ever() {
    for blocked in [false, true] {
        let mut rig = Rig::issued_private();
        let mut open = rig.role(ADMIN);
        if blocked {
            rig.accept(&mut open, "84F0409F", &[]);
        }
        // The answer still has its MAC.
        rig.accept(&mut open, "84F0407F", &[]);
        assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x6985);
        for apdu in
            ["00CAFF3300", "00C0000000", "00FF0000", "20CA0000", "80500000080001020304050607", "802A0310", "10CA0000"]
        {
            assert_eq!(rig.raw(apdu), "6985", "{apdu}");
        }
        assert_eq!(rig.raw("00"), "6700");
        assert_eq!(rig.raw("00A40400"), "6A82");
        let answer = hex::encode(rig.select());
        assert_eq!(answer, "6f22840af0524f4c4c43414c4c01a5148002010081017f82010083080000000000000000");
        let saved = String::from_utf8(rig.token.state().to_file().unwrap().to_vec()).unwrap();
        let digits = |name: &str| saved.lines().find(|l| l.contains(name)).unwrap().to_owned();
        for name in ["start_keys", "token_keys", "identity_key", "mode"] {
            assert!(digits(name).ends_with("null,"), "{name}");
        }
        assert!(digits("ca_keys").ends_with("{},") && digits("ecka_keys").ends_with("{},"));
        assert!(digits("record").ends_with("\"\","));
    }
}

#[test]
fn the_rest_of_the_last_answer_ends_with_the_token() {
    let mut rig = Rig::issued();
    let mut open = rig.role(ADMIN);
    let wrapped = open.messaging.wrap(&Command::new(0x84, 0xF0, 0x40, 0x7F), ApduFormat::Short).unwrap();
    let answer = rig.raw(&format!("84F0407F 08 {} 01", hex::encode(wrapped.payload())));
    assert!(answer.ends_with("6107"), "{answer}");
    assert_eq!(rig.raw("00C0000007"), "6985");
}

#[test]
fn scp03_ends_and_scp11_begins_with_issued() {
    let mut rig = Rig::blank();
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    let pso = Command::new(0x80, 0x2A, 3, 0x10).data(certificate);
    assert_eq!(rig.send(&pso).status.0, 0x6985);
    rig.prepare(false);
    assert_eq!(rig.send(&pso).status.0, 0x6985);
    assert_eq!(rig.raw("80824111 00"), "6985");
    let mut rig = Rig::issued();
    assert_eq!(rig.raw("80500000080001020304050607"), "6985");
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6985");
}

/// What a token answers in plain, up to the first C-MAC, without the parts that must differ.
fn face(rig: &mut Rig) -> Vec<String> {
    let mut face = vec![hex::encode(rig.select())];
    let plain =
        ["00CAFF3300", "80CAFF3300", "00CABF2106A60483021101", "00CABF2106A60483021102", "00CABF2106A60483021141"];
    face.extend(plain.iter().map(|apdu| rig.raw(apdu)));
    let certificate = Draft { not_before: "260101000000".into(), ..Draft::new(READ, rig.terminal.public(), &rig.ca) };
    for kvn in [1, 2, 0x41, 0x77] {
        face.push(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(certificate.sign(&rig.ca))).status.to_string());
        let request = crate::channel::scp11::request(new_key().public());
        let answer = rig.send(&Command::new(0x80, 0x82, kvn, 0x11).data(request));
        assert!(Point::parse(&answer.data[3..68]).is_ok());
        face.push(format!("{} {:?}", answer.status, answer.data.len()));
        face.push(rig.raw("04CA0100 08 0000000000000000"));
    }
    face
}

#[test]
fn tokens_of_a_set_have_one_face() {
    let mut one = Rig::issued_private();
    let mut two = Rig::blank();
    (two.ca, two.set, two.terminal) = (one.ca.clone(), one.set.clone(), one.terminal.clone());
    two.enroll(true);
    // The certificate of the set is the same file on all its tokens.
    let shared = one.token.state().ecka(1).unwrap().certificate.0.clone();
    two.token.card.change(|state| state.recertify(1, &shared)).unwrap();
    let expected = face(&mut one);
    assert_eq!(face(&mut two), expected);
    assert_eq!(expected[4], "6A88");
    assert_eq!(expected[5], "6A88");
    // Blocked, used, with a newer set key, with another date: the same answers.
    let mut open = two.role(ADMIN);
    two.accept(&mut open, "84F0409F", &[]);
    assert_eq!(face(&mut two), expected);
    let mut open = two.role(ADMIN);
    two.accept(&mut open, "84F0401F", &[]);
    let mut open = two.under_set_key(READ);
    two.accept(&mut open, "04880001", &[1; 32]);
    let mut open = two.role(ADMIN);
    two.set_key(&mut open, 2);
    two.accept(&mut open, "04DA0104", b"250101000000");
    assert_eq!(face(&mut two), expected);
    // Inside a channel all certificates can be read.
    for kvn in ["01", "02", "41"] {
        let mut open = two.under_set_key(READ);
        let status = two.status(&mut open, "04CABF21", &format!("A604830211{kvn}"));
        assert_eq!(status, 0x9000, "{kvn}");
    }
    // DELETE KEY of the oldest announces the next.
    let mut open = two.role(ADMIN);
    two.accept(&mut open, "84E40000", &[0xD0, 1, 0x11, 0xD2, 1, 1]);
    assert_eq!(two.status(&mut open, "84E40000", "D00111D20102"), 0x6985);
    assert_eq!(two.select()[25], 2);
    assert_eq!(two.raw("00CABF2106A60483021101"), "6A88");
}

#[test]
fn set_keys_are_checked() {
    let mut rig = Rig::blank();
    let mut open = rig.prepare(true);
    let good = set_key(2, &rig.set, open.messaging.dek().unwrap());
    let dek = open.messaging.dek().unwrap().clone();
    let zero = crate::crypto::aes::cbc_encrypt(&dek, &[0; 16], &[0; 32]).unwrap();
    let large = crate::crypto::aes::cbc_encrypt(&dek, &[0; 16], &[0xFF; 32]).unwrap();
    let with = |scalar: &[u8]| [&[2, 0xB1, 0x20][..], scalar, &[0xF0, 1, 0, 0]].concat();
    let mut put = |header: &str, data: &[u8]| rig.bytes(&mut open, header, data).status.0;
    for bad in [with(&zero), with(&large), good[..38].to_vec(), [&good[..], &[0]].concat(), vec![]] {
        assert_eq!(put("84D80011", &bad), 0x6A80);
    }
    let mut own = good.clone();
    own[0] = 0x41;
    assert_eq!(put("84D80011", &own), 0x6A80);
    assert_eq!(put("84D80111", &good), 0x6A80);
    assert_eq!(put("84D80211", &good), 0x9000);
    // It is pending, and not readable by anybody yet.
    assert_eq!(put("84E40000", &[0xD0, 1, 0x11, 0xD2, 1, 2]), 0x6A88);
    assert_eq!(put("84CABF21", &[0xA6, 4, 0x83, 2, 0x11, 2]), 0x6A88);
    // In open mode there is no set key.
    let id = rig.id;
    rig.accept(&mut open, "84DA0100", &[&[0][..], &id].concat());
    assert_eq!(rig.bytes(&mut open, "84D80011", &good).status.0, 0x6985);
}

#[test]
fn the_date_only_follows_terminals_that_prove_themselves() {
    let mut rig = Rig::issued();
    let date = |rig: &Rig| String::from_utf8(rig.token.state().date.0.to_vec()).unwrap();
    assert_eq!(date(&rig), NOW, "starts at the notBefore of the identity certificate");
    let draft = |rig: &Rig, from: &str, to: &str| Draft {
        not_before: from.into(),
        not_after: to.into(),
        ..Draft::new(ADMIN, rig.terminal.public(), &rig.ca)
    };
    let own = rig.own_point();
    // An unfinished handshake does not move the date; the first C-MAC does.
    let later = draft(&rig, "261108000000", "261115000000");
    let mut open = rig.agree(&later, 0x41, &own);
    assert_eq!(date(&rig), NOW);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
    assert_eq!(date(&rig), "261108000000");
    // One post-dated certificate advances it by at most three months.
    let far = draft(&rig, "400101000000", "400108000000");
    let mut open = rig.agree(&far, 0x41, &own);
    assert_eq!(rig.status(&mut open, "04FF0000", ""), 0x6D00, "an unknown instruction counts too");
    assert_eq!(date(&rig), "270208000000");
    // A certificate that expired before the date is refused, and the session wiped.
    let old = draft(&rig, "270101000000", "270207235959");
    let mut open = rig.agree(&old, 0x41, &own);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x6985);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x6982);
    let last = draft(&rig, "270101000000", "270208000000");
    let mut open = rig.agree(&last, 0x41, &own);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
    assert_eq!(date(&rig), "270208000000", "never back");
    // An administrator may only set it back.
    for (digits, status) in [
        ("270208000001", 0x6A80),
        ("270208000000", 0x9000),
        ("2702080000", 0x6700),
        ("27020800000A", 0x6A80),
        ("800101000000", 0x6A80),
        ("261201000000", 0x9000),
        ("270101000000", 0x6A80),
    ] {
        assert_eq!(rig.bytes(&mut open, "04DA0104", digits.as_bytes()).status.0, status, "{digits}");
    }
    assert_eq!(date(&rig), "261201000000");
}

#[test]
fn three_months_ahead_are_a_date_of_every_calendar() {
    let mut rig = Rig::issued();
    for (now, next) in [
        ("261130120000", "270228120000"),
        ("261031000000", "270128000000"),
        ("261231235959", "270328235959"),
        ("260101000000", "260401000000"),
        ("790928000000", "791228000000"),
    ] {
        rig.token.card.change(|state| state.date.0 = now.as_bytes().try_into().unwrap()).unwrap();
        let far = Draft {
            not_before: "799999999999".into(),
            not_after: "799999999999".into(),
            ..Draft::new(READ, rig.terminal.public(), &rig.ca)
        };
        let own = rig.own_point();
        let mut open = rig.agree(&far, 0x41, &own);
        assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
        assert_eq!(rig.token.state().date.0, next.as_bytes());
    }
}

#[test]
fn the_counter_counts_and_ends() {
    let mut rig = Rig::issued();
    let mut open = rig.role(READ);
    assert_eq!(rig.status(&mut open, "04880001", "00"), 0x6700);
    for counter in FIRST_COUNTER..FIRST_COUNTER + 3 {
        let answer = rig.accept(&mut open, "04880001", &[0; 32]);
        assert_eq!(answer[20..24], u32::to_be_bytes(counter));
        assert_eq!(rig.token.state().counter, counter);
    }
    rig.token.card.change(|state| state.counter = u32::MAX - 1).unwrap();
    rig.accept(&mut open, "04880001", &[0; 32]);
    assert_eq!(rig.bytes(&mut open, "04880001", &[0; 32]).status.0, 0x6985);
    assert_eq!(rig.token.state().counter, u32::MAX);
}
