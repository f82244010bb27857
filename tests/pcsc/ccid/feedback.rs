//! `[feedback]`: what the reader itself is sent after a tap.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    people::enrolled,
    signal,
    stack::{Stack, driver},
};

/// What programs have sent to the reader.
fn escapes(stack: &Stack) -> Value {
    serde_json::from_str::<Value>(&stack.reader(1, "stats")).unwrap()["escapes"].take()
}

case!(EachLevel, a_reader_shows_what_became_of_a_tap);
/// Where the driver passes it on; where it does not, that is told once, and each tap counts all the same.
fn a_reader_shows_what_became_of_a_tap() {
    let stack = enrolled(1, 1, "virtual");
    fs::write(stack.home().join("config.toml"), "[feedback]\n\"Rollcall\" = \"springcore\"\n").unwrap();
    match driver() {
        "ccid:apdu" => is_shown(&stack),
        "ccid:t1" => is_told(&stack),
        // As T=1, and each start takes a while.
        _ => {}
    }
}

fn is_shown(stack: &Stack) {
    assert_eq!(escapes(stack), serde_json::json!([]));
    let mut watch = stack.watch(&[]);
    let (admitted, refused) = ("589300C8", "58930320");
    let mut expected = Vec::new();
    for (kind, shown) in [("arrived", admitted), ("refused", refused)] {
        if kind == "refused" {
            stack.card("remove", 1);
            watch.event("left");
            stack.rollcall(&["users", "deny", "p1", "--yes"]).expect(0);
            stack.card("insert", 1);
        }
        watch.event(kind);
        expected.push(shown);
        assert!((0..1000).any(|_| escapes(stack) == serde_json::json!(expected)), "{kind}: {}", escapes(stack));
    }
    // The heartbeat goes on after it.
    let events = watch.end();
    assert!(events.iter().all(|event| event["event"] != "service_lost"), "{events:#?}");
}

fn is_told(stack: &Stack) {
    let mut command = stack.command("rollcall");
    command.args(["--output", "ndjson", "watch"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("no feedback at the reader")).expect("a warning");
    assert!(told.contains("the driver does not pass the command on"), "{told}");
    signal::send(watch.id(), "TERM");
    assert!(lines.all(|line| !line.contains("no feedback")));
    let stdout = std::io::read_to_string(watch.stdout.take().unwrap()).unwrap();
    assert!(stdout.contains("\"arrived\""), "{stdout}");
    assert_eq!(watch.wait().unwrap().code(), Some(143));
    assert_eq!(escapes(stack), serde_json::json!([]));
}
