//! A batch file that is edited before its batch is complete.

use std::fs;

use serde_json::json;

use super::{Desk, SILENCE, arguments};
use crate::{slot::Lift, stack::Stack};

case!(EachCard, a_batch_whose_file_was_edited);
/// A typo is mended, a spreadsheet makes 7 of 007, and a row whose card is begun is deleted: each is told before the
/// first card, nobody gets a second one or somebody else's without a word, and the others go on.
fn a_batch_whose_file_was_edited(kind: &str) {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let mut desk = Desk::new(&stack, kind, 3);
    let file = stack.home().join("people.csv");
    let write = |rows: &[&str]| fs::write(&file, format!("id;name;room\r\n{}\r\n;;\r\n", rows.join("\r\n"))).unwrap();
    let run = |more: &[&str]| [&arguments(&file)[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let rollcall = |more: &[&str]| stack.rollcall(&run(more).iter().map(String::as_str).collect::<Vec<_>>());
    let stream = |more: &[&str]| stack.stream(&run(more).iter().map(String::as_str).collect::<Vec<_>>());

    write(&["007;Ada;B1", "8;Jürgen Mueler;B2", "9;Eve;B3", "10;Zoe;B4"]);
    assert_eq!(rollcall(&["--only", "11"]).expect(2).code(), "batch.no-such-row");
    for id in ["8", "007"] {
        desk.put(0);
        let mut batch = stream(&["--only", id]);
        assert_eq!(desk.serve(&mut batch)[0]["user"]["id"], id);
        assert!(batch.ended(SILENCE).success());
        desk.clear();
        desk.await_empty(0);
    }
    // The third card is removed for good during enrollment.
    desk.blank = 1;
    desk.put(0);
    desk.slots[&0].arm(Some(Lift { at: 15, carried_out: false }));
    let mut torn = stream(&["--max-failures", "1"]);
    assert_eq!(torn.next(SILENCE).expect("an object")["user"]["id"], "9");
    assert_eq!(torn.ended(SILENCE).code(), Some(1));
    let begun = desk.slots.remove(&0).unwrap().remove();
    desk.await_empty(0);

    write(&["7;Ada;B1", "8;Jürgen Müller;B2", "10;Zoe;B4"]);
    let dry = rollcall(&["--dry-run"]).expect(0);
    for said in [
        "done: 007 (Ada, room=B1) → perhaps 7 (Ada, room=B1)",
        "done: 8 (Jürgen Mueler, room=B2) → 8 (Jürgen Müller, room=B2)",
        "rollcall token write --name 'Jürgen Müller'",
        "begun: 9 (Eve, room=B3) → (no row)",
        "separated by semicolons; fields: room",
    ] {
        assert!(dry.stderr.contains(said), "{said}: {}", dry.stderr);
    }
    let asked = rollcall(&[]).expect(2);
    assert!(asked.code() == "confirm.needed" && asked.stderr.contains("perhaps 7 (Ada"), "{asked:?}");

    desk.insert(0, begun);
    let mut going_on = stream(&["--yes", "--only", "10"]);
    assert_eq!(going_on.next(SILENCE).expect("an object")["error"]["code"], "batch.row-gone");
    desk.blank = 1;
    desk.put(1);
    assert_eq!(going_on.next(SILENCE).expect("an object")["user"]["id"], "10");
    assert!(going_on.ended(SILENCE).success());

    // What the file does not know is given up, and the card is one like any other.
    desk.change(1);
    let begun = desk.slots.remove(&0).unwrap().remove();
    desk.await_empty(0);
    desk.insert(0, begun);
    let mut last = stream(&["--yes", "--abandon"]);
    assert_eq!(last.next(SILENCE).expect("an object")["user"]["id"], "7");
    assert!(last.ended(SILENCE).success());
    assert_eq!(stack.ndjson(0, &["token", "verify"])[0]["user"]["fields"], json!({"room": "B1"}));
    let told = &stack.ndjson(0, &run(&["--dry-run"]).iter().map(String::as_str).collect::<Vec<_>>())[0];
    assert_eq!((&told["done"], told["differences"].as_array().map(Vec::len)), (&json!(3), Some(1)), "{told}");

    // Under another name the file has another journal, so the register tells who may already have a card.
    fs::write(&file, "id;name\n010;Zoe\n11;Kim\n").unwrap();
    let other = stack.home().join("other.csv");
    fs::rename(&file, &other).unwrap();
    let other = other.to_str().unwrap();
    let said = "010 (perhaps 10) has a card already";
    let dry = stack.rollcall(&["enroll", "--from", other, "--dry-run"]).expect(0);
    assert!(dry.stderr.contains(said), "{dry:?}");
    let asked = stack.rollcall(&["enroll", "--from", other, "--timeout", "1s"]).expect(2);
    assert!(asked.code() == "confirm.needed" && asked.stderr.contains(said), "{asked:?}");
}
