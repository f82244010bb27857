//! Retention: what is old is deleted, and nobody waits for it or is lost by it.

use jiff::{SignedDuration, Timestamp};
use rollcall::{
    api::v1::{EventBatch, Freshness, PresentUser},
    server::{ServerStore, store::Purged},
    server_client::ServerClient,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Kind, Site,
    away::text,
    privacy::{arrived, in_between, lived},
    site::block_on,
    token::code,
};

/// Deletes what is older than this at that time, beside the server.
fn purge(site: &Site, retention: SignedDuration, now: Timestamp) -> Purged {
    let authority = site.admin.authority.point().key_identifier();
    block_on(async {
        let store = ServerStore::open(&site.store.parse().unwrap(), &authority, None).await.unwrap();
        let done = store.purge(retention, now).await.unwrap();
        store.close().await;
        done
    })
}

case!(EachStore, what_is_old_is_forgotten_and_never_taken_again);
fn what_is_old_is_forgotten_and_never_taken_again(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let client = door.client(server.port);
    let early = token.ask(&door, [1; 32], 3);
    assert_eq!(client.lookup(&early).unwrap().proof, Some(Freshness::Unverified));
    let purged = |days: i64| {
        let later = Timestamp::now() + SignedDuration::from_hours(24 * days);
        let done = purge(&site, SignedDuration::from_hours(24 * 30), later);
        (done.events, done.proofs, done.nonces, done.more)
    };
    let highest = || site.admin.client(server.port).token(early.token_id).unwrap().counter;
    let before = highest();
    assert_eq!(purged(29), (0, 0, 0, false));
    assert_eq!(purged(31), (2, 2, 1, false));
    assert!(before.is_some() && highest() == before, "{before:?}");
    assert_eq!(site.admin.client(server.port).presence(None, None, 10).unwrap().items, []);
    assert_eq!(code(client.lookup(&early)), "proof.expired");
    assert_eq!(code(client.lookup(&token.ask(&door, [2; 32], 2))), "proof.expired");
    assert_eq!(client.lookup(&token.ask(&door, [3; 32], 4)).unwrap().proof, Some(Freshness::Unverified));
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(Postgres, retention_waits_for_who_decides);
/// Both change many tokens: the one that waits must hold none of them, or the two could deadlock.
fn retention_waits_for_who_decides(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let proof = token.ask(&door, [1; 32], 3);
    door.client(server.port).lookup(&proof).unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(24 * 31);
    let purge = || assert!(purge(&site, SignedDuration::from_hours(24 * 30), later).proofs > 0);
    let others = || {
        let written =
            "SELECT count(*)::text FROM pg_locks WHERE NOT pid = pg_backend_pid() AND mode = 'RowExclusiveLock'
            AND relation IN ('tokens'::regclass, 'proofs'::regclass, 'events'::regclass)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(text(&site.store, written), "0");
    };
    assert!(in_between(&site, "SELECT seq FROM audit_head", purge, others));
}

case!(EachStore, a_nonce_is_kept_for_ninety_days);
fn a_nonce_is_kept_for_ninety_days(kind: &Kind) {
    let (site, ..) = lived(kind);
    let authority = site.admin.authority.point().key_identifier();
    block_on(async {
        let store = ServerStore::open(&site.store.parse().unwrap(), &authority, None).await.unwrap();
        let later = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
        assert_eq!(store.forget_nonces(later(24 * 90 - 1)).await.unwrap(), 0);
        assert_eq!(store.forget_nonces(later(24 * 90 + 1)).await.unwrap(), 1);
        store.close().await;
    });
}

case!(EachStore, who_stays_is_named_by_what_is_left);
/// The arrival is deleted by retention, but a later event of the same stay is not.
fn who_stays_is_named_by_what_is_left(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let now = Timestamp::now();
    let mut confirmed = arrived(3, token.id, "canary7", now);
    confirmed["event"] = json!("confirmed");
    let batch = EventBatch { list: Uuid::from_u128(1), events: vec![confirmed] };
    door.client(server.port).events(&batch).unwrap();
    purge(&site, SignedDuration::from_mins(2), now);
    let here = site.admin.client(server.port).presence(None, None, 10).unwrap().items;
    assert_eq!(here.len(), 1);
    assert_eq!(here[0].since.as_millisecond(), now.as_millisecond());
    assert_eq!(here[0].reader.as_deref(), Some("R"));
}

/// An event of somebody whom the server knows only from events.
fn said(seq: u64, kind: &str, token: u64, at: Timestamp) -> Value {
    let mut event = arrived(seq, Uuid::from_u128(token.into()), &token.to_string(), at);
    event["event"] = json!(kind);
    event
}

fn send(client: &ServerClient, events: Vec<Value>) {
    client.events(&EventBatch { list: Uuid::from_u128(1), events }).unwrap();
}

/// Those present whom [`said`] names, by the number of their token.
fn present(site: &Site, port: u16) -> Vec<(u64, PresentUser)> {
    let here = site.admin.client(port).presence(None, None, 500).unwrap().items;
    let numbered = here.into_iter().filter_map(|one| Some((one.token_id?.as_u64_pair().1, one)));
    numbered.filter(|(token, _)| *token < 1000).collect()
}

case!(EachStore, a_purge_that_ended_early_is_completed_by_the_next);
/// Events were deleted, and the stays that they named are not computed again yet: of more people than one transaction
/// takes, and of one of whom no event is left.
fn a_purge_that_ended_early_is_completed_by_the_next(kind: &Kind) {
    let (site, server, door, _) = lived(kind);
    let client = door.client(server.port);
    let (early, now) = (Timestamp::now() - SignedDuration::from_mins(3), Timestamp::now());
    let people = 101..=170;
    send(&client, people.clone().map(|n| said(n, "arrived", n, early)).collect());
    send(&client, people.clone().map(|n| said(n + 100, "confirmed", n, now)).collect());
    send(&client, vec![said(300, "arrived", 999, now)]);
    assert_eq!(site.sql("DELETE FROM events WHERE seq BETWEEN 101 AND 170 OR seq = 300"), 71);
    assert_eq!(purge(&site, SignedDuration::from_hours(1), now).events, 0);
    let here = present(&site, server.port);
    assert_eq!(here.iter().map(|(token, _)| *token).collect::<Vec<_>>(), people.collect::<Vec<_>>());
    assert!(here.iter().all(|(_, one)| one.since.as_millisecond() == now.as_millisecond()), "{here:?}");
    assert!(here.iter().all(|(_, one)| one.reader.as_deref() == Some("R")), "{here:?}");
}

/// Somebody stays at the door, and is named by an event that is older than two minutes.
fn named_by_what_is_old(client: &ServerClient, tokens: &[u64], kind: &str, now: Timestamp) {
    let early = now - SignedDuration::from_mins(3);
    for (seq, token) in (101..).step_by(2).zip(tokens) {
        send(client, vec![said(seq, "arrived", *token, early), said(seq + 1, kind, *token, now)]);
    }
}

case!(Postgres, lookups_do_not_wait_for_presence_that_is_computed_again);
fn lookups_do_not_wait_for_presence_that_is_computed_again(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let client = door.client(server.port);
    let now = Timestamp::now();
    named_by_what_is_old(&client, &[17], "confirmed", now);
    let purge = || _ = purge(&site, SignedDuration::from_mins(2), now);
    let look_up = || drop(client.lookup(&token.ask(&door, [9; 32], 5)).unwrap());
    let hold = "SELECT name FROM terminals WHERE name = 'door'";
    assert!(in_between(&site, hold, purge, look_up), "the lookup waits");
    assert_eq!(present(&site, server.port)[0].1.since.as_millisecond(), now.as_millisecond());
}

case!(Postgres, who_arrives_while_presence_is_computed_again_is_present);
/// The batch has written the stay of the first, and waits for that of the second, when the purge comes to this door.
fn who_arrives_while_presence_is_computed_again_is_present(kind: &Kind) {
    let (site, server, door, _) = lived(kind);
    let client = door.client(server.port);
    let now = Timestamp::now();
    named_by_what_is_old(&client, &[17, 18], "checked_out", now);
    assert_eq!(present(&site, server.port), []);
    let report = || send(&client, vec![said(201, "arrived", 17, now), said(202, "confirmed", 18, now)]);
    let purge = || _ = purge(&site, SignedDuration::from_mins(2), now);
    let hold = "SELECT subject FROM stays WHERE subject = '00000000-0000-0000-0000-000000000012'";
    assert!(!in_between(&site, hold, report, purge), "the purge does not wait for the batch");
    let here = present(&site, server.port);
    assert_eq!(here.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [17, 18], "{here:?}");
}

case!(Postgres, a_purge_that_runs_out_of_time_is_reported);
/// PostgreSQL ends a statement that takes too long with an error that is otherwise one of a busy store.
fn a_purge_that_runs_out_of_time_is_reported(kind: &Kind) {
    let site = Site::new(kind);
    site.sql(
        "CREATE FUNCTION too_slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014'; END $$",
    );
    site.sql("CREATE TRIGGER slow BEFORE DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION too_slow()");
    std::fs::write(site.home.path().join("config.toml"), "[server]\nretention = \"30d\"\n").unwrap();
    let server = site.start();
    server.await_told("old records were not deleted: the store failed: ", 1);
    assert_eq!(server.told("the store is unavailable"), 0, "{}", server.said());
}
