//! The store in real processes that are killed at random moments: the list equals a replay of its events, whose numbers
//! have no gap, and nothing that was reported is lost.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers and children too

mod child;
#[path = "../common/dice.rs"]
mod dice;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Child;

use child::Hasty;
use dice::Dice;
use jiff::Timestamp;
use rollcall::terminal::presence::{Event, EventKind, TerminalStore, TerminalStoreError, replay};

/// Kills the child after `after` acknowledgements, and returns all acknowledgements it made.
fn kill_after(mut child: Child, after: u64) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = Vec::new();
    let mut next = |acknowledged: &mut Vec<String>| {
        let line = lines.by_ref().find_map(|line| line.strip_prefix("ack ").map(str::to_owned));
        line.map(|line| acknowledged.push(line)).is_some()
    };
    for _ in 0..after {
        if !next(&mut acknowledged) {
            break;
        }
    }
    child.kill().unwrap();
    while next(&mut acknowledged) {}
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(9), "it failed by itself: {status}");
    acknowledged
}

fn all(store: &TerminalStore) -> Vec<Event> {
    let mut found = Vec::new();
    let visit = |event| {
        found.push(event);
        ControlFlow::Continue(())
    };
    store.history(None, None, visit).unwrap();
    found
}

/// The events of the store, after checking them against its list.
fn checked(home: &Path) -> Vec<Event> {
    let mut store = TerminalStore::open(home).unwrap();
    let events = all(&store);
    assert_eq!(replay(&events).unwrap(), store.list().unwrap().members());
    events
}

#[test]
fn two_hundred_kills_lose_nothing() {
    child::play();
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path();
    let mut dice = Dice::new(2026);
    let (mut killed, mut acknowledged) = (0, 0);
    while killed < 200 {
        let children = [dice.roll(1 << 32), dice.roll(1 << 32)];
        let children = children.map(|seed| child::spawn("two_hundred_kills_lose_nothing", "apply", home, seed));
        let moments = [dice.roll(30), dice.roll(30)];
        let [one, other] = std::thread::scope(|scope| {
            let run = |(child, after)| scope.spawn(move || kill_after(child, after));
            let [one, other] = children.into_iter().zip(moments).map(run).collect::<Vec<_>>().try_into().unwrap();
            [one, other].map(|thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().unwrap())
        });
        killed += 2;
        let stored = serde_json::to_value(checked(home)).unwrap();
        for told in
            one.iter().chain(&other).flat_map(|line| serde_json::from_str::<Vec<serde_json::Value>>(line).unwrap())
        {
            let seq = usize::try_from(told["seq"].as_u64().unwrap()).unwrap();
            assert_eq!(stored[seq - 1], told);
            acknowledged += 1;
        }
    }
    assert!(acknowledged > killed, "the children got to do something: {acknowledged}");
}

#[test]
fn what_is_handed_over_is_taken_exactly_once() {
    child::play();
    let test = "what_is_handed_over_is_taken_exactly_once";
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path();
    let mut dice = Dice::new(7);
    let mut delivered = BTreeSet::new();
    let mut how = BTreeMap::new();
    for round in 0..30 {
        let mut watch = child::spawn(test, "watch", home, 0);
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line == "ack watching").unwrap();
        // One scan is killed while running, then the watch; the other scan runs to its end.
        let [brief, long] = [2 * round, 2 * round + 1].map(|seed| child::spawn(test, "deliver", home, seed));
        let acknowledged: Vec<String> = std::thread::scope(|scope| {
            let long = scope.spawn(move || kill_after(long, u64::MAX));
            let brief = kill_after(brief, dice.roll(8));
            watch.kill().unwrap();
            watch.wait().unwrap();
            brief.into_iter().chain(long.join().unwrap()).collect()
        });
        for line in acknowledged {
            let (way, reader) = line.split_once(' ').unwrap();
            *how.entry(way.to_owned()).or_insert(0) += 1;
            delivered.insert(reader.to_owned());
        }
    }
    let mut store = TerminalStore::open(home).unwrap();
    store.settle(Timestamp::now(), &Hasty).unwrap();
    let mut found = BTreeSet::new();
    for event in checked(home).into_iter().filter(|event| event.event == EventKind::ReaderAdded) {
        assert!(found.insert(event.reader.unwrap()), "twice");
    }
    assert!(delivered.is_subset(&found), "{:?}", delivered.difference(&found));
    assert!(how.len() == 2, "both ways were gone: {how:?}");
}

#[test]
fn a_second_watch_names_the_first() {
    child::play();
    let temp = tempfile::tempdir().unwrap();
    let mut first = child::spawn("a_second_watch_names_the_first", "watch", temp.path(), 0);
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line == "ack watching").unwrap();
    let mut store = TerminalStore::open(temp.path()).unwrap();
    let error = store.start_watch(Timestamp::now(), &Hasty).unwrap_err();
    assert!(matches!(error, TerminalStoreError::WatchRunning { pid } if pid == Some(first.id())), "{error}");
    first.kill().unwrap();
    first.wait().unwrap();
    store.start_watch(Timestamp::now(), &Hasty).unwrap();
}
