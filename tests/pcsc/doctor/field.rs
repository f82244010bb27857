//! What doctor says of cards in the field: the reader's information about them, private tokens, and other programs.

use rollcall::{
    emulator::{Uid, vpcd::ATR},
    reader::atr::Atr,
};
use serde_json::Value;

use super::{brief, codes, doctor, findings};
use crate::{
    people::enrolled,
    private::{Desk, SIZE, Seen},
    reports::rename,
    stack::{Stack, drive},
};

/// What was found of the link to the only card.
fn link(desk: &Desk, expected: &[&str]) -> Value {
    let found = findings(doctor(&desk.0.stack, "rollcall").arg("--deep"));
    assert_eq!(brief(&found).into_values().collect::<Vec<_>>(), expected, "{found:#?}");
    let mut links: Vec<_> = found.into_iter().filter(|one| one["probe"] == "link").collect();
    assert_eq!(links.len(), 1, "{links:#?}");
    links.remove(0)["facts"].take()
}

fn uid(facts: &Value) -> String {
    facts["uid"].as_str().expect("the reader tells one").to_owned()
}

case!(EachCard, doctor_tells_what_the_reader_tells);
/// UID and ATS by the reader's pseudo-APDUs, and whether the UID tells the card from others.
fn doctor_tells_what_the_reader_tells(kind: &str) {
    let desk = Desk::new();
    let slot = desk.put(Seen::blank(kind, Uid::Fixed, 7));
    let fixed = link(&desk, &["token.blank"]);
    let historical = Atr::parse(&ATR).expect("ours").historical;
    assert_eq!((uid(&fixed).len(), &uid(&fixed)[..2]), (14, "04"), "{fixed}");
    assert_eq!((&fixed["uid_random"], &fixed["ats"]), (&false.into(), &hex::encode_upper(historical).into()));
    assert!(fixed["answer_max"].is_null(), "a blank card has no certificate: {fixed}");
    let card = desk.0.take(slot);
    let slot = desk.put(card);
    assert_eq!(uid(&link(&desk, &["token.blank"])), uid(&fixed), "the same always");
    drop(desk.0.take(slot));

    let slot = desk.put(Seen::blank(kind, Uid::Random, 8));
    let random = link(&desk, &["token.blank"]);
    assert_eq!((uid(&random).len(), &uid(&random)[..2], &random["uid_random"]), (8, "08", &true.into()), "{random}");
    let slot = desk.put(desk.0.take(slot));
    assert_ne!(uid(&link(&desk, &["token.blank"])), uid(&random), "another one in each field");

    // A private token is as good as any other, and its link is measured with the certificate of its set.
    desk.enrolled("p1", &["--set-size", SIZE]);
    let private = link(&desk, &[]);
    assert!(private["answer_max"].as_u64() >= Some(256), "{private}");
    drop(desk.0.take(slot));
}

case!(Once, a_reader_that_is_ignored_is_left_out_of_every_command);
/// Two readers with a card each, of which the configuration leaves one out, and names a third that is not there.
fn a_reader_that_is_ignored_is_left_out_of_every_command() {
    let stack = Stack::start(2, "virtual");
    stack.rollcall(&["pki", "init"]).expect(0);
    let readers = stack.readers();
    assert_eq!(stack.rollcall(&["token", "info"]).expect(2).code(), "reader.ambiguous");
    let text = format!("ignore = [{:?}]\n[alias]\n\"door\" = \"gone\"\n", readers[1]);
    std::fs::write(stack.home().join("config.toml"), text).expect("a configuration");
    stack.rollcall(&["enroll", "--id", "p1", "--name", "Ada"]).expect(0);
    stack.rollcall(&["token", "info"]).expect(0);
    let scanned = stack.ndjson(0, &["scan"]);
    assert_eq!((scanned.len(), &scanned[0]["reader"]), (1, &readers[0].as_str().into()));
    let listed = stack.ndjson(0, &["readers"]);
    let told: Vec<_> = listed.iter().map(|one| (one["reader"].as_str(), one["ignored"].as_bool())).collect();
    assert_eq!(told, [(Some(readers[0].as_str()), Some(false)), (Some(readers[1].as_str()), Some(true))]);
    let refused = stack.rollcall(&["scan", "--reader", &readers[1]]).expect(2);
    assert_eq!(refused.code(), "reader.unknown");
    let found = findings(&mut doctor(&stack, "rollcall"));
    assert_eq!(brief(&found).into_values().collect::<Vec<_>>(), ["config.no-such-reader"], "{found:#?}");
    let left_out = found.iter().find(|one| one["subject"] == readers[1].as_str()).expect("it is shown");
    assert_eq!((&left_out["probe"], &left_out["severity"]), (&"reader".into(), &"note".into()));
    stack.rollcall(&["users", "clear", "--yes"]).expect(0);
    let mut watch = stack.watch(&[]);
    assert_eq!(watch.event("arrived")["reader"], readers[0].as_str());
    watch.end();
    // One that fits all of them leaves nobody, and that is said.
    std::fs::write(stack.home().join("config.toml"), "ignore = [\"*\"]\n").expect("a configuration");
    assert!(codes(&stack, &[]).iter().any(|code| code == "config.all-ignored"));
    for command in [&["scan"][..], &["token", "info"]] {
        let nobody = stack.rollcall(command).expect(1);
        assert!(nobody.code() == "scan.nobody" && nobody.stderr.contains("`ignore`"), "{nobody:#?}");
    }
}

case!(Once, limits_that_no_card_keeps);
/// The configuration is at fault, and no card and no reader is called broken for it.
fn limits_that_no_card_keeps() {
    let stack = enrolled(1, 1, "virtual");
    let at_first = codes(&stack, &[]);
    assert_eq!(at_first, Vec::<String>::new());
    for limits in ["tap = \"1ms\"", "exchange = \"1ms\"", "exchange = \"1ms\"\ntap = \"1ms\""] {
        std::fs::write(stack.home().join("config.toml"), format!("[limits]\n{limits}\n")).expect("the configuration");
        assert_eq!(codes(&stack, &[]), ["config.limits"], "{limits}");
    }
}

case!(Once, doctor_finds_no_reader);
/// A machine to which nobody has connected a reader.
fn doctor_finds_no_reader() {
    let stack = Stack::start(0, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    assert_eq!(codes(&stack, &[]), ["reader.none"]);
    let found = findings(&mut doctor(&stack, "rollcall"));
    let none = found.iter().find(|one| one["code"] == "reader.none").expect("it is told");
    assert_eq!((&none["severity"], &none["command"]), (&"fault".into(), &"lsusb".into()));
    for command in [&["readers"][..], &["token", "info"], &["apdu", "00A40400"], &["scan"]] {
        assert_eq!(stack.rollcall(command).expect(1).code(), "reader.none", "{command:?}");
    }
    stack.rollcall(&["doctor"]).expect(1);
    // USB shows a reader that the service does not.
    let script = "mount -t tmpfs none /sys && cd /sys && mkdir -p bus/usb/devices/1-1 bus/usb/devices/1-1:1.0 &&
        echo 'Some Reader' >bus/usb/devices/1-1/product && echo 0b >bus/usb/devices/1-1:1.0/bInterfaceClass &&
        exec rollcall doctor --output ndjson";
    let found = findings(doctor(&stack, "unshare").args(["--map-root-user", "--mount", "sh", "-c", script]));
    let one = found.iter().find(|one| one["code"] == "reader.no-driver").expect("it is told");
    assert!(one["what"].as_str().is_some_and(|what| what.starts_with("Some Reader is connected")), "{one}");
}

case!(Once, doctor_finds_too_many_readers);
/// As many readers as the service has room for: one more would not be seen.
fn doctor_finds_too_many_readers() {
    let stack = Stack::start(16, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    assert_eq!(codes(&stack, &[]), ["reader.too-many"]);
}

case!(Once, readers_that_differ_by_a_number_only);
/// The service counts readers of one model: doctor says what the count is worth. Who have a serial number need no
/// advice.
fn readers_that_differ_by_a_number_only() {
    // One driver for both, unlike vpcd: so they are counted.
    drive("ccid:t1");
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let told = || {
        let found = findings(&mut doctor(&stack, "rollcall"));
        found.into_iter().filter(|one| one["probe"] == "names").collect::<Vec<_>>()
    };
    assert_eq!(told(), Vec::<Value>::new(), "{:?}", stack.readers());
    rename(&stack, |_| b"One Model".to_vec());
    assert_eq!(stack.readers(), ["One Model 00 00", "One Model 01 00"]);
    let notes = told();
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert_eq!((&notes[0]["subject"], &notes[0]["severity"]), (&"One Model".into(), &"note".into()));
    let what = notes[0]["what"].as_str().expect("a line");
    assert!(what.starts_with("2 readers differ by a number only, which follows the order of plugging in"), "{what}");
    stack.rollcall(&["doctor"]).expect(0);
    rename(&stack, |number| format!("One Model (A{number})").into_bytes());
    assert_eq!(stack.readers(), ["One Model (A1) 00 00", "One Model (A2) 01 00"]);
    assert_eq!(told(), Vec::<Value>::new());
}
