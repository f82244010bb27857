//! Another process holds the SQLite store.

use std::thread;

use super::{Kind, Site, token::user};

case!(Sqlite, a_file_that_stays_locked_is_told_of);
fn a_file_that_stays_locked_is_told_of(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    admin.put_user(&user("1")).unwrap();
    let other = site.file();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    admin.put_user(&user("2")).unwrap_err();
    server.await_told("the store is unavailable: it is busy", 1);
    other.execute_batch("ROLLBACK").unwrap();
    server.await_told("the store is back", 1);
    admin.put_user(&user("2")).unwrap();
    assert_eq!(
        (server.told("the store is unavailable"), server.told("the store is back")),
        (1, 1),
        "{}",
        server.said()
    );
}

case!(Sqlite, who_reads_is_answered_while_a_file_is_locked);
/// A request that waits for the file does not delay others, even if the server has one processor.
fn who_reads_is_answered_while_a_file_is_locked(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start_with_one_thread();
    let admin = site.admin.client(server.port);
    admin.put_user(&user("1")).unwrap();
    let other = site.file();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    thread::scope(|scope| {
        let changes = scope.spawn(|| admin.put_user(&user("2")));
        for _ in 0..10 {
            assert_eq!(site.admin.raw(server.port).ask("GET", "/v1/users/1", None).unwrap().status, 200);
        }
        assert!(!changes.is_finished(), "who reads waited as long as who changes something");
        other.execute_batch("ROLLBACK").unwrap();
        changes.join().unwrap().unwrap();
    });
}
