//! Configured reader names that use the stable identity of readers.

use std::fs;

use crate::{
    doctor::{brief, doctor, findings},
    reports::{conf, rename},
    stack::{Stack, drive},
};

case!(Once, an_alias_by_serial_number_survives_another_order);
/// The service counts the readers in another order: the alias is that of the same door, whatever the number.
fn an_alias_by_serial_number_survives_another_order() {
    drive("ccid:t1");
    let stack = Stack::start(2, "virtual");
    rename(&stack, |number| format!("Some Model (A{number})").into_bytes());
    stack.rollcall(&["pki", "init"]).expect(0);
    assert_eq!(stack.readers(), ["Some Model (A1) 00 00", "Some Model (A2) 01 00"]);
    let text = "[alias]\n\"north door\" = \"serial:a2\"\n\"gate\" = \"serial:A3\"\n";
    fs::write(stack.home().join("config.toml"), text).unwrap();
    stack.rollcall(&["enroll", "--reader", "north door", "--id", "p2", "--name", "Grace Hopper"]).expect(0);
    is_at(&stack, "Some Model (A2) 01 00");

    let text = fs::read_to_string(conf(&stack)).unwrap();
    let entries: Vec<_> = text.split("\n\n").map(str::trim).filter(|entry| !entry.is_empty()).collect();
    assert_eq!(entries.len(), 2, "{text}");
    fs::write(conf(&stack), format!("{}\n\n{}\n", entries[1], entries[0])).unwrap();
    stack.service("stop");
    stack.service("start");
    assert_eq!(stack.readers(), ["Some Model (A2) 00 00", "Some Model (A1) 01 00"]);
    is_at(&stack, "Some Model (A2) 00 00");
}

/// The token lies at this reader, which the alias names; the other alias names none.
fn is_at(stack: &Stack, reader: &str) {
    let scanned = stack.ndjson(0, &["scan", "--reader", "north door"]);
    assert_eq!((scanned.len(), &scanned[0]["reader"], &scanned[0]["user"]["id"]), (1, &reader.into(), &"p2".into()));
    let listed = stack.ndjson(0, &["readers"]);
    let one = listed.iter().find(|one| one["reader"] == reader).expect("it is there");
    assert_eq!((&one["alias"], &one["stable"]), (&"north door".into(), &"serial:A2".into()), "{one}");
    assert_eq!(listed.iter().filter(|one| one["alias"].is_string()).count(), 1, "{listed:#?}");
    assert_eq!(stack.rollcall(&["scan", "--reader", "gate"]).expect(2).code(), "reader.unknown");
    let found = brief(&findings(&mut doctor(stack, "rollcall")));
    let unmatched = found.iter().filter(|(_, code)| *code == "config.no-such-reader");
    assert_eq!(unmatched.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["gate"]);
}
