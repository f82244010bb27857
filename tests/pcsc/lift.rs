//! The card is removed at every APDU of an enrollment and of a scan, before it receives the APDU and after it has
//! executed it: one clear error, nothing false on the list, and the next run completes the job.

use serde_json::Value;

use crate::{
    card::{Card, blank},
    slot::{Bend, Lift, Slot},
    stack::{Run, Stack},
};

/// GlobalPlatform's test keys, which `enroll` tries by itself.
pub const TEST_KEY: [u8; 16] = *b"\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4A\x4B\x4C\x4D\x4E\x4F";

/// More than the compact record holds: the token keeps it in its details.
fn long() -> String {
    "much to say ".repeat(20)
}

/// A stack with one empty reader, and where its card goes.
pub struct Bench {
    pub stack: Stack,
    pub port: String,
    pub reader: String,
}

impl Bench {
    pub fn new() -> Self {
        let bench = Self::uninitialised();
        bench.stack.rollcall(&["pki", "init"]).expect(0);
        bench
    }

    /// Without a CA and without keys.
    pub fn uninitialised() -> Self {
        let stack = Stack::start(1, "none");
        let port = stack.variable("VPCD_PORTS").split(' ').next().expect("a port").to_owned();
        let reader = stack.readers().remove(0);
        Self { stack, port, reader }
    }

    /// Puts the card on the reader and waits until the service has noticed.
    pub fn put(&self, card: Box<dyn Card>, lift: Option<Lift>) -> Slot {
        self.put_bent(card, lift, Box::new(|_, honest| honest))
    }

    /// The same for a card that gives false answers.
    pub fn put_bent(&self, card: Box<dyn Card>, lift: Option<Lift>, bend: Bend) -> Slot {
        let slot = Slot::insert_bent(&self.port, card, bend);
        // Asking what is on the readers talks to the card: start counting after that.
        self.wait(true);
        slot.arm(lift);
        slot
    }

    pub fn take(&self, slot: Slot) -> Box<dyn Card> {
        let taken = slot.remove();
        self.wait(false);
        self.stack.await_absence(1);
        taken
    }

    pub fn wait(&self, present: bool) {
        let reader = &self.reader;
        let found = (0..1000).any(|_| {
            let card = |object: &Value| object["reader"] == **reader && object["atr"].is_string();
            self.stack.lists(&card) == present
        });
        assert!(found, "the service never noticed: present {present}: {:?}", self.stack.rollcall(&["readers"]));
    }

    fn enroll(&self) -> Run {
        let long = format!("field={}", long());
        let args =
            ["enroll", "--second-card", "--reader", &self.reader, "--id", "p1", "--name", "Ada", "--field", &long];
        self.stack.rollcall(&[&["--output", "ndjson"][..], &args].concat())
    }

    fn scan(&self) -> Run {
        self.stack.rollcall(&["--output", "ndjson", "scan", "--proof", "--reader", &self.reader])
    }

    /// The honest card proves itself; its counter.
    fn counter(&self) -> u64 {
        let objects = self.scan().expect(0).objects();
        let user = serde_json::json!({ "id": "p1", "name": "Ada", "fields": { "field": long() } });
        assert_eq!((&objects[0]["user"], objects.len()), (&user, 1));
        objects[0]["proof"]["counter"].as_u64().expect("a counter")
    }
}

/// Both ways of removing the card at this APDU.
fn lifts(at: usize) -> [Lift; 2] {
    [Lift { at, carried_out: false }, Lift { at, carried_out: true }]
}

case!(EachCard, lifted_at_every_apdu_of_an_enrollment);
fn lifted_at_every_apdu_of_an_enrollment(kind: &str) {
    let bench = Bench::new();
    let slot = bench.put(blank(kind, TEST_KEY), None);
    bench.enroll().expect(0);
    let apdus = slot.apdus();
    bench.take(slot);
    assert!(apdus > 20, "{apdus}");
    let (mut points, mut finished) = (0, 0);
    for lift in (1..=apdus).flat_map(lifts) {
        let slot = bench.put(blank(kind, TEST_KEY), Some(lift));
        let torn = bench.enroll().expect(74);
        assert_eq!((torn.code(), torn.stdout.lines().count()), ("card.left", 0), "{lift:?}: {torn:?}");
        assert_eq!(torn.stderr.matches("code: ").count(), 1, "{lift:?}: one error");
        let card = bench.take(slot);
        let slot = bench.put(card, None);
        let next = bench.enroll();
        match next.status {
            0 => finished += usize::from(next.objects()[0]["result"] == "resumed"),
            // The last command was executed; only its answer was lost.
            1 => assert_eq!((next.code(), lift.carried_out), ("enroll.already-issued", true), "{lift:?}"),
            status => panic!("{lift:?}: {status}: {next:?}"),
        }
        let first = bench.counter();
        assert!(
            (65_537..=65_538).contains(&first),
            "{lift:?}: {first}: the enrollment's own proof, and one that was lost"
        );
        assert_eq!(bench.counter(), first + 1, "{lift:?}");
        bench.take(slot);
        points += 1;
    }
    println!("{kind}: an enrollment lifted at {points} points, {finished} resumed");
    assert!(finished > points / 2);
}

case!(EachCard, lifted_at_every_apdu_of_a_change);
fn lifted_at_every_apdu_of_a_change(kind: &str) {
    let bench = Bench::new();
    let change = |args: &[&str]| {
        let reader = ["--output", "ndjson", "token", "--yes", "--reader", &bench.reader];
        bench.stack.rollcall(&[&reader[..], args].concat())
    };
    let state = || bench.stack.ndjson(0, &["token", "info", "--reader", &bench.reader])[0]["state"].clone();
    let mut card = blank(kind, TEST_KEY);
    let mut slot = bench.put(card, None);
    bench.enroll().expect(0);
    let field = format!("field={}", long());
    let write = ["write", "--id", "p1", "--name", "Ada", "--field", &field];
    let mut points = 0;
    // Data already written is not written again, so write something else first each time.
    let other = ["write", "--name", "Grace", "--field", "field="];
    for (args, back) in [(&["block"][..], &["unblock"][..]), (&write, &other)] {
        let is_write = args[0] == "write";
        if is_write {
            change(back).expect(0);
        }
        slot.arm(None);
        change(args).expect(0);
        let apdus = slot.apdus();
        assert!(apdus > 4, "{apdus}");
        for lift in (1..=apdus).flat_map(lifts) {
            change(back).expect(0);
            card = bench.take(slot);
            let torn_slot = bench.put(card, Some(lift));
            let torn = change(args).expect(74);
            assert_eq!((torn.code(), torn.stdout.lines().count()), ("card.left", 0), "{args:?} {lift:?}: {torn:?}");
            card = bench.take(torn_slot);
            slot = bench.put(card, None);
            change(args).expect(0);
            if is_write {
                assert!(bench.counter() > 0, "{lift:?}");
            } else {
                assert_eq!(state(), "blocked", "{lift:?}");
            }
            points += 1;
        }
        if !is_write {
            change(back).expect(0);
        }
    }
    println!("{kind}: a change lifted at {points} points");
}

case!(EachCard, lifted_at_every_apdu_of_a_rotation);
/// A token that is moved to another CA. Whoever trusts both lets it in wherever it was torn.
fn lifted_at_every_apdu_of_a_rotation(kind: &str) {
    let bench = Bench::new();
    let rollcall = |args: &[&str]| bench.stack.rollcall(&[&["--output", "ndjson", "--yes"], args].concat());
    let rotate = ["token", "rotate", "--reader", &bench.reader];
    let again = || {
        rollcall(&["pki", "rotate-ca", "--finish"]).expect(0);
        rollcall(&["pki", "rotate-ca"]).expect(0);
    };
    let mut slot = bench.put(blank(kind, TEST_KEY), None);
    bench.enroll().expect(0);
    rollcall(&["pki", "rotate-ca"]).expect(0);
    slot.arm(None);
    // Two connections: one looks, the other moves.
    rollcall(&rotate).expect(0);
    let apdus = slot.apdus();
    assert!(apdus > 20, "{apdus}");
    let mut points = 0;
    for lift in (1..=apdus).map(|at| Lift { at, carried_out: at % 2 == 0 }) {
        again();
        let card = bench.take(slot);
        let torn_slot = bench.put(card, Some(lift));
        let torn = rollcall(&rotate).expect(74);
        assert_eq!((torn.code(), torn.stdout.lines().count()), ("card.left", 0), "{lift:?}: {torn:?}");
        let card = bench.take(torn_slot);
        slot = bench.put(card, None);
        assert_eq!(bench.scan().expect(0).objects()[0]["user"]["id"], "p1", "{lift:?}");
        rollcall(&rotate).expect(0);
        assert_eq!(bench.scan().expect(0).objects()[0]["user"]["id"], "p1", "{lift:?}");
        points += 1;
    }
    println!("{kind}: a rotation lifted at {points} points");
}

case!(EachCard, lifted_at_every_apdu_of_a_scan);
fn lifted_at_every_apdu_of_a_scan(kind: &str) {
    let bench = Bench::new();
    let mut slot = bench.put(blank(kind, TEST_KEY), None);
    bench.enroll().expect(0);
    let mut last = bench.counter();
    let mut points = 0;
    for first_sight in [true, false] {
        let forget = || {
            if first_sight {
                std::fs::remove_file(bench.stack.home().join("terminal.db")).expect("a database");
            }
        };
        let card = bench.take(slot);
        forget();
        slot = bench.put(card, None);
        let exchanges = bench.scan().expect(0).objects()[0]["exchanges"].as_u64().expect("a number");
        // Three of them read the details, which a long record has.
        assert_eq!(exchanges, if first_sight { 12 } else { 8 });
        last += 1;
        for lift in (1..=usize::try_from(exchanges).expect("few")).flat_map(lifts) {
            let card = bench.take(slot);
            forget();
            let torn_slot = bench.put(card, Some(lift));
            let torn = bench.scan().expect(74);
            let objects = torn.objects();
            assert_eq!((&objects[0]["error"]["code"], objects.len()), (&"card.left".into(), 1), "{lift:?}: {torn:?}");
            assert!(objects[0]["user"].is_null(), "{lift:?}");
            let card = bench.take(torn_slot);
            assert_eq!(bench.scan().expect(1).code(), "scan.nobody", "{lift:?}");
            assert!(bench.stack.present().is_empty(), "{lift:?}: a card that left is on the list");
            slot = bench.put(card, None);
            let now = bench.counter();
            // A proof that was made and lost has used its number; none is used twice.
            assert!(now > last && now <= last + 2, "{lift:?}: {now} after {last}");
            last = now;
            points += 1;
        }
    }
    println!("{kind}: a scan lifted at {points} points");
}
