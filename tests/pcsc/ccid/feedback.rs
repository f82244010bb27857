//! `[feedback]`: the commands sent to the reader itself after a tap.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    people::enrolled,
    signal,
    stack::{Stack, driver},
};

/// What an emulated reader counts.
fn stats(stack: &Stack) -> Value {
    serde_json::from_str(&stack.reader(1, "stats")).unwrap()
}

/// A token, and a reader of this model. No heartbeat comes between: the card has only the commands of taps.
fn lit(model: &str) -> Stack {
    let stack = enrolled(1, 1, "virtual");
    let config = format!("heartbeat = \"10m\"\n[feedback]\n\"Rollcall\" = \"{model}\"\n");
    fs::write(stack.home().join("config.toml"), config).unwrap();
    stack
}

case!(EachLevel, a_reader_shows_what_became_of_a_tap);
/// By escapes, where the driver passes them on; where it does not, that is told once, and each tap counts all the same.
fn a_reader_shows_what_became_of_a_tap() {
    let stack = lit("springcore");
    if driver() == "ccid:apdu" {
        is_shown(&stack, "escapes", [&["589300C8"], &["58930320"]]);
    } else {
        is_told(&stack);
    }
}

case!(EachLevel, a_reader_shows_it_over_the_card);
/// By pseudo-APDUs over the connection to the card: every driver passes them on, and the reader keeps them.
fn a_reader_shows_it_over_the_card() {
    let stack = lit("acr122u");
    stack.reader(1, "ff=reader");
    is_shown(&stack, "pseudo_apdus", [&["FF0040A00402010101"], &["FF0040500401010301"]]);
}

case!(EachLevel, a_reader_gets_its_lights_back);
/// Lights that stay as they are set are given back to the reader after a while.
fn a_reader_gets_its_lights_back() {
    let stack = lit("springcard-h663");
    stack.reader(1, "ff=reader");
    let admitted = ["FFF00000031E0001", "FFF00000031C00C8", "FFF00000031E0303"];
    let refused = ["FFF00000031E0100", "FFF00000031C0320", "FFF00000031E0303"];
    is_shown(&stack, "pseudo_apdus", [&admitted, &refused]);
}

case!(EachLevel, a_reader_asks_to_hold_a_card_longer);
/// A card that was lifted within its tap: nothing lies there, so that it goes by escape, which one level alone passes on.
fn a_reader_asks_to_hold_a_card_longer() {
    if driver() != "ccid:apdu" {
        return;
    }
    for (model, answer, shown) in [
        ("springcore", "00", &["58930032"][..]),
        ("acr122u", "9000", &["FF0040F00401010201"]),
        ("springcard-h663", "00", &["581E0404", "581C0064", "581E0303"]),
    ] {
        let stack = lit(model);
        stack.reader(1, &format!("escape={answer}"));
        stack.card("remove", 1);
        let mut watch = stack.watch(&[]);
        watch.event("reader_added");
        stack.reader(1, "lift 3");
        stack.card("insert", 1);
        assert!((0..1000).any(|_| stats(&stack)["escapes"] == json!(shown)), "{model}: {}", stats(&stack));
        let events = watch.end();
        assert!(events.iter().all(|event| event["event"] != "arrived"), "{model}: {events:#?}");
    }
}

/// One let in and one refused: each is shown after the last command of its tap.
fn is_shown(stack: &Stack, how: &str, [admitted, refused]: [&[&str]; 2]) {
    assert_eq!(stats(stack)[how], json!([]));
    let mut watch = stack.watch(&[]);
    let (mut shown, mut after) = (Vec::<&str>::new(), Vec::new());
    let mut before = 0;
    for (kind, signal) in [("arrived", admitted), ("refused", refused)] {
        if kind == "refused" {
            stack.rollcall(&["users", "deny", "p1", "--yes"]).expect(0);
            stack.card("insert", 1);
        }
        watch.event(kind);
        shown.extend(signal);
        assert!((0..1000).any(|_| stats(stack)[how] == json!(shown)), "{kind}: {}", stats(stack));
        // Nothing is sent to a card that is gone: these were all commands of the tap.
        stack.card("remove", 1);
        if kind == "arrived" {
            watch.event("left");
        }
        let commands = stats(stack)["commands"].as_u64().unwrap();
        assert!(commands > before + 3, "{kind}: a tap takes more than {before} to {commands}");
        after.extend(signal.iter().map(|_| commands));
        assert_eq!(stats(stack)["shown_after"], json!(after), "{kind}: within the tap");
        before = commands;
    }
    // The watch goes on after it.
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
    assert_eq!(stats(stack)["escapes"], json!([]));
}
