//! Three weeks of `watch`: certificates of terminals last seven days, and are renewed while it runs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    people::enrolled,
    server::Office,
    stack::{Clock, Stack, Watch},
};

/// The days of the test. A certificate lives seven.
const DAYS: u32 = 22;

/// When the certificate in this file ends.
fn end(stack: &Stack, file: &str) -> String {
    let listed = stack.ndjson(0, &["pki", "list"]);
    let found = listed.iter().find(|item| item["file"] == file).expect(file);
    found["not_after"].as_str().expect("an end").to_owned()
}

/// A card comes once a day. Says which ends its certificate had.
fn weeks(stack: &Stack, watch: &mut Watch, clock: &Clock, days: std::ops::Range<u32>) -> BTreeSet<String> {
    let mut ends = BTreeSet::new();
    for day in days {
        clock.set(day);
        stack.card("insert", 1);
        let arrived = watch.event("arrived");
        assert_eq!(arrived["user"]["id"], "p1", "day {day}");
        stack.card("remove", 1);
        watch.event("left");
        ends.insert(end(stack, "terminal-ecka.crt"));
    }
    ends
}

fn refusals(events: &[Value]) -> usize {
    events.iter().filter(|event| event["event"] == "refused").count()
}

case!(EachCard, renewed_by_the_ca);
/// Where the CA key is.
fn renewed_by_the_ca(card: &str) {
    let mut stack = enrolled(2, 1, card);
    (1..=2).for_each(|slot| stack.card("remove", slot));
    let clock = stack.clock();
    let mut watch = stack.watch(&[]);
    let ends = weeks(&stack, &mut watch, &clock, 1..DAYS);
    assert!((4..=8).contains(&ends.len()), "renewed in time, and no oftener: {ends:?}");
    assert_eq!(refusals(&watch.end()), 0);
    // A terminal that was switched off for longer than its certificate lives.
    clock.set(DAYS + 30);
    let scan = stack.rollcall(&["scan"]).expect(1);
    assert_eq!(scan.code(), "scan.nobody");
    assert!(scan.stderr.contains("certificates were renewed"), "{scan:?}");
    let mut watch = stack.watch(&[]);
    stack.card("insert", 1);
    watch.event("arrived");
    watch.end();
    stack.ndjson(0, &["scan"]);
}

case!(EachCard, renewed_by_the_server);
/// Where there is no CA key: from the server, which is away when the first renewal is due.
fn renewed_by_the_server(card: &str) {
    let mut office = Office::without_tokens(2, card);
    let reader = office.stack.readers().remove(0);
    office.stack.rollcall(&["enroll", "--reader", &reader, "--id", "p1", "--name", "Ada Lovelace"]).expect(0);
    (1..=2).for_each(|slot| office.stack.card("remove", slot));
    let clock = office.stack.clock();
    office.kill();
    office.start(); // under that clock
    let first = office.stack.home();
    let (second, bundle) = (first.join("second"), first.join("door.json"));
    office.stack.rollcall(&["pki", "issue", "terminal", "door", "--out", bundle.to_str().unwrap()]).expect(0);
    office.stack.at_home(&second);
    office.stack.rollcall(&["pki", "import", bundle.to_str().unwrap()]).expect(0);
    assert!(!second.join("pki/ca.key").exists());
    let mut watch = office.stack.watch(&[]);
    let early = weeks(&office.stack, &mut watch, &clock, 1..4);
    assert_eq!(early.len(), 1, "nothing was due yet");
    // From the fourth day a renewal is due; while the server is away taps go on.
    office.kill();
    assert_eq!(weeks(&office.stack, &mut watch, &clock, 4..5), early);
    assert_eq!(refusals(&watch.end()), 0);
    office.stack.at_home(&first);
    office.start();
    office.stack.at_home(&second);
    // The pause after a failed renewal uses the monotonic clock, so another watch tries at once.
    let mut watch = office.stack.watch(&[]);
    let ends = weeks(&office.stack, &mut watch, &clock, 5..DAYS);
    assert!((4..=8).contains(&ends.len()), "renewed in time, and no oftener: {ends:?}");
    assert_eq!(end(&office.stack, "terminal-tls.crt"), *ends.last().unwrap());
    assert_eq!(refusals(&watch.end()), 0);
    // Both terminals may still ask the server.
    for home in [&second, &first] {
        office.stack.at_home(home);
        if home == &first {
            office.stack.rollcall(&["pki", "renew"]).expect(0);
        }
        office.stack.card("insert", 1);
        assert_eq!(
            office.stack.ndjson(0, &["scan", "--source", "server"])[0]["authenticated"]["server"],
            "authenticated"
        );
        office.stack.card("remove", 1);
    }
}
