//! Readers and cards that make different choices within the standards: the main job works with each, and doctor finds
//! no fault.

use serde_json::Value;

use super::Place;
use crate::{
    doctor::{doctor, findings, no_fault},
    lift::{Bench, TEST_KEY},
    private::{Desk, SIZE, START_KEY},
    stack::driver,
};

/// The applet, with Le.
const SELECT: &str = "00A404000AF0524F4C4C43414C4C0100";

/// A card is made a token, found, looked at and changed, and doctor has nothing to say against it.
fn main_job(bench: &Bench, place: &Place, decisions: &str) {
    for decision in decisions.split(' ') {
        bench.stack.reader(1, decision);
    }
    place.renew();
    let run = |args: &[&str]| {
        let told = bench.stack.rollcall(&[&["--output", "ndjson"], args, &["--reader", &bench.reader]].concat());
        assert_eq!(told.status, 0, "{decisions}, {args:?}: {told:#?}");
        told.objects()
    };
    let long = format!("field={}", "much to say ".repeat(20));
    run(&["enroll", "--second-card", "--id", "p1", "--name", "Ada", "--field", &long]);
    assert_eq!(run(&["scan"])[0]["user"]["id"], "p1", "{decisions}");
    run(&["token", "block", "--yes"]);
    assert_eq!(run(&["token", "info"])[0]["state"], "blocked", "{decisions}");
    run(&["token", "unblock", "--yes"]);
    // Answers are complete, however they were transferred.
    let answer = &run(&["apdu", SELECT])[0];
    assert_eq!(answer["status"], "9000", "{decisions}: {answer}");
    assert!(answer["data"].as_str().is_some_and(|data| data.starts_with("6F")), "{decisions}: {answer}");
    no_fault(&bench.stack, decisions);
}

/// By the level: what is set together, and put back by the next.
fn decisions() -> &'static [&'static str] {
    match driver() {
        // Each way with Le, with each class of GET RESPONSE.
        "ccid:t0" => &[
            "le=refuse class=any less=6c",
            "le=refuse class=00 less=give",
            "le=refuse class=same less=6c",
            "le=ignore class=any less=give",
            "le=ignore class=00 less=6c",
            "le=ignore class=same less=give",
            "le=6700 class=any less=6c",
            "le=6700 class=00 less=give",
            "le=6700 class=same less=6c",
            "le=refuse class=any ff=refuse",
            "ff=mute",
        ],
        "ccid:t1" => &["long=mute", "long=ok ff=refuse", "ff=mute", "ff=card atr= pps=refuse"],
        _ => &["ff=refuse", "ff=mute", "ff=card atr=3B6800000073C84000009000 le=refuse class=00"],
    }
}

case!(EachLevel, what_readers_and_cards_decide);
fn what_readers_and_cards_decide() {
    let bench = Bench::new();
    let place = Place::new(TEST_KEY);
    let mut slot = bench.put(Box::new(place.clone()), None);
    for decisions in decisions() {
        // A changed ATR takes effect at the next insertion.
        if decisions.contains("atr=") {
            drop(bench.take(slot));
            bench.stack.reader(1, decisions.split(' ').find(|one| one.starts_with("atr=")).expect("it is there"));
            slot = bench.put(Box::new(place.clone()), None);
        }
        main_job(&bench, &place, decisions);
    }
}

case!(EachLevel, doctor_goes_no_deeper_at_t0);
/// What taps do not send can block a reader at T=0 for minutes: `--deep` says there that it was left out, and why.
fn doctor_goes_no_deeper_at_t0() {
    let bench = Bench::new();
    let _slot = bench.put(Box::new(Place::new(TEST_KEY)), None);
    bench.stack.rollcall(&["enroll", "--reader", &bench.reader, "--id", "p1", "--name", "Ada"]).expect(0);
    let found = findings(doctor(&bench.stack, "rollcall").arg("--deep"));
    let link = found.iter().find(|one| one["probe"] == "link").expect("it is looked at");
    let told = link["what"].as_str().expect("a line");
    let left_out = "not examined further: the card is connected with T=0";
    assert_eq!(told.contains(left_out), driver() == "ccid:t0", "{link}");
    assert_eq!(told.contains("not examined further"), driver() == "ccid:t0", "{link}");
    assert!(found.iter().all(|one| one["severity"] != "fault"), "{found:#?}");
    bench.stack.rollcall(&["scan", "--reader", &bench.reader]).expect(0);
}

case!(EachLevel, what_is_followed_and_what_is_raw);
/// At T=0 the card says first that there is an answer (61xx), or how long it is (6Cxx): `apdu` fetches it and shows
/// that it did, and with `--raw` leaves it to whoever typed the command.
fn what_is_followed_and_what_is_raw() {
    let bench = Bench::new();
    let _slot = bench.put(Box::new(Place::new(TEST_KEY)), None);
    bench.stack.rollcall(&["enroll", "--reader", &bench.reader, "--id", "p1", "--name", "Ada"]).expect(0);
    bench.stack.reader(1, "less=6c");
    let is_t0 = driver() == "ccid:t0";
    // The second lists certificates, and is shorter than what is asked for.
    let commands = [if is_t0 { &SELECT[..SELECT.len() - 2] } else { SELECT }, "00CAFF3300"];
    let run = |mode: &[&str]| {
        let told = bench.stack.ndjson(0, &[&["apdu", "--reader", &bench.reader], mode, &commands].concat());
        let text = |one: &Value, key: &str| one[key].as_str().expect("digits").to_owned();
        told.iter().map(|one| (text(one, "status"), text(one, "data"))).collect::<Vec<_>>()
    };
    let (followed, raw) = (run(&[]), run(&["--raw"]));
    assert!(followed.iter().all(|(status, data)| status == "9000" && !data.is_empty()), "{followed:?}");
    if !is_t0 {
        assert_eq!(raw, followed, "there is nothing to follow");
        return;
    }
    let length = |at: usize| format!("{:02X}", followed[at].1.len() / 2);
    assert_eq!(raw, [("61", 0), ("6C", 1)].map(|(status, at)| (format!("{status}{}", length(at)), String::new())));
}

case!(EachLevel, probes_that_a_card_does_not_take);
/// Who makes a private token asks the reader for the UID. Where it tells none, somebody has to say that this does not
/// matter; the card is as good as before.
fn probes_that_a_card_does_not_take() {
    let desk = Desk::new();
    let place = Place::new(START_KEY);
    let _slot = desk.put(Box::new(place.clone()));
    for decision in ["ff=refuse", "ff=mute", "long=mute"] {
        desk.0.stack.reader(1, decision);
        place.renew();
        let told = desk.enroll("p1", &["--set-size", SIZE]);
        assert_eq!((told.status, told.code()), (77, "enroll.trackable"), "{decision}: {told:#?}");
        desk.enrolled("p1", &["--set-size", SIZE, "--accept-trackable"]);
        assert_eq!(desk.scan()["user"]["id"], "p1", "{decision}");
    }
}

case!(EachLevel, slow_cards);
/// A card that repeatedly requests more time: seven tenths of a second for each command.
fn slow_cards() {
    let bench = Bench::new();
    let _slot = bench.put(Box::new(Place::new(TEST_KEY)), None);
    let scan = || bench.stack.ndjson(0, &["scan", "--reader", &bench.reader]);
    bench.stack.rollcall(&["enroll", "--reader", &bench.reader, "--id", "p1", "--name", "Ada"]).expect(0);
    scan();
    for setting in ["delay=700", "wtx=250"] {
        bench.stack.reader(1, setting);
    }
    assert_eq!(scan()[0]["user"]["id"], "p1");
    no_fault(&bench.stack, "delay=700 wtx=250");
    assert_eq!(scan()[0]["user"]["id"], "p1");
}
