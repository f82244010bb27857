//! Tokens in private mode: enrolled into a set, found by a scan, and refused if their card reveals its identity.

use std::{collections::BTreeMap, fs, path::Path, process::Child};

use rollcall::{
    crypto::random::SystemRandom,
    emulator::{CardPlatform, PlatformAnswer, Uid},
};
use serde_json::{Value, json};

use crate::{
    batch::{self, SILENCE},
    card::{Card, StartKey, blank},
    lift::{Bench, TEST_KEY},
    server::Office,
    slot::{Lift, Slot},
    stack::{Run, Stack},
};

/// The start keys of the cards here, which are not the test keys.
pub const START_KEY: StartKey = [0x5A; 16];
pub const SIZE: &str = "32";

/// A card in a field whose reader tells its UID.
pub struct Seen {
    card: Box<dyn Card>,
    platform: CardPlatform,
}

impl Seen {
    /// `number` makes the UID of a card that keeps it.
    pub fn blank(kind: &str, uid: Uid, number: u8) -> Box<dyn Card> {
        Self::platform(blank(kind, START_KEY), uid, number)
    }

    fn platform(card: Box<dyn Card>, uid: Uid, number: u8) -> Box<dyn Card> {
        let platform = CardPlatform::new(uid, &[number; 10], Box::new(SystemRandom)).expect("random bytes");
        Box::new(Self { card, platform })
    }
}

impl Card for Seen {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        match self.platform.answer(apdu) {
            PlatformAnswer::ByReader(answer) => answer,
            PlatformAnswer::ByDomain(answer) => {
                self.card.reset();
                answer
            }
            PlatformAnswer::ByNobody => self.card.process(apdu),
        }
    }

    fn reset(&mut self) {
        self.card.reset();
        self.platform.reset();
    }
}

/// A terminal with these start keys and one reader.
pub struct Desk(pub Bench);

impl Desk {
    pub fn new() -> Self {
        let bench = Bench::new();
        // It is there, and private; only what it says changes.
        fs::write(bench.stack.home().join("pki/start.key"), hex::encode(START_KEY)).expect("the start key");
        Self(bench)
    }

    pub fn enroll(&self, id: &str, args: &[&str]) -> Run {
        let user =
            ["--output", "ndjson", "enroll", "--second-card", "--reader", &self.0.reader, "--id", id, "--name", "Ada"];
        self.0.stack.rollcall(&[&user, args].concat())
    }

    /// Enrolls a blank card; the token and its set.
    pub fn enrolled(&self, id: &str, args: &[&str]) -> (Value, String) {
        let object = self.enroll(id, args).expect(0).objects().remove(0);
        assert_eq!((&object["result"], &object["test_keys"]), (&json!("enrolled"), &json!(false)));
        (object["token_id"].clone(), object["set"].as_str().expect("a set").to_owned())
    }

    /// The whole message of a refusal.
    fn refused(&self, args: &[&str], code: &str) -> String {
        let run = self.enroll("p9", args).expect(77);
        assert_eq!(run.code(), code, "{run:?}");
        let info = self.0.stack.ndjson(0, &["token", "info", "--reader", &self.0.reader]);
        assert_eq!(info[0]["state"], "blank", "nothing was written");
        run.stderr
    }

    pub fn scan(&self) -> Value {
        self.0.stack.ndjson(0, &["scan", "--reader", &self.0.reader]).remove(0)
    }

    pub fn put(&self, card: Box<dyn Card>) -> Slot {
        self.0.put(card, None)
    }
}

case!(EachCard, a_set_of_private_tokens);
fn a_set_of_private_tokens(kind: &str) {
    let desk = Desk::new();
    gives_itself_away(&desk, kind);
    let mut cards = BTreeMap::new();
    let mut sets = Vec::new();
    for (id, number) in [("p1", 1), ("p2", 2)] {
        let slot = desk.put(Seen::blank(kind, Uid::Random, number));
        let (token, set) = desk.enrolled(id, &["--set-size", SIZE]);
        let seen = desk.scan();
        assert_eq!((&seen["user"]["id"], &seen["token_id"]), (&json!(id), &token));
        assert_eq!(desk.0.stack.present(), [id]);
        let told =
            desk.0.stack.rollcall(&["--output", "ndjson", "scan", "--identify-only", "--reader", &desk.0.reader]);
        assert_eq!(told.expect(1).objects()[0]["error"]["code"], "token.private");
        assert_eq!(desk.enroll(id, &["--set-size", SIZE]).expect(1).code(), "enroll.already-issued");
        cards.insert(id, desk.0.take(slot));
        sets.push(set);
    }
    assert_eq!(sets[0], sets[1], "the set has room");
    changed(&desk, cards.remove("p1").expect("it was enrolled"));
    lifted(&desk, kind, &sets[0]);
    full(&desk, kind, &sets[0]);
    if kind == "virtual" {
        of_the_program(&desk);
    }
}

case!(EachCard, a_batch_into_sets);
/// Two rows, and then three more when their set has room for one: it is filled, and the next one begins. A card that is
/// lifted in the middle joins the set that it was counted in.
fn a_batch_into_sets(kind: &str) {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    fs::write(stack.home().join("pki/start.key"), hex::encode(START_KEY)).expect("the start key");
    let of = kind.to_owned();
    let mut desk = batch::Desk::of(&stack, 5, Box::new(move || Seen::blank(&of, Uid::Random, 0)));
    let run = |file: &Path| stack.stream(&[&batch::arguments(file)[..], &["--set-size", SIZE]].concat());
    let sets = |told: &[Value]| -> Vec<_> {
        assert!(told.iter().all(|one| one["error"].is_null()), "{told:#?}");
        told.iter().map(|one| one["set"].as_str().expect("a set").to_owned()).collect()
    };
    desk.fill();
    let file = desk.rows(2);
    let mut first = run(&file);
    let told: Vec<_> = (0..2).map(|_| first.next(SILENCE).expect("an object")).collect();
    assert!(first.ended(SILENCE).success());
    let set = sets(&told).remove(0);
    assert_eq!(sets(&told), [set.clone(), set.clone()]);

    let path = stack.home().join(format!("pki/sets/{set}.json"));
    let mut tally: Value = serde_json::from_slice(&fs::read(&path).expect("the tally")).expect("JSON");
    let cards = tally["cards"].as_array_mut().expect("cards");
    assert_eq!(cards.len(), 2);
    cards.extend((0..29_u8).map(|number| json!(hex::encode([number; 10]))));
    fs::write(&path, tally.to_string()).expect("the tally");
    let file = desk.rows(5);
    desk.change(0);
    desk.change(1);
    desk.slot(0).arm(Some(Lift { at: 30, carried_out: true }));
    let mut second = run(&file);
    let mut told = Vec::new();
    while let Some(object) = second.next(SILENCE) {
        if object["error"]["code"] == "card.left" {
            desk.put_back();
            continue;
        }
        desk.change(desk.at(&object));
        told.push(object);
    }
    assert!(second.ended(SILENCE).success(), "{told:#?}");
    let mut found: BTreeMap<_, usize> = BTreeMap::new();
    for one in sets(&told) {
        *found.entry(one).or_default() += 1;
    }
    assert_eq!((found.len(), found.remove(&set)), (2, Some(1)), "{told:#?}");
    assert_eq!(told.iter().filter(|one| one["result"] == "resumed").count(), 1, "{told:#?}");
    let other = found.into_keys().next().expect("the other set");
    let count = |id: &str| {
        let tally = fs::read(stack.home().join(format!("pki/sets/{id}.json"))).expect("the tally");
        serde_json::from_slice::<Value>(&tally).expect("JSON")["cards"].as_array().map(Vec::len)
    };
    assert_eq!((count(&set), count(&other)), (Some(32), Some(2)));
    assert_eq!(desk.tokens().len(), 5);
}

case!(EachCard, private_tokens_through_the_server);
/// The server certifies between two visits, knows the token by its id, and says whose it is.
fn private_tokens_through_the_server(kind: &str) {
    let office = Office::without_tokens(2, "none");
    let stack = &office.stack;
    fs::write(stack.home().join("pki/start.key"), hex::encode(START_KEY)).expect("the start key");
    let of = kind.to_owned();
    let mut desk = batch::Desk::of(stack, 1, Box::new(move || Seen::blank(&of, Uid::Random, 0)));
    desk.fill();
    let mut run = stack.stream(&[&batch::arguments(&desk.rows(1))[..], &["--set-size", SIZE]].concat());
    let told = run.next(SILENCE).expect("an object");
    assert!(run.ended(SILENCE).success(), "{told}");
    assert!(told["set"].is_string() && told["result"] == "enrolled", "{told}");
    // The server has them where they were seen, until they are forgotten on both sides.
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.end();
    let here = || stack.ndjson(0, &["server", "presence"]);
    let [one] = &here()[..] else { panic!("one person: {:#?}", here()) };
    assert_eq!((&one["token_id"], &one["user"]["id"]), (&told["token_id"], &json!("u1")));
    let seen = stack.ndjson(0, &["scan", "--source", "server"]).remove(0);
    assert_eq!((&seen["token_id"], &seen["user"]["id"]), (&told["token_id"], &json!("u1")));
    assert_eq!((&seen["source"], &seen["authenticated"]["server"]), (&json!("server"), &json!("authenticated")));
    let forgotten = stack.ndjson(0, &["--yes", "users", "forget", "u1"]).remove(0);
    assert!(forgotten["removed"]["entries"] == 1 && stack.present().is_empty(), "{forgotten}");
    stack.ndjson(0, &["--yes", "server", "user", "forget", "u1"]);
    assert_eq!(here(), Vec::<Value>::new());
    let refused = stack.ndjson(77, &["scan", "--source", "server"]).remove(0);
    assert_eq!((&refused["error"]["code"], &refused["user"]), (&json!("token.revoked"), &Value::Null));
}

/// Refused unless it is accepted; the one that is accepted is p8.
fn gives_itself_away(desk: &Desk, kind: &str) {
    let size = ["--set-size", SIZE];
    let slot = desk.put(blank(kind, START_KEY));
    assert!(desk.refused(&size, "enroll.trackable").contains("does not report its UID"));
    desk.0.take(slot);

    let slot = desk.put(Seen::platform(blank(kind, TEST_KEY), Uid::Random, 9));
    desk.refused(&size, "enroll.test-keys-private");
    desk.0.take(slot);

    let slot = desk.put(Seen::blank(kind, Uid::Fixed, 8));
    let told = desk.refused(&size, "enroll.trackable");
    for trace in ["UID stays the same", "CPLC", "diversification data"] {
        assert!(told.contains(trace), "{trace}: {told}");
    }
    assert!(!told.contains("IIN"), "{told}");
    desk.enrolled("p8", &["--set-size", SIZE, "--accept-trackable"]);
    assert_eq!(desk.scan()["user"]["id"], "p8");
    desk.0.take(slot);
}

/// Written, blocked, unblocked and terminated like any other, under its own key.
fn changed(desk: &Desk, card: Box<dyn Card>) {
    let slot = desk.put(card);
    let change = |args: &[&str], result: &str, state: &str| {
        let reader = ["token", "--yes", "--reader", &desk.0.reader];
        let object = desk.0.stack.ndjson(0, &[&reader, args].concat()).remove(0);
        assert_eq!((&object["result"], &object["state"]), (&json!(result), &json!(state)), "{object}");
        object["token_id"].clone()
    };
    let id = desk.scan()["token_id"].clone();
    assert_eq!(change(&["write", "--id", "p1", "--name", "Ada King"], "done", "issued"), id);
    assert_eq!(desk.scan()["user"]["name"], "Ada King");
    assert_eq!(change(&["block", "--dry-run"], "planned", "issued"), id);
    assert_eq!(change(&["block"], "done", "blocked"), id);
    change(&["block"], "unchanged", "blocked");
    let refused = desk.0.stack.ndjson(77, &["scan", "--reader", &desk.0.reader]);
    assert_eq!(refused[0]["error"]["code"], "token.blocked");
    change(&["unblock"], "done", "issued");
    assert_eq!(desk.scan()["token_id"], id);
    change(&["terminate"], "done", "terminated");
    change(&["terminate"], "unchanged", "terminated");
    desk.0.take(slot);
}

/// Removed in the middle of the steps: the same card joins the same set, and is finished.
fn lifted(desk: &Desk, kind: &str, set: &str) {
    let slot = desk.put(Seen::blank(kind, Uid::Random, 3));
    slot.arm(Some(Lift { at: 30, carried_out: true }));
    assert_eq!(desk.enroll("p3", &["--set-size", SIZE]).expect(74).code(), "card.left");
    let slot = desk.put(desk.0.take(slot));
    let object = desk.enroll("p3", &["--set-size", SIZE]).expect(0).objects().remove(0);
    assert_eq!((&object["result"], &object["set"]), (&json!("resumed"), &json!(set)));
    let members = fs::read_to_string(desk.0.stack.home().join(format!("pki/sets/{set}.json"))).expect("the tally");
    let members: Value = serde_json::from_str(&members).expect("JSON");
    assert_eq!(members["cards"].as_array().map(Vec::len), Some(4), "p1, p2, p3 and p8 once each");
    assert_eq!(desk.scan()["user"]["id"], "p3");
    desk.0.take(slot);
}

/// A full set: if named it is rejected, otherwise another one is created.
fn full(desk: &Desk, kind: &str, set: &str) {
    let cards: Vec<_> = (0..32_u8).map(|number| hex::encode([number; 10])).collect();
    let tally = json!({ "size": 32, "cards": cards }).to_string();
    fs::write(desk.0.stack.home().join(format!("pki/sets/{set}.json")), tally).expect("the tally");
    let slot = desk.put(Seen::blank(kind, Uid::Random, 4));
    assert_eq!(desk.enroll("p4", &["--set", "0123456789abcdef"]).expect(2).code(), "pki.no-set");
    assert_eq!(desk.enroll("p4", &["--set", set]).expect(1).code(), "pki.set-full");
    let (_, other) = desk.enrolled("p4", &["--set-size", SIZE]);
    assert_ne!(other, set);
    desk.0.take(slot);
    let slot = desk.put(Seen::blank(kind, Uid::Random, 5));
    assert_eq!(desk.enrolled("p5", &["--set", &other]).1, other);
    assert_eq!(desk.scan()["user"]["id"], "p5");
    desk.0.take(slot);
}

/// `rollcall virtual-token` shows both kinds.
fn of_the_program(desk: &Desk) {
    for (uid, number) in [("fixed", 6), ("random", 7)] {
        let mut card = program(desk, uid);
        desk.0.wait(true);
        if uid == "fixed" {
            let told = desk.refused(&["--set-size", SIZE], "enroll.trackable");
            assert!(told.contains("UID stays the same") && told.contains("CPLC"), "{told}");
        } else {
            desk.enrolled(&format!("p{number}"), &["--set-size", SIZE]);
        }
        card.kill().and_then(|()| card.wait()).expect("the card");
        desk.0.wait(false);
    }
}

fn program(desk: &Desk, uid: &str) -> Child {
    let key = desk.0.stack.home().join("pki/start.key");
    let port = format!("127.0.0.1:{}", desk.0.port);
    let mut command = desk.0.stack.command("rollcall");
    command.args(["virtual-token", "--uid", uid, "--connect", &port]).arg("--start-key-file").arg(key);
    command.spawn().expect("rollcall starts")
}
