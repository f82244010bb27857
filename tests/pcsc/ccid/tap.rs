//! Cards that are inserted and removed while a reader fails, under `watch` and `scan`.

use std::time::Duration;

use serde_json::Value;

use super::Place;
use crate::{
    doctor::{doctor, findings},
    lift::{Bench, TEST_KEY},
    people::enrolled,
    presence::seen_after,
};

case!(EachLevel, a_card_that_wakes_up_late_to_this_driver);
/// The first power-ups get no answer to reset: any connection wakes the card.
fn a_card_that_wakes_up_late_to_this_driver() {
    let bench = Bench::new();
    let place = Place::new(TEST_KEY);
    let slot = bench.put(Box::new(place.clone()), None);
    bench.stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    drop(bench.take(slot));
    bench.stack.reader(1, "late=3");
    let put = || crate::slot::Slot::insert(&bench.port, Box::new(place.clone()));
    let mut watch = bench.stack.watch(&[]);
    let slot = put();
    assert_eq!(watch.event("arrived")["user"]["id"], "p1");
    drop(bench.take(slot));
    watch.event("left");
    assert!(watch.end().iter().all(|event| event["event"] != "refused"));
    for args in [&["scan", "--count", "1", "--timeout", "10s"][..], &["scan"]] {
        let slot = put();
        let lies_there = |one: &Value| one["state"] != "empty";
        assert!((0..1000).any(|_| bench.stack.lists(&lies_there)));
        assert_eq!(bench.stack.ndjson(0, args)[0]["user"]["id"], "p1", "{args:?}");
        drop(bench.take(slot));
    }
}

case!(EachLevel, a_card_that_wakes_up_late_is_not_passed_over);
/// With two cards, one of which looks mute, no command takes the other for the one that is meant.
fn a_card_that_wakes_up_late_is_not_passed_over() {
    let stack = enrolled(2, 2, "virtual");
    let late = &stack.readers()[0];
    stack.card("remove", 1);
    assert!((0..1000).any(|_| stack.lists(&|one| one["reader"] == **late && one["state"] == "empty")));
    stack.reader(1, "late=3");
    stack.card("insert", 1);
    assert!((0..1000).any(|_| stack.lists(&|one| one["reader"] == **late && one["state"] != "empty")));
    assert_eq!(stack.rollcall(&["token", "block", "--yes"]).expect(2).code(), "reader.ambiguous");
    assert_eq!(stack.ndjson(0, &["scan"]).len(), 2, "neither is blocked");
}

case!(EachLevel, a_card_that_wakes_up_late_lies_beside_one_that_never_does);
/// What never answers is no fault beside a token, also while that has not been woken yet.
fn a_card_that_wakes_up_late_lies_beside_one_that_never_does() {
    let stack = enrolled(2, 1, "virtual");
    let readers = stack.readers();
    let looks = |reader: &str, state: &str| {
        let fits = |one: &Value| one["reader"] == *reader && one["state"] == state;
        assert!((0..1000).any(|_| stack.lists(&fits)), "{reader} is never {state}");
    };
    for (slot, late) in [(2, 100_000), (1, 3)] {
        stack.card("remove", slot);
        looks(&readers[slot - 1], "empty");
        stack.reader(slot, &format!("late={late}"));
        stack.card("insert", slot);
        looks(&readers[slot - 1], "mute");
    }
    for turn in ["asleep", "awake"] {
        let found = findings(&mut doctor(&stack, "rollcall"));
        assert_eq!(severities(&found), ["warning"], "{turn}: {found:#?}");
    }
}

/// The severity reported for each mute card.
fn severities(found: &[Value]) -> Vec<&str> {
    found.iter().filter(|one| one["code"] == "token.mute").filter_map(|one| one["severity"].as_str()).collect()
}

case!(EachLevel, a_hiccup_under_watch);
/// One exchange of the heartbeat or of the first tap fails: it is retried, and nobody leaves.
fn a_hiccup_under_watch() {
    let stack = enrolled(1, 1, "virtual");
    let mut watch = stack.watch(&[]);
    watch.event("arrived");
    for fault in ["hw", "parity", "mute", "busy"] {
        stack.reader(1, &format!("{fault} 1"));
        assert!((0..6000).any(|_| stack.stat(1, "faults") == 0), "{fault}: no heartbeat");
        seen_after(&stack, &jiff::Timestamp::now().to_string());
        assert_eq!(stack.ndjson(0, &["users"])[0]["state"], "present", "{fault}");
    }
    stack.card("remove", 1);
    assert_eq!(watch.event("left")["reason"], "lifted");
    for (at, fault) in [(1, "hw"), (2, "mute"), (4, "parity")] {
        stack.reader(1, &format!("{fault} {at}"));
        stack.card("insert", 1);
        assert_eq!(watch.event("arrived")["user"]["id"], "p1", "{fault} at {at}");
        stack.reader(1, "calm");
        stack.card("remove", 1);
        watch.event("left");
    }
    let events = watch.end();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((count("arrived"), count("left"), count("refused")), (4, 4, 0), "{events:#?}");
}

case!(EachLevel, lifted_at_any_block);
/// However the reader tells of it, and it may call it an error of its own: the card has left, and so says the program.
fn lifted_at_any_block() {
    let bench = Bench::new();
    let place = Place::new(TEST_KEY);
    let put = || bench.put(Box::new(place.clone()), None);
    let scan = || bench.stack.rollcall(&["--output", "ndjson", "scan", "--reader", &bench.reader]);
    let mut slot = put();
    bench.stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    scan().expect(0);
    let before = bench.stack.stat(1, "blocks");
    scan().expect(0);
    let count = bench.stack.stat(1, "blocks") - before;
    for at in 1..=count {
        let edge = ["noicc", "mute", "hw"][at % 3];
        bench.stack.reader(1, &format!("edge={edge}"));
        bench.stack.reader(1, &format!("lift {at}"));
        let torn = scan();
        let objects = torn.objects();
        assert_eq!(torn.status, 74, "{edge} at block {at}: {torn:#?}");
        assert_eq!((&objects[0]["error"]["code"], objects.len()), (&"card.left".into(), 1), "{edge} at block {at}");
        assert!(objects[0]["user"].is_null(), "{edge} at block {at}");
        drop(bench.take(slot));
        assert_eq!(scan().expect(1).code(), "scan.nobody", "{edge} at block {at}");
        assert!(bench.stack.present().is_empty(), "{edge} at block {at}: a card that left is on the list");
        bench.stack.reader(1, "insert");
        slot = put();
        scan().expect(0);
        assert_eq!(bench.stack.present(), ["p1"], "{edge} at block {at}");
    }
}

case!(EachLevel, a_card_that_has_become_slow_is_too_far);
/// At a reader with a bound on distance a card that answers as late as over a network is refused, in a resumed tap and
/// in a full one, and let in again once it answers as before. What was measured is forgotten with the bound, and with
/// the person.
fn a_card_that_has_become_slow_is_too_far() {
    let stack = enrolled(1, 1, "virtual");
    let config = stack.home().join("config.toml");
    let door = "[presence]\nmin_stay = \"0s\"\ndefault = \"toggle\"\n[resume]\ndefault = true\n";
    std::fs::write(&config, format!("{door}[distance]\ndefault = \"200ms\"\n")).unwrap();
    stack.card("remove", 1);
    let said = stack.home().join("said");
    let mut watch = stack.stream_beside(&["-v", "watch"], std::fs::File::create(&said).unwrap().into());
    let mut tap = |event| {
        stack.card("insert", 1);
        let found = watch.event(event);
        stack.card("remove", 1);
        found
    };
    let first = tap("arrived");
    assert_ne!(first["resumed"], true, "{first}");
    tap("left");
    stack.reader(1, "delay=500");
    for _ in 0..2 {
        let refused = tap("refused");
        assert_eq!((&refused["error"]["code"], &refused["user"]["id"]), (&"token.too-far".into(), &"p1".into()));
        assert!(stack.present().is_empty());
    }
    stack.reader(1, "delay=0");
    assert_ne!(tap("arrived")["resumed"], true, "who is refused makes a full tap the next time");
    tap("left");
    watch.end();
    let said = std::fs::read_to_string(said).unwrap();
    let taps = said.lines().filter(|line| line.contains(" exchanges, "));
    let resumed: Vec<_> = taps.map(|line| line.ends_with(", resumed")).collect();
    // The first that is refused comes back with the key, and the second has none any more.
    assert_eq!(resumed, [false, true, true, false, false, true], "{said}");

    // A scan has the same bound; identify-only has none.
    stack.card("insert", 1);
    stack.rollcall(&["scan"]).expect(0);
    stack.reader(1, "delay=500");
    assert_eq!(stack.ndjson(77, &["scan"])[0]["error"]["code"], "token.too-far");
    stack.rollcall(&["scan", "--identify-only"]).expect(0);
    // A watch without the bound forgets what was measured, and the bound begins anew.
    std::fs::write(&config, door).unwrap();
    stack.card("remove", 1);
    let mut watch = stack.watch(&[]);
    // A card already there when it starts is not a new tap.
    let mut tap = || {
        stack.card("insert", 1);
        let told = watch.next(Duration::from_secs(20));
        stack.card("remove", 1);
        told
    };
    let left = tap().or_else(tap).expect("it is there by now");
    assert_eq!(left["event"], "left");
    watch.end();
    stack.card("insert", 1);
    std::fs::write(&config, format!("{door}[distance]\ndefault = \"200ms\"\n")).unwrap();
    stack.rollcall(&["scan"]).expect(0);
    let forgotten = stack.ndjson(0, &["users", "forget", "p1", "--yes"]);
    assert_eq!(forgotten[0]["removed"]["heartbeats"], 1);
}
