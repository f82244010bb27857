use super::*;
use crate::{
    api::User,
    card::{
        link::{LinkError, Sensitivity},
        status::Status,
    },
    channel::CommandName,
    crypto::cmac::cmac,
    token::record::Layout,
};

/// A link that keeps recorded notes, and has no trace to replay.
#[derive(Default)]
struct Notes(Vec<TraceRecord>);

impl Link for Notes {
    fn transmit(&mut self, _: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        Err(LinkError::CardMute)
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        self.0.push(record());
    }
}

#[test]
fn a_wrong_receipt_is_noted_and_another_error_is_none_of_it() {
    let mut notes = Notes::default();
    assert!(matches!(receipt(&mut notes, Err(ChannelError::Receipt)), Err(ChannelError::Receipt)));
    assert_eq!(notes.0, [TraceRecord::Receipt(Receipt { holds: false, binding: None })]);
    let other = receipt(&mut notes, Err(ChannelError::Form(CommandName::MutualAuthenticate)));
    assert!(matches!(other, Err(ChannelError::Form(_))));
    assert_eq!(notes.0.len(), 1);
}

#[test]
fn it_is_noted_why_an_answer_does_not_open() {
    let key = |byte| Key128::new([byte; 16]);
    let keys = || SessionKeys { enc: key(1), mac: key(2), rmac: key(3), dek: key(4) };
    // Not a whole number of blocks, so there is no padding; its MAC is valid.
    let sealed = [0; 15];
    let mac = cmac(&key(3), &[&[5; 16], &sealed, &Status::OK.0.to_be_bytes()]).unwrap();
    for (mac, broken) in [(&mac[..8], Broken::Padding), (&[0; 8], Broken::Mac)] {
        let response = Response { data: [&sealed, mac].concat(), status: Status::OK };
        let mut notes = Notes::default();
        let mut messaging = Messaging::new(keys(), [5; 16]);
        assert!(answer(&mut notes, "step", [4, 0xCA, 1, 1], &response, &mut messaging).is_err());
        assert_eq!(notes.0, [TraceRecord::Answer(RecordedAnswer::new("step", [4, 0xCA, 1, 1], Err(broken)))]);
    }
}

/// The remaining data of opened answers, each to this command; `None` where they are withheld.
fn masked(answers: &[([u8; 4], Vec<u8>)]) -> Vec<Option<Vec<u8>>> {
    let opened = |(header, data): &([u8; 4], Vec<u8>)| {
        let response = Response { data: data.clone(), status: Status::OK };
        TraceRecord::Answer(RecordedAnswer::new("step", *header, Ok(&response)))
    };
    let mut records: Vec<_> = answers.iter().map(opened).collect();
    mask(&mut records);
    let left = records.iter().zip(answers).map(|(record, (_, before))| {
        let TraceRecord::Answer(answer) = record else { panic!("{record:?}") };
        let data = answer.data.as_ref().map(|data| hex::decode(data).unwrap());
        assert_eq!(answer.masked, data.as_ref() != Some(before), "{answer:?}");
        data
    });
    left.collect()
}

const DETAILS: [u8; 4] = [4, 0xB1, 1, 2];
const PORTRAIT: [u8; 4] = [4, 0xB1, 1, 3];

fn part(bytes: &[u8]) -> Vec<u8> {
    tlv::object(0x53, bytes)
}

#[test]
fn what_is_no_secret_of_the_holders_stays() {
    for (p1, p2) in [(0x7F, 0x21), (1, 0), (0, 0x83), (0xFF, 0x33), (0xFF, 0x34), (0xBF, 0x21)] {
        assert_eq!(masked(&[([4, 0xCA, p1, p2], vec![1, 2])]), [Some(vec![1, 2])], "{p1:02X}{p2:02X}");
    }
}

#[test]
fn a_record_and_what_is_unknown_is_withheld() {
    for (p1, p2) in [(1, 1), (1, 2), (1, 3), (0x9F, 0x7F)] {
        assert_eq!(masked(&[([4, 0xCA, p1, p2], vec![1, 2])]), [None], "{p1:02X}{p2:02X}");
    }
}

#[test]
fn of_a_portrait_only_its_lengths_are_left() {
    let (long, short) = (part(&[7; PART_MAX]), part(&[7; 3]));
    let left = masked(&[(PORTRAIT, long), (PORTRAIT, short), (PORTRAIT, vec![0x54, 1, 7])]);
    assert_eq!(left, [Some(part(&[0; PART_MAX])), Some(part(&[0; 3])), None]);
}

/// They come in parts, whose boundaries have nothing to do with the letters.
#[test]
fn of_details_lengths_and_the_names_of_fields_are_left() {
    let fields = [("room".to_owned(), "B17".repeat(60)), ("team".to_owned(), "blue".repeat(40))].into();
    let user = User { id: "7".into(), name: "Ada Lovelace".into(), fields };
    let details = Layout::of(&user).unwrap().details.unwrap();
    let answers = |parts: &[&[u8]]| parts.iter().map(|bytes| (DETAILS, part(bytes))).collect::<Vec<_>>();
    let (first, rest) = details.split_at(PART_MAX);
    let whole: Vec<u8> = masked(&answers(&[first, rest]))
        .iter()
        .flat_map(|left| tlv::only(left.as_ref().unwrap(), 0x53).unwrap().to_vec())
        .collect();
    assert_eq!(record::decode(&whole).unwrap().user, record::masked_user(&user));
    // A reading that broke off after a whole part has no record to mask.
    assert_eq!(masked(&answers(&[first])), [Some(part(&[0; PART_MAX]))]);
    // A complete reading that is not a record may contain anything.
    assert_eq!(masked(&answers(&[first, &rest[1..]])), [None, None]);
    assert_eq!(masked(&[(DETAILS, part(first)), (DETAILS, vec![0x54, 1, 7])]), [None, None]);
}
