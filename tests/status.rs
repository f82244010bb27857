//! `rollcall status`: its reports on healthy and faulty homes, and that it changes nothing there.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

#[path = "common/objects.rs"]
mod objects;
#[path = "common/program.rs"]
mod program;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::Timestamp;
use rollcall::api::User;
use rollcall::terminal::presence::{Holder, Input, PresenceMode, Source, Tap, TerminalStore};
use serde_json::Value;
use tempfile::TempDir;

/// A home in which somebody has arrived at a door in mode toggle.
fn home() -> TempDir {
    home_in(&PresenceMode::Toggle)
}

fn home_in(mode: &PresenceMode) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let user = User { id: "7".to_owned(), name: "Ann".to_owned(), fields: [].into() };
    let token_id = "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e".parse().unwrap();
    let holder = Holder { token_id, user, source: Source::Card, authenticated: true, resumed: false };
    let tap = Input::Tap(Tap { reader: "Door".to_owned(), insertion: 1.into(), holder });
    let at: Timestamp = "2026-11-22T15:04:05Z".parse().unwrap();
    TerminalStore::open(home.path()).unwrap().apply(&tap, at, mode).unwrap();
    home
}

/// `rollcall status` in a home: exit status, and area, mark and code of each object.
fn status(home: &Path) -> (i32, Vec<(String, String, Option<String>)>) {
    let output = program::rollcall(home, &["status", "-o", "ndjson"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let word = |object: &Value, name: &str| object[name].as_str().map(str::to_owned);
    let areas = objects::lines(&text)
        .into_iter()
        .map(|one| (word(&one, "area").unwrap(), word(&one, "mark").unwrap(), word(&one, "code")));
    (output.status.code().unwrap(), areas.collect())
}

fn area(found: &[(String, String, Option<String>)], name: &str) -> (String, Option<String>) {
    let (_, mark, code) = found.iter().find(|(area, ..)| area == name).unwrap_or_else(|| panic!("{name}: {found:?}"));
    (mark.clone(), code.clone())
}

/// The files of a home, apart from what SQLite keeps beside a database that is open.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().ends_with("-shm") && !path.to_string_lossy().ends_with("-wal") {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

fn marked(mark: &str, code: Option<&str>) -> (String, Option<String>) {
    (mark.to_owned(), code.map(str::to_owned))
}

#[test]
fn the_status_names_what_is_not_well_and_changes_nothing() {
    let home = home();
    let home = home.path();
    let (exit, found) = status(home);
    assert_eq!(exit, 1);
    let names: Vec<_> = found.iter().map(|(area, ..)| area.as_str()).collect();
    assert_eq!(names, ["readers", "keys", "list", "watch", "server"]);
    let marks: Vec<_> = found.iter().map(|(_, mark, _)| mark.as_str()).collect();
    assert_eq!(marks, ["fault", "fault", "ok", "ok", "ok"]);
    assert_eq!(area(&found, "keys").1.as_deref(), Some("pki.not-initialised"));

    assert_eq!(program::rollcall(home, &["pki", "init"]).output().unwrap().status.code(), Some(0));
    fs::write(home.join("config.toml"), "[server]\nurl = \"https://127.0.0.1:9\"\n").unwrap();
    let db = rusqlite::Connection::open(home.join("terminal.db")).unwrap();
    db.execute("INSERT OR REPLACE INTO flags (name, value) VALUES ('watching', 1)", []).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let before = files(home);
    let (exit, found) = status(home);
    assert_eq!(exit, 1);
    assert_eq!(area(&found, "keys"), marked("ok", None));
    assert_eq!(area(&found, "watch"), marked("look", None));
    assert_eq!(area(&found, "server"), marked("fault", Some("server.unreachable")));
    let changed: Vec<_> = files(home).into_iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
    assert_eq!(changed, Vec::<PathBuf>::new());
    let text = program::rollcall(home, &["status"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("ok     list          1 here\n"), "{text}");
    assert!(text.contains("; 1 event not yet sent  (server.unreachable)"), "{text}");
    assert!(text.contains("\nlook   watch "), "{text}");
    assert!(text.ends_with("2 errors, 1 warning: rollcall doctor says more.\n"), "{text}");

    let mut store = TerminalStore::open(home).unwrap();
    let _watch = store.start_watch(Timestamp::now(), &PresenceMode::Toggle).unwrap();
    let text = program::rollcall(home, &["status"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("ok     watch         a watch is running\n"), "{text}");
}

#[test]
fn who_is_in_doubt_is_asked_by_a_watch() {
    let home = home_in(&PresenceMode::Field);
    let home = home.path();
    let advised = || {
        let output = program::rollcall(home, &["status", "-o", "ndjson"]).output().unwrap();
        let all = objects::lines(std::str::from_utf8(&output.stdout).unwrap());
        let list = all.into_iter().find(|one| one["area"] == "list").unwrap();
        (list["what"].as_str().unwrap().to_owned(), list["command"].as_str().map(str::to_owned))
    };
    assert_eq!(advised(), ("1 here".into(), None));
    // A watch ended abruptly, and the next one doubts what it left behind.
    let db = rusqlite::Connection::open(home.join("terminal.db")).unwrap();
    db.execute("INSERT OR REPLACE INTO flags (name, value) VALUES ('watching', 1)", []).unwrap();
    drop(db);
    let mut store = TerminalStore::open(home).unwrap();
    let watch = store.start_watch(Timestamp::now(), &PresenceMode::Field).unwrap();
    assert_eq!(advised(), ("1 here, 1 of them unconfirmed".into(), Some("rollcall doctor".into())));
    drop((watch, store));
    assert_eq!(advised(), ("1 here, 1 of them unconfirmed".into(), Some("rollcall watch".into())));
}

/// What `scan` would fail for is a fault before anybody comes; what only `enroll` would fail for is worth a look.
#[test]
fn files_that_are_missing_are_told_before_a_card_comes() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(program::rollcall(home, &["pki", "init"]).output().unwrap().status.code(), Some(0));
    fs::remove_file(home.join("pki/start.key")).unwrap();
    assert_eq!(area(&status(home).1, "keys"), marked("look", Some("pki.not-initialised")));
    fs::remove_file(home.join("pki/terminal-ecka.crt")).unwrap();
    assert_eq!(area(&status(home).1, "keys"), marked("fault", Some("pki.not-initialised")));
    let text = program::rollcall(home, &["status"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("terminal-ecka.crt is missing: no card can be authenticated; and 1 more"), "{text}");
}

/// The token itself is left to doctor.
#[test]
fn a_key_in_a_token_needs_its_pin() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(program::rollcall(home, &["pki", "init"]).output().unwrap().status.code(), Some(0));
    let pin = home.join("pin");
    let uri = format!("pkcs11:token=Desk;object=perso?module-name=softhsm2&pin-source=file:{}", pin.display());
    fs::write(home.join("config.toml"), format!("perso_key = {uri:?}\n")).unwrap();
    assert_eq!(area(&status(home).1, "keys"), marked("look", Some("pki.pkcs11-no-pin")));
    let text = program::rollcall(home, &["status"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(&format!("\"Desk\": pin-source names {}, which does not exist", pin.display())), "{text}");
    fs::write(&pin, "1234\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(area(&status(home).1, "keys"), marked("look", Some("pki.key-permissions")));
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(area(&status(home).1, "keys"), marked("ok", None));
}

#[test]
#[cfg(feature = "server")]
fn the_status_of_a_server_has_its_store_and_misses_no_reader() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for words in [&["pki", "init"][..], &["pki", "issue", "server", "--name", "localhost"], &["server", "init"]] {
        let output = program::rollcall(home, words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let before = files(home);
    let (exit, found) = status(home);
    assert_eq!((exit, found.iter().filter(|(_, mark, _)| mark != "ok").count()), (0, 0), "{found:?}");
    let names: Vec<_> = found.iter().map(|(area, ..)| area.as_str()).collect();
    assert_eq!(names, ["readers", "keys", "list", "watch", "server", "store", "terminals", "certificates"]);
    assert_eq!(files(home), before);
    let text = program::rollcall(home, &["status"]).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().ends_with("All is well.\n"));

    let store = before.iter().map(|(path, _)| path).find(|path| path.ends_with("server.db")).unwrap();
    fs::write(store, "not a database").unwrap();
    let (exit, found) = status(home);
    assert_eq!((exit, area(&found, "store").0.as_str()), (1, "fault"));
}

/// What the program says to a user whose state folder holds this file of somebody else, as after one run with sudo. Only
/// root can make such a file: for others it is their own, and closed.
fn beside_a_file_of_root(home: &Path, file: &str, arguments: &[&str]) -> Output {
    const NOBODY: u32 = 65_534;
    let (file, bin) = (home.join(file), tempfile::tempdir().unwrap());
    let ours = program::rollcall(home, arguments);
    let is_root = rustix::process::geteuid().is_root();
    fs::set_permissions(&file, fs::Permissions::from_mode(if is_root { 0o600 } else { 0 })).unwrap();
    if !is_root {
        return { ours }.output().unwrap();
    }
    chown(home, Some(NOBODY), None).unwrap();
    chown(&file, Some(0), None).unwrap();
    let copy = bin.path().join("rollcall");
    fs::copy(ours.get_program(), &copy).unwrap();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy).args(ours.get_args());
    command.env("ROLLCALL_HOME", home).env("PCSCLITE_CSOCK_NAME", home.join("nobody.listens")).output().unwrap()
}

#[test]
fn a_file_of_another_user_is_named_with_what_gives_it_back() {
    for (arguments, status) in [(&["users"][..], 73), (&["users", "history"], 73), (&["status"], 1)] {
        let home = home();
        let output = beside_a_file_of_root(home.path(), "terminal.db", arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(status), "{said}");
        let [why, remedy] = if rustix::process::geteuid().is_root() {
            ["terminal.db, which belongs to ", "sudo chown -R \"$USER\" /"]
        } else {
            ["terminal.db: its permissions forbid it", "chmod u+rw /"]
        };
        for words in ["may not read and write", why, "store.denied", remedy] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
