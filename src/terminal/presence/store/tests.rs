//! The store in one process; `tests/presence_kill` kills the process.

mod outage;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::failure::{ExitClass, Failure};
use crate::terminal::presence::tests::properties::inputs;
use crate::terminal::presence::tests::{
    Bouncing, at, by_name, check_out, deny, empty, events, lifted, readers, seen, tap, token, user,
};
use crate::terminal::presence::{EntryState, EventKind, Reason, replay};

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(home: &TempDir) -> TerminalStore {
    TerminalStore::open(home.path()).unwrap()
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

fn failure(error: TerminalStoreError) -> (ExitClass, &'static str) {
    let failure = Failure::from(error);
    assert!(failure.hint.is_some());
    (failure.class, failure.code)
}

#[test]
fn files_are_private_and_stay_after_reopening() {
    let temp = home();
    let home = temp.path().join("deep/er");
    let mut store = TerminalStore::open(&home).unwrap();
    store.apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    for name in ["terminal.db", "terminal.db-wal", "terminal.db-shm"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
    }
    drop(store);
    assert_eq!(TerminalStore::open(&home).unwrap().entries().unwrap().len(), 1);
}

#[test]
fn eight_may_open_a_new_store_at_once() {
    let home = home();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let home = &home;
            scope.spawn(move || open(home).apply(&tap("toggle-a", n, u64::from(n)), at(0), &by_name).unwrap());
        }
    });
    let mut store = open(&home);
    assert_eq!(store.entries().unwrap().len(), 8);
    assert_eq!(replay(&all(&store)).unwrap(), store.list().unwrap().members());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_is_the_list(inputs in inputs()) {
        let home = home();
        let mut store = open(&home);
        let (mut pure, mut told, mut ms) = (PresenceList::default(), Vec::new(), 0);
        for (n, (pause, input)) in inputs.iter().enumerate() {
            ms += pause;
            let expected = events(pure.apply(input, at(ms), &Bouncing));
            prop_assert_eq!(&store.apply(input, at(ms), &Bouncing).unwrap(), &expected);
            told.extend(expected);
            if n % 16 == 15 {
                store = open(&home);
            }
        }
        prop_assert_eq!(store.list().unwrap(), &pure);
        let mut again = open(&home);
        prop_assert_eq!(again.list().unwrap(), &pure);
        prop_assert_eq!(all(&store), told);
    }

    #[test]
    fn two_that_take_turns_see_one_list(inputs in inputs(), turns in prop::collection::vec(any::<bool>(), 80)) {
        let home = home();
        let mut stores = [open(&home), open(&home)];
        let (mut pure, mut told, mut given, mut ms) = (PresenceList::default(), Vec::new(), [Vec::new(), Vec::new()], 0);
        for store in &mut stores {
            store.list().unwrap();
        }
        for ((pause, input), turn) in inputs.iter().zip(turns) {
            ms += pause;
            told.extend(events(pure.apply(input, at(ms), &by_name)));
            let turn = usize::from(turn);
            given[turn].extend(stores[turn].apply(input, at(ms), &by_name).unwrap());
        }
        for (store, mut given) in stores.iter_mut().zip(given) {
            prop_assert_eq!(store.list().unwrap(), &pure);
            given.extend(store.catch_up(at(ms), &by_name).unwrap());
            prop_assert_eq!(given, told.clone(), "each is given every event once, in order");
        }
    }
}

#[test]
fn history_takes_a_span_of_time() {
    let home = home();
    let mut store = open(&home);
    for n in 0..5 {
        store.apply(&tap("toggle-a", n, u64::from(n)), at(i64::from(n) * 10), &by_name).unwrap();
    }
    let span = |since, until| {
        let mut found = Vec::new();
        let visit = |event: Event| {
            found.push(event.seq);
            ControlFlow::Continue(())
        };
        store.history(since, until, visit).unwrap();
        found
    };
    assert_eq!(span(Some(at(10)), Some(at(30))), [2, 3]);
    assert_eq!(span(None, Some(at(10))), [1]);
    let just_after = at(30).checked_add(Duration::from_nanos(1)).unwrap();
    assert_eq!(span(Some(just_after), None), [5]);
    assert_eq!(span(None, Some(just_after)), [1, 2, 3, 4]);
    let mut first = None;
    store.history(None, None, |event| (first.replace(event.seq), ControlFlow::Break(())).1).unwrap();
    assert_eq!(first, Some(1));
}

#[test]
fn what_is_no_store_of_ours_is_damaged() {
    let sql = |path: &Path, sql| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    let text = "no database, but long enough to look like one ".repeat(30);
    for name in ["text", "foreign", "foreign id"] {
        let home = home();
        let path = home.path().join("terminal.db");
        match name {
            "text" => std::fs::write(&path, &text).unwrap(),
            "foreign" => sql(&path, "CREATE TABLE other (x)"),
            _ => sql(&path, "PRAGMA application_id = 7"),
        }
        assert_eq!(failure(TerminalStore::open(home.path()).unwrap_err()), (ExitClass::Io, "store.damaged"), "{name}");
    }
}

/// A pipe has no bytes, and opening it blocks: it is detected before, and does not pass for an empty list.
#[test]
fn what_is_no_file_is_damaged() {
    for make in [mkfifo, |path: &Path| std::fs::create_dir(path).unwrap()] {
        let home = home();
        make(&home.path().join("terminal.db"));
        for opened in [TerminalStore::open(home.path()).map(Some), TerminalStore::open_if_there(home.path())] {
            assert_eq!(failure(opened.unwrap_err()), (ExitClass::Io, "store.damaged"));
        }
    }
}

fn mkfifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

#[test]
fn a_file_cut_off_is_damaged() {
    let home = home();
    let mut store = open(&home);
    for n in 0..200 {
        store.apply(&tap("toggle-a", 1, n), at(0), &by_name).unwrap();
    }
    drop(store);
    let path = home.path().join("terminal.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2 / 4096 * 4096]).unwrap();
    let read = TerminalStore::open(home.path()).and_then(|mut store| {
        store.entries()?;
        store.history(None, None, |_| ControlFlow::Continue(()))
    });
    assert_eq!(failure(read.unwrap_err()), (ExitClass::Io, "store.damaged"));
}

#[test]
fn rows_that_no_version_wrote_are_damage() {
    for sql in [
        "UPDATE entries SET user = 'x'",
        "UPDATE entries SET state = 'gone'",
        "UPDATE entries SET token_id = x'00'",
        "UPDATE entries SET since = 9223372036854775807",
        "UPDATE slots SET held = '{}'",
        "DROP TABLE slots",
    ] {
        let home = home();
        open(&home).apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap();
        Connection::open(home.path().join("terminal.db")).unwrap().execute_batch(sql).unwrap();
        let error = open(&home).entries().unwrap_err();
        assert_eq!(failure(error), (ExitClass::Io, "store.damaged"), "{sql}");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let home = home();
    drop(open(&home));
    Connection::open(home.path().join("terminal.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(failure(TerminalStore::open(home.path()).unwrap_err()), (ExitClass::Io, "store.newer"));
}

#[test]
fn making_a_store_that_was_interrupted_is_finished() {
    let home = home();
    let path = home.path().join("terminal.db");
    Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
    assert_ne!(std::fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(open(&home).entries().unwrap(), []);
}

#[test]
fn a_locked_store_is_busy_and_may_still_be_read() {
    let home = home();
    let mut store = open(&home);
    store.apply(&tap("until-a", 1, 1), at(0), &by_name).unwrap();
    let other = Connection::open(home.path().join("terminal.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.db.busy_timeout(Duration::ZERO).unwrap();
    let error = store.apply(&Input::Tick, at(0), &by_name).unwrap_err();
    assert_eq!(failure(error), (ExitClass::Busy, "store.locked"));
    store.settle(at(100_000), &by_name).unwrap();
    assert_eq!(store.entries().unwrap().len(), 1);
}

#[test]
fn a_full_disk_loses_only_what_did_not_fit() {
    let home = home();
    let mut store = open(&home);
    store.apply(&tap("toggle-a", 1, 1), at(0), &by_name).unwrap();
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.db.query_row(&format!("PRAGMA max_page_count = {}", pages + 2), [], |_| Ok(())).unwrap();
    let mut fitted = 1;
    let error = loop {
        match store.apply(&tap("toggle-a", 1, fitted + 1), at(0), &by_name) {
            Ok(_) => fitted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(failure(error), (ExitClass::Io, "store.full"));
    assert_eq!(all(&store).len() as u64, fitted);
    assert_eq!(replay(&all(&store)).unwrap(), store.list().unwrap().members());
    assert_eq!(open(&home).list().unwrap().seq(), fitted);
}

#[test]
fn a_counter_only_grows() {
    let home = home();
    let (mut store, mut other) = (open(&home), open(&home));
    assert_eq!(store.counter(token(1)).unwrap(), None);
    assert!(store.record_counter(token(1), 7).unwrap());
    assert!(!other.record_counter(token(1), 7).unwrap());
    assert!(!other.record_counter(token(1), 6).unwrap());
    assert!(other.record_counter(token(1), u32::MAX).unwrap());
    assert!(store.record_counter(token(2), 1).unwrap());
    assert_eq!(store.counter(token(1)).unwrap(), Some(u32::MAX));
}

#[test]
fn certificates_are_kept_apart() {
    let home = home();
    let mut store = open(&home);
    let kinds = [
        CertificateOf::Identity(token(1)),
        CertificateOf::Identity(token(2)),
        CertificateOf::Own { token_id: token(1), kvn: 0x41 },
        CertificateOf::Set { set_id: [1; 8], kvn: 1 },
        CertificateOf::Set { set_id: [1; 8], kvn: 2 },
    ];
    for (n, kind) in kinds.iter().enumerate() {
        assert_eq!(store.certificate(kind).unwrap(), None);
        store.keep_certificate(kind, &[9]).unwrap();
        store.keep_certificate(kind, &[u8::try_from(n).unwrap()]).unwrap();
    }
    for (n, kind) in kinds.iter().enumerate() {
        assert_eq!(store.certificate(kind).unwrap(), Some(vec![u8::try_from(n).unwrap()]));
    }
    store.forget_certificate(&kinds[0]).unwrap();
    assert_eq!(store.certificate(&kinds[0]).unwrap(), None);
    assert!(store.certificate(&kinds[1]).unwrap().is_some());
}

#[test]
fn a_second_watch_is_refused_with_the_pid_of_the_first() {
    let home = home();
    let (mut first, mut second) = (open(&home), open(&home));
    let (lock, _wakeup, _) = first.start_watch(at(0), &by_name).unwrap();
    let error = second.start_watch(at(0), &by_name).unwrap_err();
    assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
    assert_eq!(failure(error), (ExitClass::Busy, "watch.already-running"));
    first.stop_watch(lock, at(0), &by_name).unwrap();
    second.start_watch(at(0), &by_name).unwrap();
}

#[test]
fn a_scan_hands_over_to_the_watch_and_stores_without_one() {
    let home = home();
    let (mut watch, mut scan) = (open(&home), open(&home));
    let stored = scan.deliver(&[tap("toggle-a", 1, 1)], at(0), &by_name).unwrap();
    assert!(matches!(stored, Delivery::Stored(events) if events.len() == 1));
    let (lock, wakeup, events) = watch.start_watch(at(1), &by_name).unwrap();
    let wakeup = wakeup.unwrap();
    assert_eq!(events, []);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let waiter = wakeup.wait().unwrap();
            let events = watch.catch_up(at(3), &by_name).unwrap();
            drop(waiter);
            assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(2), at(2)]);
            assert_eq!(watch.catch_up(at(4), &by_name).unwrap(), [], "once");
        });
        let inputs = [empty("toggle-a"), tap("toggle-a", 1, 3), tap("toggle-a", 2, 5)];
        assert_eq!(scan.deliver(&inputs, at(2), &by_name).unwrap(), Delivery::HandedOver);
        assert_eq!(scan.entries().unwrap()[0].token_id, token(2), "taken before deliver returns");
    });
    watch.stop_watch(lock, at(5), &by_name).unwrap();
    assert!(matches!(scan.deliver(&[], at(6), &by_name).unwrap(), Delivery::Stored(_)));
}

#[test]
fn what_a_watch_left_undone_is_taken_once_by_who_comes_next() {
    let home = home();
    let (mut watch, mut scan) = (open(&home), open(&home));
    let (lock, wakeup, _) = watch.start_watch(at(0), &by_name).unwrap();
    let wakeup = wakeup.unwrap();
    drop(wakeup);
    assert_eq!(scan.deliver(&[tap("toggle-a", 1, 1)], at(1), &by_name).unwrap(), Delivery::HandedOver);
    assert_eq!(scan.entries().unwrap(), []);
    drop((lock, watch));
    scan.settle(at(2), &by_name).unwrap();
    scan.settle(at(2), &by_name).unwrap();
    assert_eq!(all(&scan).len(), 1);
    assert_eq!(scan.entries().unwrap()[0].since, at(1));
}

#[test]
fn what_nobody_can_read_is_dropped() {
    let home = home();
    let mut store = open(&home);
    store.query(|db| db.execute_batch("INSERT INTO handover (at, input) VALUES (0, '{\"novelty\":1}')")).unwrap();
    assert_eq!(store.catch_up(at(0), &by_name).unwrap(), []);
    let left: i64 = store.query(|db| db.query_row("SELECT count(*) FROM handover", [], |row| row.get(0))).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn after_a_crash_the_next_look_doubts_and_closes() {
    let home = home();
    let mut watch = open(&home);
    let (lock, _wakeup, _) = watch.start_watch(at(0), &by_name).unwrap();
    watch.apply(&tap("field-a", 1, 1), at(1), &by_name).unwrap();
    watch.apply(&tap("toggle-a", 2, 1), at(1), &by_name).unwrap();
    let mut users = open(&home);
    let states =
        |store: &mut TerminalStore| store.entries().unwrap().iter().map(|entry| entry.state).collect::<Vec<_>>();
    users.settle(at(2), &by_name).unwrap();
    assert_eq!(states(&mut users), [EntryState::Present, EntryState::Present], "it still runs");
    drop((lock, watch));
    users.settle(at(2), &by_name).unwrap();
    assert_eq!(states(&mut users), [EntryState::Unconfirmed, EntryState::Present]);
    users.settle(at(60_001), &by_name).unwrap();
    assert_eq!(states(&mut users).len(), 2, "doubted once, not at every look");
    users.settle(at(60_002), &by_name).unwrap();
    assert_eq!(states(&mut users), [EntryState::Present]);
    assert_eq!(all(&users).last().unwrap().reason, Some(Reason::Stale));
}

#[test]
fn a_watch_that_stopped_in_order_leaves_the_list_as_it_is() {
    let home = home();
    let mut watch = open(&home);
    let (lock, _wakeup, _) = watch.start_watch(at(0), &by_name).unwrap();
    watch.apply(&tap("field-a", 1, 1), at(1), &by_name).unwrap();
    watch.stop_watch(lock, at(2), &by_name).unwrap();
    let mut users = open(&home);
    users.settle(at(100_000), &by_name).unwrap();
    assert_eq!(users.entries().unwrap()[0].state, EntryState::Present);
    let mut again = open(&home);
    again.start_watch(at(100_000), &by_name).unwrap();
    assert_eq!(again.entries().unwrap()[0].state, EntryState::Unconfirmed);
}

#[test]
fn orders_reach_a_running_watch() {
    let home = home();
    let (mut watch, mut users) = (open(&home), open(&home));
    let (_lock, wakeup, _) = watch.start_watch(at(0), &by_name).unwrap();
    let wakeup = wakeup.unwrap();
    watch.apply(&readers(&["field-a"]), at(1), &by_name).unwrap();
    watch.apply(&tap("field-a", 1, 1), at(1), &by_name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _waiter = wakeup.wait().unwrap();
            let events = watch.catch_up(at(2), &by_name).unwrap();
            assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Some(Reason::Denied)]);
            assert_eq!(watch.apply(&seen("field-a", 1), at(3), &by_name).unwrap(), []);
            assert_eq!(watch.apply(&lifted("field-a"), at(4), &by_name).unwrap(), []);
            assert_eq!(watch.apply(&tap("field-a", 1, 3), at(5), &by_name).unwrap().len(), 1, "refused");
        });
        users.order(&deny("u1"), at(2), &by_name).unwrap();
    });
    assert_eq!(users.entries().unwrap(), []);
    assert_eq!(users.denied().unwrap(), ["u1"]);
}

#[test]
fn the_wakeup_hangs_in_a_folder_with_a_long_name_too() {
    let temp = home();
    let home = temp.path().join("a-long-name/".repeat(15));
    let (mut watch, mut scan) = (TerminalStore::open(&home).unwrap(), TerminalStore::open(&home).unwrap());
    let (_lock, wakeup, _) = watch.start_watch(at(0), &by_name).unwrap();
    let wakeup = wakeup.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _waiter = wakeup.wait().unwrap();
            watch.catch_up(at(1), &by_name).unwrap();
        });
        scan.deliver(&[tap("toggle-a", 1, 1)], at(1), &by_name).unwrap();
        assert_eq!(scan.entries().unwrap().len(), 1);
    });
}

/// Stores of every release: their content survives migration, and new entries can be made.
#[test]
fn older_formats_become_the_newest() {
    for format in 1..=file::MIGRATIONS.len() {
        let home = home();
        let old = Connection::open(home.path().join("terminal.db")).unwrap();
        for script in &file::MIGRATIONS[..format] {
            old.execute_batch(script).unwrap();
        }
        old.pragma_update(None, "user_version", i64::try_from(format).unwrap()).unwrap();
        let id = token(1);
        let user = serde_json::to_string(&user("u1")).unwrap();
        let when = at(0).as_millisecond();
        old.execute(
            "INSERT INTO events (seq, at, event, reader, token_id, user, source, authenticated) \
             VALUES (1, ?1, 'arrived', 'toggle-a', ?2, ?3, 'card', 1)",
            params![when, id.as_bytes(), user],
        )
        .unwrap();
        old.execute(
            "INSERT INTO entries (token_id, user, reader, since, last_seen, state, source, authenticated, mode) \
             VALUES (?2, ?3, 'toggle-a', ?1, ?1, 'present', 'card', 1, 'toggle')",
            params![when, id.as_bytes(), user],
        )
        .unwrap();
        old.execute("INSERT INTO denied (id) VALUES ('u9')", []).unwrap();
        old.execute("INSERT INTO counters VALUES (?1, 7)", [id.as_bytes()]).unwrap();
        drop(old);
        let mut store = open(&home);
        assert_eq!(replay(&all(&store)).unwrap(), store.list().unwrap().members(), "{format}");
        assert_eq!((store.denied().unwrap(), store.counter(id).unwrap()), (vec!["u9".to_owned()], Some(7)));
        store.order(&check_out(1, 5), at(9), &by_name).unwrap();
        let events = all(&open(&home));
        assert_eq!((events[1].at, events[1].by.as_deref()), (at(5), Some("ada")), "{format}");
    }
}

#[test]
fn what_is_too_old_goes_from_the_beginning_and_numbers_go_on() {
    let home = home();
    let mut store = open(&home);
    for n in 0..6 {
        store.apply(&tap("toggle-a", 1, n), at(n.cast_signed() * 1000), &by_name).unwrap();
    }
    assert_eq!(store.prune(at(-1)).unwrap(), 0);
    assert_eq!(store.prune(at(2000)).unwrap(), 2);
    assert_eq!(all(&store).iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(store.prune(at(99_000)).unwrap(), 3, "the last one has the number");
    let mut store = open(&home);
    let told = store.apply(&tap("toggle-a", 1, 9), at(99_000), &by_name).unwrap();
    assert_eq!(told.iter().map(|event| event.seq).collect::<Vec<_>>(), [7]);
    assert_eq!(open(&home).prune(at(0)).unwrap(), 0);
}

/// A least time only falls; it is dropped when the bound of its reader is removed, or when its token stays away for
/// longer than events are kept.
#[test]
fn a_least_time_falls_until_it_is_forgotten() {
    let home = home();
    let mut store = open(&home);
    let ms = Duration::from_millis;
    for (took, least) in [(20, 20), (30, 20), (15, 15), (16, 15)] {
        store.keep_least_heartbeat(token(1), "a", ms(took), at(took.cast_signed())).unwrap();
        assert_eq!(open(&home).least_heartbeat(token(1), "a").unwrap(), Some(ms(least)));
    }
    assert_eq!(store.least_heartbeat(token(2), "a").unwrap(), None);
    assert_eq!(store.least_heartbeat(token(1), "b").unwrap(), None);
    store.keep_least_heartbeat(token(2), "b", ms(40), at(40)).unwrap();
    let left = |store: &TerminalStore| {
        [(1, "a"), (2, "b")].map(|(n, reader)| store.least_heartbeat(token(n), reader).unwrap().is_some())
    };
    assert_eq!(store.heartbeat_readers().unwrap(), ["a", "b"]);
    store.forget_heartbeats(&[]).unwrap();
    store.prune(at(20)).unwrap();
    assert_eq!(left(&store), [true, true]);
    store.prune(at(21)).unwrap();
    assert_eq!(left(&store), [false, true]);
    store.keep_least_heartbeat(token(1), "a", ms(50), at(50)).unwrap();
    store.forget_heartbeats(&["b".to_owned()]).unwrap();
    assert_eq!(left(&store), [true, false]);
}

/// A token that comes every day keeps its least time; within an hour nothing is written.
#[test]
fn a_least_time_in_use_is_kept() {
    let home = home();
    let mut store = open(&home);
    let (ms, hour) = (Duration::from_millis, 3_600_000);
    let writes = |store: &TerminalStore| store.query(|db| Ok(db.total_changes())).unwrap();
    store.keep_least_heartbeat(token(1), "a", ms(20), at(0)).unwrap();
    let before = writes(&store);
    store.keep_least_heartbeat(token(1), "a", ms(21), at(hour - 1)).unwrap();
    assert_eq!(writes(&store), before);
    store.keep_least_heartbeat(token(1), "a", ms(21), at(hour)).unwrap();
    assert_eq!(writes(&store), before + 1);
    store.prune(at(hour)).unwrap();
    assert_eq!(store.least_heartbeat(token(1), "a").unwrap(), Some(ms(20)));
    store.prune(at(hour + 1)).unwrap();
    assert_eq!(store.least_heartbeat(token(1), "a").unwrap(), None);
}

#[test]
fn a_person_who_is_forgotten_is_in_no_file_and_others_stay() {
    let home = home();
    let mut store = open(&home);
    let hand = super::super::Hand { by: "desk".to_owned(), note: None };
    for (n, reader) in [(1, "toggle-a"), (2, "field-a")] {
        store.apply(&tap(reader, n, u64::from(n)), at(0), &by_name).unwrap();
        store.record_counter(token(n), 7).unwrap();
        store.keep_certificate(&CertificateOf::Identity(token(n)), b"certificate").unwrap();
        store.keep_least_heartbeat(token(n), reader, Duration::from_millis(9), at(0)).unwrap();
        let card = IssuedCard {
            token_id: token(n),
            user: user(&format!("u{n}")),
            card: None,
            state: CardState::Issued,
            issued: at(0),
            changed: at(0),
        };
        store.register_card(&card, None).unwrap();
    }
    store
        .deny(&Denial { id: "u2".into(), reason: Some("stole".into()), ..Denial::default() }, at(1), &by_name)
        .unwrap();
    store.apply(&tap("field-a", 2, 9), at(2), &by_name).unwrap();
    let held = store.forget("u2", &hand, at(3), &by_name, false).unwrap();
    assert_eq!((held.events, held.cards, held.certificates, held.counters, held.denials), (3, 1, 1, 1, 1));
    assert_eq!(held.heartbeats, 1);
    let least = |n, reader: &str| store.least_heartbeat(token(n), reader).unwrap();
    assert_eq!((least(2, "field-a"), least(1, "toggle-a")), (None, Some(Duration::from_millis(9))));
    assert_eq!(store.personal_data("u2").unwrap(), PersonalData { denials: 1, ..PersonalData::default() });
    let events = all(&store);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(events.iter().all(|event| event.user.as_ref().is_none_or(|user| user.id == "u1")));
    assert_eq!((store.denied().unwrap(), store.counter(token(2)).unwrap()), (vec!["u2".to_owned()], Some(7)));
    assert_eq!(store.personal_data("u1").unwrap().events, 1);
    assert_eq!(store.cards(None).unwrap().len(), 1);
    assert_eq!(events[3].token_id, None);
    drop(store);
    for file in std::fs::read_dir(home.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"Name of u2"));
    }
}

/// Whether the person is present or left before: events that a watch reported about them may no longer be shown.
#[test]
fn a_watch_hears_of_who_is_forgotten_and_the_server_of_who_went() {
    let home = home();
    let (mut watch, mut desk) = (open(&home), open(&home));
    let hand = super::super::Hand { by: "desk".to_owned(), note: None };
    watch.apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap();
    watch.apply(&tap("field-b", 2, 2), at(0), &by_name).unwrap();
    desk.forget("u1", &hand, at(1), &by_name, true).unwrap();
    watch.catch_up(at(1), &by_name).unwrap();
    assert_eq!(watch.notices(), [], "nobody watched");
    let (lock, _wakeup, _) = watch.start_watch(at(2), &by_name).unwrap();
    watch.catch_up(at(2), &by_name).unwrap();
    desk.forget("u2", &hand, at(3), &by_name, true).unwrap();
    let told = watch.catch_up(at(3), &by_name).unwrap();
    let departure = told.iter().find(|event| event.event == EventKind::Removed).unwrap();
    assert_eq!((departure.token_id, &departure.user), (Some(token(2)), &None));
    assert_eq!(watch.notices(), [StoreNotice::Forgotten]);
    watch.catch_up(at(4), &by_name).unwrap();
    assert_eq!(watch.notices(), [], "once");
    assert!(desk.list().unwrap().members().is_empty());
    let departures = |store: &TerminalStore| -> Vec<_> {
        let removed = all(store).into_iter().filter(|event| event.event == EventKind::Removed);
        removed.map(|event| (event.seq, event.token_id)).collect()
    };
    let [(first, one), (second, two)] = departures(&desk)[..] else { panic!("{:?}", departures(&desk)) };
    assert_eq!((one, two), (Some(token(1)), Some(token(2))));
    desk.departures_delivered(1, first).unwrap();
    assert_eq!(departures(&desk), [(first, None), (second, Some(token(2)))]);
    desk.departures_delivered(first + 1, second).unwrap();
    assert_eq!(departures(&desk), [(first, None), (second, None)]);
    watch.stop_watch(lock, at(5), &by_name).unwrap();
}

#[test]
fn the_register_knows_what_became_of_each_card() {
    let home = home();
    let mut store = open(&home);
    let card = |n: u8, card: &str| IssuedCard {
        token_id: token(n),
        user: user("u1"),
        card: Some(card.to_owned()),
        state: CardState::Issued,
        issued: at(i64::from(n)),
        changed: at(i64::from(n)),
    };
    store.register_card(&card(1, "aa"), None).unwrap();
    store.register_card(&card(2, "bb"), Some(token(1))).unwrap();
    store.register_card(&card(3, "aa"), None).unwrap();
    let states = |store: &TerminalStore| -> Vec<_> {
        let cards = store.cards(Some("u1")).unwrap();
        cards.into_iter().map(|card| (card.token_id, card.state, card.card)).collect()
    };
    let (aa, bb) = (Some("aa".to_owned()), Some("bb".to_owned()));
    let expected =
        [(token(3), CardState::Issued, aa), (token(2), CardState::Issued, bb), (token(1), CardState::Replaced, None)];
    assert_eq!(states(&store), expected);
    store.note_card(token(2), Some(CardState::Blocked), None, at(9)).unwrap();
    store.note_card(token(3), Some(CardState::Terminated), Some(&user("u2")), at(9)).unwrap();
    store.note_card(token(9), Some(CardState::Blocked), None, at(9)).unwrap();
    assert_eq!(
        states(&store).iter().map(|(_, state, _)| *state).collect::<Vec<_>>(),
        [CardState::Blocked, CardState::Replaced]
    );
    assert_eq!(store.cards(Some("u2")).unwrap()[0].changed, at(9));
    assert_eq!(store.cards(None).unwrap().len(), 3);
}
