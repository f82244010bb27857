//! Replacing the key of a set, on the cards and beside the CA key; and moving private tokens to another CA.

use rollcall::emulator::Uid;
use serde_json::{Value, json};

use crate::{
    batch::SILENCE,
    card::Card,
    private::{Desk, SIZE, Seen},
    slot::Lift,
    stack::Run,
};

struct Fleet {
    desk: Desk,
    cards: Vec<Box<dyn Card>>,
    set: String,
}

impl Fleet {
    /// A desk with tokens of p1, p2, … in one set.
    fn of(kind: &str, count: u8) -> Self {
        let desk = Desk::new();
        let (mut cards, mut set) = (Vec::new(), String::new());
        for number in 1..=count {
            let slot = desk.put(Seen::blank(kind, Uid::Random, number));
            set = desk.enrolled(&format!("p{number}"), &["--set-size", SIZE]).1;
            cards.push(desk.0.take(slot));
        }
        Self { desk, cards, set }
    }

    fn run(&self, args: &[&str]) -> Run {
        self.desk.0.stack.rollcall(&[&["--output", "ndjson", "--yes"], args].concat())
    }

    fn object(&self, args: &[&str]) -> Value {
        self.run(args).expect(0).objects().remove(0)
    }

    /// A new key for the set; the identifier that comes with it.
    fn begin(&self, set: &str) -> String {
        self.object(&["pki", "rotate-set", set])["successor"].as_str().expect("a set").to_owned()
    }

    /// Every card is put on the reader once, until the run ends by itself.
    fn all(&mut self, args: &[&str]) -> Vec<Value> {
        let mut run = self.desk.0.stack.stream(&[&["token", "rotate", "--yes"], args].concat());
        let mut told = Vec::new();
        for card in std::mem::take(&mut self.cards) {
            let slot = self.desk.put(card);
            told.push(run.next(SILENCE).expect("an object"));
            self.cards.push(self.desk.0.take(slot));
        }
        assert!(run.ended(SILENCE).success(), "{told:#?}");
        told
    }

    fn users(&mut self) -> Vec<String> {
        let mut users = Vec::new();
        for card in std::mem::take(&mut self.cards) {
            let slot = self.desk.put(card);
            users.push(self.desk.scan()["user"]["id"].as_str().expect("a user").to_owned());
            self.cards.push(self.desk.0.take(slot));
        }
        users
    }
}

case!(EachCard, the_key_of_a_set_is_rotated);
/// After a card was lost the others get a new key, card by card.
fn the_key_of_a_set_is_rotated(kind: &str) {
    let mut fleet = Fleet::of(kind, 3);
    let set = fleet.set.clone();
    let rotate = ["token", "rotate", "--set", &set];
    assert_eq!(fleet.run(&rotate).expect(1).code(), "pki.no-set-rotation");
    assert_eq!(fleet.run(&["pki", "rotate-set", "0123456789abcdef"]).expect(2).code(), "pki.no-set");
    assert_eq!(fleet.run(&["pki", "rotate-set", &set, "--finish"]).expect(1).code(), "pki.no-set-rotation");
    let begun = fleet.object(&["pki", "rotate-set", &set]);
    let next = begun["successor"].as_str().expect("a set").to_owned();
    assert_eq!((&begun["set"], &begun["tokens"], &begun["left"]), (&json!(set), &json!(3), &json!(3)));
    assert_eq!(fleet.begin(&set), next, "said again");

    // One at a reader, after it was looked at.
    let slot = fleet.desk.put(fleet.cards.remove(0));
    let reader = fleet.desk.0.reader.clone();
    let one = ["token", "rotate", "--set", &set, "--reader", &reader];
    assert_eq!(fleet.object(&[&one[..], &["--dry-run"]].concat())["result"], "planned");
    assert_eq!(fleet.desk.0.stack.rollcall(&one).expect(2).code(), "confirm.needed");
    assert_eq!(fleet.object(&one)["result"], "done");
    assert_eq!(fleet.object(&one)["result"], "unchanged");
    assert_eq!(fleet.desk.scan()["user"]["id"], "p1");
    let first = fleet.desk.0.take(slot);

    // A token of the new set, which does not need to be moved, and one in open mode.
    let slot = fleet.desk.put(Seen::blank(kind, Uid::Random, 9));
    assert_eq!(fleet.desk.enroll("p9", &["--set", &set]).expect(1).code(), "pki.set-replaced");
    assert_eq!(fleet.desk.enrolled("p9", &["--set-size", SIZE]).1, next);
    assert_eq!(fleet.object(&one)["result"], "unchanged");
    fleet.desk.0.take(slot);
    let slot = fleet.desk.put(Seen::blank(kind, Uid::Random, 8));
    fleet.desk.enroll("p8", &[]).expect(0);
    assert_eq!(fleet.run(&one).expect(1).code(), "token.open-mode");
    fleet.desk.0.take(slot);

    // The rest of them.
    let state = fleet.object(&["token", "rotate", "--set", &set, "--all", "--dry-run"]);
    assert_eq!((&state["done"], &state["left"]), (&json!(1), &json!(2)));
    let told = fleet.all(&["--set", &set, "--all", "--timeout", "30s"]);
    assert!(told.len() == 2 && told.iter().all(|one| one["result"] == "done"), "{told:#?}");
    fleet.cards.insert(0, first);
    assert_eq!(
        fleet.desk.0.stack.rollcall(&["pki", "rotate-set", &set, "--finish"]).expect(2).code(),
        "confirm.needed"
    );
    let end = fleet.object(&["pki", "rotate-set", &set, "--finish"]);
    assert_eq!((&end["left"], &end["finished"]), (&json!(0), &json!(true)));
    assert!(!fleet.desk.0.stack.home().join(format!("pki/sets/{set}.key")).exists());
    assert_eq!(fleet.users(), ["p1", "p2", "p3"]);

    // And another one, so that both key numbers have been used; a token of a third set is refused.
    let last = fleet.begin(&next);
    let slot = fleet.desk.put(fleet.cards.remove(0));
    assert_eq!(fleet.object(&["token", "rotate", "--set", &next, "--reader", &reader])["result"], "done");
    assert_eq!(fleet.run(&one).expect(1).code(), "token.other-set");
    assert_eq!(fleet.desk.scan()["user"]["id"], "p1");
    fleet.desk.0.take(slot);
    assert!(last != next && last != set);
}

case!(EachCard, private_tokens_to_another_ca);
/// The CA is rotated, and the sets with it.
fn private_tokens_to_another_ca(kind: &str) {
    let mut fleet = Fleet::of(kind, 2);
    fleet.run(&["pki", "rotate-ca"]).expect(0);
    assert_eq!(fleet.users(), ["p1", "p2"]);
    let told = fleet.all(&["--all", "--timeout", "30s"]);
    assert!(told.iter().all(|one| one["result"] == "done"), "{told:#?}");
    assert_eq!(fleet.users(), ["p1", "p2"]);
    fleet.run(&["pki", "rotate-ca", "--finish"]).expect(0);
    assert_eq!(fleet.users(), ["p1", "p2"]);
    fleet.run(&["pki", "list"]).expect(0);
    // They are in one set, which has their places.
    let slot = fleet.desk.put(Seen::blank(kind, Uid::Random, 9));
    let (_, set) = fleet.desk.enrolled("p9", &["--set-size", SIZE]);
    fleet.desk.0.take(slot);
    let tally = std::fs::read(fleet.desk.0.stack.home().join(format!("pki/sets/{set}.json"))).expect("the tally");
    let tally: Value = serde_json::from_slice(&tally).expect("JSON");
    assert_eq!(tally["cards"].as_array().map(Vec::len), Some(3));
}

case!(EachCard, lifted_at_a_rotation_of_a_set);
/// Removed at every command of a replacement, and of a move to another CA: reported as such, admitted meanwhile,
/// finished.
fn lifted_at_a_rotation_of_a_set(kind: &str) {
    let mut fleet = Fleet::of(kind, 1);
    let mut set = fleet.set.clone();
    let (reader, mut points) = (fleet.desk.0.reader.clone(), 0);
    for of_the_ca in [false, true] {
        let begin = |fleet: &Fleet, set: &mut String| -> Vec<String> {
            let args = ["token", "rotate", "--reader", &reader];
            let mut args: Vec<_> = args.iter().map(ToString::to_string).collect();
            if of_the_ca {
                // The first time there is none to end.
                fleet.run(&["pki", "rotate-ca", "--finish"]);
                fleet.run(&["pki", "rotate-ca"]).expect(0);
            } else {
                args.extend(["--set".into(), set.clone()]);
                *set = fleet.begin(set);
            }
            args
        };
        let rotate = |fleet: &Fleet, args: &[String]| fleet.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let args = begin(&fleet, &mut set);
        let mut slot = fleet.desk.put(fleet.cards.remove(0));
        slot.arm(None);
        rotate(&fleet, &args).expect(0);
        let apdus = slot.apdus();
        assert!(apdus > 30, "{apdus}");
        // One in four: in one process all of them are tried (`administration::tests::keys`).
        let (from, step) = if kind == "applet" { (1, 4) } else { (3, 4) };
        for lift in (from..=apdus).step_by(step).map(|at| Lift { at, carried_out: at % 8 < 4 }) {
            points += 1;
            let args = begin(&fleet, &mut set);
            let card = fleet.desk.0.take(slot);
            let torn_slot = fleet.desk.0.put(card, Some(lift));
            let torn = rotate(&fleet, &args).expect(74);
            assert_eq!((torn.code(), torn.stdout.lines().count()), ("card.left", 0), "{lift:?}: {torn:?}");
            slot = fleet.desk.put(fleet.desk.0.take(torn_slot));
            assert_eq!(fleet.desk.scan()["user"]["id"], "p1", "{lift:?}");
            rotate(&fleet, &args).expect(0);
            assert_eq!(fleet.desk.scan()["user"]["id"], "p1", "{lift:?}");
        }
        println!("{kind}: lifted at {points} points");
        let card = fleet.desk.0.take(slot);
        fleet.cards.push(card);
    }
}
