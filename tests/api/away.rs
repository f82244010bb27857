//! The database stops, fails over, refuses changes, or is behind a pooler.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rollcall::{
    api::{User, v1::Role},
    server_client::{ServerClient, ServerError},
};
use sqlx::{Connection, PgConnection};

use super::{
    Kind, Site,
    site::{Terminal, block_on},
    token::user,
};

/// The variable that scripts/with-postgres sets, for this database.
fn other(variable: &str, site: &Site) -> String {
    let url = std::env::var(variable).expect("scripts/with-postgres sets it");
    url.replace("/postgres?", &format!("/{}?", name(site)))
}

fn name(site: &Site) -> String {
    site.store.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// Runs a statement as the database's administrator.
fn sql(url: &str, statement: String) {
    block_on(async {
        let mut c = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut c).await.unwrap();
        c.close().await.unwrap();
    });
}

/// The result of a query run as the database's administrator.
pub fn text(url: &str, statement: &'static str) -> String {
    block_on(async {
        let mut c = PgConnection::connect(url).await.unwrap();
        let value: String = sqlx::query_scalar(statement).fetch_one(&mut c).await.unwrap();
        c.close().await.unwrap();
        value
    })
}

/// Makes this database read-only and disconnects its clients.
fn fence(postgres: &str, name: &str) {
    sql(
        postgres,
        format!(
            "ALTER DATABASE {name} SET default_transaction_read_only = on;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        ),
    );
}

fn postgres(kind: &Kind) -> &str {
    match kind {
        Kind::Postgres(url) => url,
        Kind::Sqlite => panic!("it is PostgreSQL's"),
    }
}

fn put(server: &ServerClient, id: &str) -> Result<(), ServerError> {
    server.put_user(&user(id)).map(drop)
}

fn is_read_only(error: &ServerError) -> bool {
    matches!(error, ServerError::Busy(why, _) if why.contains("it is read-only"))
}

case!(Postgres, a_database_that_takes_no_changes_is_named_and_found_again);
fn a_database_that_takes_no_changes_is_named_and_found_again(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    put(&admin, "1").unwrap();
    fence(postgres(kind), &name(&site));
    for _ in 0..3 {
        assert!(is_read_only(&put(&admin, "2").unwrap_err()));
        assert!(is_read_only(&admin.health().unwrap_err()));
    }
    assert_eq!(server.told("the store is unavailable: it is read-only"), 1, "{}", server.said());
    let told = site.area("store");
    assert_eq!((&told["mark"], &told["code"]), (&"fault".into(), &"store.read-only".into()), "{told}");
    assert_eq!(site.area("terminals")["mark"], "ok", "it is read all the same");
    let output = site.rollcall(&["server", "init"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("code: store.read-only"), "{output:?}");
    let mut waiting = site.begin(0, "0");
    waiting.await_told("the store is unavailable: it is read-only", 1);
    sql(postgres(kind), format!("ALTER DATABASE {} RESET default_transaction_read_only", name(&site)));
    put(&admin, "2").unwrap();
    admin.health().unwrap();
    assert_eq!(site.area("store")["mark"], "ok");
    waiting.await_listening();
    put(&site.admin.client(waiting.port), "3").unwrap();
    for one in [&server, &waiting] {
        assert_eq!((one.told("the store is unavailable"), one.told("the store is back")), (1, 1), "{}", one.said());
    }
    assert_eq!(site.verify(&[])["whole"], true);
}

/// A site whose server logs in with its own role, and that role.
fn with_own_role(kind: &Kind) -> (Site, String) {
    let mut site = Site::bare(kind);
    let role = format!("role_{}", name(&site));
    sql(&site.store, format!("CREATE ROLE {role} LOGIN; ALTER DATABASE {} OWNER TO {role}", name(&site)));
    site.store = site.store.replace("//rollcall@", &format!("//{role}@"));
    assert!(site.rollcall(&["server", "init"]).status.success());
    (site, role)
}

/// Changes this role, and ends its connections.
fn alter(kind: &Kind, role: &str, how: &str) {
    sql(
        postgres(kind),
        format!(
            "ALTER ROLE {role} {how}; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        ),
    );
}

case!(Postgres, a_login_that_is_refused_is_named_and_taken_again);
/// As after a switch to a host with other rules or passwords.
fn a_login_that_is_refused_is_named_and_taken_again(kind: &Kind) {
    let (mut site, role) = with_own_role(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    put(&admin, "1").unwrap();
    alter(kind, &role, "NOLOGIN");
    let is_refused =
        |error: &ServerError| matches!(error, ServerError::Busy(why, _) if why.contains("refuses this server's login"));
    for _ in 0..3 {
        let error = put(&admin, "2").unwrap_err();
        assert!(is_refused(&error), "{error:?}");
        assert!(is_refused(&admin.health().unwrap_err()));
    }
    assert_eq!(server.told("the store is unavailable: it refuses this server's login"), 1, "{}", server.said());
    let started = || {
        let output = site.rollcall(&["server", "run", "--listen", "127.0.0.1:0"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = started();
    assert!(status == Some(73) && said.contains("code: store.database") && said.contains("pg_hba.conf"), "{said}");
    alter(kind, &role, "LOGIN");
    put(&admin, "2").unwrap();
    admin.health().unwrap();
    server.await_told("the store is back", 1);
    assert_eq!(server.told("the store is unavailable"), 1, "{}", server.said());
    site.store = site.store.replace(&format!("/{}?", name(&site)), "/nowhere?");
    let output = site.rollcall(&["server", "init"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(73) && said.contains("createdb"), "{said}");
}

/// What `server init` and `server run` end with, which must not differ: the status, and what is said.
fn refused(site: &Site) -> (Option<i32>, String) {
    let [made, run] = [&["server", "init"][..], &["server", "run", "--listen", "127.0.0.1:0"]].map(|arguments| {
        let output = site.rollcall(arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert_eq!(made.0, run.0, "{}{}", made.1, run.1);
    made
}

case!(Postgres, a_database_that_cannot_hold_every_name_is_refused);
fn a_database_that_cannot_hold_every_name_is_refused(kind: &Kind) {
    let mut site = Site::bare(kind);
    let database = name(&site);
    let recreate = |encoding: &str| {
        sql(postgres(kind), format!("DROP DATABASE {database} WITH (FORCE)"));
        let how = format!("ENCODING {encoding} LOCALE 'C' TEMPLATE template0");
        sql(postgres(kind), format!("CREATE DATABASE {database} {how}"));
    };
    recreate("LATIN1");
    for store in [site.store.clone(), other("ROLLCALL_TEST_POOLER", &site)] {
        site.store = store;
        let (status, said) = refused(&site);
        assert!(status == Some(78) && said.contains("code: store.encoding"), "{said}");
        assert!(said.contains(&database) && said.contains("LATIN1") && said.contains("createdb -E UTF8"), "{said}");
        assert_eq!(site.area("store")["code"], "store.encoding");
    }
    site.store = postgres(kind).replace("/postgres?", &format!("/{database}?"));
    assert_eq!(text(&site.store, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"), "0");
    recreate("SQL_ASCII");
    assert!(site.rollcall(&["server", "init"]).status.success());
    let server = site.start();
    let people = User { name: "山田 Łukasz".to_owned(), ..user("1") };
    site.admin.client(server.port).put_user(&people).unwrap();
    assert_eq!(site.admin.client(server.port).user("1").unwrap().name, people.name);
}

case!(Postgres, a_user_without_rights_hears_which_ones_to_get);
fn a_user_without_rights_hears_which_ones_to_get(kind: &Kind) {
    let mut site = Site::bare(kind);
    let role = format!("role_{}", name(&site));
    sql(&site.store, format!("CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    site.store = site.store.replace("//rollcall@", &format!("//{role}@"));
    let (status, said) = refused(&site);
    assert!(status == Some(78) && said.contains("code: store.rights"), "{said}");
    assert!(said.contains("GRANT CREATE, USAGE ON SCHEMA public TO"), "{said}");
    assert!(said.contains("permission denied for schema public") && !said.contains("at line"), "{said}");
}

case!(Postgres, a_database_without_room_for_connections_is_named_once_that_lasts);
fn a_database_without_room_for_connections_is_named_once_that_lasts(kind: &Kind) {
    let (site, role) = with_own_role(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    put(&admin, "1").unwrap();
    alter(kind, &role, "CONNECTION LIMIT 0");
    let error = put(&admin, "2").unwrap_err();
    assert!(matches!(&error, ServerError::Busy(why, _) if why.contains("accepts no more connections")), "{error:?}");
    // Nobody asks meanwhile but the server itself.
    server.await_told("the store is unavailable: it accepts no more connections", 1);
    alter(kind, &role, "CONNECTION LIMIT -1");
    server.await_told("the store is back", 1);
    put(&admin, "2").unwrap();
    assert_eq!(
        (server.told("the store is unavailable"), server.told("the store is back")),
        (1, 1),
        "{}",
        server.said()
    );
}

case!(Sqlite, a_file_that_cannot_be_opened_is_not_waited_for);
/// A folder never becomes a store.
fn a_file_that_cannot_be_opened_is_not_waited_for(kind: &Kind) {
    let mut site = Site::bare(kind);
    site.store = format!("sqlite://{}", site.home.path().display());
    let server = site.begin(0, "0");
    server.await_told("store.unreachable", 1);
    assert!(server.told("names a file") == 1 && server.told("the store is unavailable") == 0, "{}", server.said());
}

case!(Postgres, a_database_that_ended_every_connection_is_not_missed);
fn a_database_that_ended_every_connection_is_not_missed(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
        name(&site)
    );
    for n in 0..5 {
        put(&admin, &format!("a{n}")).unwrap();
        sql(postgres(kind), end.clone());
        put(&admin, &format!("b{n}")).unwrap();
    }
    assert_eq!(admin.users(None, 100).unwrap().items.len(), 10);
}

/// A proxy to this database that loses the answer to the first COMMIT after these words, along with its connection.
fn losing(site: &Site, words: &'static str) -> String {
    let (before, folder) = site.store.rsplit_once("host=").unwrap();
    let way = site.home.path().join("way");
    fs::create_dir(&way).unwrap();
    let (near, far) = (UnixListener::bind(way.join(".s.PGSQL.5432")).unwrap(), format!("{folder}/.s.PGSQL.5432"));
    let lost = Arc::new(AtomicBool::new(false));
    thread::spawn(move || {
        for mut near in near.incoming().flatten() {
            let mut far = UnixStream::connect(&far).unwrap();
            let (mut answers, mut back) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let (lost, silent) = (Arc::clone(&lost), Arc::new(AtomicBool::new(false)));
            let is_silent = Arc::clone(&silent);
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = answers.read(&mut bytes) {
                    if is_silent.load(Ordering::SeqCst) || back.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = back.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let (mut bytes, mut sent) = ([0; 4096], String::new());
                while let Ok(count @ 1..) = near.read(&mut bytes) {
                    sent.push_str(&String::from_utf8_lossy(&bytes[..count]));
                    let is_end = sent.split_once(words).is_some_and(|(_, after)| after.contains("COMMIT"));
                    if is_end && !lost.swap(true, Ordering::SeqCst) {
                        silent.store(true, Ordering::SeqCst);
                    }
                    if far.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = far.shutdown(Shutdown::Both);
            });
        }
    });
    format!("{before}host={}", way.display())
}

case!(Postgres, a_connection_that_breaks_while_the_tables_are_made_is_not_missed);
fn a_connection_that_breaks_while_the_tables_are_made_is_not_missed(kind: &Kind) {
    let mut site = Site::bare(kind);
    site.store = losing(&site, "_sqlx_migrations");
    let output = site.rollcall(&["server", "init"]);
    assert!(output.status.success(), "{output:?}");
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), Some(1)));
}

case!(Postgres, a_change_whose_end_was_lost_is_not_made_again);
/// The server does not know whether the change was made: it says so, and leaves it to the client to retry.
fn a_change_whose_end_was_lost_is_not_made_again(kind: &Kind) {
    let mut site = Site::new(kind);
    site.store = losing(&site, "INSERT INTO users");
    let server = site.start();
    let admin = site.admin.client(server.port);
    let error = put(&admin, "1").unwrap_err();
    assert!(is_gone(&error), "{error:?}");
    server.await_told("the store failed at the end of a change", 1);
    assert_eq!(admin.user("1").unwrap(), user("1"));
    put(&admin, "2").unwrap();
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), Some(3)));
}

case!(Postgres, a_store_whose_connections_are_all_at_work_is_busy_and_not_away);
fn a_store_whose_connections_are_all_at_work_is_busy_and_not_away(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let clients: Vec<_> = (0..9).map(|_| site.admin.client(server.port)).collect();
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let error = thread::scope(|scope| {
        // Every change waits for this row.
        let store = &site.store;
        scope.spawn(move || {
            block_on(async {
                let mut c = PgConnection::connect(store).await.unwrap();
                sqlx::raw_sql("BEGIN; SELECT seq FROM audit_head FOR UPDATE").execute(&mut c).await.unwrap();
                held.send(()).unwrap();
                let _ = released.recv();
                c.close().await.unwrap();
            });
        });
        is_held.recv().unwrap();
        for (n, client) in clients[..8].iter().enumerate() {
            // The outcome of these depends on how long the last one takes.
            scope.spawn(move || drop(put(client, &n.to_string())));
        }
        let waiting = "SELECT count(*)::text FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let until = Instant::now() + Duration::from_secs(30);
        while text(&site.store, waiting) != "8" {
            assert!(Instant::now() < until, "nobody waits");
        }
        let error = put(&clients[8], "last").unwrap_err();
        drop(release);
        error
    });
    assert!(matches!(&error, ServerError::Busy(why, _) if why.contains("it is busy")), "{error:?}");
    put(&clients[8], "last").unwrap();
    assert_eq!(server.told("the store is unavailable"), 0, "{}", server.said());
}

/// What `pg_ctl` does to the database that may be stopped.
fn restart(words: &[&str]) {
    let control = std::env::var("ROLLCALL_TEST_RESTART").expect("scripts/with-postgres sets it");
    assert!(Command::new(control).args(words).status().unwrap().success(), "{words:?}");
}

/// Whether this error is about a store that is gone or going down.
fn is_gone(error: &ServerError) -> bool {
    let words = ["it cannot be reached", "it is being stopped or started"];
    matches!(error, ServerError::Busy(why, _) if words.iter().any(|word| why.contains(word)))
}

/// Whether the counters say that the store is up or down as expected; they include what the server itself counted.
fn is_store_up(client: &ServerClient, is_up: bool) -> bool {
    let metrics = client.metrics().unwrap();
    assert!(metrics.contains("rollcall_requests_total{"), "{metrics}");
    metrics.contains(&format!("\nrollcall_store_up {}\n", u8::from(is_up)))
}

case!(Sqlite, counters_are_told_while_the_store_is_away);
/// Only to terminals that the server knew, and only the counters.
fn counters_are_told_while_the_store_is_away(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let [door, gone, new]: [Terminal; 3] =
        ["door", "gone", "new"].map(|name| site.terminal(server.port, name, Role::Read));
    let client = |terminal: &Terminal| terminal.client(server.port);
    let (admin, file) = (site.admin.client(server.port), site.store.strip_prefix("sqlite://").unwrap());
    admin.revoke_terminal("gone").unwrap();
    assert!(matches!(client(&gone).health(), Err(ServerError::Refused(..))));
    assert!(is_store_up(&client(&door), true) && is_store_up(&admin, true));
    let aside = format!("{file}.aside");
    std::fs::rename(file, &aside).unwrap();
    for _ in 0..2 {
        assert!(is_store_up(&client(&door), false));
        assert!(matches!(client(&door).health(), Err(ServerError::Busy(..))));
        for stranger in [&gone, &new] {
            assert!(matches!(client(stranger).metrics(), Err(ServerError::Busy(..))));
        }
    }
    std::fs::rename(aside, file).unwrap();
    server.await_told("the store is back", 1);
    assert!(is_store_up(&client(&door), true));
}

case!(Postgres, a_database_that_dies_is_named_and_found_again);
/// Its processes end in the middle of changes, without a word and without writing what they hold. Each change that was
/// answered is there afterwards; the others were refused with the cause; and the server goes on by itself.
fn a_database_that_dies_is_named_and_found_again(_: &Kind) {
    let site =
        Site::new(&Kind::Postgres(std::env::var("ROLLCALL_TEST_RESTARTED").expect("scripts/with-postgres sets it")));
    let server = site.start();
    let admin = site.admin.client(server.port);
    let dead = AtomicBool::new(false);
    let (begun, begins) = mpsc::channel();
    let changes = |writer: usize| {
        let client = site.admin.client(server.port);
        let (mut kept, mut refused) = (Vec::new(), 0);
        for n in 0..100_000 {
            let is_dead = dead.load(Ordering::SeqCst);
            let id = format!("{writer}-{n}");
            match put(&client, &id) {
                Ok(()) => kept.push(id),
                Err(error) => {
                    assert!(is_gone(&error), "{error:?}");
                    refused += 1;
                }
            }
            if n == 3 {
                begun.send(()).unwrap();
            }
            if is_dead {
                break;
            }
        }
        (kept, refused)
    };
    let changed = thread::scope(|scope| {
        let changes = &changes;
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || changes(writer))).collect();
        for _ in 0..writers.len() {
            begins.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        restart(&["stop", "--mode=immediate"]);
        dead.store(true, Ordering::SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(changed.iter().all(|(kept, refused)| kept.len() > 3 && *refused > 0), "{changed:?}");
    assert!(is_gone(&admin.health().unwrap_err()));
    server.await_told("the store is unavailable", 1);
    assert!(is_store_up(&admin, false));
    assert_eq!(
        (server.told("the store is unavailable"), server.told("the store is back")),
        (1, 0),
        "{}",
        server.said()
    );
    let output = site.rollcall(&["server", "init"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("code: store.unreachable"), "{output:?}");
    // A server started meanwhile says so once and waits, turns clients away, and ends on request.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (mut waiting, mut ended) = (site.begin(free, "0"), site.begin(0, "0"));
    for one in [&waiting, &ended] {
        one.await_told("the store is unavailable: it cannot be reached", 1);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", free)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0)), "it answers nobody, and lets nobody wait");
    assert_eq!(ended.terminate(), Some(143), "{}", ended.said());

    restart(&["start"]);
    put(&admin, "after").unwrap();
    admin.health().unwrap();
    assert!(is_store_up(&admin, true));
    waiting.await_listening();
    put(&site.admin.client(waiting.port), "waited").unwrap();
    for one in [&server, &waiting] {
        one.await_told("the store is back", 1);
        assert_eq!((one.told("the store is unavailable"), one.told("the store is back")), (1, 1), "{}", one.said());
    }
    waiting.kill();
    for id in changed.iter().flat_map(|(kept, _)| kept) {
        assert_eq!(admin.user(id).unwrap().id, *id);
    }
    assert_eq!(site.verify(&[])["whole"], true);

    // Restarted between two changes: nobody notices, but for the server's own work where it falls just in between.
    for (n, mode) in ["--mode=fast", "--mode=immediate"].into_iter().enumerate() {
        restart(&["restart", mode]);
        put(&admin, &format!("restarted {n}")).unwrap();
    }
    server.await_told("the store is back", server.told("the store is unavailable"));
}

case!(Sqlite, who_comes_while_a_store_is_waited_for_is_turned_away);
/// Also while the server waits for a host that does not answer.
fn who_comes_while_a_store_is_waited_for_is_turned_away(kind: &Kind) {
    let mut site = Site::new(kind);
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    site.store = format!("postgres://u@{}/d?sslmode=disable", host.local_addr().unwrap());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = site.begin(free, "0");
    drop(host.accept().unwrap());
    server.await_told("the store is unavailable: it cannot be reached", 1);
    let mut silent = host.accept().unwrap().0;
    let mut stream = TcpStream::connect(("127.0.0.1", free)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(stream.read(&mut [0]), Ok(0)), "it answers nobody, and lets nobody wait");
    // The host's own connection is open still: it was not the end of the try that ended the other one.
    silent.set_nonblocking(true).unwrap();
    let open = silent.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(open.kind(), ErrorKind::WouldBlock, "{open}");
}

case!(Postgres, the_database_is_switched_over_to_its_standby);
fn the_database_is_switched_over_to_its_standby(kind: &Kind) {
    let mut site = Site::new(kind);
    let (primary, standby) = (site.store.clone(), other("ROLLCALL_TEST_STANDBY", &site));
    let folder = |url: &str| url.rsplit_once("host=").unwrap().1.to_owned();
    let name = name(&site);
    // The standby is listed first: it is reachable, but not usable.
    site.store = format!("postgres://rollcall@/{name}?host={},{}", folder(&standby), folder(&primary));
    let server = site.start();
    let admin = site.admin.client(server.port);
    put(&admin, "before").unwrap();
    let written = text(&primary, "SELECT pg_current_wal_lsn()::text");
    let behind = || {
        let read = text(
            postgres(kind).replace(&folder(&primary), &folder(&standby)).as_str(),
            "SELECT pg_last_wal_replay_lsn()::text",
        );
        lsn(&read) < lsn(&written)
    };
    for _ in 0..3000 {
        if !behind() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    sql(&standby, "SELECT pg_promote()".to_owned());
    fence(postgres(kind), &name);
    put(&admin, "after").unwrap();
    admin.health().unwrap();
    assert_eq!(admin.user("before").unwrap(), user("before"));
    site.store = standby;
    assert_eq!(site.verify(&[])["whole"], true);
    assert!(server.said().is_empty() || server.told("the store is back") == 1, "{}", server.said());
}

fn lsn(text: &str) -> (u64, u64) {
    let (high, low) = text.split_once('/').unwrap();
    (u64::from_str_radix(high, 16).unwrap(), u64::from_str_radix(low, 16).unwrap())
}

case!(Postgres, behind_a_pooler_of_transactions);
/// As `PgBouncer` comes: two servers, tables made through it by several at once, and no lock that outlives its
/// transaction.
fn behind_a_pooler_of_transactions(kind: &Kind) {
    let mut site = Site::new(kind);
    let direct = std::mem::take(&mut site.store);
    site.store.clone_from(&direct);
    site.store = other("ROLLCALL_TEST_POOLER", &site);
    sql(&direct, "DROP SCHEMA public CASCADE; CREATE SCHEMA public".to_owned());
    let inits: Vec<Child> = (0..6).map(|_| site.spawn(&["server", "init"])).collect();
    for mut init in inits {
        assert!(init.wait().unwrap().success());
    }
    // Other cases hold locks in their own databases.
    let locks = "SELECT count(*)::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE locktype = 'advisory' AND granted AND datname = current_database()";
    let locks = text(&direct, locks);
    assert_eq!(locks, "0");
    let (one, two) = (site.start(), site.start());
    thread::scope(|scope| {
        for (n, server) in [&one, &two, &one, &two].into_iter().enumerate() {
            let admin = site.admin.client(server.port);
            scope.spawn(move || {
                for m in 0..25 {
                    put(&admin, &format!("{n}-{m}")).unwrap();
                    admin.user(&format!("{n}-{m}")).unwrap();
                }
            });
        }
    });
    assert_eq!(site.admin.client(one.port).users(None, 500).unwrap().items.len(), 100);
    assert_eq!((one.said(), two.said()), (String::new(), String::new()));
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), Some(101)));
    let file = site.home.path().join("through-the-pooler");
    assert!(site.rollcall(&["server", "backup", file.to_str().unwrap()]).status.success());
}

case!(Postgres, a_pooler_of_statements_is_refused_by_name);
/// It uses another connection for each statement: nothing is created through it, and the error says what to set.
fn a_pooler_of_statements_is_refused_by_name(kind: &Kind) {
    let mut site = Site::new(kind);
    let direct = site.store.clone();
    sql(&direct, "DROP SCHEMA public CASCADE; CREATE SCHEMA public".to_owned());
    site.store = other("ROLLCALL_TEST_STATEMENT_POOLER", &site);
    for arguments in [&["server", "init"][..], &["server", "run", "--listen", "127.0.0.1:0"]] {
        let output = site.rollcall(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains("code: store.pooler") && said.contains("pool_mode = transaction"), "{said}");
    }
    let tables = text(&direct, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!(tables, "0", "nothing was made");
}

case!(EachStore, several_that_make_one_store_at_once_make_it_once);
fn several_that_make_one_store_at_once_make_it_once(kind: &Kind) {
    let mut site = Site::new(kind);
    match kind {
        Kind::Sqlite => site.store = format!("sqlite://{}/fresh.db", site.home.path().display()),
        Kind::Postgres(_) => sql(&site.store, "DROP SCHEMA public CASCADE; CREATE SCHEMA public".to_owned()),
    }
    let inits: Vec<Child> = (0..6).map(|_| site.spawn(&["server", "init"])).collect();
    for mut init in inits {
        assert!(init.wait().unwrap().success());
    }
    let found = site.verify(&[]);
    assert_eq!((&found["whole"], found["records"].as_u64()), (&true.into(), Some(1)));
}

case!(EachStore, the_address_of_a_store_is_read_to_the_letter);
fn the_address_of_a_store_is_read_to_the_letter(kind: &Kind) {
    let mut site = Site::new(kind);
    for (store, told) in [
        ("postgres://h/d?sslmod=verify-full", "did you mean sslmode?"),
        ("postgres://h/d?sslmode=verify_full", "verify_full"),
        ("mysql://h/d", "not a store"),
    ] {
        store.clone_into(&mut site.store);
        let output = site.rollcall(&["server", "init"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(told) && said.contains("code: store.url"), "{said}");
    }
}
