//! A watch and a scan while the store cannot be written.

use std::time::Instant;

use super::*;
use crate::terminal::presence::store::{
    StoreNotice,
    file::{Makeshift, open_alone},
    outage::EVENTS_KEPT,
};
use crate::terminal::presence::tests::allow;

/// A second connection that keeps everybody else from writing until it is dropped.
struct Lock(Connection);

impl Lock {
    fn of(home: &TempDir) -> Self {
        let db = Connection::open(home.path().join("terminal.db")).unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(db)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// A store that does not wait, as in a watch.
fn watched(home: &TempDir) -> TerminalStore {
    let mut store = open(home);
    store.go_on_without_writing().unwrap();
    store.db.busy_timeout(Duration::ZERO).unwrap();
    store.list().unwrap();
    store
}

fn retry_now(store: &mut TerminalStore) {
    if let Some(outage) = &mut store.outage {
        outage.retry_at = Instant::now();
    }
    store.db.busy_timeout(Duration::ZERO).unwrap();
}

/// The codes of outages, and for recoveries how many events were written later, and how many under new numbers.
fn notices(store: &mut TerminalStore) -> Vec<(String, u64, u64)> {
    let notices = store.notices().into_iter().map(|notice| match notice {
        StoreNotice::Lost(failure) => (failure.code.to_owned(), 0, 0),
        StoreNotice::Back { stored, renumbered, dropped } => {
            assert_eq!(dropped, 0);
            ("back".to_owned(), stored, renumbered)
        }
        StoreNotice::Forgotten => unreachable!("nobody was forgotten"),
    });
    notices.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whenever the store is locked and unlocked, everything is reported at once and once, and stored in the end.
    #[test]
    fn nothing_is_lost_while_it_is_locked(inputs in inputs(), turns in prop::collection::vec(any::<bool>(), 80)) {
        let home = home();
        let mut store = watched(&home);
        let (mut pure, mut told, mut given, mut ms) = (PresenceList::default(), Vec::new(), Vec::new(), 0);
        for ((pause, input), locked) in inputs.iter().zip(turns) {
            ms += pause;
            let lock = locked.then(|| Lock::of(&home));
            retry_now(&mut store);
            told.extend(events(pure.apply(input, at(ms), &Bouncing)));
            given.extend(store.apply(input, at(ms), &Bouncing).unwrap());
            prop_assert_eq!(&given, &told);
            prop_assert_eq!(store.list().unwrap(), &pure);
            drop(lock);
        }
        retry_now(&mut store);
        prop_assert_eq!(store.catch_up(at(ms), &Bouncing).unwrap(), []);
        prop_assert!(store.outage.is_none());
        prop_assert_eq!(&all(&store), &told);
        let mut again = open(&home);
        prop_assert_eq!(again.list().unwrap(), &pure);
    }

    /// Commands of other processes in between count, each event has one number, and nobody receives one twice.
    #[test]
    fn what_others_do_in_between_counts(inputs in inputs(), turns in prop::collection::vec(0..4_u8, 80)) {
        let home = home();
        let (mut store, mut other) = (watched(&home), open(&home));
        let (mut given, mut ms) = (Vec::new(), 0);
        for ((pause, input), turn) in inputs.iter().zip(turns) {
            ms += pause;
            let lock = (turn < 2).then(|| Lock::of(&home));
            retry_now(&mut store);
            given.extend(store.apply(input, at(ms), &by_name).unwrap());
            drop(lock);
            if turn == 0 {
                other.order(&deny("u1"), at(ms), &by_name).unwrap();
            } else if turn == 1 {
                other.order(&allow("u1"), at(ms), &by_name).unwrap();
            }
        }
        retry_now(&mut store);
        given.extend(store.catch_up(at(ms), &by_name).unwrap());
        let stored = all(&store);
        prop_assert_eq!(replay(&stored).unwrap(), store.list().unwrap().members());
        let mut again = open(&home);
        prop_assert_eq!(again.list().unwrap(), store.list().unwrap());
        // At least the stored events were reported, whatever their numbers.
        let mut left: Vec<_> = given.into_iter().map(|event| Event { seq: 0, ..event }).collect();
        for event in stored {
            let found = left.iter().position(|told| told == &Event { seq: 0, ..event.clone() });
            prop_assert!(found.is_some(), "{:?} was not told", event);
            left.remove(found.unwrap());
        }
    }
}

#[test]
fn each_cause_is_given_once_and_so_is_its_end() {
    let home = home();
    let mut store = watched(&home);
    let lock = Lock::of(&home);
    for n in 0..5 {
        retry_now(&mut store);
        assert_eq!(store.apply(&tap("toggle-a", n, u64::from(n)), at(i64::from(n)), &by_name).unwrap().len(), 1);
    }
    assert_eq!(notices(&mut store), [("store.locked".to_owned(), 0, 0)]);
    assert_eq!(open(&home).entries().unwrap(), []);
    drop(lock);
    assert_eq!(store.apply(&tap("toggle-a", 9, 9), at(9), &by_name).unwrap().len(), 1, "the pause is not over");
    assert_eq!(notices(&mut store), []);
    assert!(store.retries_in().unwrap() <= Duration::from_secs(8));
    retry_now(&mut store);
    store.catch_up(at(10), &by_name).unwrap();
    assert_eq!((notices(&mut store), store.retries_in()), (vec![("back".to_owned(), 6, 0)], None));
    assert_eq!(all(&store).iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_full_disk_and_counters_and_certificates() {
    let home = home();
    let mut store = watched(&home);
    let pages: i64 = store.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.db.pragma_update(None, "max_page_count", pages).unwrap();
    let der = vec![0; 20_000];
    store.keep_certificate(&CertificateOf::Identity(token(1)), &der).unwrap();
    assert_eq!(notices(&mut store), [("store.full".to_owned(), 0, 0)]);
    assert!(store.record_counter(token(1), 7).unwrap());
    assert!(!store.record_counter(token(1), 7).unwrap(), "a replay is seen meanwhile, too");
    assert_eq!((store.counter(token(1)).unwrap(), open(&home).counter(token(1)).unwrap()), (Some(7), None));
    assert_eq!(store.apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap().len(), 1);
    store.db.pragma_update(None, "max_page_count", 10_000).unwrap();
    retry_now(&mut store);
    store.catch_up(at(1), &by_name).unwrap();
    assert_eq!(notices(&mut store), [("back".to_owned(), 1, 0)]);
    assert_eq!(open(&home).counter(token(1)).unwrap(), Some(7));
    assert!(!store.record_counter(token(1), 7).unwrap());
}

/// The second tap of a new token is compared with its first, even if that could not be written.
#[test]
fn least_times_wait_in_memory() {
    let home = home();
    let ms = Duration::from_millis;
    open(&home).keep_least_heartbeat(token(2), "a", ms(20), at(0)).unwrap();
    let mut store = watched(&home);
    let lock = Lock::of(&home);
    for took in [15, 30] {
        store.keep_least_heartbeat(token(1), "a", ms(took), at(1)).unwrap();
        store.keep_least_heartbeat(token(2), "a", ms(took + 3), at(1)).unwrap();
    }
    let least = |store: &TerminalStore| [1, 2].map(|n| store.least_heartbeat(token(n), "a").unwrap());
    assert_eq!(least(&store), [Some(ms(15)), Some(ms(18))]);
    assert_eq!(store.least_heartbeat(token(1), "b").unwrap(), None);
    drop(lock);
    assert_eq!(least(&open(&home)), [None, Some(ms(20))]);
    retry_now(&mut store);
    store.catch_up(at(2), &by_name).unwrap();
    assert_eq!(store.retries_in(), None);
    assert_eq!((least(&store), least(&open(&home))), ([Some(ms(15)), Some(ms(18))], [Some(ms(15)), Some(ms(18))]));
}

#[test]
fn events_that_were_told_get_other_numbers_where_somebody_took_theirs() {
    let home = home();
    let mut store = watched(&home);
    store.apply(&tap("toggle-a", 1, 1), at(0), &by_name).unwrap();
    let lock = Lock::of(&home);
    store.apply(&tap("toggle-a", 2, 2), at(1), &by_name).unwrap();
    drop(lock);
    open(&home).order(&deny("u1"), at(2), &by_name).unwrap();
    retry_now(&mut store);
    let told = store.catch_up(at(3), &by_name).unwrap();
    assert_eq!(told.iter().map(|event| (event.seq, event.reason)).collect::<Vec<_>>(), [(2, Some(Reason::Denied))]);
    assert_eq!(notices(&mut store)[1..], [("back".to_owned(), 1, 1)]);
    assert_eq!(all(&store).last().map(|event| (event.seq, event.token_id)), Some((3, Some(token(2)))));
}

#[test]
fn a_watch_begins_and_ends_where_it_cannot_write() {
    let home = home();
    open(&home).apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap();
    let mut watch = open(&home);
    let held = Lock::of(&home);
    let (lock, wakeup, missed) = watch.start_watch(at(1), &by_name).unwrap();
    assert!(wakeup.is_some());
    assert_eq!(missed.iter().map(|event| event.reason).collect::<Vec<_>>(), [Some(Reason::Restart)]);
    assert!(TerminalStore::is_watched(home.path()));
    let mut second = open(&home);
    assert_eq!(failure(second.start_watch(at(1), &by_name).unwrap_err()).1, "watch.already-running");
    let error = watch.stop_watch(lock, at(2), &by_name).unwrap_err();
    assert_eq!((watch.unwritten(), failure(error).1), (1, "store.locked"));
    drop(held);

    let mut watch = open(&home);
    let held = Lock::of(&home);
    let (lock, _, _) = watch.start_watch(at(3), &by_name).unwrap();
    drop(held);
    let last = watch.stop_watch(lock, at(4), &by_name).unwrap();
    assert_eq!((last.len(), all(&watch).len()), (0, 2), "it was told, and is stored");
    assert!(!watch.query(|db| rows::flag(db, "watching")).unwrap());
}

/// When the watch starts, nothing can be created beside the file; later there is space.
#[test]
fn a_watch_begins_where_the_file_can_only_be_read() {
    for (why, code) in [(Makeshift::Full, "store.full"), (Makeshift::ReadOnly, "store.read-only")] {
        let home = home();
        let mut before = open(&home);
        before.apply(&tap("field-a", 1, 1), at(0), &by_name).unwrap();
        before.keep_certificate(&CertificateOf::Identity(token(1)), b"der").unwrap();
        drop(before);
        let mut watch = open(&home);
        (watch.db, watch.makeshift) = (open_alone(&watch.path), Some(why));
        assert_eq!(watch.certificate(&CertificateOf::Identity(token(1))).unwrap(), None, "it may be another by now");
        assert_eq!(failure(watch.register_card(&card(), None).unwrap_err()).1, code);
        assert_eq!(failure(watch.apply(&tap("field-b", 2, 2), at(1), &by_name).unwrap_err()).1, code);
        assert_eq!(watch.entries().unwrap().len(), 1);
        let (lock, _, missed) = watch.start_watch(at(2), &by_name).unwrap();
        assert_eq!((missed.len(), notices(&mut watch)), (1, vec![(code.to_owned(), 0, 0)]));
        assert_eq!(watch.apply(&tap("field-b", 2, 2), at(3), &by_name).unwrap().len(), 1);
        assert_eq!(all(&open(&home)).len(), 1);
        retry_now(&mut watch);
        watch.catch_up(at(4), &by_name).unwrap();
        assert_eq!((notices(&mut watch), watch.makeshift), (vec![("back".to_owned(), 2, 0)], None));
        watch.stop_watch(lock, at(5), &by_name).unwrap();
        assert_eq!(all(&open(&home)).len(), 3);
    }
}

/// If the lock file cannot be created, the folder is locked instead, and the next watch sees that.
#[test]
fn one_watch_at_a_time_also_where_no_lock_can_be_made() {
    let home = home();
    let mut store = open(&home);
    let folder = std::fs::File::open(home.path()).unwrap();
    let held = crate::files::LockedFile::exclusively(folder).unwrap().unwrap();
    assert!(TerminalStore::is_watched(home.path()));
    assert_eq!(failure(store.start_watch(at(0), &by_name).unwrap_err()).1, "watch.already-running");
    drop(held);
    assert!(!TerminalStore::is_watched(home.path()));
    open(&home).start_watch(at(0), &by_name).unwrap();
}

fn card() -> IssuedCard {
    let (token_id, user, issued) = (token(1), user("u1"), at(0));
    IssuedCard { token_id, user, card: None, state: CardState::Issued, issued, changed: issued }
}

#[test]
fn not_more_is_kept_than_fits() {
    let home = home();
    let mut store = watched(&home);
    let lock = Lock::of(&home);
    for n in 0..210 {
        store.apply(&tap("toggle-a", 1, n), at(n.cast_signed()), &by_name).unwrap();
    }
    assert_eq!(store.unwritten(), EVENTS_KEPT);
    drop(lock);
    retry_now(&mut store);
    store.catch_up(at(300), &by_name).unwrap();
    let back = StoreNotice::Back { stored: 200, renumbered: 0, dropped: 10 };
    assert_eq!(store.notices().last(), Some(&back));
    let stored = all(&store);
    assert_eq!((stored.len(), stored[0].seq, stored[199].seq), (200, 11, 210));
}

/// A scan reports the outage, and stores its results and counters with the next delivery that works.
#[test]
fn a_scan_reads_on_where_it_cannot_write() {
    let home = home();
    open(&home).apply(&tap("toggle-b", 2, 1), at(0), &by_name).unwrap();
    let mut scan = open(&home);
    scan.db.busy_timeout(Duration::ZERO).unwrap();
    let input = [tap("toggle-a", 1, 1)];
    let lock = Lock::of(&home);
    assert!(scan.record_counter(token(1), 5).is_err());
    assert_eq!(failure(scan.deliver(&input, at(1), &by_name).unwrap_err()), (ExitClass::Busy, "store.locked"));
    scan.read_on();
    assert!(scan.record_counter(token(1), 5).unwrap());
    assert!(!scan.record_counter(token(1), 5).unwrap(), "a copy is known at once");
    scan.keep_least_heartbeat(token(1), "a", Duration::from_millis(9), at(1)).unwrap();
    assert_eq!(notices(&mut scan), [("store.locked".into(), 0, 0)]);
    scan.retry_at_once();
    assert_eq!(scan.deliver(&input, at(1), &by_name).unwrap(), Delivery::Waits);
    drop(lock);
    assert_eq!(scan.deliver(&input, at(1), &by_name).unwrap(), Delivery::Waits, "not yet again");
    scan.retry_at_once();
    let stored = scan.deliver(&input, at(1), &by_name).unwrap();
    assert!(matches!(stored, Delivery::Stored(events) if events.len() == 1 && events[0].at == at(1)));
    let mut after = open(&home);
    assert_eq!((after.counter(token(1)).unwrap(), after.entries().unwrap().len()), (Some(5), 2));
    assert_eq!(after.least_heartbeat(token(1), "a").unwrap(), Some(Duration::from_millis(9)));
    // From then on the store is written again.
    assert!(scan.record_counter(token(1), 6).unwrap());
    assert_eq!(open(&home).counter(token(1)).unwrap(), Some(6));
}
