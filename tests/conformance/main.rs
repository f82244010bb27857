//! The protocol under attack: one negative test for every check, on the applet in the simulator and on the token in
//! software alike. What is expected is written here from the protocol, not taken from either of them.
//!
//! `ROLLCALL_TEST_CARDS=virtual` leaves the applet out, where Java is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names, missing_docs)]

#[path = "../common/card.rs"]
mod card;
mod certificates;
mod dates;
mod draft;
mod encodings;
mod guard;
mod handshake;
mod hostile;
mod leaked;
mod messaging;
mod middle;
mod office;
mod stdio;
mod table;
mod terminal;

use std::{process::ExitCode, sync::atomic::Ordering};

use libtest_mimic::{Arguments, Trial};

/// A case, and what it is called.
type Case = (&'static str, fn(&str));

fn main() -> ExitCode {
    if let Ok(keys) = std::env::var("ROLLCALL_TEST_STDIO") {
        stdio::serve(&keys);
        return ExitCode::SUCCESS;
    }
    if let Ok(kind) = std::env::var("ROLLCALL_TEST_MEMORY") {
        hostile::measure_memory(&kind);
        card::end();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let kinds = std::env::var("ROLLCALL_TEST_CARDS").unwrap_or_else(|_| "applet,virtual".to_owned());
    let cases: Vec<Case> = [
        certificates::CASES,
        handshake::CASES,
        messaging::CASES,
        dates::CASES,
        encodings::CASES,
        table::CASES,
        leaked::CASES,
        hostile::CASES,
        middle::CASES,
    ]
    .concat();
    let trial = |kind: &str, (name, case): Case| {
        let kind = kind.to_owned();
        Trial::test(format!("{kind}::{name}"), move || {
            case(&kind);
            Ok(())
        })
    };
    let mut trials: Vec<_> = kinds.split(',').flat_map(|kind| cases.iter().map(|case| trial(kind, *case))).collect();
    trials.extend(hostile::ON_ONE_KIND.iter().map(|case| trial("virtual", *case)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let (attacks, cells) = (guard::ATTACKS.load(Ordering::Relaxed), table::CELLS.load(Ordering::Relaxed));
    println!("{attacks} attacks seen and refused, {cells} cells of the table state x command x role, on {kinds}");
    card::end();
    conclusion.exit_code()
}
