//! The cache: nonces are handed out once, feeds follow each other, users are stored as they were signed.

use std::{collections::HashSet, os::unix::fs::PermissionsExt, sync::Barrier, thread};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::super::{Cache, FeedTaken};
use crate::server_client::{
    ServerError,
    tests::server::{World, key},
};
use crate::{
    api::{User, v1::*},
    crypto::{
        ec::KeyPair,
        jws,
        random::SystemRandom,
        x509::{CertificateProfile, CertificateTemplate, issue},
    },
};

pub const NOW: &str = "2026-11-23T08:00:00Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A server's signing key under the CA of a test world.
pub struct Signer {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Signer {
    pub fn new(world: &World) -> Self {
        let key = key();
        let template = CertificateTemplate {
            class: CertificateProfile::ServerSignature,
            subject: "server",
            key: key.public(),
            not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2048-01-01T00:00:00Z".parse().unwrap(),
        };
        let certificate = issue(&world.ca, "Rollcall CA", &template, &mut SystemRandom).unwrap();
        Self { key, certificate }
    }

    pub fn sign(&self, payload: &impl serde::Serialize, typ: &str) -> String {
        jws::sign(&serde_json::to_vec(payload).unwrap(), typ, &self.key, &self.certificate).unwrap()
    }

    pub fn feed(&self, feed: &Feed) -> String {
        self.sign(feed, FEED_TYPE)
    }

    /// An answer about an active token.
    pub fn lookup(&self, id: u128, user: &User, at: Timestamp) -> Lookup {
        let token_id = Uuid::from_u128(id);
        let signed = SignedUser { token_id, user: user.clone(), at };
        Lookup {
            token_id,
            status: TokenStatus::Active,
            reason: None,
            user: Some(user.clone()),
            signed_user: Some(self.sign(&signed, USER_TYPE)),
            proof: Some(Freshness::Fresh),
            resume: false,
            resume_until: None,
            nonces: Vec::new(),
        }
    }
}

pub fn feed(since: u64, version: u64, entries: &[(u128, TokenStatus, u64)], audit: (u64, &str)) -> Feed {
    let entry = |&(id, status, version)| FeedEntry { token_id: Uuid::from_u128(id), status, reason: None, version };
    Feed {
        since,
        version,
        at: now(),
        more: false,
        entries: entries.iter().map(entry).collect(),
        audit: AuditHead { seq: audit.0, hash: audit.1.into() },
        held: None,
    }
}

pub fn nonce(number: u8, hours: i64) -> Nonce {
    let use_by = now() + SignedDuration::from_hours(hours);
    Nonce { nonce: BASE64_URL_SAFE_NO_PAD.encode([number; 32]), use_by }
}

pub fn ada() -> User {
    User { id: "7".into(), name: "Ada".into(), ..User::default() }
}

struct CacheFixture {
    home: tempfile::TempDir,
    world: World,
    signer: Signer,
}

impl CacheFixture {
    fn new() -> Self {
        let world = World::new();
        Self { home: tempfile::tempdir().unwrap(), signer: Signer::new(&world), world }
    }

    fn open(&self) -> Cache {
        Cache::open(self.home.path(), &[*self.world.authority.point()]).unwrap()
    }

    fn take(&self, cache: &Cache, feed: &Feed) -> Result<bool, ServerError> {
        let taken = cache.take_feed(&cache.mark()?, &self.signer.feed(feed), now())?;
        Ok(taken != FeedTaken::Whole)
    }
}

fn status(cache: &Cache, id: u128) -> Option<TokenStatus> {
    cache.recall(Uuid::from_u128(id), now()).unwrap().status.map(|(status, _)| status)
}

#[test]
fn the_file_is_private_and_of_one_ca() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    cache.keep_nonces(&[nonce(1, 24)]).unwrap();
    let mode = fixture.home.path().join("directory.db").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fixture.open().missing_nonces(now()).unwrap(), NONCES_MAX - 1);
    let other = Cache::open(fixture.home.path(), &[*World::new().authority.point()]).unwrap();
    assert_eq!(other.missing_nonces(now()).unwrap(), NONCES_MAX);
}

/// The status of lost tokens survives the replacement of our CA; what a CA signed holds as long as it is trusted.
#[test]
fn a_successor_takes_over_what_is_kept() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    cache.keep_nonces(&[nonce(1, 24)]).unwrap();
    let (old, new) = (*fixture.world.authority.point(), *World::new().authority.point());
    let mut both = Cache::open(fixture.home.path(), &[new, old]).unwrap();
    assert_eq!(both.missing_nonces(now()).unwrap(), NONCES_MAX - 1);
    let feed = feed(0, 1, &[(7, TokenStatus::Lost, 1)], (1, "a"));
    fixture.take(&both, &feed).unwrap();
    assert_eq!(status(&both, 7), Some(TokenStatus::Lost));
    both.trust(&[new]);
    assert!(matches!(fixture.take(&both, &feed), Err(ServerError::Protocol(_))));
    let alone = Cache::open(fixture.home.path(), &[new]).unwrap();
    assert_eq!(status(&alone, 7), Some(TokenStatus::Lost));
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    let fixture = CacheFixture::new();
    let path = fixture.home.path().join("directory.db");
    for content in [&b"no database at all, and longer than a header of one would be"[..], &[0; 4096]] {
        std::fs::write(&path, content).unwrap();
        let opened = Cache::open(fixture.home.path(), &[*fixture.world.authority.point()]);
        let Err(error @ ServerError::Cache(_)) = opened else { panic!("{opened:?}") };
        let hint = crate::failure::Failure::from(error).hint.unwrap();
        assert!(hint.text.starts_with("remove directory.db"), "{hint}");
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_nonce_is_handed_out_once_and_in_time() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    cache.keep_nonces(&[nonce(1, 24), nonce(2, 23), nonce(3, 0), nonce(2, 23)]).unwrap();
    let take = |cache: &Cache| cache.take_nonce(now()).unwrap().map(|(nonce, _)| nonce);
    assert_eq!(take(&cache), Some([2; 32])); // the one that expires first
    assert_eq!(take(&fixture.open()), Some([1; 32]));
    assert_eq!(take(&cache), None);
    let short = Nonce { nonce: "AAAA".into(), ..nonce(1, 24) };
    assert!(matches!(cache.keep_nonces(&[nonce(9, 24), short]), Err(ServerError::Protocol(_))));
    let many: Vec<_> = (0..200).map(|number| nonce(number, 24)).collect();
    cache.keep_nonces(&many).unwrap();
    assert_eq!(cache.missing_nonces(now()).unwrap(), 0);
}

/// On a busy machine another process may hold the file for longer than a tap waits.
fn patiently<T>(run: impl Fn() -> Result<T, ServerError>) -> T {
    (0..100).find_map(|_| run().ok()).unwrap()
}

/// Several processes opening the file and taking nonces at once.
#[test]
fn nobody_gets_the_nonce_of_another() {
    let fixture = CacheFixture::new();
    let nonces: Vec<_> = (0..64).map(|number| nonce(number, 24)).collect();
    let together = Barrier::new(4);
    let taken: Vec<[u8; 32]> = thread::scope(|scope| {
        let take = || {
            together.wait();
            let opened = Cache::open(fixture.home.path(), &[*fixture.world.authority.point()]);
            let kept = opened.map(|cache| (patiently(|| cache.keep_nonces(&nonces)), cache));
            together.wait();
            let ((), cache) = kept.unwrap();
            let mut mine = Vec::new();
            while let Some((nonce, _)) = patiently(|| cache.take_nonce(now())) {
                mine.push(nonce);
            }
            mine
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.len(), 64);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 64);
}

#[test]
fn a_feed_follows_the_one_before_it() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    assert_eq!(cache.recall(Uuid::from_u128(1), now()).unwrap().feed_age, None);
    let first = feed(0, 5, &[(1, TokenStatus::Suspended, 2), (2, TokenStatus::Lost, 5)], (10, "a"));
    assert!(!fixture.take(&cache, &first).unwrap());
    assert_eq!((status(&cache, 1), status(&cache, 2)), (Some(TokenStatus::Suspended), Some(TokenStatus::Lost)));
    for wrong in [
        first.clone(),                                         // the same again
        feed(5, 4, &[], (10, "a")),                            // a lower version
        feed(5, 7, &[(1, TokenStatus::Active, 5)], (10, "a")), // an entry from before
        feed(5, 7, &[(1, TokenStatus::Active, 8)], (10, "a")), // an entry beyond its version
        Feed { more: true, ..feed(5, 5, &[], (10, "a")) },     // without an end
    ] {
        let refused = fixture.take(&cache, &wrong);
        assert!(matches!(refused, Err(ServerError::Protocol(_))), "{wrong:?}: {refused:?}");
    }
    assert!(!fixture.take(&cache, &feed(5, 7, &[(1, TokenStatus::Active, 6)], (11, "b"))).unwrap());
    assert_eq!((status(&cache, 1), status(&cache, 2)), (None, Some(TokenStatus::Lost)));
    let later = now() + SignedDuration::from_hours(3);
    let kept = fixture.open().recall(Uuid::from_u128(2), later).unwrap();
    assert_eq!(kept.feed_age, Some(SignedDuration::from_hours(3)));
}

#[test]
fn a_page_makes_the_feed_no_younger_until_the_last() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    let page = Feed { more: true, ..feed(0, 1, &[(1, TokenStatus::Lost, 1)], (1, "a")) };
    assert!(fixture.take(&cache, &page).unwrap());
    assert_eq!(cache.mark().unwrap().at, None);
    assert_eq!(status(&cache, 1), Some(TokenStatus::Lost));
    assert!(!fixture.take(&cache, &feed(1, 2, &[(2, TokenStatus::Lost, 2)], (1, "a"))).unwrap());
    assert_eq!(cache.mark().unwrap().at, Some(now()));
}

#[test]
fn a_shorter_or_other_audit_log_is_loud() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    fixture.take(&cache, &feed(0, 1, &[], (10, "a"))).unwrap();
    for cut in [(9, "a"), (10, "b"), (0, "")] {
        let refused = fixture.take(&cache, &feed(1, 2, &[(1, TokenStatus::Lost, 2)], cut)).unwrap_err();
        assert_eq!(refused, ServerError::RolledBack { seen: 10 });
        let failure = crate::failure::Failure::from(refused);
        assert_eq!((failure.code, failure.class.exit_status()), ("server.rolled-back", 76));
    }
    assert_eq!(status(&cache, 1), None);
    fixture.take(&cache, &feed(1, 1, &[], (10, "a"))).unwrap();
}

/// The feed of another log: what that log has in place of a record, and whether an administrator accepted this.
fn of_another(feed: Feed, hash: Option<&str>, reconciled: bool) -> Feed {
    Feed { held: Some(HeldRecord { seq: 10, hash: hash.map(str::to_owned), reconciled }), ..feed }
}

/// A log is distinguished from another by its hashes, even once it is longer; refused tokens stay refused until the two
/// are reconciled, and then until all of the other log is known.
#[test]
fn a_log_that_was_restored_is_told_by_its_hashes() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    fixture.take(&cache, &feed(0, 2, &[(1, TokenStatus::Lost, 1), (2, TokenStatus::Lost, 2)], (10, "a"))).unwrap();
    cache.set_uploaded(Uuid::from_u128(1), 7).unwrap();
    let longer = || feed(2, 3, &[(1, TokenStatus::Active, 3)], (99, "z"));
    for (hash, reconciled) in [(Some("b"), false), (None, false)] {
        let refused = fixture.take(&cache, &of_another(longer(), hash, reconciled));
        assert_eq!(refused, Err(ServerError::RolledBack { seen: 10 }));
        assert_eq!(status(&cache, 1), Some(TokenStatus::Lost));
    }
    // The right record under another number does not count, and a log that ends before the right record contradicts
    // itself.
    let elsewhere = Feed { held: Some(HeldRecord { seq: 9, hash: Some("a".into()), reconciled: true }), ..longer() };
    let before = of_another(feed(2, 2, &[], (9, "a")), Some("a"), false);
    for lie in [elsewhere, before] {
        assert_eq!(fixture.take(&cache, &lie), Err(ServerError::RolledBack { seen: 10 }));
    }
    for _ in 0..2 {
        cache.roll_back(&fixture.signer.feed(&longer())).unwrap();
        assert_eq!((cache.uploaded(Uuid::from_u128(1)).unwrap(), cache.exchanges().unwrap()), (0, 1));
    }
    let told = cache.witness().unwrap();
    assert_eq!((told.len(), told[0].statuses.len()), (1, 2));
    assert!(told[0].feed.starts_with("ey"));
    // Reconciled: it is requested from its beginning, and until it is complete no refused token is admitted.
    assert!(fixture.take(&cache, &of_another(longer(), Some("b"), true)).unwrap());
    assert_eq!(cache.mark().unwrap().version, 0);
    assert_eq!((status(&cache, 1), status(&cache, 2)), (Some(TokenStatus::Lost), Some(TokenStatus::Lost)));
    fixture.take(&cache, &feed(0, 3, &[(2, TokenStatus::Revoked, 3)], (99, "z"))).unwrap();
    assert_eq!((status(&cache, 1), status(&cache, 2)), (None, Some(TokenStatus::Revoked)));
    assert_eq!((cache.other_log().unwrap(), cache.exchanges().unwrap()), (None, 1));
    cache.roll_back(&fixture.signer.feed(&longer())).unwrap();
    assert_eq!(cache.exchanges().unwrap(), 2);
}

/// Each log receives all events from the first: one replaced while it is not followed, and one reconciled before this
/// terminal heard of it. A log that only grows is not another log.
#[test]
fn a_log_that_is_exchanged_once_more_is_noticed() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    let list = Uuid::from_u128(1);
    let sent_again = || {
        let sent = cache.uploaded(list).unwrap() == 0;
        cache.set_uploaded(list, 7).unwrap();
        sent
    };
    fixture.take(&cache, &feed(0, 1, &[], (10, "a"))).unwrap();
    assert_eq!(cache.other_log().unwrap(), None);
    cache.set_uploaded(list, 7).unwrap();
    cache.roll_back(&fixture.signer.feed(&feed(1, 1, &[], (6, "b")))).unwrap();
    assert!(sent_again());
    let mut known = AuditHead { seq: 6, hash: "b".into() };
    // What it has in place of the known head; its own head; and whether an administrator reconciled the two.
    for (has, head, reconciled, exchanged) in [
        (Some("b"), (6, "b"), false, false),
        (Some("b"), (9, "c"), false, false),
        (Some("x"), (30, "d"), false, true),
        (Some("d"), (30, "d"), false, false),
        (None, (6, "b"), false, true),
        (Some("x"), (40, "e"), true, true),
    ] {
        assert_eq!(cache.other_log().unwrap(), Some(known.clone()));
        let held = HeldRecord { seq: known.seq, hash: has.map(str::to_owned), reconciled };
        let told = Feed { held: Some(held), ..feed(1, 1, &[], head) };
        cache.follow_other(&known, &fixture.signer.feed(&told)).unwrap();
        assert_eq!(sent_again(), exchanged, "{told:?}");
        known = told.audit;
    }
    // A process that asked earlier has nothing to add.
    let before = AuditHead { seq: 30, hash: "d".into() };
    cache.follow_other(&before, &fixture.signer.feed(&feed(1, 1, &[], (1, "y")))).unwrap();
    assert_eq!((cache.other_log().unwrap(), cache.exchanges().unwrap()), (Some(known), 4));
    let away = CacheFixture::new();
    let cache = away.open();
    away.take(&cache, &feed(0, 1, &[], (10, "a"))).unwrap();
    cache.set_uploaded(list, 7).unwrap();
    assert!(away.take(&cache, &of_another(feed(1, 1, &[], (99, "z")), Some("b"), true)).unwrap());
    assert_eq!((cache.uploaded(list).unwrap(), cache.exchanges().unwrap()), (0, 1));
}

/// A log that continues is the same log, however long it gets.
#[test]
fn a_log_that_has_grown_is_the_same() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    fixture.take(&cache, &feed(0, 1, &[(1, TokenStatus::Lost, 1)], (10, "a"))).unwrap();
    fixture.take(&cache, &of_another(feed(1, 2, &[(1, TokenStatus::Active, 2)], (99, "z")), Some("a"), false)).unwrap();
    assert_eq!(status(&cache, 1), None);
}

/// However many tokens are refused, each part of the witness fits a request.
#[test]
fn what_is_told_of_a_lost_log_fits_requests() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    assert_eq!(cache.witness().unwrap(), []);
    let mut told = feed(0, 1200, &[], (10, "a"));
    let entry = |version: u64| FeedEntry {
        token_id: Uuid::from_u128(version.into()),
        status: TokenStatus::Suspended,
        reason: Some("\"".repeat(200)),
        version,
    };
    told.entries = (1..=120).map(entry).collect();
    fixture.take(&cache, &told).unwrap();
    for from in [121, 461, 801] {
        let mut found = fixture.signer.lookup(from, &ada(), now());
        (found.status, found.reason) = (TokenStatus::Lost, Some("\"".repeat(200)));
        for id in from..from + 340 {
            found.token_id = Uuid::from_u128(id);
            cache.remember(&found).unwrap();
        }
    }
    let parts = cache.witness().unwrap();
    assert_eq!(parts.iter().map(|part| part.statuses.len()).sum::<usize>(), 1140);
    assert!(parts.iter().all(|part| part.statuses.len() <= PAGE_MAX as usize));
    assert!(parts.iter().all(|part| serde_json::to_vec(part).unwrap().len() <= BODY_MAX));
}

/// A file of release 0.1.0 is migrated with its content.
#[test]
fn a_file_of_the_first_release_is_taken_over() {
    let fixture = CacheFixture::new();
    {
        let db = rusqlite::Connection::open(fixture.home.path().join("directory.db")).unwrap();
        db.execute_batch(include_str!("../store/001.sql")).unwrap();
        db.pragma_update(None, "application_id", 0x5243_6431).unwrap();
        db.pragma_update(None, "user_version", 1).unwrap();
        let ca = fixture.world.authority.point().as_bytes().to_vec();
        db.execute("INSERT INTO feed VALUES (1, ?1, 4, 0, 10, 'a')", [ca]).unwrap();
        db.execute("INSERT INTO statuses VALUES (?1, 'lost', NULL, 0)", [Uuid::from_u128(1).to_string()]).unwrap();
    }
    let cache = fixture.open();
    assert_eq!((cache.mark().unwrap().version, cache.mark().unwrap().audit.seq), (4, 10));
    assert_eq!(status(&cache, 1), Some(TokenStatus::Lost));
    assert_eq!(cache.witness().unwrap(), [], "nothing that is signed");
    fixture.take(&cache, &feed(4, 5, &[], (11, "b"))).unwrap();
    assert_eq!(fixture.open().witness().unwrap().len(), 1);
}

/// The answer to an older request is not a truncated log: another process received a newer feed in between.
#[test]
fn the_answer_to_an_older_question_is_left_out() {
    let fixture = CacheFixture::new();
    let (slow, fast) = (fixture.open(), fixture.open());
    let asked = slow.mark().unwrap();
    fixture.take(&fast, &feed(0, 2, &[(1, TokenStatus::Lost, 2)], (10, "a"))).unwrap();
    let old = feed(0, 1, &[(1, TokenStatus::Suspended, 1)], (9, "b"));
    assert_eq!(slow.take_feed(&asked, &fixture.signer.feed(&old), now()).unwrap(), FeedTaken::Whole);
    assert_eq!(status(&slow, 1), Some(TokenStatus::Lost));
    assert_eq!(slow.mark().unwrap().audit.seq, 10);
}

#[test]
fn what_others_signed_is_refused() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    let other = Signer::new(&World::new());
    let right = feed(0, 1, &[(1, TokenStatus::Lost, 1)], (1, "a"));
    let wrong = [
        other.feed(&right),
        fixture.signer.sign(&right, USER_TYPE),
        fixture.signer.sign(&"a feed", FEED_TYPE),
        fixture.signer.feed(&Feed { at: "2049-06-01T00:00:00Z".parse().unwrap(), ..right }),
    ];
    for jws in wrong {
        let refused = cache.take_feed(&cache.mark().unwrap(), &jws, now());
        assert!(matches!(refused, Err(ServerError::Protocol(_))), "{refused:?}");
    }
    assert_eq!(status(&cache, 1), None);
}

#[test]
fn a_lookup_is_heard_until_the_feed_says_it() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    let mut found = fixture.signer.lookup(1, &ada(), now());
    found.status = TokenStatus::Suspended;
    cache.remember(&found).unwrap();
    assert_eq!(status(&cache, 1), Some(TokenStatus::Suspended));
    fixture.take(&cache, &feed(0, 0, &[], (1, "a"))).unwrap();
    assert_eq!(status(&cache, 1), None);
}

#[test]
fn a_user_is_kept_as_it_was_signed_for_this_token() {
    let fixture = CacheFixture::new();
    let cache = fixture.open();
    let id = Uuid::from_u128(1);
    let user = |at| cache.recall(id, at).unwrap().user;
    cache.remember(&fixture.signer.lookup(1, &ada(), now())).unwrap();
    assert_eq!(user(now()), Some((ada(), now())));
    assert_eq!(user(now() - SignedDuration::from_mins(6)), None); // from the future
    let eve = User { name: "Eve".into(), ..ada() };
    let told = Lookup { user: Some(eve), ..fixture.signer.lookup(1, &ada(), now()) };
    let of_another = Lookup { token_id: id, ..fixture.signer.lookup(2, &ada(), now()) };
    let by_another = Lookup { ..Signer::new(&World::new()).lookup(1, &ada(), now()) };
    for wrong in [told, of_another, by_another] {
        assert!(matches!(cache.remember(&wrong), Err(ServerError::Protocol(_))));
    }
    assert_eq!(user(now()), Some((ada(), now())));
    assert_eq!(cache.users(now()).unwrap(), [(id, ada())]);
    assert_eq!(cache.users(now() - SignedDuration::from_mins(6)).unwrap(), []);
}

#[test]
fn uploads_go_forward_only() {
    let fixture = CacheFixture::new();
    let (list, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let cache = fixture.open();
    for (seq, then) in [(5, 5), (3, 5), (9, 9)] {
        cache.set_uploaded(list, seq).unwrap();
        assert_eq!(fixture.open().uploaded(list).unwrap(), then);
    }
    assert_eq!(cache.uploaded(other).unwrap(), 0);
}

fn any_status() -> impl Strategy<Value = TokenStatus> {
    prop_oneof![
        Just(TokenStatus::Active),
        Just(TokenStatus::Suspended),
        Just(TokenStatus::Lost),
        Just(TokenStatus::Revoked)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the changes are split into feeds, each token ends up with its last status.
    #[test]
    fn feeds_add_up(changes in prop::collection::vec((0u128..4, any_status()), 1..20), cuts in prop::collection::vec(1usize..5, 20)) {
        let fixture = CacheFixture::new();
        let cache = fixture.open();
        let mut from = 0;
        for cut in cuts {
            let to = (from + cut).min(changes.len());
            // A feed has the newest status of each token only.
            let entries: Vec<_> = (from..to)
                .filter(|at| !changes[at + 1..to].iter().any(|(id, _)| *id == changes[*at].0))
                .map(|at| (changes[at].0, changes[at].1, at as u64 + 1))
                .collect();
            fixture.take(&cache, &feed(from as u64, to as u64, &entries, (to as u64, "a"))).unwrap();
            from = to;
        }
        prop_assume!(from == changes.len());
        for id in 0..4 {
            let last = changes.iter().rev().find(|(of, _)| *of == id).map(|(_, status)| *status);
            prop_assert_eq!(status(&cache, id), last.filter(|status| *status != TokenStatus::Active));
        }
    }
}
