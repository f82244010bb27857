//! The lookup thread: one request per tap, a pause after a failure, each event once.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use serde_json::json as value;
use uuid::Uuid;

use super::super::{
    Cache, EventSource, LookupEvidence, LookupOutcome, LookupQuery, LookupWorker, ServerEvent, WorkerParts,
};
use super::cache::{Signer, ada, feed, nonce, now};
use crate::api::{problem::ProblemCode, v1::*};
use crate::server_client::{
    CacheCause, RequestLimits, ServerError,
    tests::server::{Answer, Asked, Double, World, json, problem},
};

const LONG: Duration = Duration::from_secs(30);

struct Numbers {
    list: Uuid,
    last: Arc<AtomicUsize>,
    delivered: Arc<Mutex<Vec<(u64, u64)>>>,
    here: Arc<AtomicBool>,
}

impl EventSource for Numbers {
    fn list(&self) -> Uuid {
        self.list
    }

    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String> {
        let last = self.last.load(Ordering::SeqCst) as u64;
        Ok((seq + 1..=last).take(most).map(|seq| (seq, value!({"seq": seq}))).collect())
    }

    fn renumber(&mut self) -> Result<(), String> {
        self.list = Uuid::from_u128(self.list.as_u128() + 1);
        Ok(())
    }

    fn delivered(&mut self, first: u64, last: u64) -> Result<(), String> {
        self.delivered.lock().unwrap().push((first, last));
        Ok(())
    }

    fn is_anybody_here(&mut self) -> bool {
        self.here.load(Ordering::SeqCst)
    }
}

/// A server of this test world that knows token 1 and stores events.
struct WorkerFixture {
    world: World,
    home: tempfile::TempDir,
    double: Double,
    log: Arc<Mutex<Vec<String>>>,
    events: Arc<Mutex<Vec<u64>>>,
    dead: Arc<AtomicBool>,
    last: Arc<AtomicUsize>,
    delivered: Arc<Mutex<Vec<(u64, u64)>>>,
    here: Arc<AtomicBool>,
    /// Whether token 6 was reported lost.
    barred: Arc<AtomicBool>,
}

impl WorkerFixture {
    fn new() -> Self {
        let world = World::new();
        let signer = Signer::new(&world);
        let (log, events) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<u64>>>::default());
        let (dead, barred) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let double = {
            let (log, events, dead, barred) = (log.clone(), events.clone(), dead.clone(), barred.clone());
            Double::start(&world, move |asked| {
                log.lock().unwrap().push(asked.line.clone());
                if dead.load(Ordering::SeqCst) { None } else { respond(&signer, &events, &barred, asked) }
            })
        };
        let (home, last, delivered) = (tempfile::tempdir().unwrap(), Arc::default(), Arc::default());
        Self { world, home, double, log, events, dead, last, delivered, here: Arc::default(), barred }
    }

    fn asker(&self, stays: bool) -> (LookupWorker, Receiver<ServerEvent>) {
        let (last, delivered, here) = (self.last.clone(), self.delivered.clone(), self.here.clone());
        let numbers = Numbers { list: Uuid::from_u128(9), last, delivered, here };
        let limits = RequestLimits { connect: LONG, request: LONG };
        let parts = WorkerParts {
            server: self.world.terminal_with(&self.double.url(), limits),
            cache: self.cache(),
            journal: Some(Box::new(numbers)),
            nonces: 4,
            stays,
            clock: now,
        };
        let (told, news) = mpsc::channel();
        (LookupWorker::start(parts, move |news| drop(told.send(news))).unwrap(), news)
    }

    fn cache(&self) -> Cache {
        Cache::open(self.home.path(), &[*self.world.authority.point()]).unwrap()
    }

    fn asked(&self, line: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|asked| *asked == line).count()
    }
}

/// A server never gives out the same nonce twice.
static GIVEN: AtomicUsize = AtomicUsize::new(0);

fn respond(signer: &Signer, events: &Mutex<Vec<u64>>, barred: &AtomicBool, asked: &Asked) -> Answer {
    let body: serde_json::Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    match asked.line.as_str() {
        "POST /v1/lookups" => {
            let count = u8::try_from(body["nonces"].as_u64().unwrap()).unwrap();
            let id: Uuid = serde_json::from_value(body["token_id"].clone()).unwrap();
            let mut found = signer.lookup(id.as_u128(), &ada(), now());
            let fresh = || u8::try_from(GIVEN.fetch_add(1, Ordering::SeqCst) % 200).unwrap();
            found.nonces = (0..count).map(|_| nonce(fresh(), 24)).collect();
            // It has the proof with this counter, and no other.
            let resumed = body["resumed"].as_u64();
            if resumed.is_some_and(|counter| counter != 7 || !body["proof"].is_null()) {
                return problem(409, "proof.required");
            }
            found.resume = resumed.is_some();
            if id.as_u128() == 2 {
                found = Lookup { status: TokenStatus::Lost, user: None, signed_user: None, ..found };
            }
            if id.as_u128() == 3 { problem(404, "token.unknown") } else { json(&found) }
        }
        "POST /v1/nonces" => json(&Nonces { nonces: vec![nonce(200, 24)] }),
        "POST /v1/events" => {
            let seqs: Vec<_> = body["events"].as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
            let mut kept = events.lock().unwrap();
            let new: Vec<_> = seqs.iter().copied().filter(|seq| !kept.contains(seq)).collect();
            kept.extend(&new);
            let (stored, all) = (u32::try_from(new.len()).unwrap(), u32::try_from(seqs.len()).unwrap());
            json(&EventsTaken { stored, known: all - stored, conflict: None })
        }
        line if line.starts_with("GET /v1/revocations") => {
            let since = line.split_once("since=").unwrap().1.split('&').next().unwrap().parse().unwrap();
            let version = 1 + u64::from(barred.load(Ordering::SeqCst));
            let all = [(5, TokenStatus::Lost, 1), (6, TokenStatus::Lost, 2)];
            let new: Vec<_> = all.into_iter().filter(|(.., at)| *at > since && *at <= version).collect();
            json(&SignedFeed { jws: signer.feed(&feed(since, version.max(since), &new, (1, "a"))) })
        }
        _ => problem(404, "request.route"),
    }
}

/// Whether the event is about the server rather than a token.
fn is_trouble(event: &ServerEvent) -> bool {
    !matches!(event, ServerEvent::NotActive(_))
}

fn next_trouble(news: &Receiver<ServerEvent>) -> ServerEvent {
    loop {
        let event = news.recv_timeout(LONG).unwrap();
        if is_trouble(&event) {
            return event;
        }
    }
}

fn ask(asker: &LookupWorker, id: u128) -> LookupOutcome {
    ask_of(asker, id, LookupEvidence::Message(vec![1, 2, 3]))
}

fn ask_of(asker: &LookupWorker, id: u128, shown: LookupEvidence) -> LookupOutcome {
    let (sender, answers) = mpsc::channel();
    let query = LookupQuery { token_id: Uuid::from_u128(id), shown, identity: None };
    asker.ask(query, move |answered| drop(sender.send(answered)));
    answers.recv_timeout(LONG).unwrap()
}

#[test]
fn a_tap_with_proof_costs_one_request() {
    let fixture = WorkerFixture::new();
    let (asker, news) = fixture.asker(false);
    for _ in 0..5 {
        let _ = fixture.cache().take_nonce(now()).unwrap();
        let answered = ask(&asker, 1);
        assert_eq!(answered.said.unwrap().user, Some(ada()));
        assert_eq!(answered.kept.user, Some((ada(), now())));
        assert!(answered.took.is_some());
    }
    asker.finish();
    assert_eq!(fixture.asked("POST /v1/lookups"), 5);
    assert_eq!(fixture.asked("POST /v1/nonces"), 0);
    assert_eq!(fixture.double.connections.load(Ordering::SeqCst), 1);
    // The last answer replenished them.
    assert_eq!(fixture.cache().missing_nonces(now()).unwrap(), NONCES_MAX - 4);
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}

#[test]
fn a_resumed_tap_names_the_proof_on_which_it_rests() {
    let fixture = WorkerFixture::new();
    let (asker, news) = fixture.asker(false);
    let said = ask_of(&asker, 1, LookupEvidence::Earlier(7)).said.unwrap();
    assert_eq!((said.user, said.resume), (Some(ada()), true));
    let refused = ask_of(&asker, 1, LookupEvidence::Earlier(8)).said.unwrap_err();
    assert_eq!(refused.problem().and_then(Problem::known_code), Some(ProblemCode::ProofRequired));
    assert!(!ask(&asker, 1).said.unwrap().resume);
    asker.finish();
    assert_eq!(fixture.asked("POST /v1/lookups"), 3);
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}

#[test]
fn who_stays_has_nonces_before_the_first_tap() {
    let fixture = WorkerFixture::new();
    let (asker, _news) = fixture.asker(true);
    asker.finish();
    assert_eq!(fixture.asked("POST /v1/nonces"), 1);
    assert!(fixture.cache().take_nonce(now()).unwrap().is_some());
    assert_eq!(fixture.cache().mark().unwrap().at, Some(now()));
}

#[test]
fn what_the_server_says_no_to_is_no_outage() {
    let fixture = WorkerFixture::new();
    let (asker, news) = fixture.asker(false);
    assert_eq!(
        ask(&asker, 3).said.unwrap_err().problem().and_then(Problem::known_code),
        Some(ProblemCode::TokenUnknown)
    );
    let lost = ask(&asker, 2);
    assert_eq!(lost.said.unwrap().status, TokenStatus::Lost);
    assert_eq!(lost.kept.status, Some((TokenStatus::Lost, None)));
    assert!(ask(&asker, 1).said.is_ok());
    asker.finish();
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}

/// Reported once, answered immediately during the pause, and reported again when the server is back.
#[test]
fn an_outage_is_told_once() {
    let fixture = WorkerFixture::new();
    let (asker, news) = fixture.asker(true);
    assert!(ask(&asker, 1).said.is_ok());
    fixture.dead.store(true, Ordering::SeqCst);
    let first = ask(&asker, 1);
    assert!(first.said.is_err());
    assert_eq!(first.kept.user, Some((ada(), now())));
    let count = fixture.asked("POST /v1/lookups");
    let mut at_once = 0;
    for _ in 0..50 {
        let answered = ask(&asker, 1);
        assert!(answered.said.is_err());
        at_once += usize::from(answered.took.is_none());
    }
    // Of fifty queries, those during the pause were not sent; a pause that ends in between sends one again.
    assert_eq!(fixture.asked("POST /v1/lookups") - count, 50 - at_once);
    assert!(at_once > 0);
    assert!(matches!(next_trouble(&news), ServerEvent::Lost(_)));
    fixture.last.store(3, Ordering::SeqCst);
    fixture.dead.store(false, Ordering::SeqCst);
    assert_eq!(next_trouble(&news), ServerEvent::Back);
    assert!(ask(&asker, 1).said.is_ok());
    asker.finish();
    assert_eq!(*fixture.events.lock().unwrap(), [1, 2, 3]);
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}

/// Each worker reports it, however old the status: an entry from before this worker started may still be on the list.
#[test]
fn who_is_not_let_in_is_told_to_each_worker() {
    let fixture = WorkerFixture::new();
    for _ in 0..2 {
        let (asker, news) = fixture.asker(true);
        asker.finish();
        let told: Vec<_> = news.try_iter().collect();
        assert_eq!(told, [ServerEvent::NotActive(vec![Uuid::from_u128(5)])]);
    }
}

/// Reported long before the next regular feed of an empty list would be due.
#[test]
fn who_is_refused_while_somebody_is_here_is_told_soon_and_once() {
    let fixture = WorkerFixture::new();
    let feeds = || fixture.log.lock().unwrap().iter().filter(|line| line.starts_with("GET /v1/revocations")).count();
    let (asker, news) = fixture.asker(true);
    let told = |ids: &[u128]| {
        let ids = ids.iter().copied().map(Uuid::from_u128).collect();
        assert_eq!(news.recv_timeout(LONG).unwrap(), ServerEvent::NotActive(ids));
    };
    told(&[5]);
    assert_eq!(feeds(), 1);
    // Somebody arrives.
    fixture.here.store(true, Ordering::SeqCst);
    asker.events();
    told(&[5]);
    fixture.barred.store(true, Ordering::SeqCst);
    told(&[5, 6]);
    let (before, start) = (feeds(), Instant::now());
    while feeds() < before + 2 && start.elapsed() < LONG {
        std::thread::yield_now();
    }
    assert!(feeds() >= before + 2);
    assert!(news.try_iter().next().is_none(), "what is known is told no more");
    asker.finish();
}

#[test]
fn events_come_in_batches_and_go_on_after_a_restart() {
    let fixture = WorkerFixture::new();
    fixture.last.store(600, Ordering::SeqCst);
    let (asker, _news) = fixture.asker(true);
    asker.finish();
    assert_eq!(fixture.asked("POST /v1/events"), 3);
    fixture.last.store(601, Ordering::SeqCst);
    let (asker, _news) = fixture.asker(true);
    asker.events();
    asker.finish();
    assert_eq!(*fixture.events.lock().unwrap(), (1..=601).collect::<Vec<_>>());
    assert_eq!(fixture.asked("POST /v1/events"), 4);
    let delivered: Vec<_> = fixture.delivered.lock().unwrap().iter().flat_map(|(first, last)| *first..=*last).collect();
    assert_eq!(delivered, (1..=601).collect::<Vec<_>>(), "each once, and none before it is there");
}

/// A scan signals when it has read what was there, and ends when the server has all events, including earlier ones.
#[test]
fn who_does_not_stay_takes_its_events_there_at_the_end() {
    let fixture = WorkerFixture::new();
    fixture.last.store(300, Ordering::SeqCst);
    let (asker, _news) = fixture.asker(false);
    assert!(ask(&asker, 1).said.is_ok());
    asker.finish();
    assert_eq!(fixture.asked("POST /v1/events"), 0, "nothing before it says so");
    let (asker, news) = fixture.asker(false);
    asker.events();
    asker.finish();
    assert_eq!(*fixture.events.lock().unwrap(), (1..=300).collect::<Vec<_>>());
    assert_eq!(fixture.asked("POST /v1/nonces"), 0);
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}

/// A batch whose acknowledgement was lost is sent again, and counts once.
#[test]
fn a_lost_acknowledgement_doubles_nothing() {
    let fixture = WorkerFixture::new();
    fixture.last.store(5, Ordering::SeqCst);
    let (asker, _news) = fixture.asker(true);
    asker.finish();
    std::fs::remove_file(fixture.home.path().join("directory.db")).unwrap();
    fixture.last.store(7, Ordering::SeqCst);
    let (asker, _news) = fixture.asker(true);
    asker.finish();
    assert_eq!(*fixture.events.lock().unwrap(), [1, 2, 3, 4, 5, 6, 7]);
}

/// Another process holds the file: no tap waits for it, it is reported once, and what was not stored is done again.
#[test]
fn a_locked_cache_holds_up_no_tap() {
    let fixture = WorkerFixture::new();
    let (asker, news) = fixture.asker(true);
    assert!(ask(&asker, 1).said.is_ok());
    let cache = fixture.cache();
    let held = rusqlite::Connection::open(fixture.home.path().join("directory.db")).unwrap();
    held.busy_timeout(LONG).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    fixture.last.store(3, Ordering::SeqCst);
    asker.events();
    let start = Instant::now();
    for _ in 0..4 {
        assert!(cache.take_nonce(now()).is_err());
        assert_eq!(ask(&asker, 1).said.unwrap().user, Some(ada()));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let told = next_trouble(&news);
    assert!(
        matches!(&told, ServerEvent::Alarm(ServerError::Cache(fault)) if fault.cause == CacheCause::Locked),
        "{told:?}"
    );
    held.execute_batch("ROLLBACK").unwrap();
    assert_eq!(next_trouble(&news), ServerEvent::CacheBack);
    asker.finish();
    assert_eq!(*fixture.events.lock().unwrap(), [1, 2, 3]);
    assert_eq!(cache.uploaded(Uuid::from_u128(9)).unwrap(), 3);
    assert!(!news.try_iter().any(|event| is_trouble(&event)));
}
