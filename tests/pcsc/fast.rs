//! The fast tap at a terminal with a server.

use std::fs;

use crate::{
    server::Office,
    stack::{Stack, Watch},
};

const DOOR: &str = "[presence]\nmin_stay = \"0s\"\ndefault = \"toggle\"\n[resume]\ndefault = true\n";

/// A number that the server keeps.
fn number(office: &Office, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(office.stack.home().join("server.db")).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

case!(Once, who_resumes_does_so_on_the_servers_word);
/// A resumed tap costs no nonce; and once the server wants a proof, the card that lies there is tapped in full at once.
fn who_resumes_does_so_on_the_servers_word() {
    let mut office = Office::new(1, "virtual");
    let restart = |office: &mut Office, more: &str| {
        office.kill();
        office.configure(&format!("{more}\n{DOOR}"));
        office.start();
    };
    restart(&mut office, "resume_max_age = \"4h\"");
    office.stack.card("remove", 1);
    let said = office.stack.home().join("said");
    let mut watch = office.stack.stream_beside(&["-v", "watch"], fs::File::create(&said).unwrap().into());
    // Whether it was a fast tap.
    let tap = |office: &Office, watch: &mut Watch, event: &str| {
        office.stack.card("insert", 1);
        watch.event(event);
        office.stack.card("remove", 1);
        let said = fs::read_to_string(&said).unwrap();
        said.lines().rfind(|line| line.contains(" exchanges, ")).expect("an account").ends_with(", resumed")
    };
    // The first is a full one, and so is the second if no nonce had come by then. A fast one takes a nonce, gets one
    // with the answer, and leaves the first to the next tap.
    let mut events = ["arrived", "left"].into_iter().cycle();
    let fast = (0..4).find(|_| tap(&office, &mut watch, events.next().unwrap()));
    assert!(fast.is_some_and(|at| at > 0), "{fast:?}: {}", fs::read_to_string(&said).unwrap());
    let issued = number(&office, "SELECT count(*) FROM nonces");
    for _ in 0..2 {
        assert!(tap(&office, &mut watch, events.next().unwrap()));
    }
    assert_eq!(number(&office, "SELECT count(*) FROM nonces"), issued);

    restart(&mut office, "");
    for _ in 0..2 {
        assert!(!tap(&office, &mut watch, events.next().unwrap()));
    }
    watch.end();
    let refused = "SELECT count(*) FROM audit WHERE action = 'lookup.refuse' AND detail LIKE '%proof.required%'";
    assert_eq!(number(&office, refused), 1);
}

case!(Once, nobody_looks_into_a_watch_that_keeps_keys);
/// Of a process that may be dumped, its user reads the map of the memory without being root; of this one not. The first
/// line of a watch comes when that is decided.
fn nobody_looks_into_a_watch_that_keeps_keys() {
    let script = r#"sh -c 'echo $$ >"$0"; exec rollcall --output ndjson watch' "$ROLLCALL_HOME/pid" | {
        read -r line && watch=$(cat "$ROLLCALL_HOME/pid")
        if grep -q stack "/proc/$watch/maps"; then echo open; else echo closed; fi
        kill "$watch"; }"#;
    for (config, seen) in [("", "open\n"), ("[resume]\ndefault = true\n", "closed\n")] {
        // A reader that a watch has seen before would not be reported by the next one.
        let stack = Stack::start(1, "none");
        stack.rollcall(&["pki", "init"]).expect(0);
        fs::write(stack.home().join("config.toml"), config).unwrap();
        // A namespace with one user, who has no right of root's in it: whoever runs the tests.
        let mut command = stack.command("unshare");
        let output = command.args(["--user", "--map-user=65534", "--map-group=65534", "sh", "-c", script]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, seen, "{config}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
