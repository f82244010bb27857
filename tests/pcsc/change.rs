//! Writing, blocking, unblocking and terminating a token.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};

use crate::{people::enrolled, stack::Stack};

/// The one object of a change that succeeds, without when and where.
fn change(stack: &Stack, reader: &str, args: &[&str]) -> Value {
    let mut objects = stack.ndjson(0, &[&["token", "--reader", reader, "--yes"], args].concat());
    assert_eq!(objects.len(), 1);
    let mut object = objects.remove(0);
    assert_eq!((&object["schema"], &object["reader"]), (&json!("rollcall.token-change/1"), &json!(reader)));
    let fields = object.as_object_mut().expect("an object");
    fields.retain(|name, _| ["action", "result", "state"].contains(&name.as_str()));
    object
}

fn outcome(action: &str, result: &str, state: &str) -> Value {
    json!({"action": action, "result": result, "state": state})
}

/// The exit status of a change that is asked about on a terminal, where this is typed.
fn answer(stack: &Stack, reader: &str, verb: &str, typed: &str) -> i32 {
    let line = format!("rollcall token {verb} --reader '{reader}'");
    let mut terminal = stack.command("timeout");
    terminal.args(["60", "script", "--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
    let mut keys = child.stdin.take().expect("its input");
    writeln!(keys, "{typed}").expect("typed");
    let told = child.wait_with_output().expect("it ends");
    drop(keys);
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(text.contains("to continue:"), "{text}");
    told.status.code().expect("a status")
}

case!(EachCard, a_token_is_changed_at_a_second_desk);
/// A second desk, made from one file, has the role WRITE: it writes, and does nothing more.
fn a_token_is_changed_at_a_second_desk(card: &str) {
    let mut stack = enrolled(1, 1, card);
    let reader = stack.readers().remove(0);
    let bundle = stack.home().join("front.bundle");
    let bundle = bundle.to_str().expect("a name");
    stack.rollcall(&["pki", "issue", "terminal", "front", "--role", "enroll", "--out", bundle]).expect(0);
    let front = stack.home().join("front");
    stack.at_home(&front);
    stack.rollcall(&["pki", "import", bundle]).expect(0);
    let write = ["write", "--id", "p1", "--name", "Ada King"];
    assert_eq!(change(&stack, &reader, &write), outcome("write", "done", "issued"));
    assert_eq!(stack.ndjson(0, &["scan"])[0]["user"]["name"], "Ada King");
    for verb in ["block", "unblock", "terminate"] {
        assert_eq!(stack.rollcall(&["token", verb, "--yes"]).expect(77).code(), "token.role");
    }
    assert_eq!(stack.ndjson(0, &["token", "info"])[0]["state"], "issued");
}

/// What is named changes, and the rest stays.
fn what_is_written(stack: &Stack, token: &str) {
    let write = |args: &[&str]| {
        let mut told = stack.ndjson(0, &[&["token", "--reader", token, "--yes", "write"], args].concat());
        let told = told.remove(0);
        (told["result"].clone(), told["changes"].clone())
    };
    let user = || stack.ndjson(0, &["scan", "--reader", token])[0]["user"].clone();
    let change = |part: &str, before: Value, after: Value| json!({"part": part, "before": before, "after": after});
    let long = "much to say ".repeat(30);
    let told = write(&["--name", "Ada King", "--field", "team=red", "--field", &format!("field={long}")]);
    assert_eq!((&told.0, &told.1[0]), (&json!("done"), &change("name", json!("Ada Lovelace"), json!("Ada King"))));
    let all = json!({"id": "p1", "name": "Ada King", "fields": {"field": long, "team": "red"}});
    assert_eq!(user(), all);
    for same in [&["--id", "p1", "--name", "Ada King"][..], &["--field", "team=red"], &["--field", "none="], &[]] {
        assert_eq!(write(same), (json!("unchanged"), json!([])), "{same:?}");
    }
    let planned = write(&["--name", "Ada", "--dry-run"]);
    assert_eq!(planned, (json!("planned"), json!([change("name", json!("Ada King"), json!("Ada"))])));
    assert_eq!(user(), all);
    let shown = stack.rollcall(&["token", "--reader", token, "write", "--name", "Ada", "--dry-run"]).expect(0).stdout;
    assert!(shown.contains("name: Ada King → Ada"), "{shown}");
    let asked = stack.rollcall(&["token", "--reader", token, "write", "--field", "team="]).expect(2);
    assert!(asked.code() == "confirm.needed" && asked.stderr.contains("team: red → (none)"), "{asked:?}");
    assert_eq!(write(&["--field", "field="]).0, json!("done"));
    assert_eq!(user(), json!({"id": "p1", "name": "Ada King", "fields": {"team": "red"}}));
}

case!(EachDriver, a_token_is_changed);
fn a_token_is_changed(card: &str) {
    let stack = enrolled(2, 1, card);
    let names = stack.readers();
    let (token, blank) = (names[0].as_str(), names[1].as_str());
    let state = || stack.ndjson(0, &["token", "info", "--reader", token])[0]["state"].clone();
    let refused = |status: i32, args: &[&str]| {
        stack.rollcall(&[&["token", "--reader", token], args].concat()).expect(status).code().to_owned()
    };
    let scan = ["scan", "--reader", token];

    // Nobody confirms, or nothing is meant yet: nothing happens.
    for verb in ["block", "terminate"] {
        assert_eq!(change(&stack, token, &[verb, "--dry-run"]), outcome(verb, "planned", "issued"));
        assert_eq!(refused(2, &[verb]), "confirm.needed");
    }
    assert_eq!(state(), "issued");
    let id = stack.ndjson(0, &["token", "info", "--reader", token])[0]["token_id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (answer(&stack, token, "terminate", &id), state()),
        (1, json!("issued")),
        "the whole id is not the word"
    );
    assert_eq!((answer(&stack, token, "block", ""), state()), (1, json!("issued")));
    assert_eq!((answer(&stack, token, "block", &id[..8]), state()), (0, json!("blocked")));
    assert_eq!((answer(&stack, token, "unblock", &id[..8]), state()), (0, json!("issued")));
    assert_eq!(change(&stack, token, &["unblock"]), outcome("unblock", "unchanged", "issued"));

    assert_eq!(change(&stack, token, &["block"]), outcome("block", "done", "blocked"));
    assert_eq!(change(&stack, token, &["block"]), outcome("block", "unchanged", "blocked"));
    assert_eq!(stack.ndjson(77, &scan)[0]["error"]["code"], "token.blocked");
    assert_eq!(change(&stack, token, &["unblock"]), outcome("unblock", "done", "issued"));

    what_is_written(&stack, token);

    let nothing = stack.rollcall(&["token", "--reader", blank, "--yes", "block"]).expect(1);
    assert_eq!(nothing.code(), "token.blank");
    stack.card("remove", 1);
    assert_eq!(refused(1, &["--yes", "block"]), "scan.nobody");
    stack.card("insert", 1);

    // Without the CA key the terminal has the role READ.
    let (key, away) = (stack.home().join("pki/ca.key"), stack.home().join("pki/ca.away"));
    std::fs::rename(&key, &away).expect("the CA key");
    assert_eq!(refused(77, &["--yes", "terminate"]), "token.role");
    assert_eq!(refused(77, &["--yes", "write", "--id", "p1", "--name", "Ada"]), "token.role");
    std::fs::rename(&away, &key).expect("the CA key");
    assert_eq!(state(), "issued");

    assert_eq!(change(&stack, token, &["terminate"]), outcome("terminate", "done", "terminated"));
    assert_eq!(change(&stack, token, &["terminate"]), outcome("terminate", "unchanged", "terminated"));
    assert_eq!(stack.ndjson(77, &scan)[0]["error"]["code"], "token.terminated");
    assert_eq!(refused(77, &["--yes", "unblock"]), "token.terminated");
}
