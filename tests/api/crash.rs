//! The server is killed at random points, and shut down in order.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rollcall::{
    api::v1::EventBatch,
    crypto::random::{SystemRandom, bytes},
    server_client::ServerError,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Kind, Site,
    token::{Token, lookup, user},
};

const USERS: usize = 4000;
const EVENTS: i64 = 4000;
const KILLS: usize = 12;

/// Retries until answered, as a client does that does not know what its killed server has done.
fn until_answered<T>(mut ask: impl FnMut() -> Result<T, ServerError>) -> T {
    for _ in 0..2000 {
        match ask() {
            Ok(answer) => return answer,
            Err(error) if error.is_absence() => thread::sleep(Duration::from_millis(10)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the server did not come back")
}

case!(EachStore, killed_at_random_points_nothing_is_lost_or_doubled);
/// An import and event batches while the server is killed and started again: the result is that of an undisturbed run.
fn killed_at_random_points_nothing_is_lost_or_doubled(kind: &Kind) {
    let site = Site::new(kind);
    let mut server = site.start();
    let port = server.port;
    let (done, mut kills) = (AtomicBool::new(false), 0);
    thread::scope(|scope| {
        let work = scope.spawn(|| {
            let (admin, list) = (site.admin.client(port), Uuid::from_u128(7));
            let users: Vec<_> = (0..USERS).map(|n| user(&format!("{n:05}"))).collect();
            let mut from = 1;
            // Alternating, so that the kills hit both.
            for batch in users.chunks(50) {
                until_answered(|| admin.import_users(batch.to_vec()));
                let to = from + 49;
                let events = (from..=to).map(|seq| json!({ "schema": "rollcall.event/1", "seq": seq })).collect();
                let batch = EventBatch { list, events };
                until_answered(|| admin.events(&batch));
                from = to + 1;
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) && !work.is_finished() {
            let [random] = bytes::<1>(&mut SystemRandom).unwrap();
            thread::sleep(Duration::from_millis(20 + u64::from(random)));
            if kills < KILLS && !work.is_finished() {
                server.kill();
                server = site.start_on(port, "0");
                kills += 1;
            }
        }
        work.join().unwrap();
    });
    println!("{kills} kills");
    assert!(kills > 0);
    let admin = site.admin.client(port);
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = admin.users(after.as_deref(), 500).unwrap();
        found.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, (0..USERS).map(|n| user(&format!("{n:05}"))).collect::<Vec<_>>());
    assert_eq!(site.sql("UPDATE events SET seq = seq"), EVENTS.cast_unsigned());
    // One record for each user created: none for a batch that was rolled back, and none twice.
    let audit = site.verify(&[]);
    assert_eq!((&audit["whole"], audit["records"].as_u64()), (&true.into(), Some(1 + USERS as u64)));
}

case!(EachStore, a_lookup_is_on_record_before_it_is_answered);
/// Another connection to the store finds the record as soon as the answer is there.
fn a_lookup_is_on_record_before_it_is_answered(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let (token, _) = Token::registered(&admin, "7");
    for count in 1..=8 {
        admin.lookup(&lookup(token.id, None)).unwrap();
        assert_eq!(site.sql("UPDATE audit SET seq = seq WHERE action = 'lookup'"), count);
    }
}

case!(Postgres, an_answer_waits_for_a_commit_that_takes_its_time);
/// The database is slow at the end of a lookup's transaction, and says what its commit waits for.
fn an_answer_waits_for_a_commit_that_takes_its_time(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let (token, _) = Token::registered(&admin, "7");
    site.sql("CREATE TABLE commits (waits text)");
    site.sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
         INSERT INTO commits VALUES (current_setting('synchronous_commit'));
         PERFORM pg_sleep(0.2);
         RETURN NULL; END$$",
    );
    site.sql(
        "CREATE CONSTRAINT TRIGGER note AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION note()",
    );
    admin.lookup(&lookup(token.id, None)).unwrap();
    assert_eq!(site.sql("UPDATE commits SET waits = waits WHERE waits = 'on'"), 1);
}

case!(EachStore, a_signal_ends_it_in_order);
fn a_signal_ends_it_in_order(kind: &Kind) {
    let site = Site::new(kind);
    let mut server = site.start();
    let admin = site.admin.client(server.port);
    admin.put_user(&user("7")).unwrap();
    // An idle open connection does not delay it.
    let mut open = site.admin.raw(server.port);
    assert_eq!(open.ask("GET", "/v1/health", None).unwrap().status, 200);
    assert_eq!(server.terminate(), Some(143), "{}", server.said());
    assert!(open.ask("GET", "/v1/health", None).is_err());
    // Who asked last is kept, whenever it ends.
    assert_eq!(site.sql("UPDATE terminals SET heard = heard WHERE heard IS NOT NULL"), 1);
    let again = site.start();
    assert_eq!(site.admin.client(again.port).user("7").unwrap(), user("7"));
    // Its port is taken: a second server reports that.
    let at = format!("127.0.0.1:{}", again.port);
    let output = site.rollcall(&["server", "run", "--listen", &at]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("code: server.listen"), "{output:?}");
}

case!(EachStore, a_store_of_another_ca_is_refused);
fn a_store_of_another_ca_is_refused(kind: &Kind) {
    let (site, mut other) = (Site::new(kind), Site::new(kind));
    other.store.clone_from(&site.store);
    for command in ["run", "init"] {
        let output = other.rollcall(&["server", command]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("code: store.authority"), "{output:?}");
    }
    let again = site.rollcall(&["server", "init", "--output", "json"]);
    let told = crate::objects::document(&again.stdout);
    assert_eq!(told["new"], false);
}
