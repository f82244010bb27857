//! A lost card, and its replacement.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{people::enrolled, server::Office, stack::Stack};

fn arguments<'a>(reader: &'a str, replace: &'a str) -> [&'a str; 8] {
    ["enroll", "--reader", reader, "--id", "p1", "--name", "Ada Lovelace", replace]
}

fn token_at(stack: &Stack, reader: &str, status: i32) -> Value {
    stack.ndjson(status, &["scan", "--reader", reader])[0].clone()
}

case!(EachCard, a_lost_card_is_replaced_here);
/// Without a server this terminal refuses the lost one.
fn a_lost_card_is_replaced_here(kind: &str) {
    let stack = enrolled(4, 1, kind);
    let readers = stack.readers();
    let stranger = ["enroll", "--reader", &readers[1], "--id", "p9", "--name", "Zoë", "--replace"];
    assert_eq!(stack.rollcall(&stranger).expect(1).code(), "enroll.nothing-to-replace");
    // It was issued here, but never scanned.
    let lost = stack.ndjson(0, &["token", "list"])[0]["token_id"].clone();
    assert_eq!(stack.rollcall(&arguments(&readers[1], "")[..7]).expect(2).code(), "confirm.needed", "a second card");
    assert_eq!(stack.rollcall(&arguments(&readers[1], "--replace")).expect(2).code(), "confirm.needed");
    assert_eq!(token_at(&stack, &readers[0], 0)["user"]["id"], "p1", "nothing was done");
    let planned = stack.rollcall(&[&arguments(&readers[1], "")[..7], &["--dry-run"]].concat()).expect(0);
    assert!(planned.stderr.contains("p1 has the token"), "{planned:#?}");
    // What this terminal knows about the user is also written to the new card.
    stack.rollcall(&["token", "write", "--yes", "--reader", &readers[0], "--field", "room=B17"]).expect(0);
    let made = stack.ndjson(0, &["--yes", "enroll", "--reader", &readers[1], "--id", "p1", "--replace"]);
    assert_eq!((&made[0]["result"], made[0]["token_id"] == lost), (&json!("replaced"), false));
    let user = &made[0]["user"];
    assert_eq!((&user["name"], &user["fields"]["room"]), (&json!("Ada Lovelace"), &json!("B17")));
    let register = || -> Vec<_> {
        let cards = stack.ndjson(0, &["token", "list", "--user", "ada lovelace"]);
        cards.iter().map(|card| card["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(register(), ["issued", "replaced"]);
    assert_eq!(token_at(&stack, &readers[0], 77)["error"]["code"], "token.denied");
    assert_eq!(token_at(&stack, &readers[1], 0)["token_id"], made[0]["token_id"]);
    assert_eq!(stack.present(), ["p1"]);

    // A user with two tokens: it has to be said which.
    let second = stack.ndjson(0, &arguments(&readers[2], "--second-card"));
    token_at(&stack, &readers[2], 0);
    let several = stack.rollcall(&arguments(&readers[3], "--replace")).expect(2);
    assert_eq!(several.code(), "enroll.replace-ambiguous");
    let named = format!("--replace={}", second[0]["token_id"].as_str().unwrap());
    stack.rollcall(&[&["--yes"], &arguments(&readers[3], &named)[..]].concat()).expect(0);
    assert_eq!(token_at(&stack, &readers[2], 77)["error"]["code"], "token.denied");
    assert_eq!(token_at(&stack, &readers[1], 0)["user"]["id"], "p1", "the other one was not meant");
    stack.rollcall(&["--yes", "token", "block", "--reader", &readers[1]]).expect(0);
    assert_eq!(register(), ["issued", "replaced", "blocked", "replaced"]);
    stack.rollcall(&["--yes", "token", "terminate", "--reader", &readers[1]]).expect(0);
    assert_eq!(register()[2], "terminated");

    // A batch asks before its first card.
    let people = stack.home().join("people.csv");
    std::fs::write(&people, "id,name\np1,Ada Lovelace\n").unwrap();
    let batch = ["enroll", "--from", people.to_str().unwrap(), "--timeout", "1s"];
    let asked = stack.rollcall(&batch).expect(2);
    assert!(asked.code() == "confirm.needed" && asked.stderr.contains("p1 has a card already"), "{asked:#?}");
    let told = stack.rollcall(&[&batch[..], &["--second-card"]].concat());
    assert_ne!(told.code(), "confirm.needed");
}

case!(EachCard, a_lost_card_is_replaced_at_the_server);
/// With a server the lost one is revoked in the step in which the new one is registered, also when that was
/// interrupted.
fn a_lost_card_is_replaced_at_the_server(kind: &str) {
    let office = Office::without_tokens(2, kind);
    let stack = &office.stack;
    let readers = stack.readers();
    stack.rollcall(&arguments(&readers[0], "")[..7]).expect(0);
    let args = arguments(&readers[1], "--replace");
    // Killed when it asks whether the lost one is meant, nothing has happened; later it goes on without being asked.
    assert_eq!(stack.rollcall(&args).expect(2).code(), "confirm.needed");
    let mut run = stack.command("rollcall").arg("--yes").args(args).spawn().unwrap();
    // A hidden file is an unfinished entry.
    let has_begun = || {
        let entries = std::fs::read_dir(stack.home().join("enrollments")).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
    };
    while !has_begun() && run.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(has_begun(), "it was killed in the middle");
    assert_eq!(stack.ndjson(0, &args)[0]["result"], "replaced");
    let known = stack.ndjson(0, &["server", "token", "list"]);
    let of_p1: BTreeSet<_> = known.iter().map(|token| token["status"].as_str().unwrap()).collect();
    assert_eq!((known.len(), of_p1), (2, BTreeSet::from(["active", "revoked"])));
    assert_eq!(token_at(stack, &readers[0], 77)["error"]["code"], "token.revoked");
    assert_eq!(token_at(stack, &readers[1], 0)["authenticated"]["server"], "authenticated");
}
