//! Rotating the CA, and the tokens with it.

use std::path::{Path, PathBuf};

use rollcall::{
    crypto::random::SystemRandom,
    pki::{ClockCheck, PkiDir},
};
use serde_json::{Value, json};

use crate::{people::enrolled, server::Office, stack::Stack};

fn users(stack: &Stack, status: i32) -> Vec<String> {
    let mut ids: Vec<_> = stack
        .ndjson(status, &["scan"])
        .iter()
        .filter_map(|token| token["user"]["id"].as_str().map(str::to_owned))
        .collect();
    ids.sort();
    ids
}

fn outcome(object: &Value) -> (&str, &str) {
    let text = |value: &'_ Value| value.as_str().unwrap_or("-").to_owned().leak() as &str;
    (text(&object["result"]), text(&object["error"]["code"]))
}

/// The faults that doctor reports.
fn faults(stack: &Stack) -> Vec<Value> {
    let found = stack.ndjson(0, &["doctor"]);
    found.into_iter().filter(|one| one["severity"] == "fault").collect()
}

case!(EachDriver, the_ca_of_a_fleet_is_rotated);
fn the_ca_of_a_fleet_is_rotated(card: &str) {
    let stack = enrolled(4, 2, card);
    let readers = stack.readers();
    stack.card("remove", 4);
    assert_eq!(users(&stack, 1), ["p1", "p2"]);
    assert_eq!(stack.rollcall(&["token", "rotate", "--reader", &readers[0]]).expect(1).code(), "pki.no-rotation");
    assert_eq!(stack.rollcall(&["pki", "rotate-ca"]).expect(2).code(), "confirm.needed");
    // A terminal that has not heard of the rotation.
    let apart = stack.home().join("apart");
    std::fs::create_dir(&apart).unwrap();
    assert!(stack.command("cp").arg("-a").args([stack.home().join("pki"), apart.clone()]).status().unwrap().success());
    stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(0);
    assert_eq!(stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(77).code(), "pki.rotation-under-way");

    // Tokens of either CA are let in, and nothing is wrong with them.
    assert_eq!(faults(&stack), Vec::<Value>::new());
    let p3 = ["enroll", "--reader", &readers[2], "--id", "p3", "--name", "José Núñez"];
    assert_eq!(stack.ndjson(0, &p3)[0]["result"], "enrolled");
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
    let state = stack.ndjson(0, &["token", "rotate", "--all", "--dry-run"]);
    let left = state[0]["left"].as_array().unwrap().len();
    assert_eq!((&state[0]["tokens"], &state[0]["done"], left), (&json!(2), &json!(0), 2));

    let one = ["token", "rotate", "--reader", &readers[0]];
    assert_eq!(outcome(&stack.ndjson(0, &[&one[..], &["--dry-run"]].concat())[0]), ("planned", "-"));
    assert_eq!(stack.rollcall(&one).expect(2).code(), "confirm.needed");
    let changed = || -> Vec<Value> {
        let mut cards = stack.ndjson(0, &["token", "list"]);
        cards.iter_mut().map(|card| card["changed"].take()).collect()
    };
    let before = changed();
    assert_eq!(outcome(&stack.ndjson(0, &[&["--yes"], &one[..]].concat())[0]), ("done", "-"));
    // The register has the date of the card that was moved.
    let after = changed();
    assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 1, "{before:?} {after:?}");
    assert_eq!(outcome(&stack.ndjson(0, &one)[0]), ("unchanged", "-"));
    assert_eq!(changed(), after);
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
    // A terminal that knows only the old CA treats the moved token as unknown, and the other one as before.
    let mut strange = stack.command("rollcall");
    strange.env("ROLLCALL_HOME", &apart).args(["scan", "--output", "ndjson"]);
    let told = String::from_utf8(strange.output().unwrap().stdout).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |reader: &str| told.iter().find(|token| token["reader"] == reader).unwrap();
    assert_eq!(outcome(of(&readers[0])).1, "token.other-authority");
    assert_eq!(of(&readers[1])["user"]["id"], "p2");

    // The rest of the fleet. What lies there has been moved, is blank, or is done now.
    assert_eq!(stack.rollcall(&["token", "rotate", "--all"]).expect(2).code(), "confirm.needed");
    stack.card("remove", 2);
    let fleet = ["token", "rotate", "--all", "--yes", "--timeout", "1s"];
    let told = stack.ndjson(1, &fleet);
    assert_eq!(told.iter().map(outcome).collect::<Vec<_>>(), [("unchanged", "-"), ("unchanged", "-")]);
    stack.card("insert", 2);
    let told = stack.ndjson(0, &fleet);
    assert!(told.iter().any(|one| one["reader"] == *readers[1] && one["result"] == "done"), "{told:?}");
    assert_eq!(stack.ndjson(0, &["token", "rotate", "--all", "--dry-run"])[0]["done"], 2);
    assert_eq!(stack.ndjson(0, &fleet), Vec::<Value>::new());

    assert_eq!(stack.rollcall(&["pki", "rotate-ca", "--finish"]).expect(2).code(), "confirm.needed");
    stack.rollcall(&["pki", "rotate-ca", "--finish", "--yes"]).expect(0);
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
    // And again, so that both key numbers have been used.
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = stack.watch(&[]);
    (0..3).for_each(|_| drop(watch.event("arrived")));
    stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(0);
    stack.ndjson(0, &fleet);
    // A watch that ran all the while knows both, too.
    for slot in 1..=2 {
        stack.card("remove", slot);
        stack.card("insert", slot);
        watch.event("arrived");
    }
    assert!(watch.end().iter().all(|event| event["event"] != "refused"));
    stack.rollcall(&["pki", "rotate-ca", "--finish", "--yes"]).expect(0);
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
}

/// The second terminal of the test, and the first.
struct Terminals {
    office: Office,
    first: PathBuf,
    door: PathBuf,
}

impl Terminals {
    fn at(&mut self, folder: &Path) -> &Stack {
        self.office.stack.at_home(folder);
        &self.office.stack
    }

    /// Who is let in at a terminal, by the word of the server and by proofs that it has checked.
    fn scan(&mut self, folder: &Path, status: i32) -> Vec<String> {
        let stack = self.at(folder);
        let told = stack.ndjson(status, &["scan", "--source", "server"]);
        let good = told.iter().filter(|one| one["authenticated"]["server"] == "authenticated");
        let mut ids: Vec<_> = good.map(|one| one["user"]["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    }

    /// The server checks once a second whether its CA has changed; until then it rejects this terminal as unknown.
    fn await_server(&mut self) {
        let first = self.first.clone();
        let stack = self.at(&first);
        let known = |_: &u32| stack.rollcall(&["server", "token", "list"]).status == 0;
        assert!((0..200).any(|n| known(&n)), "the server never took the rotation up");
    }

    fn import(&mut self, name: &str) -> PathBuf {
        let (first, folder) = (self.first.clone(), self.first.join(name));
        let bundle = first.join(format!("{name}.json"));
        let bundle = bundle.to_str().expect("a name");
        self.at(&first).rollcall(&["pki", "issue", "terminal", name, "--out", bundle]).expect(0);
        self.at(&folder).rollcall(&["pki", "import", bundle]).expect(0);
        folder
    }
}

case!(EachCard, the_ca_of_a_server_is_rotated);
/// The server and its terminals follow, each in its own time, and nobody is turned away meanwhile.
fn the_ca_of_a_server_is_rotated(card: &str) {
    let office = Office::new(2, card);
    let readers = office.stack.readers();
    let (first, door) = (office.stack.home(), office.stack.home().join("door"));
    let mut all = Terminals { office, first: first.clone(), door: door.clone() };
    assert_eq!(all.import("door"), all.door);
    let side = all.import("side");
    assert_eq!(all.scan(&door, 0), ["p1", "p2"]);

    all.at(&first).rollcall(&["pki", "rotate-ca", "--yes"]).expect(0);
    assert_eq!(all.at(&first).rollcall(&["pki", "rotate-ca", "--yes"]).expect(77).code(), "pki.rotation-under-way");
    all.await_server();
    assert_eq!(all.scan(&first, 0), ["p1", "p2"]);
    // A terminal that has not heard of it continues as before, until a token is moved.
    assert_eq!(all.scan(&door, 0), ["p1", "p2"]);
    let told = all.at(&first).ndjson(0, &["--yes", "token", "rotate", "--reader", &readers[0]]);
    assert_eq!(outcome(&told[0]), ("done", "-"));
    assert_eq!(all.scan(&door, 1), ["p2"]);
    assert_eq!(all.scan(&side, 1), ["p2"]);
    let renewed = all.at(&side).rollcall(&["pki", "renew"]).expect(0);
    assert!(renewed.stderr.contains("another CA is replacing the one here"), "{renewed:#?}");
    assert_eq!(all.scan(&side, 0), ["p1", "p2"]);
    // A watch asks the server about the unknown token, and admits it.
    all.at(&door).rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = all.at(&door).watch(&[]);
    let mut came: Vec<_> = (0..2).map(|_| watch.event("arrived")["user"]["id"].clone()).collect();
    came.sort_by_key(ToString::to_string);
    assert_eq!(came, ["p1", "p2"]);
    assert!(watch.end().iter().all(|event| event["event"] != "refused"));
    assert_eq!(all.scan(&door, 0), ["p1", "p2"]);
    // Who is set up now knows both; so does who was switched off: here is what he has.
    let late = all.import("late");
    assert_eq!(all.scan(&late, 0), ["p1", "p2"]);
    let asleep = first.join("asleep");
    std::fs::create_dir(&asleep).unwrap();
    for name in ["pki", "config.toml"] {
        let copied = all.office.stack.command("cp").arg("-a").args([late.join(name), asleep.clone()]).status();
        assert!(copied.unwrap().success());
    }
    let fleet = ["token", "rotate", "--all", "--yes", "--timeout", "20s"];
    all.at(&first).ndjson(0, &fleet);
    all.at(&first).rollcall(&["pki", "rotate-ca", "--finish", "--yes"]).expect(0);
    all.await_server();
    for folder in [&first, &door, &side, &late] {
        assert_eq!(all.scan(folder, 0), ["p1", "p2"]);
    }
    let renewed = all.at(&door).rollcall(&["pki", "renew"]).expect(0);
    assert!(renewed.stderr.contains("no longer trusted"), "{renewed:#?}");
    assert_eq!(all.scan(&door, 0), ["p1", "p2"]);

    // Again, killed between the folder and the store: the server completes both, and so does the next command.
    all.office.kill();
    let (home, now) = (PkiDir::new(first.join("pki")), jiff::Timestamp::now());
    home.begin_rotation(&[], ClockCheck::Enforced, now, &mut SystemRandom).unwrap();
    all.at(&first);
    all.office.start();
    all.office.configure("");
    let stack = all.at(&first);
    // This terminal has other keys now, which nobody has told the server.
    assert_eq!(stack.rollcall(&["server", "token", "list"]).expect(77).code(), "server.refused");
    assert_eq!(stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(77).code(), "pki.rotation-under-way");
    all.await_server();
    all.at(&first).ndjson(0, &fleet);
    all.at(&first).rollcall(&["pki", "rotate-ca", "--finish", "--yes"]).expect(0);
    all.await_server();
    assert_eq!(all.scan(&first, 0), ["p1", "p2"]);
    // A terminal that missed the whole rotation knows neither the server nor the tokens, and is told so.
    let lost = all.at(&asleep).rollcall(&["scan", "--source", "server"]).expect(77);
    assert!(lost.stderr.contains("server.certificate") && lost.stdout.contains("token.other-authority"), "{lost:#?}");
    all.at(&first).rollcall(&["server", "audit", "verify"]).expect(0);
}
