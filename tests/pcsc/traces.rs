//! Every kind of tap is recorded, and replayed without service, card or key, with the same outcome. No secret is in the
//! recording.
//!
//! `ROLLCALL_TEST_TRACES=FOLDER` keeps the recordings and the results of the recorded runs: `tests/replay.rs` replays
//! those of `tests/traces` on any machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rollcall::crypto::ec::KeyPair;
use serde_json::json;

use crate::{
    card::{Card, blank},
    lift::{Bench, TEST_KEY},
    recorded::{outcome, play},
    slot::{Bend, Lift},
};

const NAME: &str = "Ada Canary Lovelace";

/// A card on the bench, and what is recorded of it.
struct Studio {
    bench: Bench,
    folder: tempfile::TempDir,
    card: Option<Box<dyn Card>>,
    codes: Vec<String>,
}

impl Studio {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.ndjson"))
    }

    /// Runs this with the altered card, and replays the recording.
    fn take(&mut self, name: &str, args: &[&str], lift: Option<Lift>, bend: Bend) {
        let slot = self.bench.put_bent(self.card.take().expect("a card"), lift, bend);
        let file = self.path(name);
        let all = [&["-o", "ndjson", "--trace", file.to_str().unwrap()], args].concat();
        let run = self.bench.stack.rollcall(&all);
        assert!(!run.stderr.contains("trace"), "{name}: {}", run.stderr);
        let personal = args.contains(&"--trace-personal");
        let recorded = outcome(run.status, &run.objects(), personal);
        assert_eq!(play(&file, personal), recorded, "{name}: {}", run.stderr);
        let code = recorded["objects"][0]["error"]["code"].as_str().unwrap_or("").to_owned();
        println!("{name}: {} {code}", run.status);
        self.codes.push(code);
        if let Some(folder) = std::env::var_os("ROLLCALL_TEST_TRACES").map(PathBuf::from) {
            fs::create_dir_all(&folder).unwrap();
            fs::copy(&file, folder.join(format!("{name}.ndjson"))).unwrap();
            let text = serde_json::to_string_pretty(&json!({"personal": personal, "outcome": recorded})).unwrap();
            fs::write(folder.join(format!("{name}.json")), text + "\n").unwrap();
        }
        self.card = Some(self.bench.take(slot));
    }

    fn honest(&mut self, name: &str, args: &[&str]) {
        self.take(name, args, None, Box::new(|_, honest| honest));
    }

    fn scan_bent(&mut self, name: &str, bend: Bend) {
        self.take(name, &["scan"], None, bend);
    }

    /// A command that changes the card; what it says is recorded too, and is no tap.
    fn change(&mut self, name: &str, args: &[&str]) {
        let slot = self.bench.put(self.card.take().expect("a card"), None);
        let file = self.path(name);
        self.bench.stack.rollcall(&[&["--trace", file.to_str().unwrap(), "--yes"], args].concat()).expect(0);
        let played = self.bench.stack.rollcall(&["doctor", "--replay", file.to_str().unwrap()]).expect(65);
        assert_eq!(played.code(), "trace.no-tap", "{name}");
        self.card = Some(self.bench.take(slot));
    }

    fn rollcall(&self, args: &[&str]) {
        self.bench.stack.rollcall(args).expect(0);
    }
}

/// From this APDU on the card answers so.
fn from(first: usize, answer: &'static [u8]) -> Bend {
    Box::new(move |number, honest| if number < first { honest } else { answer.to_vec() })
}

fn flip(at: usize) -> Bend {
    Box::new(move |number, mut honest| {
        if number == at && honest.len() > 2 {
            let middle = honest.len() / 2;
            honest[middle] ^= 1;
        }
        honest
    })
}

fn flip_last(at: usize) -> Bend {
    Box::new(move |number, mut honest| {
        if let (true, Some(last)) = (number == at, honest.len().checked_sub(3)) {
            honest[last] ^= 1;
        }
        honest
    })
}

case!(EachCard, traces_are_recorded_and_played);
fn traces_are_recorded_and_played(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let card = Some(blank(kind, TEST_KEY));
    let mut studio = Studio { bench: Bench::new(), folder, card, codes: Vec::new() };
    studio.honest("blank", &["scan"]);
    let long = format!("field={}", "canary to say ".repeat(30));
    studio.change("enrollment", &["enroll", "--id", "canary-1", "--name", NAME, "--field", &long]);
    studio.honest("first-sight", &["scan", "--proof", "--trace-personal"]);
    studio.honest("remembered", &["scan", "--proof"]);
    studio.honest("identified", &["scan", "--identify-only"]);
    studio.honest("verified", &["token", "verify", "--trace-personal"]);
    studio.scan_bent("foreign", from(1, &[0x6A, 0x82]));
    for (name, at, carried_out) in [("lifted-first", 1, false), ("lifted-third", 3, true), ("lifted-fifth", 5, false)] {
        studio.take(name, &["scan"], Some(Lift { at, carried_out }), Box::new(|_, honest| honest));
    }
    // In the middle of the details.
    studio.take("lifted-late", &["scan"], Some(Lift { at: 9, carried_out: false }), Box::new(|_, honest| honest));
    studio.scan_bent("more-for-ever", from(2, &[0x61, 0x00]));
    studio.scan_bent("one-byte", from(2, &[0x90]));
    studio.scan_bent("only-9000", from(2, &[0x90, 0]));
    studio.scan_bent("no-diagnosis", from(3, &[0x6F, 0]));
    studio.scan_bent("select-bent", flip(1));
    studio.scan_bent("point-bent", flip(4));
    // The cached certificate is suspected first: it is read again, and then the card answers correctly.
    studio.scan_bent("receipt-bent", flip_last(4));
    studio.scan_bent("proof-bent", flip(5));
    studio.rollcall(&["users", "deny", "canary-1"]);
    studio.honest("denied", &["scan"]);
    studio.rollcall(&["users", "allow", "canary-1"]);
    studio.change("blocking", &["token", "block"]);
    studio.honest("blocked", &["scan"]);
    let home = studio.bench.stack.home();
    let elsewhere = studio.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    studio.change("unblocking", &["token", "unblock"]);
    studio.bench.stack.at_home(&elsewhere);
    studio.rollcall(&["pki", "init"]);
    studio.honest("other-authority", &["scan"]);
    studio.bench.stack.at_home(&home);
    studio.change("terminating", &["token", "terminate"]);
    studio.honest("terminated", &["scan"]);
    let failures = studio.codes.iter().filter(|code| !code.is_empty()).count();
    assert!(failures >= 10, "{:?}", studio.codes);
    no_canary(&studio, &home);
    refused(&studio);
}

/// Keys of every kind, and of the masked recordings also the holder.
fn no_canary(studio: &Studio, home: &Path) {
    let mut canaries = vec![hex::encode(TEST_KEY)];
    let folders = ["pki", "pki/ca", "pki/terminal"];
    for file in folders.iter().filter_map(|folder| fs::read_dir(home.join(folder)).ok()).flatten() {
        let Ok(bytes) = fs::read(file.unwrap().path()) else { continue };
        if let Ok(key) = KeyPair::from_pem(&bytes) {
            canaries.push(hex::encode(*key.scalar().unwrap()));
            let text = String::from_utf8(bytes).unwrap();
            canaries.extend(text.lines().filter(|line| !line.starts_with('-')).map(str::to_lowercase));
        } else if bytes.len() < 100 {
            canaries.push(String::from_utf8_lossy(&bytes).trim().to_lowercase());
            canaries.push(hex::encode(&bytes));
        }
    }
    canaries.retain(|canary| canary.len() >= 16);
    // The start keys, the CA's and the terminal's key, and the personalisation key.
    assert!(canaries.len() >= 4, "{canaries:?}");
    for file in fs::read_dir(studio.folder.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_none_or(|end| end != "ndjson") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        let personal = text.lines().next().unwrap().contains("\"personal\":true");
        let holder = ["canary", NAME].map(|name| hex::encode(name).to_lowercase());
        let holder = holder.iter().filter(|_| !personal);
        for canary in canaries.iter().chain(holder) {
            assert!(!text.contains(canary.as_str()), "{}: {canary}", file.display());
        }
        assert!(!text.contains("canary"), "{}", file.display());
    }
}

/// Anything but a complete trace of ours is not replayed; and a trace never overwrites a file.
fn refused(studio: &Studio) {
    let stack = &studio.bench.stack;
    let whole = fs::read(studio.path("verified")).unwrap();
    let file = studio.folder.path().join("bent");
    let play = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        stack.rollcall(&["doctor", "--replay", file.to_str().unwrap()]).expect(65).code().to_owned()
    };
    let mut changed = whole.clone();
    let middle = whole.len() / 2;
    changed[middle] ^= 1;
    assert!(["trace.tampered", "trace.malformed"].contains(&play(&changed).as_str()));
    assert_eq!(play(&whole[..whole.len() / 2]), "trace.truncated");
    assert_eq!(play(&vec![b'x'; 17 << 20]), "trace.too-large");
    assert_eq!(play(b"{\"kind\":\"begin\"}\n"), "trace.foreign");
    let again = stack.rollcall(&["scan", "--trace", file.to_str().unwrap()]).expect(73);
    assert_eq!(again.code(), "trace.exists");
}
