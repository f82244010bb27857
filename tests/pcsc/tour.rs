//! Every object of the contract, from a real run of a command that prints it, in both JSON formats.

use std::{collections::BTreeSet, fs, time::Duration};

use rollcall::{api::v1::EventBatch, pki::PkiDir, terminal::server_access::ServerAccess};
use serde_json::{Value, json};

use crate::{objects, server::Office, stack::Stack};

/// Runs a command in both forms; the objects that it printed, which have been checked.
fn both(stack: &Stack, status: i32, args: &[&str]) -> Vec<Value> {
    let json = stack.rollcall(&[&["--output", "json"], args].concat()).expect(status);
    let mut found = match objects::document(json.stdout.as_bytes()) {
        Value::Array(objects) => objects,
        object => vec![object],
    };
    found.extend(stack.ndjson(status, args));
    assert!(!found.is_empty(), "{args:?} printed nothing");
    found
}

case!(EachCard, every_object_has_its_schema);
fn every_object_has_its_schema(kind: &str) {
    let office = Office::new(3, kind);
    let stack = &office.stack;
    let readers = stack.readers();
    stack.card("new", 2);
    let token = stack.ndjson(0, &["scan", "--reader", &readers[0]])[0]["token_id"].as_str().unwrap().to_owned();
    let people = stack.home().join("people.csv");
    fs::write(&people, "id,name\np8,山田\n").unwrap();
    let people = people.to_str().unwrap();
    let bundle = |n: usize| stack.home().join(format!("door{n}.bundle")).to_str().unwrap().to_owned();

    report_arrival(&office);

    let proofs = stack.home().join("proofs.json");
    fs::write(&proofs, stack.rollcall(&["--output", "json", "scan", "--proof"]).expect(1).stdout).unwrap();
    let tour: &[(i32, &[&str])] = &[
        (0, &["readers"]),
        (0, &["status"]),
        (0, &["doctor"]),
        (0, &["apdu", "--reader", &readers[0], "00EE0000"]),
        (1, &["scan", "--proof"]),
        (0, &["scan", "--identify-only", "--reader", &readers[0]]),
        (1, &["scan", "--count", "9", "--timeout", "2s"]),
        (0, &["enroll", "--dry-run", "--from", people]),
        (0, &["users"]),
        (0, &["users", "show", "p1"]),
        (0, &["users", "export"]),
        (0, &["users", "deny", "p3"]),
        (0, &["users", "denied"]),
        (0, &["board", "links"]),
        (0, &["users", "history"]),
        (0, &["token", "list"]),
        (0, &["users", "forget", "p1", "--dry-run"]),
        (0, &["token", "info", "--reader", &readers[0]]),
        (0, &["token", "info", "--reader", &readers[1]]),
        (0, &["token", "verify", "--reader", &readers[0]]),
        (0, &["token", "write", "--id", "p1", "--name", "Ada", "--dry-run", "--reader", &readers[0]]),
        (0, &["proof", "verify", proofs.to_str().unwrap()]),
        (0, &["pki", "list"]),
        (0, &["pki", "renew"]),
        (0, &["server", "init"]),
        (0, &["server", "audit", "verify"]),
        (0, &["server", "user", "add", "--id", "p1", "--name", "Ada Lovelace"]),
        (0, &["server", "user", "show", "p1"]),
        (0, &["server", "user", "list"]),
        (0, &["server", "user", "import", people]),
        (0, &["server", "token", "list"]),
        (0, &["server", "token", "show", &token[..8]]),
        (0, &["server", "token", "status", &token, "suspended", "--reason", "a test", "--yes"]),
        (77, &["scan", "--reader", &readers[0]]),
        (0, &["server", "terminal", "list"]),
        (0, &["server", "events"]),
        (0, &["server", "presence"]),
    ];
    let backup = stack.home().join("server.backup").to_str().unwrap().to_owned();
    let kept = stack.ndjson(0, &["server", "backup", &backup]);
    let board = stack.home().join("board.toml");
    fs::write(&board, "[board]\nlisten = \"0.0.0.0:7480\"\nhosts = [\"desk.example\"]\n").unwrap();
    stack.ndjson(0, &["--config", board.to_str().unwrap(), "board", "link"]);
    let mut found: Vec<_> = tour.iter().flat_map(|(status, args)| both(stack, *status, args)).collect();
    found.extend(stack.ndjson(0, &["users", "allow", "p3"]));
    for arguments in [
        // The server has suspended the token, and so it left the list.
        &["users", "check-in", "p1", "--note", "no card"][..],
        &["users", "check-out", "p1"],
        &["users", "check-in", "p1"],
        &["users", "remove", "p1"],
    ] {
        found.extend(stack.ndjson(0, arguments));
    }
    found.extend(stack.ndjson(0, &["enroll", "--reader", &readers[1], "--id", "p9", "--name", "Zoë"]));
    found.extend(stack.ndjson(0, &["server", "terminal", "add", "door", "--out", &bundle(1)]));
    found.extend(stack.ndjson(0, &["server", "terminal", "revoke", "door", "--yes"]));

    found.extend(stack.ndjson(0, &["server", "user", "forget", "p8", "--yes"]));

    found.extend(kept);
    found.extend(restored(stack, &backup, &readers[0]));
    found.extend(rotation(kind));
    found.extend(set_rotation(kind));

    let printed: BTreeSet<_> = found.iter().map(|object| object["schema"].as_str().unwrap().to_owned()).collect();
    let known: BTreeSet<_> = stack.rollcall(&["schema"]).expect(0).stdout.lines().map(str::to_owned).collect();
    assert_eq!(printed, known, "an object that nobody prints, or one without a schema");
}

/// What a watch brings to the server.
fn report_arrival(office: &Office) {
    let access = ServerAccess {
        url: format!("https://localhost:{}", office.address.rsplit_once(':').unwrap().1),
        timeout: Duration::from_secs(5),
        pki: PkiDir::new(office.stack.home().join("pki")),
    };
    let arrived = json!({ "schema": "rollcall.event/1", "event": "arrived", "seq": 1, "at": "2026-11-22T15:04:05Z",
        "reader": "R", "user": { "id": "p1", "name": "Person 1" } });
    let batch = EventBatch { list: uuid::Uuid::nil(), events: vec![arrived] };
    assert_eq!(access.connect().unwrap().events(&batch).unwrap().stored, 1);
}

/// A token was suspended after the backup: the terminal keeps it out, and the server hears of it.
fn restored(stack: &Stack, backup: &str, reader: &str) -> Vec<Value> {
    let mut found = stack.ndjson(0, &["server", "restore", backup, "--replace", "--yes"]);
    found.extend(stack.ndjson(77, &["scan", "--reader", reader]));
    let status = stack.ndjson(1, &["status"]);
    assert!(status.iter().any(|area| area["code"] == "server.rolled-back"), "{status:#?}");
    let doctor = stack.ndjson(1, &["doctor"]);
    assert!(doctor.iter().any(|finding| finding["code"] == "server.rolled-back"), "{doctor:#?}");
    found.extend(stack.ndjson(0, &["server", "audit", "reconcile", "--dry-run"]));
    found
}

/// The key of a set is replaced.
fn set_rotation(kind: &str) -> Vec<Value> {
    let desk = crate::private::Desk::new();
    let slot = desk.put(crate::private::Seen::blank(kind, rollcall::emulator::Uid::Random, 1));
    let (_, set) = desk.enrolled("p1", &["--set-size", crate::private::SIZE]);
    let found = desk.0.stack.ndjson(0, &["pki", "rotate-set", &set]);
    desk.0.take(slot);
    found
}

/// A terminal without a server may have its CA rotated.
fn rotation(kind: &str) -> Vec<Value> {
    let stack = Stack::start(1, kind);
    stack.rollcall(&["pki", "init"]).expect(0);
    stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    let rotate = |args: &[&str]| stack.ndjson(0, args);
    let mut found = rotate(&["pki", "rotate-ca", "--yes"]);
    found.extend(rotate(&["token", "rotate", "--all", "--dry-run"]));
    found.extend(rotate(&["token", "rotate", "--yes", "--reader", &stack.readers()[0]]));
    found.extend(rotate(&["pki", "rotate-ca", "--finish", "--yes"]));
    found
}
