//! The server's API, from outside: the real process, real TLS, and both stores for real. `PostgreSQL` comes from
//! `scripts/with-postgres`, which names it in `ROLLCALL_TEST_POSTGRES`; without it only SQLite is tested, and said so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::similar_names)] // a test ends where something is not as it was arranged

mod audit;
mod bodies;
mod crash;
#[path = "../common/objects.rs"]
mod objects;
mod people;
#[path = "../common/program.rs"]
mod program;
mod proofs;
mod raw;
mod roles;
mod rotation;
#[path = "../common/signal.rs"]
mod signal;
mod site;
mod token;
mod two;

use libtest_mimic::{Arguments, Trial};
use site::{Kind, Site};

/// A case, by its name.
type Case = (&'static str, fn(&Kind));

const CASES: &[Case] = &[
    ("each_route_takes_its_role_and_higher_ones", roles::each_route_takes_its_role_and_higher_ones),
    ("strangers_do_not_come_in", roles::strangers_do_not_come_in),
    ("a_revocation_holds_on_open_connections", roles::a_revocation_holds_on_open_connections),
    ("the_document_and_the_routes_are_one", roles::the_document_and_the_routes_are_one),
    ("no_tickets_and_no_older_tls", roles::no_tickets_and_no_older_tls),
    ("each_body_is_read_strictly", bodies::each_body_is_read_strictly),
    ("values_out_of_bounds_are_refused", bodies::values_out_of_bounds_are_refused),
    ("a_terminal_that_asks_too_often_waits", bodies::a_terminal_that_asks_too_often_waits),
    ("a_fault_is_logged_and_not_described", bodies::a_fault_is_logged_and_not_described),
    ("a_proof_is_taken_once", proofs::a_proof_is_taken_once),
    ("what_is_not_the_tokens_own_proof_is_refused", proofs::what_is_not_the_tokens_own_proof_is_refused),
    ("counters_tell_copies_from_late_proofs", proofs::counters_tell_copies_from_late_proofs),
    ("late_proofs_are_taken_for_seven_days", proofs::late_proofs_are_taken_for_seven_days),
    ("users_are_created_changed_and_imported", people::users_are_created_changed_and_imported),
    ("tokens_are_registered_once", people::tokens_are_registered_once),
    ("a_status_takes_effect_at_once_and_is_in_the_feed", people::a_status_takes_effect_at_once_and_is_in_the_feed),
    ("terminals_are_added_renewed_and_revoked", people::terminals_are_added_renewed_and_revoked),
    ("events_may_come_twice", people::events_may_come_twice),
    ("the_first_bad_record_is_named", audit::the_first_bad_record_is_named),
    ("a_cut_tail_is_seen_by_what_a_terminal_was_told", audit::a_cut_tail_is_seen_by_what_a_terminal_was_told),
    ("killed_at_random_points_nothing_is_lost_or_doubled", crash::killed_at_random_points_nothing_is_lost_or_doubled),
    ("a_signal_ends_it_in_order", crash::a_signal_ends_it_in_order),
    ("the_ca_is_rotated_while_it_runs", rotation::the_ca_is_rotated_while_it_runs),
    ("a_store_of_another_ca_is_refused", crash::a_store_of_another_ca_is_refused),
];

fn main() {
    let arguments = Arguments::from_args();
    let postgres = std::env::var("ROLLCALL_TEST_POSTGRES").ok().map(Kind::Postgres);
    if postgres.is_none() {
        eprintln!("ROLLCALL_TEST_POSTGRES is not set: only SQLite is tested (see scripts/with-postgres)");
    }
    let mut trials = Vec::new();
    for kind in [Some(Kind::Sqlite), postgres.clone()].into_iter().flatten() {
        for &(name, case) in CASES {
            let kind = kind.clone();
            let name = format!("{}::{name}", kind.word());
            trials.push(Trial::test(name, move || {
                case(&kind);
                Ok(())
            }));
        }
    }
    if let Some(kind) = postgres {
        trials.push(Trial::test("two_servers_under_load_and_one_is_killed", move || {
            two::two_servers_under_load_and_one_is_killed(&kind);
            Ok(())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}
