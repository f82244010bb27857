use super::*;

#[test]
fn a_command_is_called_by_its_instruction() {
    let named = |ins: u8| Exchange::new(&[0, ins, 0, 0], true, &Ok(vec![0x90, 0]), 0).name;
    for (instructions, name) in [
        (&[0x20][..], "VERIFY"),
        (&[0x24], "CHANGE REFERENCE DATA"),
        (&[0x2A], "PERFORM SECURITY OPERATION"),
        (&[0x2C], "RESET RETRY COUNTER"),
        (&[0x50], "INITIALIZE UPDATE"),
        (&[0x82], "EXTERNAL OR MUTUAL AUTHENTICATE"),
        (&[0x84], "GET CHALLENGE"),
        (&[0x88], "INTERNAL AUTHENTICATE"),
        (&[0xA4], "SELECT"),
        (&[0xB0, 0xB1], "READ BINARY"),
        (&[0xB2], "READ RECORD"),
        (&[0xC0], "GET RESPONSE"),
        (&[0xCA, 0xCB], "GET DATA"),
        (&[0xD6, 0xD7], "UPDATE BINARY"),
        (&[0xD8], "PUT KEY"),
        (&[0xDA, 0xDB], "PUT DATA"),
        (&[0xE2], "STORE DATA"),
        (&[0xE4], "DELETE"),
        (&[0xF0], "SET STATUS"),
        (&[0xF1], "GENERATE KEY"),
        (&[0xF2], "GET STATUS"),
        (&[0x00, 0x99, 0xFF], "unknown"),
    ] {
        for ins in instructions {
            assert_eq!(named(*ins), name, "{ins:02X}");
        }
    }
}

#[test]
fn the_outermost_tags_of_a_shown_answer_are_named() {
    let tags = |shown, answer: &str| Exchange::new(&[0, 0xCA, 0, 0], shown, &Ok(hex::decode(answer).unwrap()), 0).tags;
    assert_eq!(tags(true, "6F038401AA7F49009000"), ["6F", "7F49"]);
    for (shown, answer) in [(true, "9000"), (true, "6F038401AA009000"), (true, "90"), (false, "6F038401AA9000")] {
        assert!(tags(shown, answer).is_empty(), "{shown} {answer}");
    }
}

#[test]
fn an_atr_has_at_most_33_bytes() {
    let begins = |atr: &str| TraceRecord::Transaction { reader: "r".into(), atr: atr.into() }.is_well_formed();
    assert!(begins("") && begins("3B00") && begins(&"00".repeat(33)));
    assert!(!begins("3B0") && !begins("3G") && !begins(&"00".repeat(34)));
}

#[test]
fn what_a_terminal_came_with_has_its_lengths() {
    let authority =
        |ca: usize, certificate: &str| RecordedAuthority { ca: "04".repeat(ca), certificate: certificate.into() };
    let good = || authority(65, "3000");
    let visit = |nonce: &str, authority, previous| {
        TraceRecord::Visit(Box::new(RecordedVisit {
            identify_only: false,
            extended: false,
            now: Timestamp::UNIX_EPOCH,
            nonce: nonce.into(),
            authority,
            previous,
        }))
    };
    let nonce = "07".repeat(32);
    assert!(visit(&nonce, good(), None).is_well_formed());
    assert!(visit(&nonce, good(), Some(good())).is_well_formed());
    for bad in ["", &nonce[2..], &"0g".repeat(32)] {
        assert!(!visit(bad, good(), Some(good())).is_well_formed(), "{bad}");
    }
    for bad in [authority(64, "3000"), authority(66, "3000"), authority(65, ""), authority(65, "300")] {
        assert!(!visit(&nonce, bad.clone(), Some(good())).is_well_formed(), "{bad:?}");
        assert!(!visit(&nonce, good(), Some(bad.clone())).is_well_formed(), "{bad:?} before");
    }
}
