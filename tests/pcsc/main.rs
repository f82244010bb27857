//! The main job end to end: real pcscd, real reader driver, real program; each case with the applet in the JavaCard
//! simulator and with the software token. `ROLLCALL_TEST_CARDS=virtual` leaves the applet out where Java is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![deny(dead_code)] // a case that is not registered never runs

#[path = "../common/case.rs"]
#[macro_use]
mod case;

mod aliases;
mod apdu;
mod atrs;
mod batch;
#[path = "../common/card.rs"]
mod card;
mod ccid;
mod change;
mod client;
mod crowd;
#[path = "../common/dice.rs"]
mod dice;
mod disk;
mod doctor;
mod doors;
mod earlier;
mod exits;
mod fast;
mod faults;
mod hooks;
mod hostile;
mod lift;
#[path = "../common/objects.rs"]
mod objects;
mod people;
mod pkcs11;
mod portrait;
mod presence;
mod private;
mod readme;
mod reads;
#[path = "../common/recorded.rs"]
mod recorded;
mod renewal;
mod replace;
mod reports;
mod rotation;
mod server;
mod sets;
#[path = "../common/signal.rs"]
mod signal;
mod slot;
#[path = "../common/small_disk.rs"]
mod small_disk;
mod stack;
#[path = "../common/told.rs"]
mod told;
mod tour;
mod traces;
mod watched;
mod yubikit_client;

use std::{process::ExitCode, sync::mpsc, time::Duration};

use libtest_mimic::{Arguments, Trial};

/// What a case is run on.
#[derive(Clone, Copy)]
enum Run {
    /// Cards of each kind.
    EachCard(fn(&str)),
    /// Cards of each kind, behind vpcd and behind Debian's CCID driver in each of the protocols.
    EachDriver(fn(&str)),
    /// The CCID driver alone, in each of the protocols.
    EachLevel(fn()),
    /// With whatever the case sets up itself.
    Once(fn()),
    /// The same, where the service was built to ask polkit: in the root of Debian 13.
    Polkit(fn()),
}

/// Longer than any case takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(400);

/// The second driver, with a card and a reader of each sort; `scripts/with-readers --help` has the list.
const CCID: [&str; 3] = ["ccid:t0", "ccid:t1", "ccid:apdu"];

/// A case of this name on this driver: one that hangs ends the run, so that it is known which.
fn trial(name: String, driver: &'static str, case: impl FnOnce() + Send + 'static) -> Trial {
    let told = name.clone();
    Trial::test(name, move || {
        let (done, end) = mpsc::channel::<()>();
        let named = ["ROLLCALL_TEST_BATCH", "ROLLCALL_TEST_CROWD", "ROLLCALL_TEST_FAULTS"];
        let long = named.iter().any(|name| std::env::var_os(name).is_some());
        std::thread::spawn(move || {
            if !long && end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                println!("test {told} ... FAILED: it hangs");
                std::process::exit(101);
            }
        });
        stack::drive(driver);
        case();
        drop(done);
        Ok(())
    })
}

fn main() -> ExitCode {
    // A process has one PC/SC stack, set by its environment, so the third-party client runs as a separate process.
    if let Some(job) = std::env::var_os("ROLLCALL_TEST_CLIENT") {
        return client::run(&job.to_string_lossy());
    }
    let mut arguments = Arguments::from_args();
    // They wait for the service and its readers more than for a processor.
    arguments.test_threads.get_or_insert(4);
    let kinds = std::env::var("ROLLCALL_TEST_CARDS").unwrap_or_else(|_| "applet,virtual".to_owned());
    let mut trials = Vec::new();
    for case in case::all() {
        let (run, drivers) = match case.run {
            Run::EachCard(run) => (run, &[][..]),
            Run::EachDriver(run) => (run, &CCID[..]),
            Run::EachLevel(run) => {
                trials.extend(CCID.map(|driver| trial(format!("{driver}::{}", case.name), driver, run)));
                continue;
            }
            Run::Once(run) => {
                trials.push(trial(case.name.to_owned(), stack::VPCD, run));
                continue;
            }
            Run::Polkit(run) => {
                if stack::asks_polkit() {
                    trials.push(trial(format!("ccid::{}", case.name), stack::VPCD, run));
                }
                continue;
            }
        };
        for kind in kinds.split(',') {
            let mut add = |name: String, driver: &'static str| {
                let kind = kind.to_owned();
                trials.push(trial(name, driver, move || run(&kind)));
            };
            add(format!("{kind}::{}", case.name), stack::VPCD);
            for driver in drivers {
                add(format!("{driver}::{kind}::{}", case.name), driver);
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    card::end();
    conclusion.exit_code()
}
