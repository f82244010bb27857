//! A batch and another enrollment for one of its users at the same time.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{Desk, SILENCE, arguments};
use crate::stack::Stack;

case!(EachCard, a_card_of_a_batch_is_in_the_register_before_another_enrollment_looks);
/// The card is done and its row is, and only the register is held up: who makes another card for the same user waits until it
/// is there, and is asked about a second card.
fn a_card_of_a_batch_is_in_the_register_before_another_enrollment_looks(kind: &str) {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    // There is a store.
    stack.rollcall(&["users", "deny", "u9"]).expect(0);
    let mut desk = Desk::new(&stack, kind, 2);
    let file = desk.rows(1);
    desk.fill();
    let readers = stack.readers();
    for reader in &readers {
        while !stack.lists(&|told| told["reader"] == reader.as_str() && told["state"] == "present") {}
    }
    let held = Connection::open(stack.home().join("terminal.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journal = file.with_extension("csv.journal");
    let mut batch = stack.stream(&[&arguments(&file)[..], &["--reader", &readers[0]]].concat());
    let until = Instant::now() + SILENCE;
    while !fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"done\"")) {
        assert!(Instant::now() < until, "the row is never done");
        std::thread::yield_now();
    }
    let mut other = stack.command("rollcall");
    let other = other.args(["enroll", "--reader", &readers[1], "--id", "u1", "--name", "Müller"]);
    let mut other = other.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(other.stderr.take().unwrap()).lines().map_while(Result::ok);
    let waits = said.next().expect("it says that it waits");
    held.execute_batch("ROLLBACK").unwrap();
    assert!(waits.contains("another enrollment is running"), "{waits}");
    let said: Vec<_> = said.collect();
    assert_eq!(other.wait().unwrap().code(), Some(2), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("u1 has the token")), "{said:#?}");
    assert_eq!(batch.next(Duration::from_secs(30)).expect("an object")["result"], "enrolled");
    assert!(batch.ended(SILENCE).success());
    assert_eq!(stack.ndjson(0, &["token", "list"]).len(), 1);
}
