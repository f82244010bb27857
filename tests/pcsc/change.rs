//! A token is written, blocked, unblocked and terminated.

use serde_json::{Value, json};

use crate::{cases::enrolled, stack::Stack};

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

pub fn through_its_states(card: &str) {
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
    assert_eq!(change(&stack, token, &["unblock"]), outcome("unblock", "unchanged", "issued"));

    assert_eq!(change(&stack, token, &["block"]), outcome("block", "done", "blocked"));
    assert_eq!(change(&stack, token, &["block"]), outcome("block", "unchanged", "blocked"));
    assert_eq!(stack.ndjson(77, &scan)[0]["error"]["code"], "token.blocked");
    assert_eq!(change(&stack, token, &["unblock"]), outcome("unblock", "done", "issued"));

    let long = format!("field={}", "much to say ".repeat(30));
    for fields in [&["--field", &long][..], &[]] {
        let write = [&["write", "--id", "p1", "--name", "Ada King"], fields].concat();
        assert_eq!(change(&stack, token, &write), outcome("write", "done", "issued"));
        let user = stack.ndjson(0, &scan)[0]["user"].clone();
        assert_eq!((&user["id"], &user["name"]), (&json!("p1"), &json!("Ada King")));
        assert_eq!(user["fields"]["field"].as_str().map(str::len), (!fields.is_empty()).then_some(360));
    }

    let nothing = stack.rollcall(&["token", "--reader", blank, "--yes", "block"]).expect(1);
    assert_eq!(nothing.code(), "token.blank");
    stack.card("remove", 1);
    assert_eq!(refused(1, &["--yes", "block"]), "scan.nobody");
    stack.card("insert", 1);

    // Where the CA key does not lie the terminal has the role READ.
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
