//! `rollcall pki` as a process: killed at every file that it makes, failing with its exit statuses, and read by the
//! openssl tool.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test ends where something is not as it was arranged
#![allow(clippy::case_sensitive_file_extension_comparisons)] // we made these files

#[path = "../common/objects.rs"]
mod objects;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/told.rs"]
mod told;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use jiff::Timestamp;
use rollcall::{
    crypto::{ec::KeyPair, random::SystemRandom},
    pki::{ClockCheck, PkiDir},
};
use serde_json::Value;
use uuid::Uuid;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("pki")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        program::rollcall(self.0.path(), &[&["pki"], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The objects that a successful run prints.
    fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = objects::document(&output.stdout).as_array().unwrap().clone();
        assert!(found.iter().all(|object| object["schema"] == "rollcall.pki/1"));
        found
    }

    fn refused(&self, arguments: &[&str], status: i32, code: &str) {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert_eq!(told::after(&stderr, "code"), Some(code), "{stderr}");
        assert!(told::after(&stderr, "hint").is_some(), "{stderr}");
        assert!(output.stdout.is_empty());
    }

    fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.folder()) else { return BTreeMap::new() };
        let read = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
        entries.map(|entry| read(entry.unwrap().path())).collect()
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_init_that_is_killed_at_any_file_is_finished_by_the_next() {
    let complete = Place::new();
    complete.objects(&["init"]);
    let all = count(&complete.folder());
    for files in 0..all {
        let place = Place::new();
        // Twice, so that the second kill hits the work of two runs.
        for _ in 0..2 {
            let mut child = place.command(&["init"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while count(&place.folder()) < files && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let before = place.contents();
        for name in before.keys() {
            let mode = fs::metadata(place.folder().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}");
        }
        assert!(place.objects(&["init"]).iter().all(|object| object["state"] == "valid"));
        let after = place.contents();
        assert_eq!(after.keys().collect::<Vec<_>>(), complete.contents().keys().collect::<Vec<_>>());
        for (name, content) in before.iter().filter(|(name, _)| name.ends_with(".key") || name.ends_with(".crt")) {
            // A half-written file has a temporary name, and is gone.
            assert!(after[name] == *content, "{name} was changed, killed at {files}");
        }
    }
}

/// All files below a folder.
fn files_below(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// Killed at each file it creates, a rotation has started or not: the folder is intact, and the next run can start it.
#[test]
fn a_rotation_that_is_killed_at_any_file_has_begun_or_not() {
    let whole = Place::new();
    whole.objects(&["init"]);
    let before = files_below(whole.0.path());
    whole.objects(&["rotate-ca", "--yes"]);
    let after = files_below(whole.0.path());
    assert!(after > before + 4, "{before} {after}");
    let mut begun = 0;
    // The new folder is built beside the old one; there are never more files than that.
    for files in (before..=2 * after).step_by(2) {
        let place = Place::new();
        place.objects(&["init"]);
        let authority = |place: &Place| fs::read(place.folder().join("ca.crt")).unwrap();
        let old = authority(&place);
        let mut child =
            place.command(&["rotate-ca", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while files_below(place.0.path()) < files && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(place.objects(&["list"]).iter().all(|object| object["state"] == "valid"), "killed at {files}");
        if authority(&place) == old {
            place.objects(&["rotate-ca", "--yes"]);
        } else {
            begun += 1;
        }
        place.refused(&["rotate-ca", "--yes"], 77, "pki.rotation-under-way");
        assert_ne!(authority(&place), old);
        assert_eq!(fs::read(place.folder().join("previous/ca.crt")).unwrap(), old);
        // The folder that was put aside is removed at the latest when the rotation ends.
        assert!(place.run(&["rotate-ca", "--finish", "--yes"]).status.success());
        let left = |name: &fs::DirEntry| name.file_name() != "pki" && name.path().is_dir();
        assert!(!fs::read_dir(place.0.path()).unwrap().flatten().any(|entry| left(&entry)), "something is left over");
    }
    assert!(begun > 0);
}

#[test]
fn init_renew_and_list_tell_what_is_there() {
    let place = Place::new();
    assert!(place.objects(&["list"]).is_empty());
    let made = place.objects(&["init"]);
    assert_eq!(made.len(), 14);
    assert!(made.iter().all(|object| object["new"] == true));
    let again = place.objects(&["init"]);
    assert!(again.iter().all(|object| object["new"] == false));
    let renewed = place.objects(&["renew"]);
    for (old, new) in again.iter().zip(&renewed) {
        let is_leaf = old["kind"] == "certificate" && old["class"] != "ca";
        assert_eq!(new["new"], is_leaf, "{new}");
        assert_eq!(new["serial"] != old["serial"], is_leaf, "{new}");
    }
    let text = String::from_utf8(place.run(&["list"]).stdout).unwrap();
    assert!(text.lines().count() == 15 && text.contains("terminal-admin.crt "), "{text}");
    for name in
        ["ca.crt", "terminal-ecka.crt", "terminal-admin.crt", "terminal-tls.crt", "server.crt", "server-signature.crt"]
    {
        let verify = ["verify", "-x509_strict", "-CAfile", "ca.crt", name];
        let output = Command::new("openssl").args(verify).current_dir(place.folder()).output();
        let output = output.expect("the openssl command-line tool is needed: apt-get install openssl");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{name}: OK\n"));
    }
}

#[test]
fn refusals_have_their_exit_statuses() {
    let place = Place::new();
    place.refused(&["renew"], 78, "pki.not-initialised");
    assert!(!place.folder().exists());
    place.objects(&["init"]);
    let path = |name| place.folder().join(name);

    fs::set_permissions(path("ca.key"), fs::Permissions::from_mode(0o640)).unwrap();
    place.refused(&["init"], 77, "pki.key-permissions");
    place.refused(&["renew"], 77, "pki.key-permissions");
    let listed = place.run(&["list", "--output", "json"]);
    assert_eq!(listed.status.code(), Some(1));
    let broken = objects::document(&listed.stdout);
    assert_eq!(broken.as_array().unwrap().iter().filter(|object| object["state"] == "broken").count(), 2);
    fs::set_permissions(path("ca.key"), fs::Permissions::from_mode(0o600)).unwrap();

    let record = fs::read(path("issued.ndjson")).unwrap();
    fs::remove_file(path("issued.ndjson")).unwrap();
    place.refused(&["renew"], 78, "pki.record-missing");
    fs::write(path("issued.ndjson"), String::from_utf8(record).unwrap().replace("\"at\":\"20", "\"at\":\"30")).unwrap();
    place.refused(&["renew"], 77, "pki.clock");
    place.objects(&["renew", "--yes"]);

    fs::remove_file(path("ca.key")).unwrap();
    place.refused(&["init"], 78, "pki.no-ca-key");
    place.refused(&["renew"], 78, "pki.no-ca-key");
}

#[test]
fn another_personalisation_key_is_not_made_without_a_question() {
    let place = Place::new();
    let key = place.folder().join("perso.key");
    // No card has keys of it yet.
    for _ in 0..2 {
        place.objects(&["init"]);
        fs::remove_file(&key).unwrap();
    }
    place.objects(&["init"]);
    let token = KeyPair::generate(&mut SystemRandom).unwrap();
    let mut ca = PkiDir::new(place.folder()).load_ca(ClockCheck::Enforced).unwrap();
    ca.certify_identity(Uuid::from_u128(7), token.public(), Timestamp::now(), &mut SystemRandom).unwrap();
    drop(ca);
    place.objects(&["init"]);
    fs::remove_file(&key).unwrap();
    place.refused(&["init"], 2, "confirm.needed");
    assert!(!key.exists());
    // Where it lies in a PKCS#11 token, no file is missed.
    let uri = "pkcs11:object=perso?module-path=/nowhere/libpkcs11.so";
    let output = place.command(&["init"]).env("ROLLCALL_PERSO_KEY", uri).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(&key).unwrap();
    place.objects(&["init", "--yes"]);
    assert!(key.exists());
}

/// A terminal that missed the whole rotation of its CA, without a server: killed at each file, it is the old one or the
/// new one.
#[test]
fn a_bundle_of_a_new_ca_is_taken_after_a_question() {
    let (desk, door) = (Place::new(), Place::new());
    desk.objects(&["init"]);
    let file = |name: &str| desk.0.path().join(name).to_str().unwrap().to_owned();
    let (first, second, third) = (file("1.json"), file("2.json"), file("3.json"));
    let issue = |out: &str| assert!(desk.run(&["issue", "terminal", "door", "--out", out]).status.success());
    let said = |place: &Place, arguments: &[&str]| {
        let output = place.run(arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    issue(&first);
    assert_eq!(said(&door, &["import", &first]).0, Some(0));
    assert!(desk.run(&["rotate-ca", "--yes"]).status.success());
    issue(&second);
    let old = door.contents();
    door.refused(&["import", &second], 2, "confirm.needed");
    let (_, question) = said(&door, &["import", &second]);
    for part in ["trusts the CA", "was door until", "is door until", "accepted until its rotation ends"] {
        assert!(question.contains(part), "{part}: {question}");
    }
    assert!(door.contents() == old);
    assert!(desk.run(&["rotate-ca", "--finish", "--yes"]).status.success());
    issue(&third);
    let (_, question) = said(&door, &["import", &third]);
    assert!(question.contains("cards of the old CA become strangers"), "{question}");
    let (before, mut is_new) = (files_below(door.0.path()), false);
    for files in before..=3 * before {
        let mut import = door.command(&["import", &third, "--yes"]);
        let mut child = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while files_below(door.0.path()) < files && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        is_new = door.contents()["ca.crt"] == desk.contents()["ca.crt"];
        let now = Timestamp::now();
        let home = PkiDir::new(door.folder());
        home.load_terminal(now).unwrap();
        home.load_terminal_tls(now).unwrap();
        if is_new {
            break;
        }
    }
    assert!(is_new, "the bundle was never taken");
    assert_eq!(said(&door, &["import", &third]).0, Some(0));
    assert!(!door.0.path().join("pki.next").exists());
    desk.refused(&["import", &first, "--yes"], 77, "pki.occupied");
}
