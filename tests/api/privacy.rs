//! Erasing persons, and upgrading stores of the first release.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use rollcall::{
    api::v1::{EventBatch, Role, TokenStatus},
    server::{
        ServerStore,
        audit::{AuditRecord, BEGINNING, RecordSeal},
    },
};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{
    Kind, Site,
    away::text,
    site::{Process, Terminal, block_on},
    token::{Token, code, lookup, nonce},
};

pub fn arrived(seq: u64, token: Uuid, user: &str, at: Timestamp) -> serde_json::Value {
    json!({
        "schema": "rollcall.event/1", "event": "arrived", "seq": seq, "at": at.to_string(), "reader": "R",
        "token_id": token, "user": { "id": user, "name": format!("Person {user}"), "fields": {} },
    })
}

/// A site where "canary7" and "8" have a token each, and were at a door.
pub fn lived(kind: &Kind) -> (Site, Process, Terminal, Token) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let door = site.terminal(server.port, "door", Role::Read);
    let client = door.client(server.port);
    let (token, _) = Token::registered(&admin, "canary7");
    let (other, _) = Token::registered(&admin, "8");
    admin.set_status(other.id, TokenStatus::Suspended, Some("canary8 forgot it".into())).unwrap();
    client.lookup(&token.ask(&door, nonce(&client), 1)).unwrap();
    let now = Timestamp::now() - SignedDuration::from_mins(5);
    let events = vec![arrived(1, token.id, "canary7", now), arrived(2, other.id, "8", now)];
    client.events(&EventBatch { list: Uuid::from_u128(1), events }).unwrap();
    (site, server, door, token)
}

case!(EachStore, a_user_is_forgotten_and_the_log_holds);
fn a_user_is_forgotten_and_the_log_holds(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let admin = site.admin.client(server.port);
    let client = door.client(server.port);
    assert!(client.forget_user("canary7").is_err(), "a door forgets nobody");
    assert_eq!(code(admin.forget_user("nobody")), "user.unknown");
    let done = admin.forget_user("canary7").unwrap();
    assert_eq!((done.id.as_str(), done.tokens, done.events, done.proofs), ("canary7", 1, 1, 1), "{done:?}");
    // The user, the token, and its revocation; the lookup names only the token.
    assert_eq!((done.records, done.unsealed_records, done.token_records), (3, 0, 1), "{done:?}");
    // It is gone from the file and from the log beside it, while the server runs.
    if let Kind::Sqlite = kind {
        for name in ["server.db", "server.db-wal"] {
            let bytes = std::fs::read(site.home.path().join(name)).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"canary7"), "{name}");
        }
    }
    assert_eq!(code(admin.forget_user("canary7")), "user.unknown");
    assert_eq!(code(admin.user("canary7")), "user.unknown");
    let known = admin.token(token.id).unwrap();
    assert_eq!(known.status, TokenStatus::Revoked);
    assert!(known.user_id.starts_with("forgotten-"), "{known:?}");
    assert_eq!(client.lookup(&lookup(token.id, None)).unwrap().user, None);
    let here = admin.presence(None, None, 10).unwrap();
    assert_eq!(here.items.iter().map(|one| one.user.clone().unwrap().id).collect::<Vec<_>>(), ["8"]);
    assert_eq!(admin.search_events(Some("canary7"), [None, None], None, 10).unwrap().items, []);
    let feed = client.revocations(0, &super::token::nothing_told()).unwrap();
    assert_eq!(site.verify(&[])["whole"], true, "{feed:?}");
    // A user registered again starts afresh.
    admin.put_user(&super::token::user("canary7")).unwrap();
    assert_eq!(admin.forget_user("canary7").unwrap().tokens, 0);
    assert_eq!(site.verify(&[])["whole"], true);
    // A person known only from a terminal's events is forgotten too.
    let events = vec![arrived(3, Uuid::from_u128(9), "9", Timestamp::now())];
    client.events(&EventBatch { list: Uuid::from_u128(1), events }).unwrap();
    let done = admin.forget_user("9").unwrap();
    assert_eq!((done.id.as_str(), done.tokens, done.events, done.records), ("9", 0, 1, 0), "{done:?}");
    assert_eq!(code(admin.forget_user("9")), "user.unknown");
    // A record cannot be blanked without the log showing it.
    assert_eq!(site.sql("UPDATE audit SET salt = NULL, subject = '', detail = '' WHERE subject = '8'"), 1);
    let found = site.verify(&[]);
    assert_eq!(found["whole"], false);
    assert!(found["what"].as_str().unwrap().contains("was blanked"), "{found}");
    // Nor can the hash left of a forgotten person be replaced by another.
    let other = "UPDATE audit SET sealed = (SELECT b.sealed FROM audit b WHERE b.seq = 4)
        WHERE seq = 3 AND subject = '' AND salt IS NULL";
    assert_eq!(site.sql(other), 1);
    let found = site.verify(&[]);
    assert_eq!(found["first_bad"], 3, "{found}");
    assert!(found["what"].as_str().unwrap().contains("was changed"), "{found}");
    drop(server);
    // It is gone from the file, too, and from what is written beside it.
    if let Kind::Sqlite = kind {
        let backup = site.home.path().join("backup").to_str().unwrap().to_owned();
        let output = site.rollcall(&["server", "backup", &backup]);
        assert!(output.status.success(), "{output:?}");
        let bytes = std::fs::read(&backup).unwrap();
        let found = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(found("canary8") && !found("canary7"));
    }
}

case!(EachStore, who_was_forgotten_is_named_by_no_later_event);
/// A door reports who left because the token is now rejected, and one that was offline reports days late; repeats too.
fn who_was_forgotten_is_named_by_no_later_event(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let admin = site.admin.client(server.port);
    let client = door.client(server.port);
    admin.forget_user("canary7").unwrap();
    let now = Timestamp::now();
    let mut events: Vec<_> = (3..=5).map(|seq| arrived(seq, token.id, "canary7", now)).collect();
    events[1]["event"] = json!("checked_out");
    events[1]["note"] = json!("canary7 called");
    events[2]["event"] = json!("left");
    events[2]["reason"] = json!("refused");
    events.push(arrived(6, Uuid::from_u128(8), "8", now));
    let batch = EventBatch { list: Uuid::from_u128(1), events };
    assert_eq!(client.events(&batch).unwrap().stored, 4);
    let again = client.events(&batch).unwrap();
    assert_eq!((again.known, again.conflict), (4, None));
    let found = admin.search_events(None, [None, None], None, 10).unwrap().items;
    let told: Vec<_> = found.iter().map(|one| (&one.event["event"], &one.event["user"]["id"])).collect();
    let (nobody, eight) = (serde_json::Value::Null, json!("8"));
    assert_eq!(told.len(), 5, "{found:#?}");
    for (number, kind) in [(1, "arrived"), (2, "checked_out"), (3, "left")] {
        assert_eq!(told[number], (&json!(kind), &nobody), "{found:#?}");
        assert_eq!(found[number].event["token_id"], json!(token.id));
    }
    assert_eq!(told[4], (&json!("arrived"), &eight));
    assert!(!serde_json::to_string(&found).unwrap().contains("canary7"), "{found:#?}");
    assert_eq!(admin.search_events(Some("canary7"), [None, None], None, 10).unwrap().items, []);
    let here = admin.presence(None, None, 10).unwrap().items;
    assert_eq!(here.iter().map(|one| one.user.clone().unwrap().id).collect::<Vec<_>>(), ["8"]);
    assert_eq!(code(admin.forget_user("canary7")), "user.unknown", "nothing is left to be forgotten");
}

/// Does `second` while `first` waits for rows that `hold` selects and nobody else needs, until that one has ended or
/// waits too. Returns whether it has ended.
pub fn in_between(site: &Site, hold: &'static str, first: impl FnOnce() + Send, second: impl FnOnce() + Send) -> bool {
    // The server notes by itself when terminals were heard.
    let waiting = || {
        let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query NOT LIKE 'UPDATE terminals SET heard%'";
        text(&site.store, waiting)
    };
    thread::scope(|scope| {
        let (release, released) = mpsc::channel::<()>();
        let (tell, is_held) = mpsc::channel();
        scope.spawn(move || {
            block_on(async {
                let mut c = PgConnection::connect(&site.store).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; {hold} FOR UPDATE"))).execute(&mut c).await.unwrap();
                tell.send(()).unwrap();
                let _ = released.recv();
                c.close().await.unwrap();
            });
        });
        is_held.recv().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let first = scope.spawn(first);
        while waiting() != "1" {
            assert!(Instant::now() < until && !first.is_finished(), "the first one does not wait");
        }
        let second = scope.spawn(second);
        while waiting() != "2" && !second.is_finished() {
            assert!(Instant::now() < until, "the second one neither waits nor ends");
        }
        let has_ended = second.is_finished();
        drop(release);
        has_ended
    })
}

case!(Postgres, who_is_being_forgotten_is_named_by_no_event_that_comes_meanwhile);
/// Neither by one that comes when the others are deleted already, nor by one that is not stored yet when they are.
fn who_is_being_forgotten_is_named_by_no_event_that_comes_meanwhile(kind: &Kind) {
    for is_first in [false, true] {
        let (site, server, door, token) = lived(kind);
        let (admin, client) = (site.admin.client(server.port), door.client(server.port));
        let forget = || drop(admin.forget_user("canary7").unwrap());
        let report = || {
            let events = vec![arrived(3, token.id, "canary7", Timestamp::now())];
            assert_eq!(client.events(&EventBatch { list: Uuid::from_u128(1), events }).unwrap().stored, 1);
        };
        if is_first {
            in_between(&site, "SELECT list FROM lists", report, forget);
        } else {
            in_between(&site, "SELECT id FROM users WHERE id = 'canary7'", forget, report);
        }
        let found = admin.search_events(None, [None, None], None, 10).unwrap().items;
        assert!(!serde_json::to_string(&found).unwrap().contains("canary7"), "{is_first}: {found:#?}");
        assert_eq!(found.len(), if is_first { 1 } else { 2 }, "{found:#?}");
        assert_eq!(code(admin.forget_user("canary7")), "user.unknown", "nothing is left to be forgotten");
    }
}

/// What a store of the first release does not have.
const LATER: [&str; 22] = [
    "DROP TABLE equipment",
    "ALTER TABLE proofs DROP COLUMN terminal",
    "DROP INDEX audit_parts",
    "DROP INDEX audit_personal",
    "DROP INDEX proofs_at",
    "ALTER TABLE audit DROP COLUMN salt",
    "ALTER TABLE audit DROP COLUMN sealed",
    "ALTER TABLE tokens DROP COLUMN floor",
    "DROP TABLE stays",
    "DROP TABLE lists",
    "DROP INDEX events_at",
    "DROP INDEX events_of_user",
    "DROP INDEX events_received",
    "DROP INDEX events_of_subject",
    "ALTER TABLE events DROP COLUMN at",
    "ALTER TABLE events DROP COLUMN user_id",
    "ALTER TABLE events DROP COLUMN subject",
    "ALTER TABLE events DROP COLUMN word",
    "ALTER TABLE events DROP COLUMN sighting",
    "ALTER TABLE terminals DROP COLUMN heard",
    "DROP TABLE witnesses",
    "DELETE FROM _sqlx_migrations WHERE version > 1",
];

case!(EachStore, a_store_of_the_first_release_is_taken_over);
fn a_store_of_the_first_release_is_taken_over(kind: &Kind) {
    let (site, server, door, token) = lived(kind);
    let mut broken = json!({ "schema": "rollcall.event/1", "event": "reader_unavailable", "seq": 3, "reader": "R" });
    broken["at"] = json!(Timestamp::now().to_string());
    let batch = EventBatch { list: Uuid::from_u128(1), events: vec![broken] };
    door.client(server.port).events(&batch).unwrap();
    drop(server);
    site.sql("DROP TABLE witnessed");
    site.sql("DROP TABLE reconciled");
    // The log as that release wrote it: without seals.
    let records = block_on(async {
        let store = ServerStore::inspect(&site.store.parse().unwrap()).await.unwrap();
        let records = store.audit(0, 1000).await.unwrap();
        store.close().await;
        records
    });
    let bytes = |hash: &[u8; 32]| match kind {
        Kind::Sqlite => format!("X'{}'", hex::encode(hash)),
        Kind::Postgres(_) => format!("decode('{}', 'hex')", hex::encode(hash)),
    };
    let mut previous = BEGINNING;
    for record in records {
        let record = AuditRecord { seal: RecordSeal::Open, ..record }.sealed(&previous);
        previous = record.hash;
        let set = format!("UPDATE audit SET hash = {} WHERE seq = {}", bytes(&record.hash), record.seq);
        assert_eq!(site.sql(Box::leak(set.into_boxed_str())), 1);
    }
    site.sql(Box::leak(format!("UPDATE audit_head SET hash = {}", bytes(&previous)).into_boxed_str()));
    for statement in LATER {
        site.sql(statement);
    }
    assert_eq!(site.verify(&[])["whole"], true, "a look does not change it");
    let server = site.start();
    let admin = site.admin.client(server.port);
    let here = admin.presence(None, None, 10).unwrap();
    let who: Vec<_> = here.items.iter().map(|one| one.user.clone().unwrap().id).collect();
    assert_eq!(who, ["8", "canary7"]);
    let door = here.summary.unwrap().terminals.swap_remove(0);
    assert_eq!((door.name.as_str(), door.faults[0].reader.as_deref()), ("door", Some("R")));
    assert_eq!(admin.search_events(Some("8"), [None, None], None, 10).unwrap().items.len(), 1);
    assert_eq!(admin.token(token.id).unwrap().status, TokenStatus::Active);
    // Records about a person from that release are erased too, and reported as hashed without a salt.
    let done = admin.forget_user("canary7").unwrap();
    assert_eq!((done.records, done.unsealed_records), (3, 2), "{done:?}");
    assert_eq!(site.verify(&[])["whole"], true);
}
