//! A reader that fails at any block of a scan or an enrollment: a code says so, nothing is lost, and the next run
//! completes what this one did not.

use std::collections::BTreeMap;

use super::Place;
use crate::{
    doctor::{doctor, findings},
    lift::{Bench, TEST_KEY},
    stack::{Run, driver},
};

/// A fault of the reader, by its name in the emulator.
struct Row(&'static str);

impl Row {
    /// Only T=1 has check sums: elsewhere what arrives damaged is an answer like any other, and the run tells what that
    /// one would mean.
    fn is_garbled(&self) -> bool {
        driver() != "ccid:t1" && ["edc", "cut"].contains(&self.0)
    }

    /// Whether a run may end like this that met what arrived damaged: the answer is that of another applet, or breaks
    /// the protocol, or has no good MAC; and a reader at T=0 that misses a byte each time reports it.
    fn fits_garbled(&self, status: i32, code: &str) -> bool {
        let told = [(1, "token.foreign"), (76, "token.protocol"), (77, "token.not-genuine")];
        told.contains(&(status, code)) || (driver(), self.0, status, code) == ("ccid:t0", "cut", 74, "reader.error")
    }

    /// The code of a run in which the fault persists: none if the driver corrects it by itself.
    fn code(&self) -> Option<&'static str> {
        match (driver(), self.0) {
            (_, "lrc") => None,
            // The card is present, but each exchange fails.
            ("ccid:t0", _) => Some("reader.error"),
            // The reader says that the card has left, and the driver believes it.
            ("ccid:apdu", "noicc") => Some("card.left"),
            // The card answers to each reset, and then the driver asks for a speed or a length.
            _ => Some("card.protocol-refused"),
        }
    }
}

const ROWS: [Row; 10] = [
    Row("lrc"),
    Row("nak"),
    Row("hw"),
    Row("parity"),
    Row("mute"),
    Row("noicc"),
    Row("overrun"),
    Row("busy"),
    Row("edc"),
    Row("cut"),
];

/// Enough for every retry of a run.
const LASTING: usize = 100_000;

/// Which rows are tried at this block: some, so that all have their turn within a run, or with
/// `ROLLCALL_TEST_FAULTS=all` all.
fn rows(at: usize, some: usize) -> impl Iterator<Item = &'static Row> {
    let all = std::env::var_os("ROLLCALL_TEST_FAULTS").is_some_and(|which| which == "all");
    let count = if all { ROWS.len() } else { some };
    (0..count).map(move |turn| &ROWS[(at * some + turn) % ROWS.len()])
}

/// The results of all runs, by fault.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// A run survives a fault that comes once, and says by the right code what it cannot get over.
    fn check(&mut self, row: &Row, at: usize, times: usize, (run, is_met): &(Run, bool)) {
        let code = code(run);
        let what = format!("{} at block {at}, {times} times: {} {code}", row.0, run.status);
        let expected = row.code().filter(|_| times > 1 && *is_met);
        if row.is_garbled() {
            // Damage that occurs once may not matter, or be repaired by a retry.
            let is_clean = run.status == 0 && (times == 1 || !is_met);
            assert!(is_clean || row.fits_garbled(run.status, &code), "{what}: {run:#?}");
        } else if let Some(expected) = expected {
            assert_eq!((run.status, code.as_str()), (74, expected), "{what}: {run:#?}");
        } else {
            assert_eq!(run.status, 0, "{what}: {run:#?}");
        }
        let often = if times == 1 { "once" } else { "lasting" };
        *self.0.entry(format!("{} {often}: {} {code}", row.0, run.status)).or_default() += 1;
    }
}

/// The code of the object, of a scan, or of the error on stderr.
fn code(run: &Run) -> String {
    let object = run.stdout.lines().next().map(crate::objects::line);
    let told = object.and_then(|object| object["error"]["code"].as_str().map(str::to_owned));
    told.unwrap_or_else(|| run.code().to_owned())
}

struct Desk {
    bench: Bench,
    place: Place,
    slot: Option<crate::slot::Slot>,
}

impl Desk {
    fn new() -> Self {
        let bench = Bench::new();
        let place = Place::new(TEST_KEY);
        let slot = Some(bench.put(Box::new(place.clone()), None));
        Self { bench, place, slot }
    }

    /// Removes the card and inserts it again with these settings.
    fn lay_again(&mut self, settings: &[&str]) {
        drop(self.slot.take().map(|slot| self.bench.take(slot)));
        for setting in settings {
            self.bench.stack.reader(1, setting);
        }
        self.slot = Some(self.bench.put(Box::new(self.place.clone()), None));
    }

    fn run(&self, args: &[&str]) -> Run {
        self.bench.stack.rollcall(&[&["--output", "ndjson"], args, &["--reader", &self.bench.reader]].concat())
    }

    fn scan(&self) -> Run {
        self.run(&["scan"])
    }

    fn enroll(&self) -> Run {
        self.run(&["enroll", "--second-card", "--id", "p1", "--name", "Ada"])
    }

    /// The blocks of this run, which succeeds.
    fn blocks(&self, run: impl FnOnce() -> Run) -> usize {
        let before = self.bench.stack.stat(1, "blocks");
        run().expect(0);
        self.bench.stack.stat(1, "blocks") - before
    }

    /// The run with this fault, and whether it met it; afterwards the reader is as good as new.
    fn with_fault(&self, row: &Row, at: usize, times: usize, run: impl FnOnce() -> Run) -> (Run, bool) {
        self.bench.stack.reader(1, &format!("{} {at} {times}", row.0));
        let before = self.bench.stack.stat(1, "met");
        let run = run();
        let is_met = self.bench.stack.stat(1, "met") > before;
        self.bench.stack.reader(1, "calm");
        // The service believes the reader's slot status until its next poll.
        self.bench.wait(true);
        (run, is_met)
    }

    fn scan_finds_them(&self, what: &str) {
        let run = self.scan();
        assert_eq!(run.status, 0, "{what}: {run:#?}");
        assert_eq!(run.objects()[0]["user"]["id"], "p1", "{what}");
        assert_eq!(self.bench.stack.present(), ["p1"], "{what}");
    }
}

case!(EachLevel, faults_in_a_scan);
fn faults_in_a_scan() {
    let desk = Desk::new();
    let mut tally = Tally::default();
    desk.enroll().expect(0);
    desk.scan().expect(0);
    let count = desk.blocks(|| desk.scan());
    assert!(count >= 5, "{count}");
    for at in 1..=count {
        for row in rows(at, 2) {
            for times in [1, LASTING] {
                let run = desk.with_fault(row, at, times, || desk.scan());
                tally.check(row, at, times, &run);
                desk.scan_finds_them(row.0);
            }
        }
    }
    println!("{count} blocks of a scan: {:#?}", tally.0);
}

case!(EachLevel, faults_in_an_enrollment);
fn faults_in_an_enrollment() {
    let desk = Desk::new();
    let mut tally = Tally::default();
    let count = desk.blocks(|| desk.enroll());
    assert!(count >= 20, "{count}");
    for at in 1..=count {
        for row in rows(at, 1) {
            // Alternate between them unless all are tried.
            let turns = if std::env::var_os("ROLLCALL_TEST_FAULTS").is_some() {
                &[1, LASTING][..]
            } else {
                &[[1, LASTING][at / 10 % 2]]
            };
            for &times in turns {
                desk.place.renew();
                let run = desk.with_fault(row, at, times, || desk.enroll());
                tally.check(row, at, times, &run);
                if run.0.status != 0 {
                    let next = desk.enroll();
                    let finished = next.status == 0 || next.code() == "enroll.already-issued";
                    assert!(finished, "{} at block {at}: {run:#?} then {next:#?}", row.0);
                }
                desk.scan_finds_them(row.0);
            }
        }
    }
    println!("{count} blocks of an enrollment: {:#?}", tally.0);
}

case!(EachLevel, faults_while_a_token_is_changed);
/// An exchange is lost wherever: the command begins again by itself, and what was carried out already is done.
fn faults_while_a_token_is_changed() {
    let desk = Desk::new();
    let mut tally = Tally::default();
    desk.enroll().expect(0);
    let state = || desk.run(&["token", "info"]).expect(0).objects()[0]["state"].clone();
    let kind = || desk.bench.stack.ndjson(0, &["readers"])[0]["card"].clone();
    let block = ["token", "block", "--yes"];
    let count = desk.blocks(|| desk.run(&block));
    desk.run(&["token", "unblock", "--yes"]).expect(0);
    let ours = kind();
    for at in 1..=count {
        for row in rows(at, 1).filter(|row| !row.is_garbled()) {
            let room = format!("room={at}");
            for (args, expected) in [
                (&block[..], "blocked"),
                (&["token", "info"], "blocked"),
                (&["token", "unblock", "--yes"], "issued"),
                (&["token", "write", "--yes", "--field", &room], "issued"),
            ] {
                let run = desk.with_fault(row, at, 1, || desk.run(args));
                tally.check(row, at, 1, &run);
                assert_eq!(state(), expected, "{} at block {at}: {args:?}", row.0);
            }
            assert_eq!(desk.scan().objects()[0]["user"]["fields"]["room"], at.to_string().as_str());
        }
    }
    for at in 1..=3 {
        desk.bench.stack.reader(1, &format!("hw {at}"));
        assert_eq!(kind(), ours, "at block {at}");
        desk.bench.stack.reader(1, "calm");
    }
    // Where nobody can ask the card any more, nobody claims to know.
    let is_unknown = |at| {
        let (lost, _) = desk.with_fault(&Row("hw"), at, LASTING, || desk.run(&block));
        desk.run(&block).expect(0);
        assert_eq!(state(), "blocked");
        desk.run(&["token", "unblock", "--yes"]).expect(0);
        lost.status == 74 && lost.stderr.contains("whether the token was changed is unknown")
    };
    // The number of blocks differs each time.
    assert!((1..count + 8).rev().any(is_unknown));
    println!("{count} blocks of a change: {:#?}", tally.0);
}

case!(EachLevel, a_fault_that_comes_once_while_doctor_looks);
/// Like any other command it starts over: card and link are examined, and losses are counted.
fn a_fault_that_comes_once_while_doctor_looks() {
    let desk = Desk::new();
    desk.enroll().expect(0);
    for name in ["hw", "nak", "noicc", "mute"] {
        for at in 1..=4 {
            desk.bench.stack.reader(1, &format!("{name} {at}"));
            let found = findings(&mut doctor(&desk.bench.stack, "rollcall"));
            desk.bench.stack.reader(1, "calm");
            desk.bench.wait(true);
            let what = format!("{name} at block {at}: {found:#?}");
            assert!(found.iter().all(|one| one["severity"] != "fault"), "{what}");
            assert!(found.iter().any(|one| one["probe"] == "card" && one["severity"] == "ok"), "{what}");
            let link = found.iter().find(|one| one["probe"] == "link").expect(&what);
            // Errors that the driver corrects itself are not visible.
            let is_counted = link["code"] == "link.errors" && link["facts"]["errors"] == 1;
            assert!(is_counted || driver() != "ccid:t0" && link["facts"]["errors"] == 0, "{what}");
        }
    }
}

case!(EachLevel, a_reader_that_the_service_cannot_use);
/// It is listed, and what it says of its slot is an error: for every command, and for those who lie there.
fn a_reader_that_the_service_cannot_use() {
    let desk = Desk::new();
    desk.enroll().expect(0);
    let stack = &desk.bench.stack;
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    stack.reader(1, "slot=FB");
    assert_eq!(watch.event("reader_unavailable")["error"]["code"], "reader.unavailable");
    assert_eq!(watch.event("unconfirmed")["user"]["id"], "p1");
    for args in [&["scan"][..], &["token", "info"], &["enroll", "--id", "p2", "--name", "Grace"]] {
        let run = desk.run(args);
        assert_eq!((run.status, code(&run).as_str()), (69, "reader.unavailable"), "{args:?}: {run:#?}");
    }
    let found = findings(&mut doctor(stack, "rollcall"));
    let told = |one: &serde_json::Value| one["code"] == "reader.unavailable" && one["severity"] == "fault";
    assert!(found.iter().any(told), "{found:#?}");
    stack.reader(1, "slot=ok");
    watch.event("reader_available");
    assert_eq!(watch.event("confirmed")["user"]["id"], "p1");
    let events = watch.end();
    assert!(events.iter().all(|event| event["event"] != "left" && event["event"] != "refused"), "{events:#?}");
    if driver() == "ccid:t0" {
        // More than T=0 can carry; it does not reach the card.
        let long = format!("80E6000000012C{}", "00".repeat(300));
        assert_eq!(desk.run(&["apdu", &long]).expect(65).code(), "card.no-extended-length");
    }
}

case!(EachLevel, what_reader_and_card_cannot_agree_on);
/// The reader takes no parameters, or the card no other speed: the answer to reset is there, and nothing else comes
/// about.
fn what_reader_and_card_cannot_agree_on() {
    let mut desk = Desk::new();
    desk.enroll().expect(0);
    for settings in [["params=F6", "pps=echo"], ["pps=refuse", "atr=3B909500"]] {
        desk.lay_again(&settings);
        let run = desk.scan();
        assert_eq!((run.status, code(&run).as_str()), (74, "card.protocol-refused"), "{settings:?}: {run:#?}");
        let found = findings(&mut doctor(&desk.bench.stack, "rollcall"));
        let told = |one: &serde_json::Value| one["code"] == "card.protocol-refused" && one["severity"] == "fault";
        assert!(found.iter().any(told), "{settings:?}: {found:#?}");
        desk.lay_again(&["params=ok", "pps=echo", "atr="]);
        desk.scan_finds_them(settings[0]);
    }
}
