//! A reader that fails at any block of a scan and of an enrollment: a code that says so, nothing lost, and the next run
//! does what this one did not.

use std::collections::BTreeMap;

use super::Place;
use crate::{
    lift::{Bench, TEST_KEY},
    stack::{Run, driver},
};

/// A fault of the reader, and what a run may end with that met it.
struct Row {
    fault: &'static str,
    codes: &'static [&'static str],
}

impl Row {
    /// Only T=1 has check sums: elsewhere what arrives damaged is an answer like any other, and the run tells what that
    /// one would mean.
    fn is_garbled(&self) -> bool {
        driver() != "ccid:t1" && ["edc", "cut"].contains(&self.fault)
    }
}

/// The exchange failed, and the card is still there; where that was the first block, which asks for protocol and speed,
/// the driver has it that the card refuses them, or does not answer.
const FAILED: &[&str] = &["reader.error", "card.protocol-refused", "token.mute"];
/// The reader says that the card has left, and the driver believes it, or not, by its protocol.
const LEFT: &[&str] = &["reader.error", "card.protocol-refused", "token.mute", "card.left"];
/// What arrives is no answer.
const BROKEN: &[&str] = &["reader.error", "card.protocol-refused", "token.mute", "card.malformed"];

const ROWS: [Row; 10] = [
    Row { fault: "lrc", codes: FAILED },
    Row { fault: "nak", codes: FAILED },
    Row { fault: "hw", codes: FAILED },
    Row { fault: "parity", codes: FAILED },
    Row { fault: "mute", codes: FAILED },
    Row { fault: "noicc", codes: LEFT },
    Row { fault: "overrun", codes: FAILED },
    Row { fault: "busy", codes: FAILED },
    Row { fault: "edc", codes: BROKEN },
    Row { fault: "cut", codes: BROKEN },
];

/// Enough for every retry of a run.
const LASTING: usize = 100_000;

/// Which rows are tried at this block: some, so that all have their turn within a run, or with `ROLLCALL_TEST_FAULTS=all`
/// all.
fn rows(at: usize, some: usize) -> impl Iterator<Item = &'static Row> {
    let all = std::env::var_os("ROLLCALL_TEST_FAULTS").is_some_and(|which| which == "all");
    let count = if all { ROWS.len() } else { some };
    (0..count).map(move |turn| &ROWS[(at * some + turn) % ROWS.len()])
}

/// What became of all runs, by fault.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// A run that met the fault so often has done its work, or says why not.
    fn check(&mut self, row: &Row, at: usize, times: usize, run: &Run) {
        let code = code(run);
        let what = format!("{} at block {at}, {times} times: {} {code}", row.fault, run.status);
        if row.is_garbled() {
            assert!(run.status == 0 || !code.is_empty(), "{what}: {run:#?}");
        } else {
            assert!(run.status == 0 || row.codes.contains(&code.as_str()), "{what}: {run:#?}");
            let status = if code == "card.malformed" { 76 } else { 74 };
            assert!(run.status == 0 || run.status == status, "{what}: {run:#?}");
        }
        let often = if times == 1 { "once" } else { "lasting" };
        *self.0.entry(format!("{} {often}: {} {code}", row.fault, run.status)).or_default() += 1;
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
    _slot: crate::slot::Slot,
}

impl Desk {
    fn new() -> Self {
        let bench = Bench::new();
        let place = Place::new(TEST_KEY);
        let slot = bench.put(Box::new(place.clone()), None);
        Self { bench, place, _slot: slot }
    }

    fn run(&self, args: &[&str]) -> Run {
        self.bench.stack.rollcall(&[&["--output", "ndjson"], args, &["--reader", &self.bench.reader]].concat())
    }

    fn scan(&self) -> Run {
        self.run(&["scan"])
    }

    fn enroll(&self) -> Run {
        self.run(&["enroll", "--id", "p1", "--name", "Ada"])
    }

    /// The blocks of this run, which succeeds.
    fn blocks(&self, run: impl FnOnce() -> Run) -> usize {
        let before = self.bench.stack.stat(1, "blocks");
        run().expect(0);
        self.bench.stack.stat(1, "blocks") - before
    }

    /// The run with this fault; afterwards the reader is as good as new.
    fn with_fault(&self, row: &Row, at: usize, times: usize, run: impl FnOnce() -> Run) -> Run {
        self.bench.stack.reader(1, &format!("{} {at} {times}", row.fault));
        let run = run();
        self.bench.stack.reader(1, "calm");
        // What the reader said of its slot the service believes until it looks again.
        self.bench.wait(true);
        run
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
                // A hiccup is survived.
                let survived = run.status == 0 || times > 1 || row.is_garbled();
                assert!(survived, "{} at block {at}: {run:#?}", row.fault);
                desk.scan_finds_them(row.fault);
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
            // The one and the other in turn, where not all are tried.
            let turns = if std::env::var_os("ROLLCALL_TEST_FAULTS").is_some() {
                &[1, LASTING][..]
            } else {
                &[[1, LASTING][at / 10 % 2]]
            };
            for &times in turns {
                desk.place.renew();
                let run = desk.with_fault(row, at, times, || desk.enroll());
                tally.check(row, at, times, &run);
                if run.status != 0 {
                    let next = desk.enroll();
                    let finished = next.status == 0 || next.code() == "enroll.already-issued";
                    assert!(finished, "{} at block {at}: {run:#?} then {next:#?}", row.fault);
                }
                desk.scan_finds_them(row.fault);
            }
        }
    }
    println!("{count} blocks of an enrollment: {:#?}", tally.0);
}
