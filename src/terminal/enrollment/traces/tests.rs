use std::collections::VecDeque;

use super::*;

/// A card with scripted answers: the UID in each field, and the answer to each command.
struct Scripted {
    uids: VecDeque<&'static str>,
    told: Vec<(&'static str, &'static str)>,
    /// Answers given only after a SELECT of the security domain.
    domain: Vec<(&'static str, &'static str)>,
    selected: bool,
}

impl Link for Scripted {
    fn transmit(&mut self, command: &[u8], _: link::Sensitivity) -> Result<Vec<u8>, LinkError> {
        let command = hex::encode_upper(command);
        let told = |table: &[(&str, &str)]| {
            table.iter().find(|(begin, _)| command.starts_with(begin)).map(|(_, answer)| (*answer).to_owned())
        };
        let answer = match &command[..4] {
            "FFCA" => self.uids[0].to_owned(),
            "00A4" => {
                assert!(command.starts_with("00A4040008A000000151000000") && command.len() == 28, "{command}");
                self.selected = true;
                "9000".to_owned()
            }
            _ if self.selected => told(&self.domain).unwrap_or_else(|| "6A88".to_owned()),
            _ => told(&self.told).unwrap_or_else(|| "6986".to_owned()),
        };
        Ok(hex::decode(answer).unwrap())
    }
}

impl FieldReset for Scripted {
    fn renew(&mut self) -> Result<(), LinkError> {
        self.selected = false;
        self.uids.pop_front();
        Ok(())
    }
}

type Told = &'static [(&'static str, &'static str)];

fn found(uids: [&'static str; 3], told: Told, domain: Told) -> Vec<TrackableTrait> {
    let mut card = Scripted {
        uids: ["before"].into_iter().chain(uids).collect(),
        told: told.to_vec(),
        domain: domain.to_vec(),
        selected: true,
    };
    let found = traces(&mut card, ApduFormat::Short).unwrap();
    assert!(card.uids.len() == 1 && !card.selected, "the field was gone three times, and nothing is selected");
    found
}

const CHANGING: [&str; 3] = ["080102039000", "08AAAAAA9000", "08BBBBBB9000"];

#[test]
fn a_uid_has_to_change_each_time_and_to_be_told() {
    assert_eq!(found(CHANGING, &[], &[]), []);
    let [a, b, c] = CHANGING;
    for uids in [[a, a, a], [a, a, b], [a, b, b], [a, b, a]] {
        assert_eq!(found(uids, &[], &[]), [TrackableTrait::Uid], "{uids:?}");
    }
    for unknown in ["6A81", "6D00", "9000", "6300", "0801020390"] {
        for uids in [[unknown, b, c], [a, unknown, c], [a, b, unknown], [unknown; 3]] {
            assert_eq!(found(uids, &[], &[]), [TrackableTrait::UidUnknown], "{uids:?}");
        }
    }
}

#[test]
fn whatever_tells_one_card_from_another_is_found() {
    let cplc = |rest: &str| -> &'static str { format!("9F7F2A47900000000000000000{rest:0>64}9000").leak() };
    let cases: &[(&'static str, &'static str, &[TrackableTrait])] = &[
        ("80CA9F7F", cplc(""), &[]),
        ("80CA9F7F", cplc("1"), &[TrackableTrait::Cplc]),
        ("80CA9F7F", "9F7F01009000", &[TrackableTrait::Cplc]),
        ("80CA9F7F", "9000", &[]),
        ("80CA0042", "4201019000", &[TrackableTrait::Iin]),
        ("80CA0042", "9000", &[]),
        ("80CA0045", "4501019000", &[TrackableTrait::Cin]),
        ("80500000", "0000000000000000000101036001020304050607089000", &[TrackableTrait::Diversification]),
        ("80500000", "00000000000000000000FF036001020304050607089000", &[]),
        ("80500000", "FFFFFFFFFFFFFFFFFFFFFF036001020304050607089000", &[]),
        ("80500000", "01029000", &[TrackableTrait::Diversification]),
    ];
    for (command, answer, expected) in cases {
        let table: Told = vec![(*command, *answer)].leak();
        assert_eq!(found(CHANGING, table, &[]), *expected, "{command} {answer}, selected by itself");
        assert_eq!(found(CHANGING, &[], table), *expected, "{command} {answer}, behind its name");
        assert_eq!(found(CHANGING, table, table), *expected, "{command} {answer}, told once");
    }
    assert_eq!(
        found(["6A81"; 3], &[("80CA0045", "4501019000")], &[]),
        [TrackableTrait::UidUnknown, TrackableTrait::Cin]
    );
}

#[test]
fn a_card_that_leaves_is_no_statement_about_it() {
    struct Gone;
    impl Link for Gone {
        fn transmit(&mut self, _: &[u8], _: link::Sensitivity) -> Result<Vec<u8>, LinkError> {
            Err(LinkError::CardRemoved)
        }
    }
    impl FieldReset for Gone {
        fn renew(&mut self) -> Result<(), LinkError> {
            Ok(())
        }
    }
    assert_eq!(traces(&mut Gone, ApduFormat::Short), Err(LinkError::CardRemoved));
}

/// A reader that passes its own command on to the card, and a card that is then mute until the field is reset.
#[test]
fn a_card_that_does_not_take_the_readers_command_is_no_worse_for_it() {
    struct Shy(bool);
    impl Link for Shy {
        fn transmit(&mut self, command: &[u8], _: link::Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.0 |= command[0] == 0xFF;
            if self.0 { Err(LinkError::CardMute) } else { Ok(vec![0x6A, 0x88]) }
        }
    }
    impl FieldReset for Shy {
        fn renew(&mut self) -> Result<(), LinkError> {
            self.0 = false;
            Ok(())
        }
    }
    let mut card = Shy(false);
    assert_eq!(traces(&mut card, ApduFormat::Short), Ok(vec![TrackableTrait::UidUnknown]));
    assert!(!card.0, "it is left usable");
}

#[test]
fn the_traces_are_told_in_words() {
    let all = [
        TrackableTrait::Uid,
        TrackableTrait::UidUnknown,
        TrackableTrait::Cplc,
        TrackableTrait::Diversification,
        TrackableTrait::Iin,
        TrackableTrait::Cin,
    ];
    let words = list(&all);
    assert!(words.starts_with("its UID stays the same; ") && words.matches("; ").count() == 5, "{words}");
}

/// A card that is mute after one of the queries until the field is reset.
#[test]
fn a_question_that_the_card_does_not_take_is_noted_and_no_error() {
    struct Touchy {
        about: &'static str,
        uid: u8,
        is_mute: bool,
    }
    impl Link for Touchy {
        fn transmit(&mut self, command: &[u8], _: link::Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.is_mute |= hex::encode_upper(command).starts_with(self.about);
            match command[0] {
                _ if self.is_mute => Err(LinkError::Transmission("mute".into())),
                0xFF => Ok(vec![0x08, self.uid, 0x90, 0x00]),
                _ => Ok(vec![0x6A, 0x88]),
            }
        }
    }
    impl FieldReset for Touchy {
        fn renew(&mut self) -> Result<(), LinkError> {
            (self.uid, self.is_mute) = (self.uid + 1, false);
            Ok(())
        }
    }
    for about in ["80CA9F7F", "80CA0042", "80500000", "00A40400"] {
        let mut card = Touchy { about, uid: 0, is_mute: false };
        assert_eq!(traces(&mut card, ApduFormat::Short), Ok(vec![TrackableTrait::Unanswered]), "{about}");
        assert!(!card.is_mute, "{about}: the card is as good as before");
    }
}
