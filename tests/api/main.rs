//! The server's API from outside: a real process, real TLS, and both kinds of store. `PostgreSQL` comes from
//! `scripts/with-postgres`, which names it in `ROLLCALL_TEST_POSTGRES`; without it only SQLite is tested, and this is
//! said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names)] // a test ends where something is not as it was arranged
#![deny(dead_code)] // a case that is not registered never runs

#[path = "../common/case.rs"]
#[macro_use]
mod case;

mod audit;
mod away;
mod board;
mod bodies;
mod crash;
mod disk;
mod earlier;
mod locked;
#[path = "../common/objects.rs"]
mod objects;
mod people;
mod presence;
mod privacy;
#[path = "../common/program.rs"]
mod program;
mod proofs;
mod proxies;
mod raw;
mod renewal;
mod restore;
mod retention;
mod roles;
mod rotation;
#[path = "../common/signal.rs"]
mod signal;
mod site;
#[path = "../common/small_disk.rs"]
mod small_disk;
mod token;
mod two;

use libtest_mimic::{Arguments, Trial};
use site::{Kind, Site};

/// What a case is run on.
#[derive(Clone, Copy)]
enum Run {
    /// Each store that is there.
    EachStore(fn(&Kind)),
    /// The store in a file.
    Sqlite(fn(&Kind)),
    /// The one store that several servers can share.
    Postgres(fn(&Kind)),
}

fn main() {
    let arguments = Arguments::from_args();
    let postgres = std::env::var("ROLLCALL_TEST_POSTGRES").ok().map(Kind::Postgres);
    if postgres.is_none() {
        eprintln!("ROLLCALL_TEST_POSTGRES is not set: only SQLite is tested (see scripts/with-postgres)");
    }
    let stores: Vec<_> = [Some(Kind::Sqlite), postgres].into_iter().flatten().collect();
    let mut trials = Vec::new();
    for case in case::all() {
        for kind in stores.clone() {
            let run = match case.run {
                Run::Postgres(_) if matches!(kind, Kind::Sqlite) => continue,
                Run::Sqlite(_) if matches!(kind, Kind::Postgres(_)) => continue,
                Run::EachStore(run) | Run::Sqlite(run) | Run::Postgres(run) => run,
            };
            trials.push(Trial::test(format!("{}::{}", kind.word(), case.name), move || {
                run(&kind);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
