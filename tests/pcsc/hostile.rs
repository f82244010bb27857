//! A card that lies, on the real service: a clear error in bounded time, and the honest token beside it is read.

use std::time::{Duration, Instant};

use crate::{
    card::blank,
    lift::TEST_KEY,
    slot::{Bend, Slot},
    stack::Stack,
};

/// From this APDU on the card answers so.
fn from(first: usize, answer: &[u8]) -> Bend {
    let answer = answer.to_vec();
    Box::new(move |number, honest| if number < first { honest } else { answer.clone() })
}

fn lies() -> Vec<(&'static str, Bend)> {
    let flip = |at: usize| -> Bend {
        Box::new(move |number, mut honest| {
            if number == at && honest.len() > 2 {
                let middle = honest.len() / 2;
                honest[middle] ^= 1;
            }
            honest
        })
    };
    let huge = [vec![0x6F; 60_000], vec![0x90, 0]].concat();
    vec![
        ("more for ever", from(2, &[0x61, 0x00])),
        ("data and more for ever", from(2, &[&[0x30; 255][..], &[0x61, 0xFF]].concat())),
        ("an answer without an end", from(1, &[&[0x30; 255][..], &[0x61, 0xFF]].concat())),
        ("another Le for ever", from(2, &[0x6C, 0x10])),
        ("huge answers", from(1, &huge)),
        ("nothing but 9000", from(2, &[0x90, 0])),
        ("one byte", from(2, &[0x90])),
        ("no diagnosis", from(3, &[0x6F, 0])),
        ("a bit of SELECT", flip(1)),
        ("no receipt", from(4, &[0x90, 0])),
        ("a bit of the proof", flip(5)),
    ]
}

case!(EachCard, a_lying_card_harms_nobody);
fn a_lying_card_harms_nobody(kind: &str) {
    let stack = Stack::start(2, "none");
    stack.rollcall(&["pki", "init"]).expect(0);
    let ports: Vec<String> = stack.variable("VPCD_PORTS").split(' ').map(str::to_owned).collect();
    let readers = stack.readers();
    let wait = |reader: &str, present: bool| {
        let noticed = |_| stack.lists(&|object| object["reader"] == *reader && object["atr"].is_string()) == present;
        assert!((0..1000).any(noticed), "the service never noticed");
    };
    let honest = Slot::insert(&ports[1], blank(kind, TEST_KEY));
    wait(&readers[1], true);
    stack.rollcall(&["enroll", "--reader", &readers[1], "--id", "p2", "--name", "Grace"]).expect(0);
    let liar = Slot::insert(&ports[0], blank(kind, TEST_KEY));
    wait(&readers[0], true);
    stack.rollcall(&["enroll", "--reader", &readers[0], "--id", "p1", "--name", "Mallory"]).expect(0);
    let mut card = liar.remove();
    for (what, bend) in lies() {
        wait(&readers[0], false);
        let slot = Slot::insert_bent(&ports[0], card, bend);
        // `readers` would talk to the card: a scan alone waits until the service has noticed it.
        let began = Instant::now();
        let objects = loop {
            slot.arm(None);
            let objects = stack.rollcall(&["--output", "ndjson", "scan"]).objects();
            if objects.len() == 2 {
                break objects;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{what}: the card was never noticed");
        };
        let of = |reader: &str| objects.iter().find(|object| object["reader"] == *reader).expect("both readers");
        let (lied, fine) = (of(&readers[0]), of(&readers[1]));
        assert!(lied["error"]["code"].is_string() && lied["user"].is_null(), "{what}: {lied}");
        if what == "an answer without an end" {
            assert_eq!(lied["error"]["code"], "card.malformed", "{what}: {lied}");
        }
        assert_eq!((&fine["user"]["id"], &fine["authenticated"]["token"]), (&"p2".into(), &true.into()), "{what}");
        assert_eq!(stack.present(), ["p2"], "{what}");
        card = slot.remove();
    }
    drop(honest.remove());
}
