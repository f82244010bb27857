//! A terminal that release 0.1.0 set up and used still works: `tests/saved/0.1.0/make.py` says what it did.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rollcall::{
    crypto::random::SystemRandom,
    emulator::{PersistentState, SoftwareToken, VolatileStore},
};
use serde_json::{Value, json};

use crate::{batch::SILENCE, card, card::Card, slot::Slot, stack::Stack};

fn saved() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/saved/0.1.0")
}

/// Copies a folder, as private as that release made it.
fn copy(from: &Path, to: &Path) {
    let private = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    fs::create_dir_all(to).unwrap();
    private(to, 0o700);
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
            private(&to, 0o600);
        }
    }
}

/// A card as that release left it.
fn saved_card(name: &str) -> Box<dyn Card> {
    let state = fs::read(saved().join("cards").join(name)).unwrap();
    let state = PersistentState::from_file(&state).unwrap();
    Box::new(SoftwareToken::new(state, Box::new(VolatileStore), Box::new(SystemRandom)))
}

/// What no renewal changes: every key, the certificates of the CA and of the set.
fn kept(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = [home.join("pki"), home.join("pki/sets")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let is_kept = |path: &PathBuf| {
        path.extension().is_some_and(|e| e == "key") || path.ends_with("ca.crt") || path.starts_with(&folders[1])
    };
    files.filter(|path| path.is_file()).filter(is_kept).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Waits until the service has noticed the removal, or it would not see a new card.
fn await_empty(stack: &Stack, reader: &str) {
    while !stack.lists(&|one| one["reader"] == reader && one["atr"].is_null()) {}
}

/// The states of its files, by the words of `pki list`.
fn states(stack: &Stack) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    stack.ndjson(0, &["pki", "list"]).iter().map(|item| (text(&item["file"]), text(&item["state"]))).collect()
}

case!(Once, a_terminal_of_the_first_release_goes_on);
fn a_terminal_of_the_first_release_goes_on() {
    let mut stack = Stack::start(2, "none");
    let home = stack.home();
    copy(&saved().join("home"), &home);
    let store = rusqlite::Connection::open(home.join("terminal.db")).unwrap();
    store.execute_batch(include_str!("../saved/0.1.0/terminal.sql")).unwrap();
    drop(store);
    let ports: Vec<_> = stack.variable("VPCD_PORTS").split(' ').map(str::to_owned).collect();
    // Nineteen days after the certificates of the terminal ended.
    stack.clock().begin_at("2026-12-20 09:00:00");
    let before = kept(&home);
    assert_eq!(before.len(), 12, "{:#?}", before.keys());

    // Its configuration is accepted: the names of the readers, who counts as present, and the command of each event.
    let readers = stack.readers();
    let named: Vec<_> = stack.ndjson(0, &["readers"]).iter().map(|one| one["alias"].clone()).collect();
    assert_eq!(named, ["front desk".into(), Value::Null]);

    // What has expired is renewed under the same CA, with the same keys.
    let ended = ["terminal-admin.crt", "terminal-ecka.crt", "terminal-tls.crt"];
    let found = states(&stack);
    assert!(found.iter().all(|(file, state)| (state == "expired") == ended.contains(&file.as_str())), "{found:#?}");
    stack.rollcall(&["pki", "init"]).expect(0);
    stack.rollcall(&["pki", "renew"]).expect(0);
    assert!(states(&stack).values().all(|state| state == "valid"));
    assert_eq!(kept(&home), before);

    // The batch continues where it was: one card is done, one was removed halfway.
    let file = home.join("people.csv");
    let batch = ["enroll", "--from", file.to_str().unwrap()];
    let journal = home.join("people.csv.journal");
    let summary = json!({"schema": "rollcall.batch/1", "rows": 3, "done": 1, "begun": 1, "free": 1,
                         "journal": journal.to_str(), "dry_run": true});
    let told = fs::read_to_string(&journal).unwrap();
    assert_eq!(stack.ndjson(0, &[&batch[..], &["--dry-run"]].concat()), [summary]);
    assert_eq!(fs::read_to_string(&journal).unwrap(), told);
    let promised = fs::read_dir(home.join("enrollments")).unwrap().next().unwrap().unwrap().path();
    let promised: Value = serde_json::from_slice(&fs::read(promised).unwrap()).unwrap();
    let start: [u8; 16] =
        hex::decode(fs::read_to_string(home.join("pki/start.key")).unwrap().trim()).unwrap().try_into().unwrap();
    let mut run = stack.stream(&batch);
    let mut meet = |port: usize, card| {
        let slot = Slot::insert(&ports[port], card);
        let told = run.next(SILENCE).expect("an object");
        slot.remove();
        await_empty(&stack, &readers[port]);
        told
    };
    let told = meet(0, saved_card("7.json"));
    assert_eq!((&told["error"]["code"], &told["user"]["id"]), (&json!("batch.done-already"), &json!("7")), "{told:#}");
    let told = meet(0, saved_card("jose.json"));
    assert_eq!((&told["result"], &told["user"]), (&json!("resumed"), &promised["user"]), "{told:#}");
    assert_eq!(told["token_id"], promised["token_id"]);
    let told = meet(1, card::blank("virtual", start));
    assert_eq!((&told["result"], &told["user"]["name"]), (&json!("enrolled"), &json!("Ada King")), "{told:#}");
    assert!(run.ended(SILENCE).success());

    // Its cards are let in, each by its own rules, and the command of the configuration has every event.
    let mut watch = stack.watch(&[]);
    let cards = [(0, "7.json", "7"), (1, "private.json", "p1")].map(|(port, name, id)| {
        let slot = Slot::insert(&ports[port], saved_card(name));
        let arrived = watch.event("arrived");
        assert_eq!((&arrived["user"]["id"], &arrived["authenticated"]), (&json!(id), &json!(true)), "{arrived:#}");
        let card = slot.remove();
        await_empty(&stack, &readers[port]);
        card
    });
    watch.end();
    let present = stack.present();
    assert_eq!(present, ["7", "ada", "p1"]);
    let heard = fs::read_to_string(home.join("told.ndjson")).unwrap();
    assert_eq!(heard.matches("\"arrived\"").count(), 2, "{heard}");

    // A file of reads is resumed: tokens already in it count.
    let reads = home.join("reads.csv");
    let resume =
        ["scan", "--out", reads.to_str().unwrap(), "--resume", "-o", "csv", "--count", "2", "--timeout", "20s"];
    let _slots: Vec<_> = cards.into_iter().enumerate().map(|(at, card)| Slot::insert(&ports[at], card)).collect();
    stack.rollcall(&resume).expect(0);
    let mut rows = csv::Reader::from_path(&reads).unwrap();
    let users: Vec<_> = rows.records().map(|row| row.unwrap()[7].to_owned()).collect();
    assert_eq!(users, ["7", "p1"]);
}
