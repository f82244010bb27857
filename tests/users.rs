//! `rollcall users` on a stored list, as scripts and people see it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

#[path = "common/objects.rs"]
mod objects;
#[path = "common/program.rs"]
mod program;
#[path = "common/told.rs"]
mod told;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rollcall::api::User;
use rollcall::pki::PkiDir;
use rollcall::terminal::lookups::Cache;
use rollcall::terminal::presence::{Holder, Input, PresenceMode, Source, Tap, TerminalStore};
use serde_json::Value;
use tempfile::TempDir;

const ANN: &str = "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e";
const YAMADA: &str = "11112222-2f4e-4f5b-8a39-5f0f7f1c2d3e";
const YAMADA_TOO: &str = "33334444-2f4e-4f5b-8a39-5f0f7f1c2d3e";

/// Three tokens of two users, at a door in mode toggle.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut store = TerminalStore::open(home.path()).unwrap();
    let people =
        [(ANN, "7", "=HYPERLINK(\"http://x\"),\u{1b}[2J"), (YAMADA, "y", "山田 太郎"), (YAMADA_TOO, "y", "山田 太郎")];
    for (n, (token_id, id, name)) in (0..).zip(people) {
        let fields = [("team".to_owned(), "red".to_owned())].into();
        let user = User { id: id.to_owned(), name: name.to_owned(), fields };
        let holder = Holder {
            token_id: token_id.parse().unwrap(),
            user,
            source: Source::Card,
            authenticated: true,
            resumed: false,
        };
        let tap = Input::Tap(Tap { reader: format!("Door {n}"), insertion: n.into(), holder });
        let at: Timestamp = "2026-11-22T15:04:05.123Z".parse().unwrap();
        store.apply(&tap, at + std::time::Duration::from_secs(n * 60), &PresenceMode::Toggle).unwrap();
    }
    home
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = program::rollcall(home, &[&["users"], arguments].concat());
    command.env("TZ", "UTC");
    command
}

fn users(home: &Path, arguments: &[&str]) -> Output {
    command(home, arguments).output().unwrap()
}

/// The stdout of a command that must succeed.
fn done(home: &Path, arguments: &[&str]) -> String {
    let output = users(home, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit status and code of a command that must fail, with nothing on stdout.
fn refused(home: &Path, arguments: &[&str]) -> (i32, String) {
    let output = users(home, arguments);
    assert_eq!(output.stdout, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(told::after(&stderr, "hint").is_some(), "{stderr}");
    (output.status.code().unwrap(), told::after(&stderr, "code").unwrap().to_owned())
}

fn objects(text: &str) -> Vec<Value> {
    objects::lines(text)
}

#[test]
fn the_list_in_every_form() {
    let home = home();
    let home = home.path();
    let text = done(home, &[]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("USER  NAME"));
    assert!(lines[1].contains("2026-11-22 15:04 +00:00") && lines[1].contains("\\u{1b}[2J"));
    // 山田 太郎 is five characters and nine columns wide.
    let state = lines[0].find("STATE").unwrap();
    assert_eq!(lines[2].find("present").unwrap(), state - 9 + "山田 太郎".len());

    let lines = objects(&done(home, &["list", "--output", "ndjson"]));
    let whole = objects::document(done(home, &["--output", "json"]).as_bytes());
    assert_eq!(Value::from(lines.clone()), whole);
    assert_eq!(
        lines[1],
        serde_json::json!({"schema": "rollcall.user/1", "token_id": YAMADA,
            "user": {"id": "y", "name": "山田 太郎", "fields": {"team": "red"}}, "reader": "Door 1",
            "since": "2026-11-22T15:05:05.123Z", "last_seen": "2026-11-22T15:05:05.123Z", "state": "present",
            "source": "card", "authenticated": true, "resumed": false})
    );
}

#[test]
fn the_export_is_csv_without_formulas_unless_asked_otherwise() {
    let home = home();
    let text = done(home.path(), &["export"]);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let column = |name| names.iter().position(|head| head == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(&rows[0][column("token_id")], ANN);
    assert_eq!(&rows[0][column("user_name")], "'=HYPERLINK(\"http://x\"),\\u{1b}[2J");
    assert_eq!(&rows[1][column("user_name")], "山田 太郎");
    assert_eq!(text, done(home.path(), &["list", "--output", "csv"]));
    assert_eq!(objects(&done(home.path(), &["export", "--output", "ndjson"])).len(), 3);
}

#[test]
fn one_entry_is_shown() {
    let home = home();
    let home = home.path();
    for id in ["7", ANN, "0b5c", "0B5C9C2E2F4E4F5B8A395F0F7F1C2D3E"] {
        let shown = objects::document(done(home, &["show", id, "--output", "json"]).as_bytes());
        assert_eq!(shown["token_id"], ANN);
    }
    let text = done(home, &["show", "3333"]);
    assert!(text.contains("2026-11-22 15:06 +00:00 (") && text.contains(" ago)"), "{text}");
    let both = objects::document(done(home, &["show", "y", "--output", "json"]).as_bytes());
    assert_eq!([&both[0]["token_id"], &both[1]["token_id"]], [YAMADA, YAMADA_TOO], "a user with two tokens");
    assert_eq!(refused(home, &["show", "0b5"]), (1, "users.unknown".to_owned()));
}

#[test]
fn history_takes_times_dates_and_durations() {
    let home = home();
    let seqs = |span: &[&str]| -> Vec<u64> {
        let arguments: Vec<_> = ["history", "--output", "ndjson"].iter().chain(span).copied().collect();
        objects(&done(home.path(), &arguments)).iter().map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&[]), [1, 2, 3]);
    assert_eq!(seqs(&["--since", "2026-11-22T15:05:00Z", "--until", "2026-11-22T16:06:00+01:00"]), [2]);
    assert_eq!(seqs(&["--since", "2026-11-22", "--until", "2026-11-23"]), [1, 2, 3]);
    assert_eq!(seqs(&["--until", "2026-11-22"]), [0; 0]);
    assert_eq!(seqs(&["--since", "36500d"]), [1, 2, 3]);
    assert_eq!(done(home.path(), &["history", "--output", "json", "--until", "2000-01-01"]), "[]\n");
    assert_eq!(done(home.path(), &["history"]).lines().count(), 4);
    assert_eq!(refused(home.path(), &["history", "--since", "soon"]), (2, "usage".to_owned()));
}

/// Not that nothing happened, which would look like an answer.
#[test]
fn a_span_that_ends_before_it_begins_is_refused() {
    let home = home();
    let span = ["history", "--since", "2026-11-23", "--until", "2026-11-22T15:04"];
    assert_eq!(refused(home.path(), &span), (2, "time.reversed".to_owned()));
    let said = String::from_utf8(users(home.path(), &span).stderr).unwrap();
    assert!(said.contains("--since is 2026-11-23 00:00 +00:00, --until 2026-11-22 15:04 +00:00\n"), "{said}");
    assert_eq!(refused(home.path(), &["history", "-o", "csv", "--since", "1h", "--until", "2h"]).0, 2);
    let instant = ["history", "-o", "ndjson", "--since", "2026-11-22", "--until", "2026-11-22"];
    assert_eq!(done(home.path(), &instant), "", "empty, but in order");
}

#[test]
fn what_has_no_zone_is_meant_where_it_is_typed() {
    let home = home();
    let told = |zone: &str, span: &[&str]| {
        let arguments = [&["history", "-o", "ndjson"], span].concat();
        let output = command(home.path(), &arguments).env("TZ", zone).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let events = objects(&String::from_utf8(output.stdout).unwrap()).len();
        (events, String::from_utf8(output.stderr).unwrap())
    };
    let that_day = |day: &str, zone: &str| told(zone, &["--since", day, "--until", &format!("{day}T23:59:59")]);
    // The events are of 15:04 to 15:06 UTC.
    assert_eq!(that_day("2026-11-22", "UTC"), (3, String::new()));
    assert_eq!(that_day("2026-11-22", "<+14>-14"), (0, String::new()));
    assert_eq!(that_day("2026-11-23", "<+14>-14"), (3, String::new()));
    assert_eq!(told("<-12>12", &["--since", "2026-11-22T03:05", "--until", "2026-11-22 03:06"]).0, 1);

    let (events, warned) = that_day("2026-11-22", "No/Zone");
    assert_eq!(events, 3, "UTC stands for an unknown zone");
    assert!(warned.starts_with("warning: the time zone No/Zone is unknown; times are in UTC"), "{warned}");
    assert_eq!(told("No/Zone", &["--since", "2026-11-22T00:00:00Z"]), (3, String::new()), "nothing depends on it");
}

#[test]
fn people_see_the_time_of_their_clock_and_programs_utc() {
    let home = home();
    let in_tokyo = |arguments: &[&str]| {
        let output = command(home.path(), arguments).env("TZ", "<+09>-9").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for arguments in [&[][..], &["show", "7"], &["history"]] {
        let text = in_tokyo(arguments);
        assert!(text.contains("2026-11-23 00:04 +09:00") && !text.contains("15:04"), "{text}");
        let utc = in_tokyo(&[arguments, &["--utc"]].concat());
        assert!(utc.contains("2026-11-22T15:04:05Z") && !utc.contains("+09:00"), "{utc}");
    }
    for form in ["json", "ndjson", "csv"] {
        let text = in_tokyo(&["list", "--output", form]);
        assert!(text.contains("2026-11-22T15:04:05.123Z") && !text.contains("+09"), "{text}");
    }
    // With --utc, times in arguments are in UTC too.
    assert_eq!(objects(&in_tokyo(&["history", "-o", "ndjson", "--until", "2026-11-22T15:05", "--utc"])).len(), 1);
    // Messages show times in local time.
    let output = command(home.path(), &["check-in", "7", "--at", "2200-01-01T00:00Z"]).env("TZ", "<+09>-9").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.starts_with("error: 2200-01-01 09:00 +09:00 is in the future\n"), "{said}");
    // An unknown time zone is warned about only once.
    let output = command(home.path(), &["history", "--since", "00:00"]).env("TZ", "No/Zone").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("No/Zone").count(), 1, "{said}");
}

#[test]
fn a_time_that_comes_twice_or_never_is_said_to_be_so() {
    let home = home();
    let said = |time: &str| {
        let zone = "CET-1CEST,M3.5.0,M10.5.0/3";
        let output = command(home.path(), &["history", "--since", time]).env("TZ", zone).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("2026-10-25T02:30").contains("for the other one write 2026-10-25T02:30+01:00"));
    assert!(said("2026-03-29T02:30").contains("taken as 03:30 at +02:00"));
    assert_eq!(said("2026-10-25T02:30+01:00"), "");
}

#[test]
fn who_is_denied_leaves_and_may_be_allowed_again() {
    let home = home();
    let home = home.path();
    assert_eq!(done(home, &["denied", "--output", "json"]), "[]\n");
    let left = objects(&done(home, &["deny", "y", "--output", "ndjson"]));
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|event| event["event"] == "left" && event["reason"] == "denied"));
    assert_eq!(refused(home, &["deny", "0b5c"]), (2, "users.ambiguous".to_owned()));
    assert_eq!(done(home, &["deny", "nobody", "--output", "json"]), "[]\n");
    assert_eq!(done(home, &["deny", "y", "--reason", "left the house", "--output", "json"]), "[]\n", "again, and why");
    let told = done(home, &["denied", "--utc"]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["DENIED", "NAME", "SINCE", "WHY"]);
    assert!(lines[1].starts_with("nobody ") && lines[2].starts_with("y       山田 太郎  2"), "{told}");
    assert!(lines[2].ends_with("Z  left the house"), "{told}");
    assert_eq!(done(home, &["list", "--output", "ndjson"]).lines().count(), 1);
    assert_eq!(done(home, &["allow", "山田 太郎"]), "");
    assert_eq!(refused(home, &["allow", "y"]), (1, "users.not-denied".to_owned()));
    // A person who has left is found by name in the history; an unknown name is not taken for an id.
    assert_eq!(done(home, &["deny", "山田 太郎", "--output", "json"]), "[]\n");
    let allowed = serde_json::json!({"schema": "rollcall.allowed/1", "id": "y"});
    assert_eq!(objects(&done(home, &["allow", "y", "--output", "ndjson"])), [allowed]);
    assert_eq!(refused(home, &["deny", "山田 次郎"]), (1, "users.unknown".to_owned()));
    let mut denied = objects(&done(home, &["denied", "--output", "ndjson"]));
    let at: Timestamp = denied[0].as_object_mut().unwrap().remove("at").unwrap().as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(at).as_secs() < 600);
    assert_eq!(denied, [serde_json::json!({"schema": "rollcall.denied/1", "id": "nobody"})]);
}

#[test]
fn the_list_is_cleared_only_by_who_means_it() {
    let home = home();
    let home = home.path();
    assert_eq!(refused(home, &["clear"]), (2, "confirm.needed".to_owned()));
    assert_eq!(done(home, &["--output", "ndjson"]).lines().count(), 3);
    let left = objects(&done(home, &["clear", "--yes", "--output", "ndjson"]));
    assert!(left.len() == 3 && left.iter().all(|event| event["reason"] == "cleared"));
    assert_eq!(done(home, &["--output", "json"]), "[]\n");
    assert_eq!(done(home, &["clear"]), "", "nothing to ask");
    assert_eq!(done(home, &["history", "--output", "ndjson"]).lines().count(), 6, "history stays");
}

#[test]
fn a_look_makes_nothing() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["list"][..], &["export"], &["history"], &["denied"], &["clear"]] {
        done(home.path(), arguments);
    }
    assert_eq!(refused(home.path(), &["show", "7"]), (1, "users.unknown".to_owned()));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_is_none_is_a_file_error() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("terminal.db"), "not a database\n".repeat(100)).unwrap();
    for arguments in [&["list"][..], &["history"], &["deny", "7"], &["clear", "--yes"]] {
        assert_eq!(refused(home.path(), arguments), (73, "store.damaged".to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_long_history_into_a_closed_pipe_is_no_error() {
    let home = home();
    for form in ["text", "json", "ndjson", "csv"] {
        let mut child = command(home.path(), &["history", "--output", form])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{form}");
    }
}

#[test]
fn who_came_and_left_without_a_card_is_entered_by_hand() {
    let home = home();
    let entered = |arguments: &[&str]| -> Value {
        objects::lines(&done(home.path(), &[arguments, &["-o", "ndjson"]].concat())).pop().unwrap()
    };
    let left = entered(&["check-out", "7", "--at", "2026-11-22T18:00", "--note", "went home"]);
    assert_eq!((&left["event"], &left["at"]), (&"checked_out".into(), &"2026-11-22T18:00:00.000Z".into()));
    assert_eq!((&left["note"], left["by"].as_str().is_some_and(|by| !by.is_empty())), (&"went home".into(), true));
    let came = entered(&["check-in", "7", "--at", "2026-11-23T08:05"]);
    assert_eq!(
        (&came["event"], &came["authenticated"], &came["user"]["id"]),
        (&"checked_in".into(), &false.into(), &"7".into())
    );
    assert_eq!(refused(home.path(), &["check-in", "7"]), (1, "users.already-here".to_owned()));
    assert_eq!(
        refused(home.path(), &["check-out", "7", "--at", "2026-11-23T08:04"]),
        (2, "users.before-arrival".to_owned())
    );
    assert_eq!(refused(home.path(), &["check-out", "7", "--at", "2999-01-01"]), (2, "users.not-yet".to_owned()));
    assert_eq!(refused(home.path(), &["check-in", "nobody"]), (1, "users.unknown".to_owned()));
    let gone = objects::lines(&done(home.path(), &["remove", "y", "-o", "ndjson"]));
    assert_eq!(gone.iter().map(|event| &event["event"]).collect::<Vec<_>>(), ["removed", "removed"]);
    assert_eq!(refused(home.path(), &["remove", "y"]), (1, "users.unknown".to_owned()));
    let csv = done(home.path(), &["history", "-o", "csv"]);
    assert!(csv.lines().next().unwrap().ends_with(",by,note,resumed"), "{csv}");
    assert!(csv.contains("went home"), "{csv}");
    assert!(done(home.path(), &["history"]).contains("went home (by "));
}

/// What the server said about users is in a file of its own.
fn kept_users(home: &Path) -> u32 {
    let db = rusqlite::Connection::open(home.join("directory.db")).unwrap();
    db.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_scan_removes_what_is_older_than_retention_says_as_a_watch_does() {
    for (arguments, pruned) in [
        (&["scan"][..], true),
        (&["scan", "--count", "1", "--timeout", "1ms"], true),
        (&["scan", "--identify-only"], false),
    ] {
        let home = home();
        let home = home.path();
        let run = |words: &[&str]| program::rollcall(home, words).output().unwrap();
        assert_eq!(run(&["pki", "init"]).status.code(), Some(0));
        std::fs::write(home.join("config.toml"), "retention = \"1d\"\n[server]\nurl = \"https://127.0.0.1:9\"\n")
            .unwrap();
        drop(Cache::open(home, &PkiDir::new(home.join("pki")).load_trusted().unwrap()).unwrap());
        let db = rusqlite::Connection::open(home.join("directory.db")).unwrap();
        let now = Timestamp::now().as_millisecond();
        for (token_id, at) in [(ANN, 0), (YAMADA, now)] {
            db.execute("INSERT INTO users VALUES (?1, 'x', ?2)", rusqlite::params![token_id, at]).unwrap();
        }
        drop(db);
        assert_eq!((objects(&done(home, &["history", "-o", "ndjson"])).len(), kept_users(home)), (3, 2));
        // There is no reader, and nothing was read.
        assert_ne!(run(arguments).status.code(), Some(0));
        let left = (objects(&done(home, &["history", "-o", "ndjson"])).len(), kept_users(home));
        assert_eq!(left, if pruned { (1, 1) } else { (3, 2) }, "{arguments:?}");
    }
}

/// A command on a disk of its own, with a copy of the home, that has become what the script makes of it.
fn on_disk(command: &Command, becomes: &str) -> Command {
    let script = format!(
        r#"set -e; place=$(mktemp -d); mount -t tmpfs -o size=4m none "$place"; cp -a "$ROLLCALL_HOME/." "$place"
        {becomes}
        export ROLLCALL_HOME=$place; exec "$@""#
    );
    let mut inside = Command::new("unshare");
    inside
        .args(["--map-root-user", "--mount", "sh", "-c", &script, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    inside.stdin(Stdio::null());
    inside
}

const BAD_DISKS: [(&str, &str); 2] = [
    (r#"mount -o remount,ro "$place""#, "store.read-only"),
    (r#"cat /dev/zero >"$place/fill" 2>/dev/null || true"#, "store.full"),
];

#[test]
fn a_disk_that_is_full_or_read_only_is_read_and_named() {
    let home = home();
    for (becomes, code) in BAD_DISKS {
        let run = |arguments: &[&str]| on_disk(&command(home.path(), arguments), becomes).output().unwrap();
        let shown = run(&["-o", "csv"]);
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
        assert_eq!(String::from_utf8(shown.stdout).unwrap(), done(home.path(), &["-o", "csv"]));
        let refused = run(&["remove", "7", "--yes"]);
        assert_eq!(refused.status.code(), Some(73), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(&format!("code: {code}")), "{refused:?}");
    }
}

/// What a process that was killed has left in the log counts, also where nothing can be made beside the file.
#[test]
fn a_full_disk_with_a_log_is_read() {
    let home = home();
    let left = tempfile::tempdir().unwrap();
    let store = TerminalStore::open(home.path()).unwrap();
    done(home.path(), &["remove", "7", "--yes"]);
    for file in ["terminal.db", "terminal.db-wal"] {
        std::fs::copy(home.path().join(file), left.path().join(file)).unwrap();
    }
    drop(store);
    assert!(left.path().join("terminal.db-wal").metadata().unwrap().len() > 0);
    let shown = on_disk(&command(left.path(), &["-o", "csv"]), BAD_DISKS[1].0).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stderr), "");
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), done(home.path(), &["-o", "csv"]));
}

#[test]
fn a_watch_begins_on_a_disk_that_is_full_or_read_only() {
    let home = home();
    let home = home.path();
    assert_eq!(program::rollcall(home, &["pki", "init"]).output().unwrap().status.code(), Some(0));
    std::fs::write(home.join("config.toml"), "[server]\nurl = \"https://127.0.0.1:9\"\n").unwrap();
    for (becomes, code) in BAD_DISKS {
        let mut watch = on_disk(&program::rollcall(home, &["watch", "--plain"]), becomes);
        let mut watch = watch.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(watch.stderr.take().unwrap()).lines();
        let (tell, said) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut missing = vec![format!("({code})"), "(server.cache)".to_owned()];
        let mut told = Vec::new();
        while !missing.is_empty() {
            let line = said.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{missing:?}: {told:#?}"));
            missing.retain(|code| !line.contains(code));
            assert!(!line.contains("remove directory.db"), "{line}");
            told.push(line);
        }
        watch.kill().unwrap();
        watch.wait().unwrap();
    }
}

/// A terminal of release 0.1.0: `tests/saved/0.1.0/make.py` says what is in its store.
#[test]
fn the_store_of_the_first_release_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let old = rusqlite::Connection::open(home.join("terminal.db")).unwrap();
    old.execute_batch(include_str!("saved/0.1.0/terminal.sql")).unwrap();
    drop(old);
    let list = objects(&done(home, &["list", "--output", "ndjson"]));
    let ada = "0b5c9c2e-2f4e-4f5b-8a39-000000000001";
    assert_eq!(
        list,
        [serde_json::json!({"schema": "rollcall.user/1", "token_id": ada,
            "user": {"id": "ada", "name": "Ada King", "fields": {"room": "B17", "team": "α"}}, "reader": "North Door",
            "since": "2026-11-24T08:00:02.000Z", "last_seen": "2026-11-24T08:00:02.000Z", "state": "present",
            "source": "card", "authenticated": true, "resumed": false})]
    );
    let denied = objects(&done(home, &["denied", "--output", "ndjson"]));
    let denied: Vec<_> = denied.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(denied, ["0b5c9c2e-2f4e-4f5b-8a39-000000000004", "mallory"]);
    let history = objects(&done(home, &["history", "--output", "ndjson"]));
    let told: Vec<_> = history.iter().map(|event| (event["seq"].as_u64().unwrap(), event["event"].clone())).collect();
    let kinds = ["reader_added", "arrived", "arrived", "left", "refused"];
    assert_eq!(told, (1..).zip(kinds.map(Value::from)).collect::<Vec<_>>());
    assert_eq!((&history[2]["source"], &history[4]["error"]["code"]), (&"server".into(), &"token.lost".into()));
    let store = TerminalStore::open(home).unwrap();
    assert_eq!(store.counter(ada.parse().unwrap()).unwrap(), Some(65541));
    drop(store);

    // It goes on with the next number, and by what was denied.
    done(home, &["clear", "--yes"]);
    let history = objects(&done(home, &["history", "--output", "ndjson"]));
    let latest = &history[5];
    assert_eq!((&latest["seq"], &latest["event"], &latest["token_id"]), (&6.into(), &"left".into(), &ada.into()));
    assert_eq!(objects(&done(home, &["list", "--output", "ndjson"])), [] as [Value; 0]);
    done(home, &["allow", "mallory"]);
    assert_eq!(objects(&done(home, &["denied", "--output", "ndjson"])).len(), 1);
}
