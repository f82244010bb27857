//! Who counts as present, under `watch`.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::{
    doctor::{doctor, findings},
    people::enrolled,
    stack::Stack,
};

fn blank_or_foreign_once(stack: &Stack, watch: &mut crate::stack::Watch) {
    stack.card("new", 2);
    let refused = watch.event("refused");
    assert_eq!(refused["error"]["code"], "token.blank");
}

case!(EachDriver, presence_field);
fn presence_field(card: &str) {
    let stack = enrolled(2, 2, card);
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.event("arrived");
    assert_eq!(stack.present(), ["p1", "p2"]);
    stack.card("remove", 1);
    let left = watch.event("left");
    assert_eq!((&left["user"]["id"], &left["reason"]), (&"p1".into(), &"lifted".into()));
    assert_eq!(stack.present(), ["p2"]);
    stack.card("insert", 1);
    assert_eq!(watch.event("arrived")["user"]["id"], "p1");
    blank_or_foreign_once(&stack, &mut watch);
    assert_eq!(stack.present(), ["p1"]);
    let second = stack.rollcall(&["watch"]);
    assert_eq!((second.status, second.code()), (75, "watch.already-running"));
    let events = watch.end();
    assert_eq!(events.iter().filter(|e| e["event"] == "refused").count(), 1);
    assert_eq!(events.iter().filter(|e| e["event"] == "arrived").count(), 3);
}

/// A tap of these tests that follows another one at once is meant.
fn count_every_tap(stack: &Stack) {
    std::fs::write(stack.home().join("config.toml"), "[presence]\nmin_stay = \"0s\"\n").unwrap();
}

case!(EachCard, presence_bounce);
fn presence_bounce(card: &str) {
    let stack = enrolled(1, 1, card);
    stack.card("remove", 1);
    let mut watch = stack.watch(&["--presence", "toggle"]);
    stack.card("insert", 1);
    watch.event("arrived");
    stack.card("remove", 1);
    stack.card("insert", 1);
    // The scan waits for the card, so that its tap has been counted.
    stack.rollcall(&["scan"]).expect(0);
    assert_eq!(stack.present(), ["p1"]);
    let events = watch.end();
    assert_eq!(events.iter().filter(|e| ["arrived", "left"].contains(&e["event"].as_str().unwrap())).count(), 1);
}

case!(EachDriver, presence_toggle);
fn presence_toggle(card: &str) {
    let stack = enrolled(2, 1, card);
    stack.card("remove", 1);
    count_every_tap(&stack);
    let mut watch = stack.watch(&["--presence", "toggle"]);
    stack.card("insert", 1);
    watch.event("arrived");
    stack.card("remove", 1);
    assert_eq!(stack.present(), ["p1"]);
    stack.card("insert", 1);
    assert_eq!(watch.event("left")["reason"], "toggled");
    assert!(stack.present().is_empty());
    stack.card("remove", 1);
    stack.card("insert", 1);
    watch.event("arrived");
    stack.card("remove", 1);
    watch.end();
    // Toggle entries outlive a restart, and a card that is not there is not doubted.
    let watch = stack.watch(&["--presence", "toggle"]);
    assert_eq!(stack.present(), ["p1"]);
    watch.end();
}

case!(EachCard, a_door_resumes);
/// The second tap of a person at a door takes three exchanges; after the token was blocked and unblocked it is a full
/// one.
fn a_door_resumes(card: &str) {
    let stack = enrolled(1, 1, card);
    let config = "[presence]\nmin_stay = \"0s\"\ndefault = \"toggle\"\n[resume]\ndefault = true\n";
    std::fs::write(stack.home().join("config.toml"), config).unwrap();
    stack.card("remove", 1);
    let said = stack.home().join("said");
    let mut watch = stack.stream_beside(&["-v", "watch"], std::fs::File::create(&said).unwrap().into());
    let tap = |watch: &mut crate::stack::Watch, event| {
        stack.card("insert", 1);
        assert_eq!(watch.event(event)["user"]["id"], "p1");
        stack.card("remove", 1);
    };
    for event in ["arrived", "left", "arrived"] {
        tap(&mut watch, event);
    }
    stack.card("insert", 1);
    watch.event("left");
    stack.rollcall(&["token", "block", "--yes"]).expect(0);
    stack.rollcall(&["token", "unblock", "--yes"]).expect(0);
    stack.card("remove", 1);
    for event in ["arrived", "left"] {
        tap(&mut watch, event);
    }
    watch.end();
    let said = std::fs::read_to_string(said).unwrap();
    let taps: Vec<_> = said.lines().filter_map(|line| line.split_once(" exchanges, ")).collect();
    let resumed: Vec<_> = taps.iter().map(|(_, rest)| rest.ends_with(", resumed")).collect();
    assert_eq!(resumed, [false, true, true, true, false, true], "{said}");
    let three = taps.iter().filter(|(head, _)| head.ends_with(": 3")).count();
    assert_eq!(three, 4, "{said}");
}

case!(EachCard, lifted_while_nobody_watched);
/// A card that was lifted while nobody watched is found missing by the next watch: in mode field it is gone at once,
/// and in mode toggle its return is a tap.
fn lifted_while_nobody_watched(card: &str) {
    let stack = enrolled(2, 2, card);
    let door = &stack.readers()[0];
    std::fs::write(
        stack.home().join("config.toml"),
        format!("[presence]\nmin_stay = \"0s\"\n\"{door}\" = \"toggle\"\n"),
    )
    .unwrap();
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.event("arrived");
    watch.end();
    stack.card("remove", 1);
    stack.card("remove", 2);
    let mut watch = stack.watch(&[]);
    // Readers are looked at in order, so the first one was, too.
    let gone = watch.event("left");
    assert_eq!((&gone["user"]["id"], &gone["reason"]), (&"p2".into(), &"gone".into()));
    assert_eq!(stack.present(), ["p1"]);
    stack.card("insert", 1);
    let left = watch.event("left");
    assert_eq!((&left["user"]["id"], &left["reason"]), (&"p1".into(), &"toggled".into()));
    watch.end();
}

case!(EachCard, a_card_that_lies_there_at_the_start);
/// Whoever lay there before in mode toggle may have come back while nobody watched, or never have left: nothing tells,
/// and it is no new tap. The next one is.
fn a_card_that_lies_there_at_the_start(card: &str) {
    let stack = enrolled(1, 1, card);
    let config = "[presence]\nmin_stay = \"0s\"\ndefault = \"toggle\"\n";
    std::fs::write(stack.home().join("config.toml"), config).unwrap();
    stack.rollcall(&["scan"]).expect(0);
    assert_eq!(stack.present(), ["p1"]);
    stack.card("remove", 1);
    stack.card("insert", 1);
    let started = jiff::Timestamp::now().to_string();
    let mut watch = stack.watch(&[]);
    seen_after(&stack, &started);
    assert_eq!(stack.present(), ["p1"]);
    assert!(watch.seen.is_empty());
    stack.card("remove", 1);
    stack.card("insert", 1);
    let left = watch.event("left");
    assert_eq!((&left["user"]["id"], &left["reason"]), (&"p1".into(), &"toggled".into()));
    assert_eq!(watch.end().iter().filter(|event| event["event"] == "left").count(), 1);
}

case!(EachCard, presence_until);
fn presence_until(card: &str) {
    let stack = enrolled(2, 1, card);
    stack.card("remove", 1);
    let mut watch = stack.watch(&["--presence", "until:1500ms"]);
    stack.card("insert", 1);
    watch.event("arrived");
    stack.card("remove", 1);
    assert_eq!(watch.event("left")["reason"], "expired");
    assert!(stack.present().is_empty());
    watch.end();
}

case!(EachCard, a_scan_is_no_second_tap);
/// Processes agree on which insertion a card is: a scan of a card that lies there is no second tap, and no second
/// refusal.
fn a_scan_is_no_second_tap(card: &str) {
    let stack = enrolled(2, 1, card);
    count_every_tap(&stack);
    let mut watch = stack.watch(&["--presence", "toggle"]);
    watch.event("arrived");
    for args in [&["scan"][..], &["scan", "--count", "1"], &["scan", "--count", "2", "--timeout", "1s"]] {
        stack.rollcall(args);
        assert_eq!(stack.present(), ["p1"], "{args:?}");
    }
    stack.card("remove", 1);
    stack.card("insert", 1);
    assert_eq!(watch.event("left")["reason"], "toggled");
    let events = watch.end();
    for kind in ["arrived", "left", "refused"] {
        assert_eq!(events.iter().filter(|e| e["event"] == kind).count(), 1, "{kind}");
    }
}

case!(EachCard, scan_hands_over_to_watch);
fn scan_hands_over_to_watch(card: &str) {
    let stack = enrolled(2, 1, card);
    stack.card("remove", 1);
    let mut watch = stack.watch(&["--presence", "until:1h", "--reader", "nothing like it"]);
    stack.card("insert", 1);
    assert_eq!(stack.ndjson(1, &["scan"]).len(), 2);
    assert_eq!(watch.event("arrived")["user"]["id"], "p1");
    assert_eq!(stack.present(), ["p1"]);
    watch.end();
}

case!(EachCard, who_is_only_asked_for_an_id_stays);
/// `scan --identify-only` leaves the list alone, whatever comes of it.
fn who_is_only_asked_for_an_id_stays(card: &str) {
    let stack = enrolled(1, 1, card);
    stack.rollcall(&["scan"]).expect(0);
    let reader = stack.readers().remove(0);
    stack.rollcall(&["token", "--yes", "block", "--reader", &reader]).expect(0);
    assert_eq!(stack.ndjson(77, &["scan", "--identify-only"])[0]["error"]["code"], "token.blocked");
    assert_eq!(stack.present(), ["p1"]);
    stack.card("mute", 1);
    let error = &stack.ndjson(69, &["scan", "--identify-only"])[0]["error"];
    assert_eq!(error["code"], "reader.hung");
    assert!(error["message"].as_str().unwrap().contains("5 s (`exchange` under [limits])"), "{error}");
    // The previous program's call still hangs, and it is not another program that could be ended.
    assert_eq!(stack.ndjson(69, &["scan", "--identify-only"])[0]["error"]["code"], "reader.hung");
    assert_eq!(stack.present(), ["p1"]);
    stack.card("unmute", 1);
    stack.rollcall(&["scan"]).expect(77);
    assert!(stack.present().is_empty(), "a scan that authenticates tells the list");
}

case!(EachCard, who_falls_silent_is_in_doubt_until_the_card_answers);
fn who_falls_silent_is_in_doubt_until_the_card_answers(card: &str) {
    let stack = enrolled(3, 2, card);
    std::fs::write(stack.home().join("config.toml"), "stale_after = \"5s\"\nheartbeat = \"500ms\"\n").unwrap();
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    watch.event("arrived");
    stack.card("mute", 1);
    let doubted = watch.event("unconfirmed");
    assert_eq!((&doubted["user"]["id"], &doubted["reason"]), (&"p1".into(), &"no_answer".into()));
    assert_eq!(stack.ndjson(0, &["users"]).iter().filter(|entry| entry["state"] == "unconfirmed").count(), 1);
    seen_from_outside(&stack);
    stack.card("unmute", 1);
    assert_eq!(watch.event("confirmed")["user"]["id"], "p1");
    assert_eq!(stack.present(), ["p1", "p2"]);
    let events = watch.end();
    let refused = |event: &serde_json::Value| event["event"] == "refused" && event["error"]["code"] != "token.blank";
    assert!(events.iter().all(|event| event["event"] != "left" && !refused(event)), "{events:#?}");
}

/// What somebody with another state folder learns while a call of the watch hangs at the first reader: it is not the
/// watch that is in the way. Nothing goes deep where it may tap, as with the blank card in the third.
fn seen_from_outside(stack: &Stack) {
    let elsewhere = stack.home().join("elsewhere");
    let mut command = doctor(stack, "rollcall");
    command.arg("--deep").env("ROLLCALL_HOME", &elsewhere).env("ROLLCALL_EXCHANGE_LIMIT", "2s");
    let found = findings(&mut command);
    let readers = stack.readers();
    let of = |reader: &str, probe: &str| {
        found.iter().find(|one| one["subject"] == *reader && one["probe"] == probe).expect("it is looked at")
    };
    assert_eq!(of(&readers[0], "reader")["code"], "reader.hung", "{found:#?}");
    let link = of(&readers[2], "link");
    let told = link["what"].as_str().expect("a line");
    assert!(told.contains("a watch of another user or another state folder is running"), "{link}");
}

case!(Once, what_is_ignored_is_not_watched);
/// `ignore` holds for watch and scan; a name that fits no reader is one line at the start.
fn what_is_ignored_is_not_watched() {
    let stack = enrolled(2, 2, "virtual");
    let readers = stack.readers();
    let config = format!("ignore = [{:?}]\n[alias]\n\"north door\" = \"nothing like it\"\n", readers[0]);
    std::fs::write(stack.home().join("config.toml"), config).unwrap();
    let mut watch = stack.watch(&[]);
    assert_eq!(watch.event("arrived")["user"]["id"], "p2");
    stack.card("remove", 1);
    stack.card("remove", 2);
    watch.event("left");
    stack.card("insert", 1);
    stack.card("insert", 2);
    watch.event("arrived");
    assert!(watch.end().iter().all(|event| event["reader"] != readers[0].as_str()));
    let objects = stack.ndjson(0, &["scan"]);
    assert_eq!((objects.len(), &objects[0]["user"]["id"]), (1, &"p2".into()));

    let mut watch =
        stack.command("rollcall").arg("watch").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stderr.take().unwrap()).lines().map_while(Result::ok);
    let warned = lines.take(2).find(|line| line.contains("match no reader")).expect("a warning");
    assert!(warned.contains("north door"), "{warned}");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

case!(EachDriver, heartbeat);
/// A token that stays is asked over its channel; another program that ends the channel costs a new tap, and no event.
fn heartbeat(card: &str) {
    let stack = enrolled(2, 1, card);
    let mut watch = stack.watch(&[]);
    let arrived = watch.event("arrived")["at"].as_str().expect("a time").to_owned();
    seen_after(&stack, &arrived);
    let reader = stack.readers().remove(0);
    let disturbed = jiff::Timestamp::now().to_string();
    stack.rollcall(&["token", "info", "--reader", &reader]).expect(0);
    seen_after(&stack, &disturbed);
    assert_eq!(stack.ndjson(0, &["users"])[0]["state"], "present");
    let events = watch.end();
    assert_eq!(events.iter().filter(|e| e["event"] == "arrived").count(), 1);
    assert_eq!(events.iter().filter(|e| e["event"] == "left").count(), 0);
}

/// Waits until the one entry was seen after this time; the list is another process's file, so it is looked at.
pub fn seen_after(stack: &Stack, at: &str) {
    let at: jiff::Timestamp = at.parse().expect("a time");
    for _ in 0..200 {
        let seen = stack.ndjson(0, &["users"])[0]["last_seen"].as_str().expect("a time").to_owned();
        if seen.parse::<jiff::Timestamp>().expect("a time") > at {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no heartbeat after {at}");
}
