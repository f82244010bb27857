use std::collections::VecDeque;

use super::*;

/// The answers to the TPDUs, in order; and every TPDU that was sent.
struct Script {
    answers: VecDeque<&'static str>,
    sent: Vec<String>,
}

impl Script {
    fn new(answers: &[&'static str]) -> Self {
        Self { answers: answers.iter().copied().collect(), sent: Vec::new() }
    }

    fn run(&mut self, t0: &mut T0, command: &str) -> Result<String, LinkError> {
        let mut send = |tpdu: &[u8]| {
            self.sent.push(hex::encode_upper(tpdu));
            Ok(hex::decode(self.answers.pop_front().expect("more was sent than was foreseen")).unwrap())
        };
        t0.exchange(&hex::decode(command).unwrap(), &mut send).map(hex::encode_upper)
    }
}

fn run(answers: &[&'static str], command: &str) -> (Result<String, LinkError>, Vec<String>) {
    let mut script = Script::new(answers);
    let answer = script.run(&mut T0::default(), command);
    assert!(script.answers.is_empty(), "not asked for: {:?}", script.answers);
    (answer, script.sent)
}

#[test]
fn le_goes_out_only_without_data() {
    for (command, sent) in [
        ("00A4040000", "00A4040000"),
        ("00A40400", "00A40400"),
        ("00A4040002AABBF0", "00A4040002AABB"),
        ("00A4040002AABB", "00A4040002AABB"),
        ("00A4040001AA00", "00A4040001AA"),
        ("84CA010008010203040506070800", "84CA0100080102030405060708"),
    ] {
        assert_eq!(run(&["9000"], command), (Ok("9000".into()), vec![sent.into()]), "{command}");
    }
}

#[test]
fn what_is_no_command_goes_out_as_it_is() {
    assert_eq!(run(&["6700"], "00A40400050102"), (Ok("6700".into()), vec!["00A40400050102".into()]));
}

#[test]
fn extended_length_is_refused_before_anything_is_sent() {
    for command in ["00CA0101000000", "00CA0101000002AABB", "00CA0101000002AABB0000"] {
        assert_eq!(run(&[], command), (Err(LinkError::NoExtendedLength), vec![]), "{command}");
    }
}

#[test]
fn the_rest_is_fetched_with_what_the_card_says_waits() {
    let (answer, sent) = run(&["6103", "0102039000"], "00A4040002AABBF0");
    assert_eq!((answer.unwrap(), sent[1].as_str()), ("0102039000".into(), "00C0000003"));
    // 61 00 stands for 256 or more: as much as one TPDU can carry, and then the rest.
    let (answer, sent) = run(&["6100", "AA6102", "BBCC9000"], "00A4040002AABBF0");
    assert_eq!(
        (answer.unwrap().as_str(), &sent[1..]),
        ("AABBCC9000", &["00C0000000".to_owned(), "00C0000002".to_owned()][..])
    );
    // Also after data, and with a warning at the end.
    assert_eq!(run(&["AA6101", "BB6282"], "00CA0101F0").0.unwrap(), "AABB6282");
}

#[test]
fn whole_answers_of_256_bytes_come_through() {
    let whole: &'static str = Box::leak(format!("{}9000", "5A".repeat(256)).into_boxed_str());
    assert_eq!(run(&["6100", whole], "00A4040002AABBF0").0.unwrap(), whole);
    assert_eq!(run(&["6C00", whole], "00CA0101F0"), (Ok(whole.into()), vec!["00CA0101F0".into(), "00CA010100".into()]));
}

#[test]
fn an_answer_may_have_as_many_bytes_as_the_limit() {
    let mut left = ANSWER_MAX;
    let answer = T0::default().exchange(&[0, 0xCA, 1, 1, 1, 7, 0], &mut |tpdu| {
        if tpdu[1] == 0xCA {
            return Ok(vec![0x61, 0]);
        }
        left -= 256;
        Ok([vec![0x5A; 256], vec![if left > 0 { 0x61 } else { 0x90 }, 0]].concat())
    });
    assert_eq!(answer.unwrap().len(), ANSWER_MAX + 2);
}

#[test]
fn a_wrong_le_is_corrected_once() {
    let (answer, sent) = run(&["6C05", "01020304059000"], "00CA0101F0");
    assert_eq!((answer.unwrap().as_str(), sent[1].as_str()), ("01020304059000", "00CA010105"));
    assert_eq!(run(&["6C05", "6C06"], "00CA0101F0").0.unwrap(), "6C06");
    // There was no Le to correct.
    assert_eq!(run(&["6C05"], "00DA010102AABB").0.unwrap(), "6C05");
    assert_eq!(run(&["6C05"], "00DA010102AABBF0").0.unwrap(), "6C05");
    // GET RESPONSE is corrected, too.
    let (answer, sent) = run(&["6110", "6C02", "AABB9000"], "00A4040002AABBF0");
    assert_eq!((answer.unwrap().as_str(), sent[2].as_str()), ("AABB9000", "00C0000002"));
}

#[test]
fn get_response_has_the_class_that_the_card_wants() {
    for refusal in ["6E00", "6D00"] {
        let (answer, sent) = run(&["6102", refusal, "AABB9000"], "80CA010102CCDDF0");
        assert_eq!(
            (answer.unwrap().as_str(), &sent[1..]),
            ("AABB9000", &["00C0000002".into(), "80C0000002".to_owned()][..])
        );
        // Without the bits of secure messaging, where the command's own class is refused as well.
        let (answer, sent) = run(&["6102", refusal, refusal, "AABB9000"], "84CA010102CCDDF0");
        assert_eq!((answer.unwrap().as_str(), sent[3].as_str()), ("AABB9000", "80C0000002"));
    }
    // No class is tried twice, and in the end the refusal is the answer.
    let (answer, sent) = run(&["6102", "6E00"], "00CA010102CCDDF0");
    assert_eq!((answer.unwrap().as_str(), sent.len()), ("6E00", 2));
}

#[test]
fn what_the_card_took_is_remembered() {
    let mut t0 = T0::default();
    let mut script = Script::new(&["6101", "6E00", "AA9000", "6101", "BB9000", "6101", "CC9000"]);
    for (command, answer) in [("80CA0101010000", "AA9000"), ("80CA0101010000", "BB9000"), ("00CA0101010000", "CC9000")]
    {
        assert_eq!(script.run(&mut t0, command).unwrap(), answer);
    }
    assert_eq!(script.sent[2..], ["80C0000001", "80CA01010100", "80C0000001", "00CA01010100", "00C0000001"]);
    // The remembered class no longer works: the others are tried.
    let mut script = Script::new(&["6101", "6E00", "AA9000"]);
    assert_eq!(script.run(&mut t0, "84CA0101010000").unwrap(), "AA9000");
    assert_eq!(script.sent, ["84CA01010100", "84C0000001", "00C0000001"]);
}

#[test]
fn a_get_response_that_was_typed_is_left_alone() {
    assert_eq!(run(&["AA6105"], "00C0000001"), (Ok("AA6105".into()), vec!["00C0000001".into()]));
}

#[test]
fn an_endless_answer_is_refused() {
    for answer in ["6100", "FFFFFFFFFFFFFFFF6108"] {
        let mut count = 0;
        let refused = T0::default().exchange(&[0, 0xCA, 1, 1, 0], &mut |_| {
            count += 1;
            Ok(hex::decode(answer).unwrap())
        });
        assert!(matches!(refused, Err(LinkError::Malformed(_))), "{answer}");
        assert!(count <= PIECES_MAX + 2, "{count}");
    }
    let long = [vec![1; 240], vec![0x61, 0]].concat();
    let refused = T0::default().exchange(&[0, 0xCA, 1, 1, 0], &mut |_| Ok(long.clone()));
    assert!(matches!(refused, Err(LinkError::Malformed(length)) if length > ANSWER_MAX));
    let bare = T0::default().exchange(&[0, 0xCA, 1, 1, 0], &mut |_| Ok(vec![0x90]));
    assert_eq!(bare, Err(LinkError::Malformed(1)));
}

#[test]
fn an_error_of_the_reader_ends_it() {
    let mut answers = vec![Ok(vec![0x61, 2]), Err(LinkError::CardRemoved)].into_iter();
    let ended = T0::default().exchange(&[0, 0xCA, 1, 1, 1, 7, 0], &mut |_| answers.next().unwrap());
    assert_eq!(ended, Err(LinkError::CardRemoved));
}
