//! The CA is rotated, and the tokens with it.

use serde_json::{Value, json};

use crate::{cases::enrolled, stack::Stack};

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

pub fn of_a_fleet(card: &str) {
    let stack = enrolled(4, 2, card);
    let readers = stack.readers();
    stack.card("remove", 4);
    assert_eq!(users(&stack, 1), ["p1", "p2"]);
    assert_eq!(stack.rollcall(&["token", "rotate", "--reader", &readers[0]]).expect(1).code(), "pki.no-rotation");
    assert_eq!(stack.rollcall(&["pki", "rotate-ca"]).expect(2).code(), "confirm.needed");
    // A terminal that does not know of the rotation.
    let apart = stack.home().join("apart");
    std::fs::create_dir(&apart).unwrap();
    assert!(stack.command("cp").arg("-a").args([stack.home().join("pki"), apart.clone()]).status().unwrap().success());
    stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(0);
    assert_eq!(stack.rollcall(&["pki", "rotate-ca", "--yes"]).expect(77).code(), "pki.rotation-under-way");

    // Tokens of either CA are let in.
    let p3 = ["enroll", "--reader", &readers[2], "--id", "p3", "--name", "José Núñez"];
    assert_eq!(stack.ndjson(0, &p3)[0]["result"], "enrolled");
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
    let state = stack.ndjson(0, &["token", "rotate", "--all", "--dry-run"]);
    let left = state[0]["left"].as_array().unwrap().len();
    assert_eq!((&state[0]["tokens"], &state[0]["done"], left), (&json!(2), &json!(0), 2));

    let one = ["token", "rotate", "--reader", &readers[0]];
    assert_eq!(outcome(&stack.ndjson(0, &[&one[..], &["--dry-run"]].concat())[0]), ("planned", "-"));
    assert_eq!(stack.rollcall(&one).expect(2).code(), "confirm.needed");
    assert_eq!(outcome(&stack.ndjson(0, &[&["--yes"], &one[..]].concat())[0]), ("done", "-"));
    assert_eq!(outcome(&stack.ndjson(0, &one)[0]), ("unchanged", "-"));
    assert_eq!(users(&stack, 0), ["p1", "p2", "p3"]);
    // Whoever knows the old CA only sees a stranger in the token that has moved, and the other one as before.
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
