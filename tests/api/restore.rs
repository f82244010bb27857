//! Servers restored from a backup, with terminals that know more; and restored terminals.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use jiff::Timestamp;
use rollcall::{
    api::v1::{Role, TokenStatus},
    server_client::ServerError,
    terminal::lookups::{
        Cache, EventSource, LookupEvidence, LookupOutcome, LookupQuery, LookupWorker, ServerEvent, WorkerParts,
    },
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Site, objects,
    site::{Process, Terminal},
    token::{Token, message, nonce, nothing_told, user},
};

const LONG: Duration = Duration::from_secs(30);

/// Events of a terminal, one a second from a beginning.
struct Events {
    list: Uuid,
    bodies: Vec<(u64, serde_json::Value)>,
}

fn events(seqs: std::ops::RangeInclusive<u64>, at: &str) -> Vec<(u64, serde_json::Value)> {
    let one = |seq| (seq, json!({ "schema": "rollcall.event/1", "event": "left", "seq": seq, "at": at }));
    seqs.map(one).collect()
}

impl EventSource for Events {
    fn list(&self) -> Uuid {
        self.list
    }

    fn after(&mut self, seq: u64, most: usize) -> Result<Vec<(u64, serde_json::Value)>, String> {
        Ok(self.bodies.iter().filter(|(own, _)| *own > seq).take(most).cloned().collect())
    }

    fn renumber(&mut self) -> Result<(), String> {
        self.list = Uuid::from_u128(self.list.as_u128() + 1);
        Ok(())
    }

    fn delivered(&mut self, _: u64, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn is_anybody_here(&mut self) -> bool {
        false
    }
}

/// A terminal that queries the server as the program does.
struct Asker {
    worker: LookupWorker,
    news: mpsc::Receiver<ServerEvent>,
}

fn cache(terminal: &Terminal, home: &Path) -> Cache {
    Cache::open(home, &[*terminal.authority.point()]).unwrap()
}

impl Asker {
    fn start(terminal: &Terminal, home: &Path, port: u16, bodies: Vec<(u64, serde_json::Value)>) -> Self {
        let journal = Events { list: Uuid::from_u128(5), bodies };
        let parts = WorkerParts {
            server: terminal.client(port),
            cache: cache(terminal, home),
            journal: Some(Box::new(journal)),
            nonces: 4,
            stays: true,
            clock: Timestamp::now,
        };
        let (tell, news) = mpsc::channel();
        Self { worker: LookupWorker::start(parts, move |told| drop(tell.send(told))).unwrap(), news }
    }

    fn ask(&self, token_id: Uuid, proof: Vec<u8>) -> LookupOutcome {
        let (tell, answer) = mpsc::channel();
        self.worker.ask(
            LookupQuery { token_id, shown: LookupEvidence::Message(proof), identity: None },
            move |found| {
                drop(tell.send(found));
            },
        );
        answer.recv_timeout(LONG).unwrap()
    }

    /// Ends after pending work; returns what was reported.
    fn finish(self) -> Vec<ServerEvent> {
        self.worker.finish();
        self.news.try_iter().collect()
    }
}

fn proof(token: &Token, terminal: &Terminal, nonce: [u8; 32], counter: u32) -> Vec<u8> {
    message(&token.claims(terminal, nonce, counter), &token.identity)
}

fn backup(site: &Site, name: &str) -> PathBuf {
    let file = site.home.path().join(name);
    let output = site.rollcall(&["server", "backup", file.to_str().unwrap(), "-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(objects::document(&output.stdout)["whole"], true);
    file
}

fn restore(site: &Site, file: &Path, more: &[&str]) -> std::process::Output {
    site.rollcall(&[&["server", "restore", file.to_str().unwrap(), "--yes", "-o", "json"], more].concat())
}

fn stored(server: &Process, terminal: &Terminal, list: u128) -> u32 {
    let batch = rollcall::api::v1::EventBatch {
        list: Uuid::from_u128(list),
        events: events(1..=9, "2026-11-23T07:00:00.000Z").into_iter().map(|(_, event)| event).collect(),
    };
    terminal.client(server.port).events(&batch).unwrap().known
}

case!(EachStore, a_backup_holds_what_was_there);
/// It is taken while the server runs, and replaces an existing store only on request, completely or not at all.
fn a_backup_holds_what_was_there(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let door = site.terminal(server.port, "door", Role::Read);
    let (token, _) = Token::registered(&admin, "7");
    let users: Vec<_> = (0..450).map(|n| user(&format!("{n:04}"))).collect();
    admin.import_users(users.clone()).unwrap();
    assert_eq!(stored(&server, &door, 1), 0);
    let file = backup(&site, "one");
    let again = site.rollcall(&["server", "backup", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(73), "a backup replaces no file: {again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("code: backup.file"));
    admin.put_user(&user("later")).unwrap();
    let refused = restore(&site, &file, &[]);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("code: store.not-empty"));
    assert_eq!(admin.user("later").unwrap(), user("later"));
    // The server keeps running while its store is replaced.
    let done = restore(&site, &file, &["--replace"]);
    assert!(done.status.success(), "{done:?}");
    let told = objects::document(&done.stdout);
    assert_eq!(
        (&told["users"], &told["tokens"], &told["terminals"], &told["events"]),
        (&451.into(), &1.into(), &2.into(), &9.into())
    );
    assert_eq!(super::token::code(admin.user("later")), "user.unknown");
    assert_eq!(admin.token(token.id).unwrap().user_id, "7");
    assert_eq!(stored(&server, &door, 1), 9);
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), told["records"].as_u64().map(|n| n + 1)));
    // There is no one to confirm; and the store itself is not a backup of itself.
    let asks = site.rollcall(&["server", "restore", file.to_str().unwrap(), "--replace"]);
    assert_eq!(asks.status.code(), Some(2), "{asks:?}");
    assert!(String::from_utf8_lossy(&asks.stderr).contains("code: confirm.needed"), "{asks:?}");
    if let Some(own) = site.store.strip_prefix("sqlite://") {
        let other_name = site.home.path().join("link");
        std::os::unix::fs::symlink(own, &other_name).unwrap();
        for same in [Path::new(own), &other_name] {
            let refused = restore(&site, same, &["--replace"]);
            assert_eq!(refused.status.code(), Some(2), "{refused:?}");
            assert!(String::from_utf8_lossy(&refused.stderr).contains("code: backup.store"), "{refused:?}");
        }
    }
    // A file that is not a backup, is damaged, or belongs to another CA changes nothing.
    let broken = site.home.path().join("broken");
    for content in
        [&b""[..], b"no database at all, and longer than a header of one would be, by far and more", &[0; 8192]]
    {
        std::fs::write(&broken, content).unwrap();
        let refused = restore(&site, &broken, &["--replace"]);
        assert_eq!(refused.status.code(), Some(65), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("code: backup.form"), "{refused:?}");
    }
    let other = Site::new(kind);
    let refused = restore(&other, &file, &["--replace"]);
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("code: store.authority"), "{refused:?}");
    assert_eq!(admin.token(token.id).unwrap().user_id, "7");
    let left: Vec<_> = std::fs::read_dir(site.home.path()).unwrap().flatten().map(|one| one.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".rollcall-backup")), "{left:?}");
}

case!(EachStore, a_copy_of_a_store_is_read_with_its_log);
/// The files of a store of `SQLite`, copied while the server ran.
fn a_copy_of_a_store_is_read_with_its_log(kind: &Kind) {
    let site = Site::new(kind);
    if !site.store.starts_with("sqlite://") {
        return;
    }
    let server = site.start();
    let admin = site.admin.client(server.port);
    admin.put_user(&user("in the log")).unwrap();
    let copies = tempfile::tempdir().unwrap();
    for name in ["server.db", "server.db-wal"] {
        std::fs::copy(site.home.path().join(name), copies.path().join(name)).unwrap();
    }
    admin.put_user(&user("later")).unwrap();
    let restored = || {
        let done = restore(&site, &copies.path().join("server.db"), &["--replace"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let warns = String::from_utf8_lossy(&done.stderr).contains("-wal");
        (objects::document(&done.stdout)["users"].clone(), warns)
    };
    assert_eq!(restored(), (1.into(), false));
    assert_eq!(admin.user("in the log").unwrap(), user("in the log"));
    std::fs::remove_file(copies.path().join("server.db-wal")).unwrap();
    assert_eq!(restored(), (0.into(), true));
}

case!(Postgres, a_backup_goes_to_the_other_kind_of_store);
fn a_backup_goes_to_the_other_kind_of_store(kind: &Kind) {
    let mut site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let (token, certificates) = Token::registered(&admin, "7");
    admin.set_status(token.id, TokenStatus::Lost, Some("ß \u{1F600}".to_owned())).unwrap();
    drop(server);
    let whole = site.verify(&[]);
    let file = backup(&site, "from");
    let postgres = std::mem::replace(&mut site.store, format!("sqlite://{}/other.db", site.home.path().display()));
    let done = restore(&site, &file, &[]);
    assert!(done.status.success(), "{done:?}");
    let server = site.start();
    let admin = site.admin.client(server.port);
    assert_eq!(admin.token(token.id).unwrap().reason.as_deref(), Some("ß \u{1F600}"));
    assert_eq!(admin.register_token(&token.request("7")).unwrap(), certificates);
    drop(server);
    assert_eq!(site.verify(&[])["records"].as_u64(), whole["records"].as_u64().map(|n| n + 1));
    let file = backup(&site, "back");
    site.store = postgres;
    assert!(restore(&site, &file, &["--replace"]).status.success());
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), whole["records"].as_u64().map(|n| n + 2)));
}

case!(EachStore, whom_a_terminal_refused_stays_out_after_a_restore);
/// The log is shorter first and longer later; the terminal goes by hashes, keeps refusing, and gives back what it
/// holds.
fn whom_a_terminal_refused_stays_out_after_a_restore(kind: &Kind) {
    let site = Site::new(kind);
    let mut server = site.start();
    let port = server.port;
    let admin = site.admin.client(port);
    let door = site.terminal(port, "door", Role::Read);
    let home = tempfile::tempdir().unwrap();
    let (stolen, other) = (Token::registered(&admin, "1").0, Token::registered(&admin, "2").0);
    let file = backup(&site, "monday");
    admin.set_status(stolen.id, TokenStatus::Lost, Some("stolen".to_owned())).unwrap();
    let bodies = events(1..=9, "2026-11-23T07:00:00.000Z");
    let told = Asker::start(&door, home.path(), port, bodies.clone()).finish();
    assert!(matches!(&told[..], [ServerEvent::NotActive(ids)] if ids[..] == [stolen.id]), "{told:?}");
    assert_eq!(stored(&server, &door, 5), 9);
    server.terminate();
    assert!(restore(&site, &file, &["--replace"]).status.success());
    let server = site.start_on(port, "0");
    assert_eq!(admin.token(stolen.id).unwrap().status, TokenStatus::Active);
    for longer in [false, true] {
        if longer {
            for n in 0..30 {
                admin.put_user(&user(&format!("more {n}"))).unwrap();
            }
        }
        let asker = Asker::start(&door, home.path(), port, bodies.clone());
        let refused = asker.ask(stolen.id, proof(&stolen, &door, [u8::from(longer); 32], 1 + u32::from(longer)));
        assert!(matches!(refused.said, Err(ServerError::RolledBack { .. })), "{refused:?}");
        assert_eq!(refused.kept.status, Some((TokenStatus::Lost, Some("stolen".to_owned()))));
        let taken = asker.ask(other.id, proof(&other, &door, [u8::from(longer); 32], 1 + u32::from(longer)));
        assert_eq!(taken.said.unwrap().status, TokenStatus::Active);
        let told = asker.finish();
        assert!(matches!(told[..], [ServerEvent::Alarm(ServerError::RolledBack { .. })]), "{told:?}");
        assert_eq!(stored(&server, &door, 5), 9, "its events are there again");
    }
    assert_eq!(server.said().matches("door has seen record").count(), 1, "{}", server.said());
    // Doctor on the server's machine reports it, whether the server runs or not.
    let doctor = || {
        let output = site.rollcall(&["doctor", "-o", "ndjson"]);
        let found = objects::lines(std::str::from_utf8(&output.stdout).unwrap());
        found.into_iter().find(|one| one["probe"] == "store").unwrap()
    };
    let (status, finding) = (site.area("store"), doctor());
    assert_eq!((&status["mark"], &finding["severity"]), (&json!("fault"), &json!("fault")));
    for told in [&status, &finding] {
        assert_eq!(told["code"], "server.rolled-back");
        assert_eq!(told["command"], "rollcall server audit reconcile");
        assert!(told["what"].as_str().unwrap().contains("the terminal door has seen record"), "{told}");
    }
    let plan = site.rollcall(&["server", "audit", "reconcile", "--dry-run", "-o", "json"]);
    let plan = objects::document(&plan.stdout);
    assert_eq!(
        (&plan[0]["token_id"], &plan[0]["before"], &plan[0]["status"], &plan[0]["terminals"]),
        (&stolen.id.to_string().into(), &"active".into(), &"lost".into(), &json!(["door"]))
    );
    assert_eq!(admin.token(stolen.id).unwrap().status, TokenStatus::Active);
    assert_eq!(site.rollcall(&["server", "audit", "reconcile"]).status.code(), Some(2), "it asks");
    let done = site.rollcall(&["server", "audit", "reconcile", "--yes", "-o", "json"]);
    assert_eq!(objects::document(&done.stdout), plan);
    assert_eq!((&site.area("store")["mark"], &doctor()["severity"]), (&json!("ok"), &json!("ok")));
    let token = admin.token(stolen.id).unwrap();
    assert_eq!((token.status, token.reason.as_deref()), (TokenStatus::Lost, Some("stolen")));
    // From now on the terminal follows this log, and hears when the token is found.
    admin.set_status(stolen.id, TokenStatus::Active, None).unwrap();
    let asker = Asker::start(&door, home.path(), port, bodies);
    let found = asker.ask(stolen.id, proof(&stolen, &door, [8; 32], 8));
    assert_eq!(found.said.unwrap().status, TokenStatus::Active);
    assert_eq!(asker.finish(), []);
    assert_eq!(objects::document(&site.rollcall(&["server", "audit", "reconcile", "-o", "json"]).stdout), json!([]));
    assert_eq!(site.verify(&[])["whole"], true);
}

case!(EachStore, a_terminal_that_runs_notices_each_restore);
/// Before anybody reconciled, also when the log is longer by then, and after that: its events are there again, and the
/// administrator hears whom it keeps out.
fn a_terminal_that_runs_notices_each_restore(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let door = site.terminal(server.port, "door", Role::Read);
    let home = tempfile::tempdir().unwrap();
    let (stolen, _) = Token::registered(&admin, "1");
    let file = backup(&site, "monday");
    admin.set_status(stolen.id, TokenStatus::Lost, Some("stolen".to_owned())).unwrap();
    let asker = Asker::start(&door, home.path(), server.port, events(1..=9, "2026-11-23T07:00:00.000Z"));
    let told = asker.news.recv_timeout(LONG).unwrap();
    assert!(matches!(&told, ServerEvent::NotActive(ids) if ids[..] == [stolen.id]), "{told:?}");
    let wait_until = |holds: &dyn Fn() -> bool, what| {
        let start = std::time::Instant::now();
        while !holds() {
            assert!(start.elapsed() < LONG, "{what}");
        }
    };
    let has_events = || {
        let count = || admin.search_events(None, [None, None], None, 10).unwrap().items.len();
        wait_until(&|| count() == 9, "its events are there");
    };
    has_events();
    for (counter, longer, reconciled) in [(1_u8, false, false), (2, true, true), (3, false, false)] {
        assert!(restore(&site, &file, &["--replace"]).status.success());
        for n in 0..if longer { 30 } else { 0 } {
            admin.put_user(&user(&format!("more {n}"))).unwrap();
        }
        let refused = asker.ask(stolen.id, proof(&stolen, &door, [counter; 32], counter.into()));
        assert!(matches!(refused.said, Err(ServerError::RolledBack { .. })), "{refused:?}");
        assert_eq!(refused.kept.status, Some((TokenStatus::Lost, Some("stolen".to_owned()))));
        has_events();
        let plan = site.rollcall(&["server", "audit", "reconcile", "--dry-run", "-o", "json"]);
        let plan = objects::document(&plan.stdout);
        assert_eq!((&plan[0]["before"], &plan[0]["status"]), (&json!("active"), &json!("lost")), "{plan}");
        assert_eq!(server.said().matches("door has seen record").count(), usize::from(counter), "{}", server.said());
        if reconciled {
            assert!(site.rollcall(&["server", "audit", "reconcile", "--yes"]).status.success());
            let found = asker.ask(stolen.id, proof(&stolen, &door, [10; 32], 10));
            assert_eq!(found.said.unwrap().status, TokenStatus::Lost);
            let kept = cache(&door, home.path());
            wait_until(&|| kept.other_log().unwrap().is_none(), "it follows this log");
        }
    }
    let told: Vec<_> = asker.finish().into_iter().filter(|one| matches!(one, ServerEvent::Alarm(_))).collect();
    assert_eq!(told.len(), 2, "once until it is over: {told:?}");
}

case!(EachStore, only_what_this_server_signed_witnesses_a_lost_record);
fn only_what_this_server_signed_witnesses_a_lost_record(kind: &Kind) {
    use rollcall::api::v1::{Witness, WitnessedStatus};
    let (site, other) = (Site::new(kind), Site::new(kind));
    let (server, elsewhere) = (site.start(), other.start());
    let admin = site.admin.client(server.port);
    let (token, _) = Token::registered(&admin, "7");
    let foreign = other.admin.client(elsewhere.port).revocations(0, &nothing_told()).unwrap().jws;
    let ours = admin.revocations(0, &nothing_told()).unwrap().jws;
    let status = |status| WitnessedStatus { token_id: token.id, status, reason: Some("r".into()) };
    let told = |feed: &str, statuses| admin.witness(&Witness { feed: feed.to_owned(), statuses });
    for (feed, statuses) in [
        (foreign.as_str(), vec![]),
        ("", vec![]),
        (ours.as_str(), vec![status(TokenStatus::Active)]),
        (ours.as_str(), vec![status(TokenStatus::Lost); 501]),
    ] {
        assert_eq!(super::token::code(told(feed, statuses)), "request.invalid");
    }
    // A record that this log has is not missing, and what is reported with it changes nothing.
    assert!(!told(&ours, vec![status(TokenStatus::Lost)]).unwrap().missing);
    assert!(!told(&ours, vec![status(TokenStatus::Lost); 500]).unwrap().missing);
    assert_eq!(objects::document(&site.rollcall(&["server", "audit", "reconcile", "-o", "json"]).stdout), json!([]));
    for asked in ["audit_seq=1", "audit_hash=00", "audit_seq=1&audit_hash=0G", "audit_seq=-1&audit_hash=00"] {
        let mut raw = site.admin.raw(server.port);
        let status = raw.ask("GET", &format!("/v1/revocations?since=0&{asked}"), None).unwrap().status;
        assert!(matches!(status, 400 | 422), "{asked}: {status}");
    }
    // A log that had no record yet is missing none.
    site.sql("DELETE FROM audit");
    site.sql("UPDATE audit_head SET seq = 0");
    let empty = admin.revocations(0, &nothing_told()).unwrap().jws;
    assert!(!told(&empty, vec![]).unwrap().missing);
}

case!(EachStore, a_terminal_that_was_restored_refuses_nobody);
/// Its nonces were used before, and it gives numbers of events away a second time.
fn a_terminal_that_was_restored_refuses_nobody(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let door = site.terminal(server.port, "door", Role::Read);
    let client = door.client(server.port);
    let home = tempfile::tempdir().unwrap();
    let (token, _) = Token::registered(&admin, "7");
    let stale = nonce(&client);
    client.lookup(&token.ask(&door, stale, 1)).unwrap();
    let before = events(1..=6, "2026-11-23T07:00:00.000Z");
    assert_eq!(Asker::start(&door, home.path(), server.port, before.clone()).finish(), []);
    assert_eq!(cache(&door, home.path()).uploaded(Uuid::from_u128(5)).unwrap(), 6);
    // Restored: the first three events and the nonces of that time are there, and two more events came since.
    std::fs::remove_file(home.path().join("directory.db")).unwrap();
    let kept = cache(&door, home.path());
    let given = rollcall::api::v1::Nonce {
        nonce: base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, stale),
        use_by: Timestamp::now() + jiff::SignedDuration::from_hours(20),
    };
    kept.keep_nonces(std::slice::from_ref(&given)).unwrap();
    kept.set_uploaded(Uuid::from_u128(5), 3).unwrap();
    let since: Vec<_> = [events(1..=3, "2026-11-23T07:00:00.000Z"), events(4..=5, "2026-11-23T09:00:00.000Z")].concat();
    let asker = Asker::start(&door, home.path(), server.port, since.clone());
    let found = asker.ask(token.id, proof(&token, &door, stale, 2));
    assert_eq!(found.said.unwrap().status, TokenStatus::Active);
    assert_eq!(asker.finish(), []);
    let fresh = cache(&door, home.path());
    assert_ne!(fresh.take_nonce(Timestamp::now()).unwrap().map(|(nonce, _)| nonce), Some(stale));
    assert_eq!(fresh.uploaded(Uuid::from_u128(6)).unwrap(), 5, "they are there under another list");
    let batch = |list, events: &[(u64, serde_json::Value)]| rollcall::api::v1::EventBatch {
        list: Uuid::from_u128(list),
        events: events.iter().map(|(_, event)| event.clone()).collect(),
    };
    assert_eq!(client.events(&batch(5, &before)).unwrap().known, 6, "the first six are as they were");
    assert_eq!(client.events(&batch(6, &since[3..])).unwrap().known, 2);
    // Nothing of a batch with a conflict is stored.
    let mixed = [events(4..=4, "2026-11-23T10:00:00.000Z"), events(7..=8, "2026-11-23T10:00:00.000Z")].concat();
    let taken = client.events(&batch(5, &[before[0..2].to_vec(), mixed].concat())).unwrap();
    assert_eq!((taken.stored, taken.conflict), (0, Some(4)));
    assert_eq!(client.events(&batch(5, &events(7..=8, "2026-11-23T11:00:00.000Z"))).unwrap().stored, 2);
}
