//! Batch enrollment at several readers while somebody changes the cards, and sometimes removes one too soon, and the
//! program is killed again and again.

mod edited;
mod same_user;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    card::Card,
    client,
    lift::TEST_KEY,
    server::Office,
    slot::{Lift, Slot},
    stack::{Stack, Watch},
};

/// How long a batch may be silent while nobody changes anything.
pub const SILENCE: Duration = Duration::from_secs(30);

/// A desk: readers, blank cards, and those that are done.
pub struct Desk<'a> {
    stack: &'a Stack,
    make: Box<dyn Fn() -> Box<dyn Card>>,
    readers: Vec<String>,
    ports: Vec<String>,
    slots: BTreeMap<usize, Slot>,
    blank: usize,
    done: Vec<Box<dyn Card>>,
    /// The tokens that were told to be done.
    told: BTreeSet<String>,
}

impl<'a> Desk<'a> {
    pub fn new(stack: &'a Stack, kind: &str, blank: usize) -> Self {
        let kind = kind.to_owned();
        Self::of(stack, blank, Box::new(move || crate::card::blank(&kind, TEST_KEY)))
    }

    /// The blank cards are made so.
    pub fn of(stack: &'a Stack, blank: usize, make: Box<dyn Fn() -> Box<dyn Card>>) -> Self {
        let ports: Vec<_> = stack.variable("VPCD_PORTS").split(' ').map(str::to_owned).collect();
        let readers = stack.readers();
        assert_eq!(readers.len(), ports.len());
        Self { stack, make, readers, ports, slots: BTreeMap::new(), blank, done: Vec::new(), told: BTreeSet::new() }
    }

    pub fn rows(&self, count: usize) -> PathBuf {
        let file = self.stack.home().join("people.csv");
        let rows: Vec<_> = (1..=count).map(|n| format!("u{n},\"Müller, 山田 {n}\",B{n}\n")).collect();
        fs::write(&file, format!("\u{FEFF}id,name,room\n{}", rows.concat())).unwrap();
        file
    }

    /// Removes every card on the readers; they are no longer needed.
    fn clear(&mut self) {
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.remove();
        }
    }

    /// The next blank card into this reader, if there is one.
    fn put(&mut self, at: usize) {
        if self.blank > 0 {
            self.blank -= 1;
            self.insert(at, (self.make)());
        }
    }

    /// Inserts after the service has noticed the removal, or it would not see a new card.
    fn insert(&mut self, at: usize, card: Box<dyn Card>) {
        self.await_empty(at);
        self.slots.insert(at, Slot::insert(&self.ports[at], card));
    }

    fn await_empty(&self, at: usize) {
        let empty = |_: &_| self.stack.ndjson(0, &["readers", "--reader", &self.readers[at]])[0]["atr"].is_null();
        assert!((0..1000).any(|n: u32| empty(&n)), "the service never noticed that the card left");
        // A client that used the departing card lets the service notice before its own poll.
        self.stack.await_absence(at + 1);
    }

    /// A card into every reader.
    pub fn fill(&mut self) {
        for at in 0..self.ports.len() {
            self.put(at);
        }
    }

    /// The card in this reader.
    pub fn slot(&self, at: usize) -> &Slot {
        &self.slots[&at]
    }

    pub fn at(&self, told: &Value) -> usize {
        self.readers.iter().position(|reader| *reader == told["reader"]).expect("a reader of ours")
    }

    /// Replaces a finished card with the next one.
    pub fn change(&mut self, at: usize) {
        if let Some(slot) = self.slots.remove(&at) {
            self.done.push(slot.remove());
            self.put(at);
        }
    }

    /// Puts back removed cards.
    pub fn put_back(&mut self) {
        let lifted: Vec<_> = self.slots.iter().filter(|(_, slot)| slot.is_lifted()).map(|(at, _)| *at).collect();
        for at in lifted {
            let card = self.slots.remove(&at).unwrap().remove();
            self.insert(at, card);
        }
    }

    /// Lifts and puts back what lies there and the service takes for absent. That happens when a client is killed while
    /// its card is lifted and a card comes before the service polls again: it has noted the absence, and its poll has
    /// not.
    fn put_again(&mut self) {
        let states = self.stack.ndjson(0, &["readers"]);
        let unseen =
            |at: &usize| states.iter().any(|one| one["reader"] == self.readers[*at] && one["state"] == "empty");
        for at in self.slots.keys().copied().filter(unseen).collect::<Vec<_>>() {
            let card = self.slots.remove(&at).unwrap().remove();
            // There is no event to wait for: it is the poll, every 400 ms, that has to miss it.
            std::thread::sleep(Duration::from_secs(1));
            self.insert(at, card);
        }
    }

    /// Serves the program until it ends, as a patient operator does.
    pub fn serve(&mut self, batch: &mut Watch) -> Vec<Value> {
        let mut told = Vec::new();
        while let Some(object) = batch.next(SILENCE) {
            let at = self.at(&object);
            told.push(object);
            self.change(at);
        }
        told
    }

    /// The first reader.
    pub fn first(&self) -> &str {
        &self.readers[0]
    }

    /// Puts the card of this user on the first reader, whichever it is.
    pub fn show(&mut self, user: &str) {
        self.clear();
        for _ in 0..self.done.len() {
            let card = self.done.remove(0);
            self.insert(0, card);
            let told = self.stack.ndjson(0, &["scan", "--count", "1", "--timeout", "20s"]);
            if told.iter().any(|one| one["user"]["id"] == user) {
                return;
            }
            self.hide();
        }
        panic!("no card is that of {user}");
    }

    /// Takes it away.
    pub fn hide(&mut self) {
        let slot = self.slots.remove(&0).expect("a card");
        self.done.push(slot.remove());
        self.await_empty(0);
    }

    /// Taps every card that is done: the token of each user.
    pub fn tokens(&mut self) -> BTreeMap<String, Value> {
        self.clear();
        let mut found = BTreeMap::new();
        let mut cards = std::mem::take(&mut self.done).into_iter().peekable();
        while cards.peek().is_some() {
            self.await_empty(0);
            let slot = Slot::insert(&self.ports[0], cards.next().unwrap());
            let told = self.stack.ndjson(0, &["scan", "--source", "card", "--count", "1", "--timeout", "20s"]);
            // A card just removed elsewhere may be reported too.
            let token = told.iter().find(|one| one["user"].is_object()).expect("a token");
            let user = &token["user"];
            let before = found.insert(user["id"].as_str().unwrap().to_owned(), token["token_id"].clone());
            assert_eq!(before, None, "{user} has two cards");
            assert!(user["name"].as_str().unwrap().starts_with("Müller, 山田 "), "{user}");
            slot.remove();
        }
        found
    }
}

pub fn arguments(file: &std::path::Path) -> [&str; 3] {
    ["enroll", "--from", file.to_str().unwrap()]
}

fn ids(count: usize) -> BTreeSet<String> {
    (1..=count).map(|n| format!("u{n}")).collect()
}

case!(EachCard, a_batch_of_cards);
fn a_batch_of_cards(kind: &str) {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let mut desk = Desk::new(&stack, kind, 5);
    let file = desk.rows(5);
    let dry = stack.ndjson(0, &[&arguments(&file)[..], &["--dry-run"]].concat());
    let journal = file.with_extension("csv.journal");
    let state = |done: u64, free: u64, dry_run: bool| {
        json!({"schema": "rollcall.batch/1", "rows": 5, "done": done, "begun": 0, "free": free,
               "journal": journal.to_str(), "dry_run": dry_run})
    };
    assert_eq!((dry.as_slice(), journal.exists()), ([state(0, 5, true)].as_slice(), false));

    desk.fill();
    let mut batch = stack.stream(&arguments(&file));
    let told = desk.serve(&mut batch);
    assert!(batch.ended(SILENCE).success(), "{told:#?}");
    let users: BTreeSet<_> = told.iter().map(|one| one["user"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((told.len(), users), (5, ids(5)), "{told:#?}");
    assert!(told.iter().all(|one| one["result"] == "enrolled" && one["error"].is_null()), "{told:#?}");
    assert_eq!(stack.ndjson(0, &[&arguments(&file)[..], &["--dry-run"]].concat()), [state(5, 0, true)]);
    stack.rollcall(&arguments(&file)).expect(0);

    // A row more, a card of this batch, and one of nobody: told, and neither is a failure.
    let text = fs::read_to_string(&file).unwrap() + "u6,\"Müller, 山田 6\",\n";
    fs::write(&file, text).unwrap();
    desk.await_empty(0);
    desk.await_empty(1);
    let mut again = stack.stream(&[&arguments(&file)[..], &["--max-failures", "1"]].concat());
    let slot = Slot::insert(&desk.ports[0], desk.done.remove(0));
    let told = again.next(SILENCE).expect("an object");
    assert_eq!(told["error"]["code"], "batch.done-already", "{told}");
    desk.done.push(slot.remove());
    desk.blank = 1;
    desk.put(1);
    assert_eq!(again.next(SILENCE).expect("an object")["user"]["id"], "u6");
    assert!(again.ended(SILENCE).success());
    desk.change(1);
    // A client that we did not write opens a channel on one of them.
    let last = desk.done.pop().unwrap();
    desk.await_empty(0);
    let slot = Slot::insert(&desk.ports[0], last);
    let scanned = stack.ndjson(0, &["scan", "--count", "1", "--timeout", "20s"]);
    // A card just removed elsewhere may be reported too.
    let scanned = scanned.iter().find_map(|one| one["user"]["id"].as_str()).expect("a token");
    client::opens(&stack, scanned);
    desk.done.push(slot.remove());
    let found = desk.tokens();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), ids(6));
    assert_eq!(fs::read_dir(stack.home().join("enrollments")).unwrap().count(), 0);
}

case!(EachCard, a_batch_through_the_server);
/// The server learns of each token once, and what is left at the end is reported.
fn a_batch_through_the_server(kind: &str) {
    let office = Office::without_tokens(2, "none");
    let stack = &office.stack;
    let mut desk = Desk::new(stack, kind, 3);
    let file = desk.rows(4);
    desk.fill();
    let mut batch = stack.stream(&[&arguments(&file)[..], &["--timeout", "2s"]].concat());
    let told = desk.serve(&mut batch);
    assert_eq!((told.len(), batch.ended(SILENCE).code()), (3, Some(1)), "{told:#?}");
    let known: BTreeSet<_> =
        stack.ndjson(0, &["server", "token", "list"]).iter().map(|token| token["token_id"].to_string()).collect();
    let told: BTreeSet<_> = told.iter().map(|one| one["token_id"].to_string()).collect();
    assert_eq!((known.len(), &known), (3, &told));

    // The last row's card is removed for good in the second visit, when the server knows it: the row is given up, its
    // token revoked, and a new card takes its place.
    desk.blank = 1;
    desk.put(0);
    desk.slots[&0].arm(Some(Lift { at: 15, carried_out: false }));
    let mut torn = stack.stream(&[&arguments(&file)[..], &["--max-failures", "1"]].concat());
    let told = torn.next(SILENCE).expect("an object");
    assert_eq!((&told["error"]["code"], &told["user"]["id"]), (&json!("card.left"), &json!("u4")), "{told}");
    assert_eq!(torn.ended(SILENCE).code(), Some(1));
    desk.clear();
    desk.await_empty(0);
    desk.blank = 1;
    desk.put(1);
    let left = stack.rollcall(&[&arguments(&file)[..], &["--timeout", "2s"]].concat()).expect(1);
    assert!(left.stderr.contains("1 of 4 rows left, 1 of them begun"), "{left:?}");
    desk.blank = 1;
    desk.clear();
    desk.put(1);
    assert_eq!(stack.rollcall(&[&arguments(&file)[..], &["--abandon"]].concat()).expect(2).code(), "confirm.needed");
    let mut last = stack.stream(&[&arguments(&file)[..], &["--abandon", "--yes"]].concat());
    let told = last.next(SILENCE).expect("an object");
    assert_eq!((&told["result"], &told["user"]["id"]), (&json!("enrolled"), &json!("u4")), "{told}");
    assert!(last.ended(SILENCE).success());
    let known = stack.ndjson(0, &["server", "token", "list"]);
    let of_u4: BTreeSet<_> =
        known.iter().filter(|t| t["user_id"] == "u4").map(|t| t["status"].as_str().unwrap()).collect();
    assert_eq!(of_u4, BTreeSet::from(["active", "revoked"]), "{known:#?}");
}

/// What is done to a batch.
struct Trouble {
    rows: usize,
    readers: usize,
    /// How often the program is killed.
    kills: usize,
    /// How often a card is lifted.
    lifts: usize,
}

impl Trouble {
    /// What a machine with few cores does in a minute; `scripts/bench --batch` asks for more with
    /// `ROLLCALL_TEST_BATCH`.
    fn of(kind: &str) -> Self {
        if std::env::var_os("ROLLCALL_TEST_BATCH").is_some() {
            return Self { rows: 1000, readers: 8, kills: 50, lifts: 50 };
        }
        match kind {
            "applet" => Self { rows: 20, readers: 4, kills: 5, lifts: 5 },
            _ => Self { rows: 40, readers: 4, kills: 10, lifts: 10 },
        }
    }
}

case!(EachCard, a_batch_killed_and_torn);
fn a_batch_killed_and_torn(kind: &str) {
    let trouble = Trouble::of(kind);
    let started = std::time::Instant::now();
    let Trouble { rows, readers, .. } = trouble;
    let office = Office::without_tokens(readers, "none");
    let stack = &office.stack;
    let mut desk = Desk::new(stack, kind, rows);
    let file = desk.rows(rows);
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut kills, mut lifts, mut quiet) = (0, 0, 0);
    let journal = file.with_extension("csv.journal");
    // Over the greater part of the rows.
    let (spread, rare) = ((rows * 6 / 5 / trouble.kills).max(2) as u64, (rows / trouble.lifts / 2).max(1) as u64);
    desk.fill();
    for run in 0.. {
        assert!(run < 10 * trouble.kills + 100, "it does not come to an end");
        let mut batch = stack.stream(&[&arguments(&file)[..], &["--max-failures", "1000"]].concat());
        // After so many objects and then so many milliseconds it is killed; late in the test it is left alone.
        let (mut patience, pause) = (random.below(spread), Duration::from_millis(random.below(120)));
        let doomed = kills < trouble.kills;
        loop {
            if doomed && patience == 0 {
                if let Some(object) = batch.next(pause) {
                    let at = desk.at(&object);
                    settle(&mut desk, at, &object);
                }
                drop(batch); // SIGKILL
                kills += 1;
                break;
            }
            let Some(object) = batch.next(Duration::from_millis(300)) else {
                quiet += 1;
                assert!(quiet < 400, "it waits for a card that nobody has: {}", fs::read_to_string(&journal).unwrap());
                desk.put_back();
                if quiet % 10 == 0 {
                    desk.put_again();
                }
                if let Some(status) = batch.process.try_wait().unwrap() {
                    assert!(status.success(), "{status:?}");
                    finish(&mut desk, &office, rows);
                    assert_eq!((kills, lifts), (trouble.kills, trouble.lifts), "too few rows for them");
                    let seconds = started.elapsed().as_secs();
                    println!("{rows} rows of {kind} cards, {kills} kills, {lifts} lifts: as undisturbed, {seconds} s");
                    return;
                }
                continue;
            };
            patience = patience.saturating_sub(1);
            quiet = 0;
            let at = desk.at(&object);
            settle(&mut desk, at, &object);
            let torn = lifts < trouble.lifts && random.below(rare) == 0;
            if let Some(slot) = desk.slots.get(&at).filter(|_| torn) {
                let at = usize::try_from(random.below(60)).unwrap() + 1;
                slot.arm(Some(Lift { at, carried_out: random.below(2) == 0 }));
                lifts += 1;
            }
        }
        desk.put_back();
    }
}

/// A card that is done is changed, once; one that left comes back.
fn settle(desk: &mut Desk<'_>, at: usize, object: &Value) {
    match object["error"]["code"].as_str() {
        // A card that was met twice before the operator had changed it: another lies there now.
        Some("batch.done-already") if desk.told.contains(&object["token_id"].to_string()) => {}
        None | Some("batch.done-already") => {
            desk.told.insert(object["token_id"].to_string());
            desk.change(at);
        }
        Some("card.left" | "token.mute") => desk.put_back(),
        Some(other) => panic!("{other}: {object:#}"),
    }
}

/// The same as an undisturbed run: every row has one card, and the server knows just these tokens.
fn finish(desk: &mut Desk<'_>, office: &Office, rows: usize) {
    let left: Vec<_> = desk.slots.keys().copied().collect();
    for at in left {
        desk.change(at);
    }
    let found = desk.tokens();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), ids(rows));
    let known: BTreeMap<_, _> = office
        .stack
        .ndjson(0, &["server", "token", "list"])
        .iter()
        .map(|token| (token["user_id"].as_str().unwrap().to_owned(), token["token_id"].clone()))
        .collect();
    assert_eq!(known, found);
    assert_eq!(office.stack.ndjson(0, &["server", "token", "list"]).len(), rows, "each token once");
    let of = |card: &Value| (card["user"]["id"].as_str().unwrap().to_owned(), card["token_id"].clone());
    let registered: BTreeMap<_, _> = office.stack.ndjson(0, &["token", "list"]).iter().map(of).collect();
    assert_eq!(registered, found, "the register of this terminal");
}

/// Numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
