use std::{fs, sync::Arc};

use proptest::prelude::*;

use super::{
    record::{Broken, Exchange, Receipt, RecordedAnswer, is_public},
    write::{TraceOptions, TraceProblem},
    *,
};
use crate::{
    card::{
        apdu::Response,
        link::{Link, LinkError, Sensitivity},
        status::Status,
    },
    crypto::sha256,
    failure::Failure,
};

/// Answers everything with its own length and 9000; `00 00` with nothing.
struct Echo;

impl Link for Echo {
    fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        if command[1] == 0 {
            return Err(LinkError::CardRemoved);
        }
        let length = u8::try_from(command.len()).unwrap();
        Ok([&command[4..], &[length], &Status::OK.0.to_be_bytes()].concat())
    }
}

fn options() -> TraceOptions {
    TraceOptions { mask: None, digest: sha256, clock: || "2026-11-24T04:00:00Z".parse().unwrap() }
}

/// The trace of these commands in one transaction.
fn recorded(commands: &[(&[u8], Sensitivity)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let recorder = Arc::new(Recorder::create(&path, options()).unwrap());
    let mut link = Traced::new(Echo, recorder.begin("reader", &[0x3B, 0]));
    for (command, sensitivity) in commands {
        let _ = link.transmit(command, *sensitivity);
    }
    drop(link);
    recorder.unreached("other", &LinkError::SharingViolation, false);
    assert!(recorder.finish().is_none());
    fs::read_to_string(path).unwrap()
}

fn read(text: &str) -> Result<Trace, TraceError> {
    Trace::parse(text.as_bytes(), sha256)
}

fn exchanges(trace: &Trace) -> Vec<&Exchange> {
    let records = trace.scenes[0].records.as_ref().unwrap();
    records.iter().filter_map(|record| if let TraceRecord::Exchange(one) = record { Some(one) } else { None }).collect()
}

const SELECT: &[u8] = &[0, 0xA4, 4, 0, 2, 0xAA, 0xBB, 0xF0];
const SECRET: [u8; 4] = [0x5E, 0xC7, 0xE7, 0x11];

fn with_secret(header: [u8; 4]) -> Vec<u8> {
    [&header[..], &[4], &SECRET].concat()
}

#[test]
fn what_was_said_is_read_back() {
    let text = recorded(&[(SELECT, Sensitivity::Plain), (&[0, 0, 0, 0], Sensitivity::Plain)]);
    let trace = read(&text).unwrap();
    assert!(trace.personal);
    assert_eq!(trace.scenes.iter().map(|scene| scene.reader.as_str()).collect::<Vec<_>>(), ["reader", "other"]);
    assert_eq!(trace.scenes[1].records, Err(LinkError::SharingViolation));
    let said = exchanges(&trace);
    assert_eq!((said[0].name.as_str(), said[0].meaning.as_deref()), ("SELECT", Some("done")));
    assert_eq!(said[0].command, hex::encode_upper(SELECT));
    assert_eq!((&said[1].answer, &said[1].error), (&None, &Some(LinkError::CardRemoved)));
}

#[test]
fn the_replay_answers_what_was_asked_and_nothing_else() {
    let hidden = with_secret([4, 0xDA, 1, 1]);
    let text =
        recorded(&[(SELECT, Sensitivity::Plain), (&hidden, Sensitivity::Plain), (&[0, 0, 0, 0], Sensitivity::Plain)]);
    let trace = read(&text).unwrap();
    let records = trace.scenes[0].records.as_ref().unwrap();
    let mut link = Replay::new(records);
    assert_eq!(link.transmit(SELECT, Sensitivity::Plain), Echo.transmit(SELECT, Sensitivity::Plain));
    assert_eq!(link.diverged(), Some(1), "there is more");
    // Of hidden commands, header and length are compared.
    let other = [&[4, 0xDA, 1, 1][..], &[4, 1, 2, 3, 4]].concat();
    let answer = link.transmit(&other, Sensitivity::Plain).unwrap();
    assert_eq!((answer.len(), &answer[answer.len() - 2..]), (hidden.len() - 4 + 3, &[0x90, 0][..]));
    assert_eq!(link.transmit(&[0, 0, 0, 0], Sensitivity::Plain), Err(LinkError::CardRemoved));
    assert_eq!(link.diverged(), None);
    assert!(link.transmit(SELECT, Sensitivity::Plain).is_err());
    assert_eq!(link.diverged(), Some(3));
    let mut astray = Replay::new(records);
    let mut else_where = SELECT.to_vec();
    else_where[6] ^= 1;
    assert!(astray.transmit(&else_where, Sensitivity::Plain).is_err());
    assert!(astray.transmit(&hidden, Sensitivity::Plain).is_err(), "no way back");
    assert_eq!(astray.diverged(), Some(0));
}

/// PUT KEY, VERIFY, secure messaging, a command declared secret, and an unknown one.
#[test]
fn secrets_are_not_written() {
    for (header, sensitivity) in [
        ([0x80, 0xD8, 0, 0x81], Sensitivity::Plain),
        ([0x00, 0x20, 0, 1], Sensitivity::Plain),
        ([0x00, 0x24, 0, 1], Sensitivity::Plain),
        ([0x04, 0xCA, 1, 1], Sensitivity::Plain),
        ([0x84, 0x82, 0x33, 0], Sensitivity::Plain),
        ([0x80, 0x50, 0, 0], Sensitivity::Sensitive),
        ([0x00, 0x99, 0, 0], Sensitivity::Plain),
        ([0xFF, 0xCA, 0, 0], Sensitivity::Plain),
    ] {
        let command = with_secret(header);
        // The rest of an answer is as secret as its beginning.
        let text =
            recorded(&[(&command, sensitivity), (&[&[0, 0xC0, 0, 0, 4][..], &SECRET].concat(), Sensitivity::Plain)]);
        assert!(!text.contains(&hex::encode_upper(SECRET)), "{header:02X?}: {text}");
        let trace = read(&text).unwrap();
        assert_eq!(exchanges(&trace)[0].command, hex::encode_upper(header));
        assert_eq!(exchanges(&trace)[0].command_length, command.len());
    }
    assert!(is_public([0, 0xA4, 4, 0], Sensitivity::Plain) && is_public([0x90, 0x2A, 0x83, 0x10], Sensitivity::Plain));
}

fn code(result: Result<Trace, TraceError>) -> &'static str {
    result.map_err(|error| Failure::from(error).code).err().unwrap_or("")
}

#[test]
fn a_trace_that_was_changed_is_refused() {
    let text = recorded(&[(SELECT, Sensitivity::Plain)]);
    assert_eq!(code(read(&text)), "");
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let code = code(Trace::parse(&bytes, sha256));
        assert!(
            ["trace.tampered", "trace.foreign", "trace.malformed", "trace.truncated"].contains(&code),
            "{at}: {code}"
        );
    }
    let lines: Vec<_> = text.lines().collect();
    for out in 1..lines.len() {
        let kept: Vec<_> = lines.iter().enumerate().filter(|(n, _)| *n != out).map(|(_, line)| *line).collect();
        let kept = kept.join(
            "
",
        ) + "
";
        let expected = if out + 1 == lines.len() { "trace.truncated" } else { "trace.tampered" };
        assert_eq!(code(read(&kept)), expected, "without line {out}");
    }
    assert_eq!(code(read(&[&text[..], lines[2], "\n"].concat())), "trace.tampered");
}

#[test]
fn a_trace_that_was_cut_is_refused() {
    let text = recorded(&[(SELECT, Sensitivity::Plain)]);
    let first = text.find('\n').unwrap();
    for end in 1..text.len() {
        let expected = if end <= first { "trace.foreign" } else { "trace.truncated" };
        assert_eq!(code(read(&text[..end])), expected, "{end}");
    }
}

#[test]
fn what_is_no_trace_is_refused() {
    for text in ["", "\n", "{}\n", "x", "{\"schema\":\"rollcall.scan/1\"}\n", "{\"a\":1,\"sum\":\"0\"}\n"] {
        assert!(["trace.foreign", "trace.truncated"].contains(&code(read(text))), "{text}");
    }
    assert_eq!(code(Trace::parse(&[0xFF; 10], sha256)), "trace.foreign");
    assert_eq!(code(Trace::parse(&vec![b' '; usize::try_from(SIZE_MAX).unwrap() + 1], sha256)), "trace.too-large");
    let other = recorded(&[]).replace(SCHEMA, "rollcall.trace/9");
    assert_eq!(code(read(&other)), "trace.foreign");
}

/// A trace of these records with a valid chain, which proves nothing about their content.
fn chain(records: Vec<(u32, TraceRecord)>) -> String {
    let (mut text, mut sum) = (String::new(), String::new());
    for (seq, (tap, record)) in records.into_iter().enumerate() {
        let at = "2026-11-24T04:00:00Z".parse().unwrap();
        let line = record::TraceLine { seq: seq as u64, at, tap, record };
        let json = serde_json::to_string(&line).unwrap();
        sum = chained(sha256, &sum, &json);
        text = [&text, json.strip_suffix('}').unwrap(), ",\"sum\":\"", &sum, "\"}\n"].concat();
    }
    text
}

/// A forger can recompute the chain: the content of the lines must be validated itself.
#[test]
fn what_is_no_hex_or_too_short_is_no_record() {
    let begin = || (0, TraceRecord::Begin { schema: SCHEMA.into(), version: "1".into(), personal: false });
    let card = || (1, TraceRecord::Transaction { reader: "r".into(), atr: "3B00".into() });
    let with = |record: TraceRecord| code(read(&chain(vec![begin(), card(), (1, record), (0, TraceRecord::End)])));
    let exchange = || Exchange::new(SELECT, true, &Ok(vec![1, 2, 0x90, 0]), 5);
    let hidden = || Exchange::new(SELECT, false, &Ok(vec![1, 2, 0x90, 0]), 5);
    let failed = || Exchange::new(SELECT, true, &Err(LinkError::CardRemoved), 5);
    let opened = Response { data: vec![1], status: Status::OK };
    let answer = || RecordedAnswer::new("step", [0x84, 0xCA, 0, 0], Ok(&opened));
    let broken = || RecordedAnswer::new("step", [0x84, 0xCA, 0, 0], Err(Broken::Mac));
    let receipt =
        |holds, binding: Option<&str>| TraceRecord::Receipt(Receipt { holds, binding: binding.map(Into::into) });
    let zeros = "00".repeat(32);
    for good in [exchange(), hidden(), failed()].map(TraceRecord::Exchange).into_iter().chain([
        TraceRecord::Answer(answer()),
        TraceRecord::Answer(broken()),
        receipt(true, Some(&zeros)),
        receipt(false, None),
    ]) {
        assert_eq!(with(good.clone()), "", "{good:?}");
    }
    let some = |text: &str| Some(text.to_owned());
    for bent in [
        TraceRecord::Remembered { item: record::RecordedMemory::Ecka, certificate: "zz".into() },
        TraceRecord::Remembered { item: record::RecordedMemory::Ecka, certificate: String::new() },
        TraceRecord::Exchange(Exchange { command: "00A404000".into(), ..exchange() }),
        TraceRecord::Exchange(Exchange { command_length: 3, ..exchange() }),
        TraceRecord::Exchange(Exchange { answer: some("01029x00"), ..exchange() }),
        TraceRecord::Exchange(Exchange { answer_length: Some(5), ..exchange() }),
        TraceRecord::Exchange(Exchange { answer_length: None, ..exchange() }),
        TraceRecord::Exchange(Exchange { answer: None, answer_length: None, ..exchange() }),
        TraceRecord::Exchange(Exchange { error: Some(LinkError::CardMute), ..exchange() }),
        TraceRecord::Exchange(Exchange { answer: some("029000"), ..hidden() }),
        TraceRecord::Exchange(Exchange { command: "00A4040002".into(), ..hidden() }),
        TraceRecord::Exchange(Exchange { error: None, ..failed() }),
        receipt(true, None),
        receipt(true, Some("00")),
        receipt(true, Some(&zeros.replace('0', "g"))),
        TraceRecord::Answer(RecordedAnswer { status: some("90"), ..answer() }),
        TraceRecord::Answer(RecordedAnswer { status: some("90-0"), ..answer() }),
        TraceRecord::Answer(RecordedAnswer { status: None, ..answer() }),
        TraceRecord::Answer(RecordedAnswer { data: some("0"), ..answer() }),
        TraceRecord::Answer(RecordedAnswer { data: some("0h"), ..answer() }),
        TraceRecord::Answer(RecordedAnswer { command: "84CA".into(), ..answer() }),
        TraceRecord::Answer(RecordedAnswer { broken: None, ..broken() }),
    ] {
        assert_eq!(with(bent.clone()), "trace.malformed", "{bent:?}");
    }
}

#[test]
fn lines_in_a_wrong_order_are_refused() {
    let begin = || (0, TraceRecord::Begin { schema: SCHEMA.into(), version: "1".into(), personal: false });
    let card = |tap| (tap, TraceRecord::Transaction { reader: "r".into(), atr: String::new() });
    let unreached =
        |tap| (tap, TraceRecord::Unreached { reader: "r".into(), error: LinkError::CardMute, again: false });
    let proof = |tap| (tap, TraceRecord::Proof { holds: true });
    let end = || (0, TraceRecord::End);
    assert_eq!(code(read(&chain(vec![begin(), card(1), proof(1), end()]))), "");
    assert_eq!(code(read(&chain(vec![card(1), end()]))), "trace.foreign");
    for bent in [
        vec![begin(), begin(), end()],
        vec![begin(), end(), end()],
        vec![begin(), proof(1), end()],
        vec![begin(), card(1), card(1), end()],
        vec![begin(), unreached(1), proof(1), end()],
    ] {
        assert_eq!(code(read(&chain(bent.clone()))), "trace.malformed", "{bent:?}");
    }
}

#[test]
fn a_full_disk_is_told_once_and_stops_nobody() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let recorder = Arc::new(Recorder::on(full, options()));
    let mut link = Traced::new(Echo, recorder.begin("reader", &[]));
    assert!(link.transmit(SELECT, Sensitivity::Plain).is_ok());
    drop(link);
    assert!(matches!(recorder.finish(), Some(TraceProblem::Io(_))));
    assert!(recorder.finish().is_none());
}

#[test]
fn a_trace_ends_whole_when_it_is_as_long_as_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let recorder = Arc::new(Recorder::create(&path, options()).unwrap());
    let certificate = "00".repeat(30_000);
    for _ in 0..300 {
        let mut tape = recorder.begin("reader", &[]);
        tape.record(TraceRecord::Remembered { item: record::RecordedMemory::Ecka, certificate: certificate.clone() });
    }
    assert!(matches!(recorder.finish(), Some(TraceProblem::Full)));
    assert!(recorder.finish().is_none());
    let trace = Trace::load(&path, sha256).unwrap();
    assert!(trace.scenes.len() > 200);
    assert!(Recorder::create(&path, options()).is_err(), "no file is written over");
}

/// Gives the prepared answers, in order.
struct Scripted(std::vec::IntoIter<Result<Vec<u8>, LinkError>>);

impl Link for Scripted {
    fn transmit(&mut self, _: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
        self.0.next().unwrap()
    }
}

/// A command, whose data the trace may or may not show, and its answer.
fn exchange() -> impl Strategy<Value = (Vec<u8>, Result<Vec<u8>, LinkError>)> {
    let header = prop::sample::select(vec![
        [0x00, 0xA4, 4, 0],
        [0x90, 0x2A, 0x83, 0x10],
        [0x80, 0xD8, 0, 0x81],
        [0x00, 0x20, 0, 1],
        [0x04, 0xCA, 1, 1],
        [0x00, 0x99, 0, 0],
    ]);
    let command = (header, prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(header, data)| {
        let length = u8::try_from(data.len()).unwrap();
        [&header[..], &[length], &data].concat()
    });
    let status = prop::sample::select(vec![[0x90, 0x00], [0x63, 0xC1], [0x6A, 0x82], [0x69, 0x85]]);
    let answered = (prop::collection::vec(any::<u8>(), 0..40), status)
        .prop_map(|(data, status)| Ok([&data[..], &status].concat()));
    let failed = prop::sample::select(vec![
        LinkError::CardReset,
        LinkError::Transmission("lost, \"so\"\n".to_owned()),
        LinkError::Other("山".to_owned()),
    ]);
    (command, prop_oneof![4 => answered, 1 => failed.prop_map(Err)])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Any exchanges in any transactions are read back unchanged, and the replay answers like the card: completely if
    /// the data are shown, otherwise with the same length and status.
    #[test]
    fn what_is_recorded_is_replayed(taps in prop::collection::vec((".{0,12}", prop::collection::vec(exchange(), 0..8)), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let recorder = Arc::new(Recorder::create(&path, options()).unwrap());
        for (reader, said) in &taps {
            let answers: Vec<_> = said.iter().map(|(_, answer)| answer.clone()).collect();
            let mut link = Traced::new(Scripted(answers.into_iter()), recorder.begin(reader, &[0x3B, 0]));
            for (command, answer) in said {
                prop_assert_eq!(&link.transmit(command, Sensitivity::Plain), answer);
            }
        }
        prop_assert!(recorder.finish().is_none());
        let trace = read(&fs::read_to_string(&path).unwrap()).unwrap();
        prop_assert_eq!(trace.scenes.len(), taps.len());
        for (scene, (reader, said)) in trace.scenes.iter().zip(&taps) {
            prop_assert_eq!(&scene.reader, reader);
            let mut link = Replay::new(scene.records.as_ref().unwrap());
            for (command, answer) in said {
                let played = link.transmit(command, Sensitivity::Plain);
                let header = [command[0], command[1], command[2], command[3]];
                match (&played, answer) {
                    (Ok(played), Ok(answer)) if !is_public(header, Sensitivity::Plain) => {
                        prop_assert_eq!(played.len(), answer.len());
                        prop_assert_eq!(&played[played.len() - 2..], &answer[answer.len() - 2..]);
                    }
                    _ => prop_assert_eq!(&played, answer),
                }
            }
            prop_assert_eq!(link.diverged(), None);
        }
    }
}
