//! The protocol under attack: one negative test for every check, on the applet in the simulator and on the software
//! token alike. The expectations are derived from the protocol, not taken from either implementation.
//!
//! `ROLLCALL_TEST_CARDS=virtual` leaves the applet out where Java is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names, missing_docs)]
#![deny(dead_code)] // a case that is not registered never runs

#[path = "../common/card.rs"]
mod card;
#[path = "../common/case.rs"]
#[macro_use]
mod case;
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
mod resumed;
mod stdio;
mod table;
mod tap_rig;
mod terminal;

use std::{process::ExitCode, sync::atomic::Ordering};

use libtest_mimic::{Arguments, Trial};

/// What a case is run on.
#[derive(Clone, Copy)]
enum Run {
    /// Cards of each kind.
    EachCard(fn(&str)),
    /// Cards in software, where those of the other kind would say nothing more about our terminal.
    Virtual(fn(&str)),
}

/// How many attacks a whole run carries out on each kind of card, at least: a case that ends early, or is not registered any
/// more, would go unnoticed otherwise. A few more or less come of the lengths of signatures.
const LEAST_ATTACKS: [(&str, usize); 2] = [("applet", 6_750), ("virtual", 22_950)];

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
    let mut trials = Vec::new();
    for case in case::all() {
        let (on, run) = match case.run {
            Run::EachCard(run) => (kinds.as_str(), run),
            Run::Virtual(run) => ("virtual", run),
        };
        for kind in on.split(',').map(str::to_owned) {
            trials.push(Trial::test(format!("{kind}::{}", case.name), move || {
                run(&kind);
                Ok(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let (attacks, cells) = (guard::ATTACKS.load(Ordering::Relaxed), table::CELLS.load(Ordering::Relaxed));
    println!("{attacks} attacks seen and refused, {cells} cells of the table state x command x role, on {kinds}");
    card::end();
    let least: usize =
        LEAST_ATTACKS.iter().filter(|(kind, _)| kinds.split(',').any(|on| on == *kind)).map(|of| of.1).sum();
    let is_whole = !arguments.list && conclusion.num_filtered_out == 0;
    if is_whole && attacks < least {
        println!("there have to be {least} attacks at least");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
