//! The main job end to end: real pcscd, real reader driver, real program; each case with the applet in the JavaCard
//! simulator and with the token in software. `ROLLCALL_TEST_CARDS=virtual` leaves the applet out, where Java is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod apdu;
mod atrs;
mod batch;
#[path = "../common/card.rs"]
mod card;
mod cases;
mod change;
mod client;
mod doctor;
mod exits;
mod faults;
mod hooks;
mod hostile;
mod lift;
#[path = "../common/objects.rs"]
mod objects;
mod pkcs11;
mod portrait;
mod presence;
mod private;
mod reads;
#[path = "../common/recorded.rs"]
mod recorded;
mod renewal;
mod replace;
mod rotation;
mod server;
mod sets;
#[path = "../common/signal.rs"]
mod signal;
mod slot;
mod stack;
#[path = "../common/told.rs"]
mod told;
mod tour;
mod traces;
mod watched;
mod yubikit_client;

use std::{process::ExitCode, sync::mpsc, time::Duration};

use libtest_mimic::{Arguments, Trial};

/// A case, and what it is called.
type Case = (&'static str, fn(&str));

const CASES: &[Case] = &[
    ("enroll_scan_and_list", cases::enroll_scan_and_list),
    ("exchanges_per_tap", cases::exchanges_per_tap),
    ("cards_that_are_no_issued_token", cases::cards_that_are_no_issued_token),
    ("deny_and_clear", cases::deny_and_clear),
    ("count_waits_for_distinct_tokens", cases::count_waits_for_distinct_tokens),
    ("reads_are_resumed", reads::are_resumed),
    ("reads_killed_at_random", reads::killed_at_random),
    ("reads_until_a_time", reads::until_a_time),
    ("hooks_get_every_event", hooks::get_every_event),
    ("hooks_stall_nobody", hooks::stall_nobody),
    ("hooks_may_fail", hooks::may_fail),
    ("every_exit_status_is_a_real_run", exits::every_exit_status_is_a_real_run),
    ("every_object_has_its_schema", tour::every_object_has_its_schema),
    ("presence_field", presence::field),
    ("heartbeat", presence::heartbeat),
    ("presence_toggle", presence::toggle),
    ("lifted_while_nobody_watched", presence::lifted_while_nobody_watched),
    ("presence_until", presence::until),
    ("a_scan_is_no_second_tap", presence::a_scan_is_no_second_tap),
    ("scan_hands_over_to_watch", presence::scan_hands_over_to_watch),
    ("service_restarts_under_watch", faults::service_restarts_under_watch),
    ("a_mute_card_delays_nobody", faults::a_mute_card_delays_nobody),
    ("enrollment_killed_at_random", faults::enrollment_killed_at_random),
    ("a_lying_card_harms_nobody", hostile::a_lying_card_harms_nobody),
    ("lifted_at_every_apdu_of_an_enrollment", lift::at_every_apdu_of_an_enrollment),
    ("lifted_at_every_apdu_of_a_change", lift::at_every_apdu_of_a_change),
    ("lifted_at_every_apdu_of_a_scan", lift::at_every_apdu_of_a_scan),
    ("both_sources_and_a_suspension", server::both_sources_and_a_suspension),
    ("the_server_is_away", server::the_server_is_away),
    ("a_changed_card_is_told_to_the_server", server::a_changed_card_is_told_to_the_server),
    ("events_reach_the_server_once", server::events_reach_the_server_once),
    ("a_silent_server_delays_nobody", server::a_silent_server_delays_nobody),
    ("a_batch_of_cards", batch::of_cards),
    ("a_batch_through_the_server", batch::through_the_server),
    ("pictures_of_a_batch", portrait::of_a_batch),
    ("a_batch_under_a_pkcs11_key", pkcs11::a_batch_under_it),
    ("what_is_wrong_with_a_pkcs11_key", pkcs11::what_is_wrong_with_it),
    ("a_token_is_changed", change::through_its_states),
    ("a_set_of_private_tokens", private::a_set_of_tokens),
    ("a_batch_into_sets", private::a_batch),
    ("the_key_of_a_set_is_rotated", sets::of_a_fleet),
    ("private_tokens_to_another_ca", sets::to_another_ca),
    ("lifted_at_a_rotation_of_a_set", sets::lifted),
    ("private_tokens_through_the_server", private::through_the_server),
    ("a_token_is_changed_at_a_second_desk", change::at_a_second_desk),
    ("a_lost_card_is_replaced_here", replace::here),
    ("a_lost_card_is_replaced_at_the_server", replace::at_the_server),
    ("the_ca_of_a_fleet_is_rotated", rotation::of_a_fleet),
    ("the_ca_of_a_server_is_rotated", rotation::with_a_server),
    ("lifted_at_every_apdu_of_a_rotation", lift::at_every_apdu_of_a_rotation),
    ("renewed_by_the_ca", renewal::by_the_ca),
    ("renewed_by_the_server", renewal::by_the_server),
    ("apdu_as_others_see_it", apdu::as_others_see_it),
    ("doctor_finds_faults_of_cards", doctor::faults_of_cards),
    ("doctor_tells_what_the_reader_tells", doctor::what_the_reader_tells),
    ("readers_are_watched_as_others_see_them", watched::as_others_see_it),
    ("traces_are_recorded_and_played", traces::are_recorded_and_played),
    ("yubikit_personalises", client::yubikit_personalises),
    ("yubikit_opens_a_channel", client::yubikit_opens_a_channel),
];

/// Batches that are disturbed; `ROLLCALL_TEST_BATCH` asks for the long one.
fn troubles(kinds: &str) -> Vec<batch::Trouble> {
    if std::env::var_os("ROLLCALL_TEST_BATCH").is_some() {
        return vec![batch::Trouble { kind: "virtual", rows: 1000, readers: 8, kills: 50, lifts: 50 }];
    }
    let mut all = vec![batch::Trouble { kind: "virtual", rows: 40, readers: 4, kills: 10, lifts: 10 }];
    if kinds.contains("applet") {
        all.push(batch::Trouble { kind: "applet", rows: 20, readers: 4, kills: 5, lifts: 5 });
    }
    all
}

/// Longer than any case takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(400);

/// A case of this name: one that hangs ends the run, so that it is known which.
fn trial(name: &str, kind: Option<&str>, case: impl FnOnce() + Send + 'static) -> Trial {
    let name = kind.map_or_else(|| name.to_owned(), |kind| format!("{kind}::{name}"));
    let told = name.clone();
    Trial::test(name, move || {
        let (done, end) = mpsc::channel::<()>();
        let long = std::env::var_os("ROLLCALL_TEST_BATCH").is_some();
        std::thread::spawn(move || {
            if !long && end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                println!("test {told} ... FAILED: it hangs");
                std::process::exit(101);
            }
        });
        case();
        drop(done);
        Ok(())
    })
}

fn main() -> ExitCode {
    // A process has one PC/SC stack, by its environment: the client of another make runs as a process of its own.
    if let Some(job) = std::env::var_os("ROLLCALL_TEST_CLIENT") {
        return client::run(&job.to_string_lossy());
    }
    let mut arguments = Arguments::from_args();
    // They wait for the service and its readers more than for a processor.
    arguments.test_threads.get_or_insert(4);
    let kinds = std::env::var("ROLLCALL_TEST_CARDS").unwrap_or_else(|_| "applet,virtual".to_owned());
    let mut trials: Vec<_> = kinds
        .split(',')
        .flat_map(|kind| {
            let kind = kind.to_owned();
            CASES.iter().map(move |(name, case)| {
                let (kind, case) = (kind.clone(), *case);
                trial(name, Some(&kind.clone()), move || case(&kind))
            })
        })
        .collect();
    trials.push(trial("atrs_are_told_alike", None, atrs::are_told_alike));
    trials.push(trial("no_secret_gets_out", None, doctor::no_secret_gets_out));
    trials.push(trial("doctor_finds_no_reader", None, doctor::without_a_reader));
    trials.push(trial("doctor_finds_too_many_readers", None, doctor::too_many_readers));
    trials.push(trial("doctor_finds_faults_of_the_terminal", None, doctor::faults_of_the_terminal));
    trials.push(trial("doctor_finds_faults_of_the_server", None, doctor::faults_of_the_server));
    trials.push(trial("doctor_finds_faults_of_the_service", None, doctor::faults_of_the_service));
    trials.push(trial("watch_killed_200_times", None, faults::watch_killed_200_times));
    for trouble in troubles(&kinds) {
        trials.push(trial("a_batch_killed_and_torn", Some(trouble.kind), move || batch::killed_and_torn(&trouble)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    card::end();
    conclusion.exit_code()
}
