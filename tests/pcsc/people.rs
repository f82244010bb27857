//! Enrollment, scan and the list.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{doctor::no_fault, stack::Stack};

/// The people of the tests; the third has more to say than the compact record holds.
pub const PEOPLE: [(&str, &str); 3] = [("p1", "Ada Lovelace"), ("p2", "Grace Hopper"), ("p3", "José Núñez")];

/// Starts a stack whose first readers hold the tokens of the people.
pub fn enrolled(readers: usize, people: usize, card: &str) -> Stack {
    let stack = Stack::start(readers, card);
    stack.rollcall(&["pki", "init"]).expect(0);
    let names = stack.readers();
    for (n, (id, name)) in PEOPLE.iter().take(people).enumerate() {
        let long = format!("field={}", "much to say ".repeat(if n == 2 { 40 } else { 1 }));
        let objects = stack.ndjson(0, &["enroll", "--reader", &names[n], "--id", id, "--name", name, "--field", &long]);
        assert_eq!(objects[0]["result"], "enrolled");
        assert_eq!(objects[0]["test_keys"], true);
    }
    stack
}

fn authenticated(objects: &[Value]) -> usize {
    objects.iter().filter(|o| o["authenticated"]["token"] == true).count()
}

case!(EachDriver, enroll_scan_and_list);
fn enroll_scan_and_list(card: &str) {
    let stack = enrolled(4, 3, card);
    let objects = stack.ndjson(1, &["scan", "--proof"]);
    assert_eq!((objects.len(), authenticated(&objects)), (4, 3));
    for object in objects.iter().filter(|o| o["authenticated"]["token"] == true) {
        assert_eq!(object["proof"]["verified"], true);
        // 303 bytes of COSE_Sign1 in base64url.
        assert_eq!(object["proof"]["cose"].as_str().map(str::len), Some(404));
        assert!(object["proof"]["identity_certificate"].as_str().is_some_and(|der| der.starts_with("MII")), "{object}");
        assert_eq!(object["source"], "card");
        let person = PEOPLE.iter().find(|(id, _)| object["user"]["id"] == *id).expect("one of ours");
        assert_eq!(object["user"]["name"], person.1);
    }
    proofs_hold_afterwards(&stack, &objects);
    let blank = objects.iter().find(|o| o["authenticated"]["token"] == false).expect("the fourth card");
    assert_eq!((&blank["error"]["code"], &blank["user"]), (&json!("token.blank"), &Value::Null));
    assert_eq!(stack.present(), ["p1", "p2", "p3"]);

    let third = stack.ndjson(0, &["users", "show", "p3"]);
    assert_eq!(third[0]["user"]["fields"]["field"].as_str().map(str::len), Some(480));
    let info = stack.ndjson(0, &["token", "info", "--reader", &stack.readers()[0]]);
    assert_eq!((&info[0]["state"], &info[0]["mode"]), (&json!("issued"), &json!("open")));
    stack.rollcall(&["token", "verify", "--reader", &stack.readers()[0]]).expect(0);
    let again = ["enroll", "--reader", &stack.readers()[0], "--id", "p1", "--name", "Ada Lovelace"];
    assert_eq!(stack.rollcall(&again).expect(1).code(), "enroll.already-issued");
    no_fault(&stack, card);
}

/// What `scan --proof` printed is verified afterwards; another nonce, a counter that was changed, and the certificate
/// of another token are not.
fn proofs_hold_afterwards(stack: &Stack, objects: &[Value]) {
    let file = stack.home().join("proofs.json");
    let path = file.to_str().unwrap();
    let verify = |status: i32, objects: &[Value], extra: &[&str]| {
        std::fs::write(&file, serde_json::to_vec(objects).unwrap()).unwrap();
        stack.ndjson(status, &[&["proof", "verify", path], extra].concat())
    };
    let ca = stack.home().join("pki/ca.crt");
    let terminal = stack.home().join("pki/terminal-ecka.crt");
    let all = ["--ca", ca.to_str().unwrap(), "--terminal", terminal.to_str().unwrap()];
    let reports = verify(0, objects, &all);
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| report["verified"] == true), "{reports:?}");
    let one = objects.iter().position(|o| o["authenticated"]["token"] == true).unwrap();
    let nonce = reports[0]["nonce"].as_str().unwrap();
    assert_eq!(verify(0, &objects[one..=one], &["--nonce", nonce])[0]["checks"][6]["result"], "ok");
    let code = |objects: &[Value], extra: &[&str]| verify(1, objects, extra)[0]["error"]["code"].clone();
    assert_eq!(code(&objects[one..=one], &["--nonce", &"07".repeat(32)]), "proof.foreign-nonce");
    let mut changed = objects[one].clone();
    changed["proof"]["counter"] = 99.into();
    assert_eq!(code(&[changed], &[]), "proof.object");
    let other = objects.iter().rposition(|o| o["authenticated"]["token"] == true).unwrap();
    let mut mixed = objects[one].clone();
    mixed["proof"]["identity_certificate"] = objects[other]["proof"]["identity_certificate"].clone();
    assert_eq!(code(&[mixed], &[]), "proof.certificate");
}

case!(EachCard, exchanges_per_tap);
/// The table of docs/protocol.md, "Exchanges in one tap", for short APDUs; the library's own tests count the extended
/// column.
fn exchanges_per_tap(card: &str) {
    let stack = enrolled(2, 1, card);
    let reader = stack.readers().remove(0);
    let tap = |extra: &[&str]| {
        let args = [&["scan", "--reader", &reader], extra].concat();
        stack.ndjson(0, &args)[0]["exchanges"].clone()
    };
    std::fs::remove_file(stack.home().join("terminal.db")).expect("the store");
    for leftover in ["terminal.db-wal", "terminal.db-shm"] {
        let _ = std::fs::remove_file(stack.home().join(leftover));
    }
    assert_eq!(tap(&[]), 9, "first sight");
    assert_eq!(tap(&[]), 5, "warm");
    assert_eq!(tap(&["--identify-only"]), 1);
    // Timings are printed on request and are not part of the result.
    let told = stack.rollcall(&["-vv", "scan", "--reader", &reader]).expect(0);
    assert!(told.stderr.contains(" exchanges, ") && told.stderr.contains("authenticate "), "{told:#?}");
    assert!(told.stderr.contains("configuration ") && !told.stdout.contains(" exchanges, "), "{told:#?}");
    let silent = stack.rollcall(&["scan", "--reader", &reader]).expect(0);
    assert!(silent.stderr.is_empty(), "{silent:#?}");
}

case!(EachDriver, cards_that_are_no_issued_token);
fn cards_that_are_no_issued_token(card: &str) {
    let stack = Stack::start(2, &format!("foreign,{card}"));
    stack.rollcall(&["pki", "init"]).expect(0);
    let mut codes: Vec<_> =
        stack.ndjson(1, &["scan"]).iter().map(|o| o["error"]["code"].as_str().unwrap_or("").to_owned()).collect();
    codes.sort();
    assert_eq!(codes, ["token.blank", "token.foreign"]);
    assert!(stack.present().is_empty());
    stack.card("remove", 1);
    stack.card("remove", 2);
    assert_eq!(stack.rollcall(&["scan"]).expect(1).code(), "scan.nobody");
    // A reader name that matches nothing is an error, not an empty reader.
    for command in [&["scan"][..], &["token", "info"], &["apdu", "00A40400"], &["enroll", "--id", "p", "--name", "P"]] {
        let told = stack.rollcall(&[command, &["--reader", "nosuch"]].concat()).expect(2);
        assert_eq!(told.code(), "reader.unknown", "{command:?}");
    }
    // Who waits goes on, and says it once, with the readers that are there.
    let file = stack.home().join("batch.csv");
    std::fs::write(&file, "id,name\n1,A\n").unwrap();
    let file = file.to_str().unwrap();
    for command in [&["scan", "--count", "1"][..], &["enroll", "--from", file]] {
        let waits = [command, &["--timeout", "1s"]].concat();
        let told = stack.rollcall(&[&waits[..], &["--reader", "nosuch"]].concat()).expect(1).stderr;
        assert_eq!(told.matches("(reader.unknown)").count(), 1, "{command:?}: {told}");
        assert!(told.contains(&stack.readers()[0]), "{command:?}: {told}");
        let meant = stack.rollcall(&waits).expect(1).stderr;
        assert!(!meant.contains("(reader."), "{command:?}: {meant}");
    }
}

case!(EachCard, deny_and_clear);
fn deny_and_clear(card: &str) {
    let stack = enrolled(2, 2, card);
    assert_eq!(stack.ndjson(0, &["scan"]).len(), 2);
    stack.rollcall(&["users", "deny", "p2"]).expect(0);
    assert_eq!(stack.present(), ["p1"]);
    let objects = stack.ndjson(1, &["scan"]);
    let denied = objects.iter().find(|o| o.get("error").is_some()).expect("a refusal");
    assert_eq!(denied["error"]["code"], "token.denied");
    assert_eq!(stack.present(), ["p1"]);
    let only = stack.readers().remove(1);
    stack.rollcall(&["scan", "--reader", &only]).expect(77);
    let token = stack.ndjson(0, &["users"])[0]["token_id"].as_str().expect("an id").to_uppercase();
    stack.rollcall(&["users", "deny", &token]).expect(0);
    assert!(stack.present().is_empty());
    stack.rollcall(&["users", "allow", &token]).expect(0);
    assert_eq!(stack.ndjson(1, &["scan"]).len(), 2);
    assert_eq!(stack.present(), ["p1"]);
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    assert!(stack.present().is_empty());
    let history = stack.ndjson(0, &["users", "history"]);
    let seqs: Vec<_> = history.iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

case!(EachCard, count_waits_for_distinct_tokens);
fn count_waits_for_distinct_tokens(card: &str) {
    let stack = enrolled(2, 2, card);
    stack.card("remove", 2);
    let few = stack.rollcall(&["--output", "ndjson", "scan", "--count", "2", "--timeout", "2s"]).expect(1);
    assert_eq!((few.objects().len(), few.code()), (1, "scan.too-few"));
    let start = Instant::now();
    let waiting = stack.command("rollcall").args(["--output", "ndjson", "scan", "--count", "2"]).spawn();
    let mut waiting = waiting.expect("rollcall starts");
    stack.card("insert", 2);
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0), "after {:?}", start.elapsed());
    assert_eq!(stack.present(), ["p1", "p2"]);
}
