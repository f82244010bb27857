//! What doctor finds about keys, configuration, state folder and server.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{brief, codes, codes_of, doctor, findings, text};
use crate::{server::Office, stack::Stack};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Root may do anything, so run as an unprivileged user.
pub fn unprivileged(stack: &Stack) -> Command {
    let mut command = doctor(stack, "unshare");
    command.args(["--user", "--map-user=65534", "--map-group=65534", "rollcall", "doctor", "--output", "ndjson"]);
    command
}

fn preload() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|file| file.exists()).expect("libfaketime: scripts/setup clock")
}

/// With the clock of this process moved.
fn at(stack: &Stack, offset: &str) -> Vec<String> {
    let variables = [("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")];
    codes_of(doctor(stack, "rollcall").env("LD_PRELOAD", preload()).envs(variables))
}

case!(Once, doctor_finds_faults_of_the_terminal);
fn doctor_finds_faults_of_the_terminal() {
    let mut stack = Stack::start(1, "virtual");
    assert_eq!(codes(&stack, &[]), ["pki.not-initialised", "token.test-keys"]);
    stack.rollcall(&["pki", "init"]).expect(0);
    stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    stack.rollcall(&["scan"]).expect(0);
    assert_eq!(codes(&stack, &[]), Vec::<String>::new());
    assert!(text(&stack, 0).stdout.ends_with("Everything is as it should be.\n"));
    assert_eq!(codes(&stack, &["--reader", "elsewhere"]), ["reader.unknown"]);

    // Clocks, and what expires by them.
    assert_eq!(at(&stack, "+5d"), ["pki.expiring"]);
    assert_eq!(at(&stack, "+9d"), ["pki.expired"]);
    assert_eq!(at(&stack, "-2d"), ["pki.clock"]);

    let home = stack.home();
    let note = home.join("evictions.json");
    let seen = format!(r#"{{"schema":"rollcall.evictions/1","at":"{}"}}"#, jiff::Timestamp::now());
    fs::write(&note, seen).unwrap();
    assert_eq!(codes(&stack, &[]), ["resume.evicted"]);
    fs::remove_file(note).unwrap();
    let key = home.join("pki/terminal-ecka.key");
    mode(&key, 0o644);
    assert_eq!(codes(&stack, &[]), ["pki.key-permissions"]);
    mode(&key, 0o600);
    let honest = fs::read(&key).unwrap();
    fs::write(&key, b"-----BEGIN PRIVATE KEY-----\nMIGH\n").unwrap();
    assert_eq!(codes(&stack, &[]), ["pki.file-damaged"]);
    fs::copy(home.join("pki/terminal-tls.key"), &key).unwrap();
    assert_eq!(codes(&stack, &[]), ["pki.mismatch"]);
    fs::write(&key, honest).unwrap();

    // A different CA from that of the certificates and the token.
    let other = home.join("other");
    let mut strange = stack.command("rollcall");
    assert!(strange.env("ROLLCALL_HOME", &other).args(["pki", "init"]).output().unwrap().status.success());
    let (ca, away) = (home.join("pki/ca.crt"), home.join("ca.away"));
    fs::rename(&ca, &away).unwrap();
    fs::copy(other.join("pki/ca.crt"), &ca).unwrap();
    assert_eq!(codes(&stack, &[]), ["pki.mismatch", "token.other-authority"]);
    fs::rename(&away, &ca).unwrap();

    fs::write(home.join("config.toml"), "readers = [\n").unwrap();
    assert_eq!(codes(&stack, &[]), ["config.syntax"]);
    fs::remove_file(home.join("config.toml")).unwrap();

    // The database.
    let db = home.join("terminal.db");
    let holder = rusqlite::Connection::open(&db).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(codes(&stack, &[]), ["store.locked"]);
    drop(holder);
    mode(&home, 0o500);
    assert!(codes_of(&mut unprivileged(&stack)).contains(&"store.read-only".to_owned()));
    mode(&home, 0o700);
    assert_eq!(full(&stack), ["store.full"]);
    fs::write(&db, [0x55; 8192]).unwrap();
    for more in ["terminal.db-wal", "terminal.db-shm"] {
        let _ = fs::remove_file(home.join(more));
    }
    assert_eq!(codes(&stack, &[]), ["store.damaged"]);

    stack.at_home(&other.join("none"));
    assert_eq!(codes(&stack, &[]), ["pki.not-initialised"]);
}

/// The same state on a disk without room.
fn full(stack: &Stack) -> Vec<String> {
    let script = r#"set -e; place=$(mktemp -d); mount -t tmpfs -o size=3m none "$place"; cp -a "$ROLLCALL_HOME/." "$place"
        head -c 4m /dev/zero >"$place/filler" || true; export ROLLCALL_HOME=$place; exec rollcall doctor --output ndjson"#;
    let mut command = doctor(stack, "unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    codes_of(&mut command)
}

case!(Once, doctor_finds_faults_of_the_server);
fn doctor_finds_faults_of_the_server() {
    let mut office = Office::without_tokens(1, "none");
    assert_eq!(codes(&office.stack, &[]), Vec::<String>::new());
    let found = findings(&mut doctor(&office.stack, "rollcall"));
    let server = found.iter().find(|one| one["probe"] == "server").unwrap();
    assert_eq!(server["facts"]["role"], "admin", "{server}");
    assert_eq!(at(&office.stack, "+10m"), ["clock.skew"]);

    let stack = &office.stack;
    let config = stack.home().join("config.toml");
    let url = |url: &str| fs::write(&config, format!("[server]\nurl = \"{url}\"\n")).unwrap();
    let honest = fs::read(&config).unwrap();
    url("https://no-such-host.invalid:7443");
    assert_eq!(codes(stack, &[]), ["server.name"]);
    // A server that accepts connections but never answers, and one that speaks another protocol.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    url(&format!("https://localhost:{}", silent.local_addr().unwrap().port()));
    assert_eq!(codes(stack, &[]), ["server.slow"]);
    drop(silent);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let speaks = std::thread::spawn(move || {
        for stream in other.incoming().take(2).flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    url(&format!("https://localhost:{port}"));
    assert_eq!(codes(stack, &[]), ["server.protocol"]);
    speaks.join().unwrap();
    fs::write(&config, &honest).unwrap();

    // A terminal that the server no longer knows, and one of another CA.
    let bundle = stack.home().join("door.bundle");
    let bundle = bundle.to_str().unwrap();
    stack.rollcall(&["pki", "issue", "terminal", "door", "--out", bundle]).expect(0);
    let run = |home: &Path, args: &[&str]| {
        let output = stack.command("rollcall").env("ROLLCALL_HOME", home).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let (door, stranger) = (stack.home().join("door"), stack.home().join("stranger"));
    run(&door, &["pki", "import", bundle]);
    run(&stranger, &["pki", "init"]);
    for home in [&door, &stranger] {
        fs::write(home.join("config.toml"), &honest).unwrap();
    }
    let codes_at = |home: &Path| codes_of(doctor(stack, "rollcall").env("ROLLCALL_HOME", home));
    assert_eq!(codes_at(&door), Vec::<String>::new());
    stack.rollcall(&["server", "terminal", "revoke", "door", "--yes"]).expect(0);
    assert_eq!(codes_at(&door), ["server.refused"]);
    assert_eq!(codes_at(&stranger), ["server.certificate"]);

    office.kill();
    let found = findings(&mut doctor(&office.stack, "rollcall"));
    assert_eq!(brief(&found).into_values().collect::<Vec<_>>(), ["server.port-closed"]);
}
