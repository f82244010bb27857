//! What doctor finds about readers and cards.

use std::{sync::mpsc, time::Duration};

use rollcall::{emulator::vpcd::ATR, token::constants::AID};
use serde_json::Value;

use super::{brief, doctor, findings, text, unprivileged};
use crate::{
    card::{Card, blank},
    client::{end, hold},
    lift::TEST_KEY,
    people::enrolled,
    slot::{Bend, Lift, NO_ATR, Slot},
    stack::Stack,
};

/// Another application's card.
pub struct Foreign;

impl Card for Foreign {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        match apdu.get(1) {
            Some(0xA4) => vec![0x6A, 0x82],
            _ => vec![0x6D, 0x00],
        }
    }

    fn reset(&mut self) {}
}

/// A link that passes no command of more than 133 bytes.
struct Cut(Box<dyn Card>);

impl Card for Cut {
    fn process(&mut self, apdu: &[u8]) -> Vec<u8> {
        if apdu.len() > 133 { vec![0x67, 0x00] } else { self.0.process(apdu) }
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// A card whose every answer takes so long.
fn slow(by: Duration) -> Bend {
    Box::new(move |_, honest| {
        std::thread::sleep(by);
        honest
    })
}

/// A reader that gives away no more than 130 bytes.
fn cut(_: usize, mut answer: Vec<u8>) -> Vec<u8> {
    answer.truncate(130);
    answer
}

/// A link on which every seventh long answer comes with a flipped bit.
fn flawed(number: usize, mut answer: Vec<u8>) -> Vec<u8> {
    // The first exchanges only identify the card.
    if number > 12 && number.is_multiple_of(7) && answer.first() == Some(&0x6F) {
        answer[6] ^= 1;
    }
    answer
}

/// An answer to SELECT that only a later applet gives.
fn another_version(_: usize, mut answer: Vec<u8>) -> Vec<u8> {
    // 6F, length, 84, length, AID, A5, length, 80, length, and the version.
    let at = 4 + AID.len() + 4;
    if answer.len() > at && answer[0] == 0x6F {
        answer[at] ^= 0x40;
    }
    answer
}

/// A memory card, as PC/SC part 3 has the reader describe it: MIFARE Classic 1K.
const MEMORY: [u8; 20] = [
    0x3B, 0x8F, 0x80, 0x01, 0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x6A,
];

/// Two readers; in the second one a token in use, which is well whatever happens beside it.
struct Bench {
    stack: Stack,
    port: String,
    reader: String,
    neighbour: String,
    _slot: Slot,
}

impl Bench {
    fn new(kind: &str) -> Self {
        let stack = Stack::start(2, "none");
        stack.rollcall(&["pki", "init"]).expect(0);
        let ports: Vec<_> = stack.variable("VPCD_PORTS").split(' ').map(str::to_owned).collect();
        let readers = stack.readers();
        let slot = Slot::insert(&ports[1], blank(kind, TEST_KEY));
        let bench = Self {
            port: ports[0].clone(),
            reader: readers[0].clone(),
            neighbour: readers[1].clone(),
            stack,
            _slot: slot,
        };
        bench.wait(&bench.neighbour, true);
        bench.stack.rollcall(&["enroll", "--reader", &bench.neighbour, "--id", "p2", "--name", "Grace"]).expect(0);
        bench
    }

    fn wait(&self, reader: &str, there: bool) {
        let noticed = |_| self.stack.lists(&|one| one["reader"] == *reader && (one["state"] != "empty") == there);
        assert!((0..1000).any(noticed), "the service never noticed");
    }

    /// What is found of the first reader with this card in it; the other one is well, and was not delayed.
    fn found(&self, slot: Slot) -> (Vec<String>, Box<dyn Card>) {
        self.wait(&self.reader, true);
        let found = self.look();
        let card = slot.remove();
        self.wait(&self.reader, false);
        (found, card)
    }

    fn look(&self) -> Vec<String> {
        let found = findings(doctor(&self.stack, "rollcall").arg("--deep"));
        let of = |reader: &str| found.iter().filter(|one| one["subject"] == *reader).cloned().collect::<Vec<Value>>();
        let (ours, other) = (of(&self.reader), of(&self.neighbour));
        let last = |all: &[Value]| all.iter().filter_map(|one| one["took_ms"].as_f64()).fold(0.0, f64::max);
        assert!(brief(&other).is_empty(), "{other:#?}");
        assert!(other.iter().any(|one| one["facts"]["exchanges"] == 50), "{other:#?}");
        let codes: Vec<_> = ours.iter().filter_map(|one| one["code"].as_str().map(str::to_owned)).collect();
        if codes == ["reader.hung"] {
            assert!(last(&other) < last(&ours), "{found:#?}");
        }
        assert_eq!(brief(&found).len(), usize::from(!codes.is_empty()), "{found:#?}");
        codes
    }

    fn token(&self, verb: &str) {
        self.stack.rollcall(&["token", verb, "--yes", "--reader", &self.reader]).expect(0);
    }
}

case!(EachCard, doctor_finds_faults_of_cards);
fn doctor_finds_faults_of_cards(kind: &str) {
    let bench = Bench::new(kind);
    assert_eq!(bench.look(), Vec::<String>::new());
    let put = |card, atr: &[u8], bend: Bend| Slot::insert_as(&bench.port, card, atr, bend);
    let honest = || -> Bend { Box::new(|_, answer| answer) };
    let alone = |card: Box<dyn Card>| bench.found(put(card, &ATR, honest()));

    let (found, card) = alone(blank(kind, TEST_KEY));
    assert_eq!(found, ["token.test-keys"]);
    assert_eq!(alone(Box::new(Foreign)).0, ["token.foreign"]);
    assert_eq!(bench.found(put(Box::new(Foreign), &MEMORY, honest())).0, ["card.not-iso14443-4"]);
    assert_eq!(bench.found(put(Box::new(Foreign), &NO_ATR, honest())).0, ["token.mute"]);
    let (found, card) = bench.found(put(card, &ATR, Box::new(another_version)));
    assert_eq!(found, ["token.protocol"]);

    let mut wrong = ATR;
    wrong[ATR.len() - 1] ^= 1;
    let (found, card) = bench.found(put(card, &wrong, honest()));
    assert_eq!(found, ["card.atr"]);
    let card = flapping(&bench, card);
    let card = lifted_once(&bench, card);

    // A token in use, over links of several kinds.
    let slot = Slot::insert(&bench.port, card);
    bench.wait(&bench.reader, true);
    bench.stack.rollcall(&["enroll", "--reader", &bench.reader, "--id", "p1", "--name", "Ada"]).expect(0);
    let (found, card) = bench.found(slot);
    assert_eq!(found, Vec::<String>::new());
    let (found, card) = bench.found(put(card, &ATR, slow(Duration::from_millis(70))));
    assert_eq!(found, ["link.slow"]);
    // Not slow by itself, but slower than it was; what it was is kept until then, and told.
    let (found, card) = bench.found(put(card, &ATR, slow(Duration::from_millis(25))));
    assert_eq!(found, ["link.worse"]);
    let (found, card) = bench.found(put(card, &ATR, slow(Duration::from_millis(25))));
    assert_eq!(found, ["link.worse"]);
    let (found, card) = bench.found(put(card, &ATR, honest()));
    assert_eq!(found, Vec::<String>::new());
    let (found, card) = bench.found(put(card, &ATR, Box::new(cut)));
    assert_eq!(found, ["link.truncated"]);
    let (found, card) = bench.found(put(card, &ATR, Box::new(flawed)));
    assert_eq!(found, ["link.errors"]);
    // Who says that it is to stay so has a new beginning.
    std::fs::remove_file(bench.stack.home().join("links.json")).expect("it is remembered");
    let (found, card) = bench.found(put(card, &ATR, slow(Duration::from_millis(25))));
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(alone(Box::new(Cut(blank(kind, TEST_KEY)))).0, ["token.test-keys", "link.truncated"]);
    let (found, card) = bench.found(put(card, &ATR, slow(Duration::from_secs(6))));
    assert_eq!(found, ["reader.hung"]);

    // Another program has it for itself.
    let slot = Slot::insert(&bench.port, card);
    bench.wait(&bench.reader, true);
    let holder = hold(&bench.stack, &bench.reader, "hold");
    let told = findings(&mut doctor(&bench.stack, "rollcall"));
    let one = told.iter().find(|one| one["code"] == "reader.busy").expect("it is held");
    let seen = one["facts"]["candidates"].as_array().expect("a list");
    assert!(seen.iter().any(|process| process["pid"] == holder.id()), "{one}");
    assert!(text(&bench.stack, 1).stdout.contains("kill "));
    // A user who may not see other users' processes is told so, with a remedy.
    let told = findings(&mut unprivileged(&bench.stack));
    let one = told.iter().find(|one| one["code"] == "reader.busy").expect("it is held");
    assert_eq!(
        (&one["facts"]["hidden"], &one["facts"]["candidates"]),
        (&true.into(), &Value::Array(Vec::new())),
        "{one}"
    );
    assert_eq!(one["command"], "sudo -E rollcall doctor", "{one}");
    let held = end(holder);
    assert!(held.success());

    bench.token("block");
    let (found, card) = bench.found(slot);
    assert_eq!(found, ["token.blocked"]);
    let slot = Slot::insert(&bench.port, card);
    bench.wait(&bench.reader, true);
    bench.token("unblock");
    bench.token("terminate");
    assert_eq!(bench.found(slot).0, ["token.terminated"]);
}

/// A card that is repeatedly inserted and removed.
fn flapping(bench: &Bench, card: Box<dyn Card>) -> Box<dyn Card> {
    let (port, (stop, stopped)) = (bench.port.clone(), mpsc::channel::<()>());
    let hand = std::thread::spawn(move || {
        let mut card = card;
        // The service looks every 400 ms.
        let still = |stopped: &mpsc::Receiver<()>| stopped.recv_timeout(Duration::from_millis(500)).is_err();
        while still(&stopped) {
            let slot = Slot::insert(&port, card);
            let go_on = still(&stopped);
            card = slot.remove();
            if !go_on {
                break;
            }
        }
        card
    });
    let found = bench.look();
    stop.send(()).expect("the hand");
    let card = hand.join().expect("the hand");
    assert_eq!(found, ["card.flapping"]);
    bench.wait(&bench.reader, false);
    card
}

/// A card removed during the examination: reported as taken away, not as a fault.
fn lifted_once(bench: &Bench, card: Box<dyn Card>) -> Box<dyn Card> {
    let slot = Slot::insert(&bench.port, card);
    bench.wait(&bench.reader, true);
    slot.arm(Some(Lift { at: 2, carried_out: true }));
    assert_eq!(bench.look(), ["card.left"]);
    let card = slot.lifted();
    bench.wait(&bench.reader, false);
    card
}

case!(EachDriver, what_hangs_is_no_other_program);
/// A program ends while its call hangs in the driver. Whoever else is connected to the service has nothing to do with
/// it.
fn what_hangs_is_no_other_program(card: &str) {
    let stack = enrolled(2, 1, card);
    let reader = stack.readers().remove(0);
    let told = |args: &[&str]| {
        let mut program = stack.command("rollcall");
        program.args(args).args(["--reader", &reader, "--output", "ndjson"]).env("ROLLCALL_EXCHANGE_LIMIT", "1s");
        let output = program.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    stack.card("mute", 1);
    assert_eq!(told(&["scan"]).0, Some(69));
    let idle = hold(&stack, &reader, "idle");
    for args in [&["scan"][..], &["token", "info"]] {
        let (status, told) = told(args);
        assert!(status == Some(69) && told.contains("reader.hung"), "{args:?}: {told}");
    }
    let (_, found) = told(&["doctor"]);
    assert!(found.contains("reader.hung") && !found.contains("reader.busy"), "{found}");
    assert!(end(idle).success());
    stack.card("unmute", 1);
}

case!(Once, a_program_in_a_transaction_may_wait_itself);
/// It may hold the card or wait for the driver: both are reported, and the advice is not to end it.
fn a_program_in_a_transaction_may_wait_itself() {
    let stack = enrolled(1, 1, "virtual");
    let holder = hold(&stack, &stack.readers()[0], "transact");
    let limited = |program: &mut std::process::Command| program.env("ROLLCALL_EXCHANGE_LIMIT", "1s").output().unwrap();
    let output = limited(stack.command("rollcall").args(["scan", "--output", "ndjson"]));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(75) && told.contains("reader.busy"), "{told}");
    assert!(told.contains("1 s (`exchange` under [limits]), or waits for a driver that hangs"), "{told}");
    // The service keeps what that one waited for, as it does with a call that hangs.
    let output = limited(stack.command("rollcall").args(["scan", "--output", "ndjson"]));
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let found = findings(doctor(&stack, "rollcall").env("ROLLCALL_EXCHANGE_LIMIT", "1s"));
    let one = found.iter().find(|one| one["code"] == "reader.busy").expect("it is in use");
    assert_eq!(one["facts"]["candidates"][0]["pid"], holder.id(), "{one}");
    assert_eq!(one["command"], "sudo systemctl restart pcscd", "{one}");
    // With a limit below what any card needs, it is impossible to tell whether another program causes the delay.
    let found = brief(&findings(doctor(&stack, "rollcall").env("ROLLCALL_EXCHANGE_LIMIT", "1ms")));
    assert!(found.values().all(|code| code == "config.limits"), "{found:?}");
    assert!(end(holder).success());
}
