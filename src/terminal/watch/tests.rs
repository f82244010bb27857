//! A watch with simulated workers: what happens to entries when readers and cards do not answer.

mod silence;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    sync::Arc,
};

use super::*;
use crate::{
    api::{
        User,
        v1::{Lookup, Problem, TokenStatus},
    },
    card::link::LinkError,
    crypto::{Key128, random::SystemRandom},
    failure::ExitClass,
    pki::{ClockCheck, PkiDir, RenewalTime, server_names},
    proof::VerifiedProof,
    reader::{
        ReaderError,
        select::{Aliases, Selection},
    },
    server_client::ServerError,
    terminal::{
        admission::UserPreference,
        evictions::EvictionNote,
        lookups::{CachedToken, LookupOutcome},
        presence::{EventKind, PresenceMode, store::Denial},
        tap::{
            KeptKey, ResumptionCache, Seen, TapError, Tapped, TimedHeartbeat,
            worker::{Portrait, ReaderOrder},
        },
    },
    token::{
        open::{AuthenticatedToken, Evidence, ResumptionKey},
        resume::ResumeRule,
        select::TokenMode,
    },
};

const HEARTBEAT: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    static NOW: Cell<Timestamp> = const { Cell::new(Timestamp::UNIX_EPOCH) };
}

fn pass(time: Duration) {
    NOW.set(NOW.get().checked_add(time).unwrap());
}

/// Records events in short form, the orders to the workers, and the effect of each tap; wants portraits or none.
#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Vec<String>>>, Rc<Cell<bool>>, Rc<RefCell<Vec<TapEffect>>>);

impl Recorder {
    fn add(&self, line: String) {
        self.0.borrow_mut().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

impl WatchObserver for Recorder {
    fn event(&mut self, event: WatchEvent<'_>) -> Result<(), Failure> {
        let word = |value: serde_json::Value| value.as_str().map(str::to_owned);
        match event {
            WatchEvent::Presence(Event { event: EventKind::ReaderAdded, .. }) => {}
            WatchEvent::Tap(_, effect) => self.2.borrow_mut().push(effect),
            WatchEvent::Presence(event) => {
                let mut line = word(serde_json::to_value(event.event).unwrap()).unwrap();
                let reason = event.reason.and_then(|reason| word(serde_json::to_value(reason).unwrap()));
                for part in [event.user.map(|user| user.id), reason, event.error.map(|error| error.code)] {
                    line.extend(part.map(|part| format!(" {part}")));
                }
                self.add(line);
            }
            WatchEvent::TapFailed(outcome) => {
                self.add(format!("failed {}", outcome.failure().map_or("nothing", |failure| failure.code)));
            }
            WatchEvent::Evicted(failure) => self.add(failure.code.to_owned()),
            other => self.add(format!("{other:?}")),
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        false
    }

    fn wants_portrait(&self, _: uuid::Uuid) -> bool {
        self.1.get()
    }
}

/// A watch over one reader in mode field that holds the card of insertion 1.
fn watch(heartbeat: Option<Duration>, test: impl FnOnce(&mut WatchRun<'_>, &Recorder)) {
    let home = tempfile::tempdir().unwrap();
    let pki = PkiDir::new(home.path().join("pki"));
    pki.init(&server_names(), None, ClockCheck::Enforced, Timestamp::now(), &mut SystemRandom).unwrap();
    let context = TerminalContext {
        state_folder: home.path().to_owned(),
        pki,
        server: None,
        perso_key: None,
        exchange: SECOND,
        clock_check: ClockCheck::Enforced,
        policy: Arc::new(PresenceMode::Field),
    };
    let pool = PoolPolicy { readers: Selection::default(), presence: Arc::new(PresenceMode::Field), heartbeat };
    let age = jiff::SignedDuration::ZERO;
    let rules = Rules { wanted: UserPreference::Card, feed_max_age: age, offline_max_age: age };
    let (pool_policy, hook, resumption) = (pool.clone(), None, None);
    let config = WatchConfig { context, pool: pool_policy, tap: SECOND, rules, hook, portraits: true, resumption };
    NOW.set(Timestamp::now());
    let mut recorder = Recorder::default();
    let told = recorder.clone();
    let orders = recorder.clone();
    let pool = ReaderPool::with_workers(pool, move |_, asked| {
        assert_eq!(asked, heartbeat);
        let orders = orders.clone();
        Ok(Box::new(move |order| {
            if order != ReaderOrder::Inserted(1.into()) || orders.0.borrow().iter().any(|line| line == "begun") {
                orders.add(format!("{order:?}"));
            }
        }))
    });
    let (mut run, _events, _hold) = Watch::open(config).unwrap().begin(pool, &mut recorder);
    run.clock = || NOW.get();
    let card = ReaderEvent::CardInserted { reader: "door".into(), atr: vec![], insertion: 1.into() };
    for event in [ReaderEvent::ReaderAdded { reader: "door".into() }, card] {
        run.handle(Message::Reader(event)).unwrap();
    }
    test(&mut run, &told);
}

/// A tap of the token with this use counter, or a failed one.
fn tap(run: &mut WatchRun<'_>, insertion: u64, result: Result<u32, LinkError>) {
    let result = match result {
        Ok(counter) => {
            let user = User { id: "7".into(), name: "Ada".into(), ..User::default() };
            let proof = VerifiedProof { counter, record: [0; 120], cose: Vec::new() };
            let token = AuthenticatedToken {
                token_id: uuid::Uuid::from_u128(1),
                evidence: Evidence::Proof { proof, identity_certificate: Vec::new() },
                user,
            };
            Tapped { result: Ok(Seen::Authenticated(Box::new(token))), ..Tapped::failed(TapError::Foreign) }
        }
        Err(error) => Tapped::failed(error.into()),
    };
    let (insertion, at) = (insertion.into(), NOW.get());
    let report = ReaderReport::Tapped { reader: "door".into(), insertion, at, tapped: Box::new(result) };
    run.handle(Message::Tap(report)).unwrap();
}

/// A tap by which the terminal obtained a key.
fn tap_with_key(run: &mut WatchRun<'_>, counter: u32) {
    let report = full_tap(run, counter);
    run.handle(Message::Tap(report)).unwrap();
}

fn full_tap(run: &WatchRun<'_>, counter: u32) -> ReaderReport {
    let (token_id, at, cache) = (uuid::Uuid::from_u128(1), NOW.get(), run.resumption.clone().unwrap());
    let proof = VerifiedProof { counter, record: [0; 120], cose: Vec::new() };
    let until = at.checked_add(SECOND * 3600).unwrap();
    let key = ResumptionKey::fresh(token_id, Key128::new([1; 16]).into(), counter, until);
    let kept = cache.made(key, TokenMode::Open(token_id), "7", at, cache.begin());
    tapped_with(Evidence::Proof { proof, identity_certificate: Vec::new() }, kept)
}

/// The same token, in a channel resumed under the kept key.
fn resumed_tap(run: &WatchRun<'_>, counter: u32) -> ReaderReport {
    let mode = TokenMode::Open(uuid::Uuid::from_u128(1));
    let kept = run.resumption.as_ref().unwrap().take(mode, ResumeRule::Open, || NOW.get()).pop().unwrap();
    tapped_with(Evidence::Resumed { counter }, kept)
}

fn tapped_with(evidence: Evidence, kept: KeptKey) -> ReaderReport {
    let user = User { id: "7".into(), name: "Ada".into(), ..User::default() };
    let token = AuthenticatedToken { token_id: uuid::Uuid::from_u128(1), evidence, user };
    let result = Ok(Seen::Authenticated(Box::new(token)));
    let tapped = Tapped { result, kept: Some(kept), ..Tapped::failed(TapError::Foreign) };
    ReaderReport::Tapped { reader: "door".into(), insertion: 1.into(), at: NOW.get(), tapped: Box::new(tapped) }
}

fn is_kept(cache: &ResumptionCache) -> bool {
    let taken = cache.take(TokenMode::Open(uuid::Uuid::from_u128(1)), ResumeRule::Open, || NOW.get());
    let is_kept = !taken.is_empty();
    for kept in taken {
        cache.keep(kept);
    }
    is_kept
}

/// Admission keeps a key; a refusal destroys both the kept and the new one.
#[test]
fn a_key_is_kept_of_who_is_let_in() {
    watch(None, |run, _| {
        let cache = ResumptionCache::new(SECOND * 3600);
        run.resumption = Some(cache.clone());
        let is_kept = || is_kept(&cache);
        tap_with_key(run, 5);
        assert!(is_kept());
        // The counter fell back.
        tap_with_key(run, 4);
        assert!(!is_kept());
        tap_with_key(run, 6);
        assert!(is_kept());
        // The server refused it, whatever it says by the next tap.
        let token_id = run.store.entries().unwrap()[0].token_id;
        let barred = |id| Message::Server(ServerEvent::NotActive(vec![id]));
        run.handle(barred(uuid::Uuid::nil())).unwrap();
        assert!(is_kept());
        run.handle(barred(token_id)).unwrap();
        assert!(!is_kept());
        tap_with_key(run, 7);
        assert!(is_kept());
        // Denied between two taps, and admitted again.
        let denial = Denial { id: "7".into(), at: None, name: None, reason: None };
        run.store.deny(&denial, NOW.get(), &PresenceMode::Field).unwrap();
        run.catch_up().unwrap();
        assert!(!is_kept());
    });
}

/// A key depends on the terminal's own key and its CA: when these change, it ends, even if a tap has taken it out.
#[test]
fn a_key_ends_with_the_certificates_it_came_under() {
    watch(None, |run, _| {
        let cache = ResumptionCache::new(SECOND * 3600);
        run.resumption = Some(cache.clone());
        let renewed = |run: &mut WatchRun<'_>, result: Result<(), &'static str>| {
            let context = &run.config.context;
            let certificate = context.pki.load_terminal(Timestamp::now()).unwrap().certificate;
            let time = RenewalTime::of(certificate.not_before(), certificate.not_after());
            let fresh = || RenewedCertificates {
                credentials: context.credentials(Timestamp::now()).unwrap(),
                server: None,
                time,
            };
            let done = result.map(|()| fresh()).map_err(|code| Failure::new(ExitClass::Config, code, "no"));
            run.handle(Message::Renewed(Box::new(done))).unwrap();
        };
        tap_with_key(run, 5);
        renewed(run, Err("pki.no-renewal"));
        assert!(is_kept(&cache), "the certificates are still the same");
        let out = resumed_tap(run, 5);
        renewed(run, Ok(()));
        run.handle(Message::Tap(out)).unwrap();
        assert!(!is_kept(&cache), "it was out");
        tap_with_key(run, 6);
        assert!(is_kept(&cache));
        renewed(run, Ok(()));
        assert!(!is_kept(&cache));
    });
}

/// With a server, a key is kept as long as the server says, even while it is unreachable.
#[test]
fn a_server_says_whose_keys_are_kept() {
    let said = |resume| -> Result<Lookup, ServerError> {
        Ok(Lookup {
            token_id: uuid::Uuid::from_u128(1),
            status: TokenStatus::Active,
            reason: None,
            user: None,
            signed_user: None,
            proof: None,
            resume,
            resume_until: resume.then(|| NOW.get().checked_add(SECOND * 100).unwrap()),
            nonces: vec![],
        })
    };
    let answer = |said| LookupOutcome { said, kept: CachedToken::default(), took: None };
    let problem = |status, code: &str| -> Result<Lookup, ServerError> {
        let (code, kind, title) = (code.to_owned(), String::new(), String::new());
        Err(ServerError::Problem(Box::new(Problem { kind, title, status, detail: None, code })))
    };
    let required = || answer(problem(409, "proof.required"));
    watch(None, |run, told| {
        let cache = ResumptionCache::new(SECOND * 3600);
        run.resumption = Some(cache.clone());
        // The server is unreachable at the full tap, or does not allow it.
        for (counter, unwilling) in [(5, Err(ServerError::Slow)), (6, said(false))] {
            let report = full_tap(run, counter);
            run.admit(report, Some(&answer(unwilling))).unwrap();
            assert!(!is_kept(&cache));
        }
        let report = full_tap(run, 7);
        run.admit(report, Some(&answer(said(true)))).unwrap();
        for willing in [said(true), Err(ServerError::Slow), problem(503, "server.store")] {
            let report = resumed_tap(run, 7);
            run.admit(report, Some(&answer(willing))).unwrap();
            assert!(is_kept(&cache));
        }
        let report = resumed_tap(run, 7);
        run.admit(report, Some(&answer(said(false)))).unwrap();
        assert!(!is_kept(&cache));
        // It says until when.
        let report = full_tap(run, 8);
        run.admit(report, Some(&answer(said(true)))).unwrap();
        pass(SECOND * 100);
        assert!(is_kept(&cache));
        pass(SECOND);
        assert!(!is_kept(&cache));
        // If it wants a proof, a full tap follows at once.
        let report = full_tap(run, 9);
        run.admit(report, Some(&answer(said(true)))).unwrap();
        told.take();
        told.add("begun".into());
        let report = resumed_tap(run, 9);
        run.admit(report, Some(&required())).unwrap();
        let [_, order] = &told.take()[..] else { panic!("one order") };
        assert!(order.starts_with("Inserted"), "{order}");
        assert!(!is_kept(&cache));
        // Full taps do not repeat forever: a token that has shown a proof is refused.
        told.add("begun".into());
        let report = full_tap(run, 10);
        run.admit(report, Some(&required())).unwrap();
        assert!(!told.take().iter().any(|line| line.starts_with("Inserted")));
        assert!(!is_kept(&cache));
    });
}

/// A token that answers more slowly than before is not admitted, and makes a full tap the next time.
#[test]
fn a_tap_that_is_too_far_destroys_the_key() {
    watch(None, |run, _| {
        let cache = ResumptionCache::new(SECOND * 3600);
        run.resumption = Some(cache.clone());
        let ms = Duration::from_millis;
        let within = |mut report: ReaderReport, took| {
            let ReaderReport::Tapped { tapped, .. } = &mut report else { panic!("a tap") };
            tapped.heartbeat = Some(TimedHeartbeat { took: ms(took), max_extra: ms(25) });
            report
        };
        let near = within(full_tap(run, 5), 10);
        run.handle(Message::Tap(near)).unwrap();
        assert!(is_kept(&cache));
        let far = within(resumed_tap(run, 5), 36);
        run.handle(Message::Tap(far)).unwrap();
        assert!(!is_kept(&cache));
        let far = within(full_tap(run, 6), 36);
        run.handle(Message::Tap(far)).unwrap();
        assert!(!is_kept(&cache));
        let near = within(full_tap(run, 7), 35);
        run.handle(Message::Tap(near)).unwrap();
        assert!(is_kept(&cache));
    });
}

/// Two machines with one bundle evict each other's keys: reported after three full taps in a row that began with a
/// miss.
#[test]
fn a_token_that_loses_the_key_again_and_again_is_told() {
    watch(None, |run, told| {
        let cache = ResumptionCache::new(SECOND * 3600);
        run.resumption = Some(cache);
        tap_with_key(run, 5);
        told.take();
        let miss = |run: &mut WatchRun<'_>, counter| {
            let mut report = full_tap(run, counter);
            let ReaderReport::Tapped { tapped, .. } = &mut report else { panic!("a tap") };
            tapped.missed = true;
            run.handle(Message::Tap(report)).unwrap();
        };
        let note = EvictionNote::of(&run.config.context.state_folder);
        for counter in [6, 7] {
            miss(run, counter);
        }
        let report = resumed_tap(run, 7);
        run.handle(Message::Tap(report)).unwrap();
        for counter in [8, 9] {
            miss(run, counter);
        }
        assert_eq!((told.take(), note.recall(NOW.get())), (Vec::<String>::new(), None));
        miss(run, 10);
        assert_eq!((told.take(), note.recall(NOW.get())), (vec!["resume.evicted".to_owned()], Some(NOW.get())));
    });
}

fn beat(run: &mut WatchRun<'_>) {
    run.handle(Message::Tap(ReaderReport::Alive { reader: "door".into(), token_id: uuid::Uuid::from_u128(1) }))
        .unwrap();
}

fn at_most(run: &mut WatchRun<'_>) -> Duration {
    match run.wait().unwrap() {
        Wait::AtMost(limit) => limit,
        other => panic!("{other:?}"),
    }
}

/// With a slow server, a tap may end after its card was removed, or when another card is there.
#[test]
fn a_tap_that_does_not_count_is_not_shown_as_one_that_does() {
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Ok(1));
        run.handle(Message::Reader(ReaderEvent::CardRemoved { reader: "door".into() })).unwrap();
        tap(run, 1, Ok(2));
        assert_eq!(*told.2.borrow(), [TapEffect::Decided, TapEffect::Lifted]);
        assert!(run.store.entries().unwrap().is_empty());
        let card = ReaderEvent::CardInserted { reader: "door".into(), atr: vec![], insertion: 2.into() };
        run.handle(Message::Reader(card)).unwrap();
        tap(run, 1, Ok(3));
        tap(run, 2, Ok(4));
        run.handle(Message::Reader(ReaderEvent::CardRemoved { reader: "door".into() })).unwrap();
        tap(run, 1, Ok(5));
        assert_eq!(told.2.borrow()[2..], [TapEffect::Overtaken, TapEffect::Decided, TapEffect::Overtaken]);
    });
}

#[test]
fn a_portrait_is_read_where_it_is_wanted_after_its_owner_was_shown() {
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Ok(1));
        assert_eq!(told.take(), ["arrived 7"]);
        told.1.set(true);
        beat(run);
        assert_eq!(told.take(), [""; 0], "it did not come now");
        pass(SECOND * 60);
        at_most(run);
        beat(run);
        let ordered = "Portrait(Insertion(1))";
        assert_eq!(told.take(), ["unconfirmed 7 no_answer", "confirmed 7", ordered]);
        let portrait = Portrait(b"...".to_vec().into());
        let token_id = uuid::Uuid::from_u128(1);
        run.handle(Message::Tap(ReaderReport::Portrait { token_id, portrait })).unwrap();
        assert_eq!(told.take(), [format!("Portrait({token_id}, Portrait(3 bytes))")]);
    });
}

#[test]
fn who_the_server_does_not_let_in_any_more_leaves_at_once() {
    watch(Some(HEARTBEAT), |run, told| {
        tap(run, 1, Ok(1));
        let here = run.store.entries().unwrap()[0].token_id;
        told.take();
        let barred = |ids: &[uuid::Uuid]| Message::Server(ServerEvent::NotActive(ids.to_vec()));
        run.handle(barred(&[uuid::Uuid::nil()])).unwrap();
        assert_eq!(told.take(), [""; 0]);
        run.handle(barred(&[uuid::Uuid::nil(), here])).unwrap();
        run.handle(barred(&[here])).unwrap();
        assert_eq!(told.take(), ["left 7 refused"]);
        beat(run);
        assert_eq!(told.take(), [""; 0], "it does not come back by lying there");
    });
}
