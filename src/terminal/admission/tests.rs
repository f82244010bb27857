//! Every combination of facts that decides whether a token is admitted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Clearance, Decision, Knowledge, Refusal, Rules, ServerVerdict, TapOutcome, UserPreference, consult};
use crate::server_client::ServerError;
use crate::terminal::lookups::{
    CachedToken, LookupOutcome,
    tests::cache::{ada, now},
};
use crate::terminal::presence::{Input, Refused, Source, store::TerminalStore};
use crate::terminal::tap::{Seen, TapError, Tapped, TimedHeartbeat, TooFar, replay::Played};
use crate::{
    api::{User, v1::*},
    card::{
        link::LinkError,
        trace::{Judged, RecordedDistance},
    },
    failure::ExitClass,
    proof::VerifiedProof,
    token::open::{AuthenticatedToken, Evidence},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const ALL: [UserPreference; 3] = [UserPreference::Either, UserPreference::Card, UserPreference::Server];

fn bob() -> User {
    User { id: "8".into(), name: "Bob".into(), ..User::default() }
}

fn rules(wanted: UserPreference) -> Rules {
    Rules { wanted, feed_max_age: HOUR * 24, offline_max_age: HOUR * 8 }
}

fn found(status: TokenStatus) -> LookupOutcome {
    let user = (status == TokenStatus::Active).then(bob);
    let lookup = Lookup {
        token_id: Uuid::from_u128(1),
        status,
        reason: None,
        user,
        signed_user: None,
        proof: Some(Freshness::Fresh),
        resume: false,
        resume_until: None,
        nonces: vec![],
    };
    LookupOutcome { said: Ok(lookup), kept: CachedToken::default(), took: None }
}

fn away(kept: CachedToken) -> LookupOutcome {
    LookupOutcome { said: Err(ServerError::Slow), kept, took: None }
}

fn said_no(code: &str) -> LookupOutcome {
    let problem = Problem { kind: String::new(), title: "no".into(), status: 404, detail: None, code: code.into() };
    LookupOutcome { said: Err(ServerError::Problem(Box::new(problem))), kept: CachedToken::default(), took: None }
}

fn told(
    card: &User,
    answered: &LookupOutcome,
    wanted: UserPreference,
) -> Result<(String, Source, ServerVerdict, bool), &'static str> {
    match consult(card, answered, &rules(wanted), now()) {
        Ok(Clearance { user, source, verdict, warning }) => Ok((user.name, source, verdict, warning.is_some())),
        Err(refusal) => Err(refusal.to_failure(0).code),
    }
}

#[test]
fn the_server_is_there() {
    let card = |word| Ok(("Ada".to_owned(), Source::Card, word, false));
    let server = |word| Ok(("Bob".to_owned(), Source::Server, word, false));
    let answered = found(TokenStatus::Active);
    assert_eq!(told(&ada(), &answered, UserPreference::Either), card(ServerVerdict::Known));
    assert_eq!(told(&ada(), &answered, UserPreference::Card), card(ServerVerdict::Known));
    assert_eq!(told(&ada(), &answered, UserPreference::Server), server(ServerVerdict::Known));
    assert_eq!(
        told(&User { name: String::new(), ..ada() }, &answered, UserPreference::Either),
        server(ServerVerdict::Known)
    );
    for (status, code) in [
        (TokenStatus::Suspended, "token.suspended"),
        (TokenStatus::Lost, "token.lost"),
        (TokenStatus::Revoked, "token.revoked"),
    ] {
        for wanted in ALL {
            assert_eq!(told(&ada(), &found(status), wanted), Err(code));
        }
    }
}

#[test]
fn the_server_does_not_know_the_token_or_refuses_the_proof() {
    let unknown = said_no("token.unknown");
    assert_eq!(
        told(&ada(), &unknown, UserPreference::Either),
        Ok(("Ada".into(), Source::Card, ServerVerdict::Refused, true))
    );
    assert_eq!(told(&User::default(), &unknown, UserPreference::Either), Err("token.unknown"));
    assert_eq!(told(&ada(), &unknown, UserPreference::Server), Err("token.unknown"));
    for wanted in ALL {
        assert_eq!(told(&ada(), &said_no("proof.clone"), wanted), Err("proof.clone"));
    }
}

#[test]
fn the_server_is_away() {
    let fresh = Some(HOUR * 23);
    let kept = |feed_age, hours: i64| CachedToken {
        status: None,
        feed_age,
        user: Some((bob(), now() - HOUR * i32::try_from(hours).unwrap())),
    };
    let card = |warned| Ok(("Ada".to_owned(), Source::Card, ServerVerdict::Away, warned));
    let server = Ok(("Bob".to_owned(), Source::Server, ServerVerdict::Away, false));
    for wanted in [UserPreference::Either, UserPreference::Card] {
        assert_eq!(told(&ada(), &away(kept(fresh, 1)), wanted), card(false));
        assert_eq!(told(&ada(), &away(kept(Some(HOUR * 25), 1)), wanted), card(true));
        assert_eq!(told(&ada(), &away(CachedToken::default()), wanted), card(true));
    }
    for (card, wanted) in [(ada(), UserPreference::Server), (User::default(), UserPreference::Either)] {
        assert_eq!(told(&card, &away(kept(fresh, 8)), wanted), server);
        assert_eq!(told(&card, &away(kept(fresh, 9)), wanted), Err("server.slow"));
        assert_eq!(told(&card, &away(kept(Some(HOUR * 25), 1)), wanted), Err("server.slow"));
        assert_eq!(told(&card, &away(kept(None, 1)), wanted), Err("server.slow"));
        assert_eq!(
            told(&card, &away(CachedToken { feed_age: fresh, ..CachedToken::default() }), wanted),
            Err("server.slow")
        );
    }
}

#[test]
fn a_status_once_known_stays_however_old() {
    for wanted in ALL {
        for feed_age in [None, Some(HOUR), Some(HOUR * 1000)] {
            let kept = CachedToken {
                status: Some((TokenStatus::Lost, Some("in\na bus".into()))),
                feed_age,
                user: Some((bob(), now())),
            };
            let refusal = consult(&ada(), &away(kept), &rules(wanted), now()).unwrap_err();
            assert_eq!(refusal.server_verdict(), Some(ServerVerdict::Refused));
            assert_eq!(refusal.to_string(), "the token is lost: in\\na bus");
            assert!(matches!(refusal, Refusal::NotActive { status: TokenStatus::Lost, .. }));
        }
    }
}

fn tapped(token_id: Uuid, counter: u32) -> Tapped {
    let user = User { id: "7".into(), name: "Ada Lovelace".into(), fields: [].into() };
    let proof = VerifiedProof { counter, record: [0; 120], cose: Vec::new() };
    let token =
        AuthenticatedToken { token_id, evidence: Evidence::Proof { proof, identity_certificate: Vec::new() }, user };
    Tapped { result: Ok(Seen::Authenticated(Box::new(token))), ..Tapped::failed(TapError::Foreign) }
}

fn resumed(token_id: Uuid, counter: u32) -> Tapped {
    let user = User { id: "7".into(), name: "Ada Lovelace".into(), fields: [].into() };
    let token = AuthenticatedToken { token_id, evidence: Evidence::Resumed { counter }, user };
    Tapped { result: Ok(Seen::Authenticated(Box::new(token))), ..Tapped::failed(TapError::Foreign) }
}

/// The same counter twice, or a lower one: two cards share one identity, or a proof was replayed.
#[test]
fn a_counter_that_does_not_rise_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let (token, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let cases = [
        (token, 5, None),
        (token, 5, Some(5)),
        (token, 4, Some(5)),
        (other, 1, None),
        (token, 6, None),
        (token, 5, Some(6)),
        (other, 2, None),
    ];
    for (id, counter, refused_after) in cases {
        let at = "2026-11-23T07:00:00Z".parse().unwrap();
        let outcome = TapOutcome::of(&mut store, at, "reader".into(), 1.into(), tapped(id, counter), None).unwrap();
        let told = outcome.input();
        match refused_after {
            None => {
                assert_eq!(outcome.authenticated(), Some(id), "{counter}");
                assert!(matches!(told, Some(Input::Tap(_))));
            }
            Some(expected) => {
                assert_eq!(outcome.authenticated(), None, "{counter}");
                assert_eq!(outcome.failure().unwrap().code, "token.counter");
                let reason = outcome.decision.refused().map(|rejection| &rejection.reason);
                assert!(matches!(reason, Some(Refusal::Counter { last, .. }) if *last == expected));
                assert!(matches!(told, Some(Input::Refused(Refused { token_id: Some(t), .. })) if t == id));
                assert_eq!(outcome.decision.holder().map(|(holder, _)| holder), Some(id));
            }
        }
    }
}

/// A resumed tap does not increment the counter; one below the last seen is a copy.
#[test]
fn a_resumed_tap_has_the_counter_of_the_full_one() {
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let token_id = Uuid::from_u128(1);
    let mut code_of = |tapped| {
        let at = "2026-11-23T07:00:00Z".parse().unwrap();
        let outcome = TapOutcome::of(&mut store, at, "reader".into(), 1.into(), tapped, None).unwrap();
        outcome.failure().map(|failure| failure.code)
    };
    assert_eq!(code_of(tapped(token_id, 5)), None);
    assert_eq!((code_of(resumed(token_id, 5)), code_of(resumed(token_id, 5))), (None, None));
    assert_eq!(code_of(resumed(token_id, 4)), Some("token.counter"));
    assert_eq!(code_of(tapped(token_id, 5)), Some("token.counter"), "a proof has to raise it");
}

/// The server knows the proof that began the channel; its answer, or its absence, counts as in a full tap.
#[test]
fn the_server_is_heard_about_a_resumed_tap() {
    let (token_id, rules) = (Uuid::from_u128(1), rules(UserPreference::Server));
    let decide = |server: &LookupOutcome, rules| {
        let known = Knowledge { last_counter: None, too_far: None, denied: &|_| false, server: Some((server, rules)) };
        let decision = Decision::decide(resumed(token_id, 5).result, &known, now());
        let is_resumed = decision.admitted().map(|admission| admission.token.is_resumed());
        let code = decision.refused().map(|rejection| rejection.reason.to_failure(0).code);
        (is_resumed, code, decision.server())
    };
    let mut lookup = found(TokenStatus::Active);
    // No proof was sent.
    lookup.said.as_mut().unwrap().proof = None;
    assert_eq!(decide(&lookup, &rules), (Some(true), None, Some(ServerVerdict::Known)));
    let lookup = found(TokenStatus::Suspended);
    assert_eq!(decide(&lookup, &rules), (None, Some("token.suspended"), Some(ServerVerdict::Refused)));
    let card = self::rules(UserPreference::Card);
    assert_eq!(decide(&away(CachedToken::default()), &card), (Some(true), None, Some(ServerVerdict::Away)));
}

/// A replay has no list and no counters: the terminal's objections are taken from the recording.
#[test]
fn a_played_tap_is_refused_as_it_was() {
    let played = |judged| {
        let at = "2026-11-23T07:00:00Z".parse().unwrap();
        let outcome =
            TapOutcome::played(Played { at, reader: "reader".into(), tapped: tapped(Uuid::nil(), 5), judged });
        (outcome.failure().map(|failure| failure.code), outcome.decision.admitted().is_some())
    };
    assert_eq!(played(Judged::default()), (None, true));
    assert_eq!(played(Judged { denied: true, ..Judged::default() }), (Some("token.denied"), false));
    assert_eq!(played(Judged { last_counter: Some(5), ..Judged::default() }), (Some("token.counter"), false));
    let too_far = Some(RecordedDistance { took_us: 120_000, most_us: 45_000 });
    assert_eq!(played(Judged { too_far, ..Judged::default() }), (Some("token.too-far"), false));
}

/// The first tap at a reader is admitted and its time stored; from then on the least time counts, and it never rises.
#[test]
fn a_token_is_as_near_as_it_ever_was() {
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let (token, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (extra, us) = (Duration::from_millis(25), Duration::from_micros);
    let mut counter = 0;
    let mut tap = |token_id, reader: &str, took: Option<u64>| {
        counter += 1;
        let heartbeat = took.map(|took| TimedHeartbeat { took: us(took), max_extra: extra });
        let tapped = Tapped { heartbeat, ..tapped(token_id, counter) };
        let at = "2026-11-23T07:00:00Z".parse().unwrap();
        let outcome = TapOutcome::of(&mut store, at, reader.into(), 1.into(), tapped, None).unwrap();
        let failure = outcome.failure();
        if let Some(failure) = &failure {
            assert_eq!((failure.code, failure.class), ("token.too-far", ExitClass::Refused));
            assert_eq!((outcome.authenticated(), outcome.decision.holder().unwrap().0), (None, token_id));
            let told = outcome.input();
            assert!(matches!(told, Some(Input::Refused(Refused { barred: false, silent: false, .. }))), "{told:?}");
        }
        (failure.map(|failure| failure.message), store.least_heartbeat(token_id, reader).unwrap())
    };
    let message =
        |took, most| Some(format!("the token answered after {took} ms, and at most {most} ms is allowed here"));
    assert_eq!(tap(token, "a", None), (None, None), "without a bound nothing is kept");
    assert_eq!(tap(token, "a", Some(20_000)), (None, Some(us(20_000))));
    assert_eq!(tap(token, "a", Some(45_000)), (None, Some(us(20_000))));
    assert_eq!(tap(token, "a", Some(45_001)), (message("45.1", "45.0"), Some(us(20_000))));
    assert_eq!(tap(token, "a", Some(120_000)), (message("120.0", "45.0"), Some(us(20_000))));
    assert_eq!(tap(token, "a", Some(12_345)), (None, Some(us(12_345))));
    assert_eq!(tap(token, "a", Some(45_000)), (message("45.0", "37.3"), Some(us(12_345))));
    // Another reader, and another token, each have their own least time.
    assert_eq!(tap(token, "b", Some(300_000)), (None, Some(us(300_000))));
    assert_eq!(tap(other, "a", Some(200_000)), (None, Some(us(200_000))));
    assert_eq!(tap(token, "a", None), (None, Some(us(12_345))), "the bound was taken away");
}

/// A tap within the bound keeps the least time alive, however long ago it was measured; one above it does not.
#[test]
fn a_least_time_stays_while_its_token_comes() {
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let day = |n: i64| Timestamp::from_second(1_800_000_000 + n * 86_400).unwrap();
    let mut counter = 0;
    for (n, took, kept, least) in
        [(0, 20, 0, Some(20)), (80, 30, 70, Some(20)), (120, 99, 80, Some(20)), (121, 99, 81, None)]
    {
        counter += 1;
        let heartbeat =
            Some(TimedHeartbeat { took: Duration::from_millis(took), max_extra: Duration::from_millis(25) });
        let tapped = Tapped { heartbeat, ..tapped(Uuid::nil(), counter) };
        TapOutcome::of(&mut store, day(n), "a".into(), 1.into(), tapped, None).unwrap();
        store.prune(day(kept)).unwrap();
        assert_eq!(store.least_heartbeat(Uuid::nil(), "a").unwrap(), least.map(Duration::from_millis), "day {n}");
    }
}

/// One case for each way in which a card is admitted or refused, and the holder and verdict reported with it.
#[test]
fn every_decision() {
    let (token_id, rules) = (Uuid::from_u128(1), rules(UserPreference::Server));
    let (known, suspended) = (found(TokenStatus::Active), found(TokenStatus::Suspended));
    let far = TooFar { took: Duration::from_millis(99), most: Duration::from_millis(45) };
    let judge = |last_counter, too_far, denied: &'static str, server: Option<&LookupOutcome>| {
        let denied = move |id: &str| id == denied;
        let known =
            Knowledge { last_counter, too_far, denied: &denied, server: server.map(|answered| (answered, &rules)) };
        let decision = Decision::decide(tapped(token_id, 5).result, &known, now());
        let code = decision.refused().map(|rejection| rejection.reason.to_failure(0).code);
        assert_eq!(code.is_none(), decision.admitted().is_some());
        (code, decision.holder().map(|(_, user)| user.id.clone()).unwrap(), decision.server())
    };
    let decide = |last_counter, denied, server| judge(last_counter, None, denied, server);
    let id = "00000000-0000-0000-0000-000000000001";
    assert_eq!(judge(None, Some(far), "", Some(&suspended)), (Some("token.too-far"), "7".into(), None));
    assert_eq!(judge(None, Some(far), id, None), (Some("token.denied"), "7".into(), None));
    assert_eq!(judge(Some(5), Some(far), "", None), (Some("token.counter"), "7".into(), None));
    assert_eq!(decide(None, "", None), (None, "7".into(), None));
    assert_eq!(decide(None, "", Some(&known)), (None, "8".into(), Some(ServerVerdict::Known)));
    assert_eq!(decide(None, "", Some(&suspended)), (Some("token.suspended"), "7".into(), Some(ServerVerdict::Refused)));
    // Local objections come before the server's answer.
    assert_eq!(decide(Some(5), id, Some(&suspended)), (Some("token.counter"), "7".into(), None));
    assert_eq!(decide(None, id, Some(&suspended)), (Some("token.denied"), "7".into(), None));
    assert_eq!(decide(None, "7", Some(&known)), (Some("token.denied"), "7".into(), None));
    // The user named by the server is denied.
    assert_eq!(decide(None, "8", Some(&known)), (Some("token.denied"), "8".into(), Some(ServerVerdict::Known)));
    assert_eq!(decide(None, "8", None), (None, "7".into(), None));
}

/// A card that proved nothing is never admitted, and a broken exchange is not reported to the list.
#[test]
fn what_proved_nothing_is_not_let_in() {
    let known = Knowledge { last_counter: None, too_far: None, denied: &|_| false, server: None };
    let id = Uuid::from_u128(1);
    assert!(
        matches!(Decision::decide(Ok(Seen::Identified(id)), &known, now()), Decision::Identified(seen) if seen == id)
    );
    for (error, is_told) in [
        (TapError::Foreign, true),
        (LinkError::CardMute.into(), true),
        (LinkError::CardRemoved.into(), false),
        (LinkError::ServiceLost.into(), false),
    ] {
        let played =
            Played { at: now(), reader: "reader".into(), tapped: Tapped::failed(error), judged: Judged::default() };
        let outcome = TapOutcome::played(played);
        assert!(outcome.decision.holder().is_none() && outcome.failure().is_some());
        assert_eq!(outcome.input().is_some(), is_told);
    }
}
