//! The protocol under attack: one negative test for every check, on the applet in the simulator and on the token in
//! software alike. What is expected is written here from the protocol, not taken from either of them.
//!
//! `ROLLCALL_TEST_CARDS=virtual` leaves the applet out, where Java is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names, missing_docs)]

mod card;
mod certificates;
mod dates;
mod draft;
mod encodings;
mod guard;
mod handshake;
mod leaked;
mod messaging;
mod table;
mod terminal;

use std::{process::ExitCode, sync::atomic::Ordering};

use libtest_mimic::{Arguments, Trial};

/// A case, and what it is called.
type Case = (&'static str, fn(&str));

fn main() -> ExitCode {
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
    ]
    .concat();
    let trials = kinds
        .split(',')
        .flat_map(|kind| {
            let kind = kind.to_owned();
            cases.iter().map(move |(name, case)| {
                let (kind, case) = (kind.clone(), *case);
                Trial::test(format!("{kind}::{name}"), move || {
                    case(&kind);
                    Ok(())
                })
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let (attacks, cells) = (guard::ATTACKS.load(Ordering::Relaxed), table::CELLS.load(Ordering::Relaxed));
    println!("{attacks} attacks refused, {cells} cells of the table state x command x role, on {kinds}");
    card::end();
    conclusion.exit_code()
}
