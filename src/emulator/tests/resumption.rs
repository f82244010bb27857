//! The fast tap on the card's side: what it grants, and everything that it must not.

use super::rig::*;
use crate::{
    card::{
        apdu::{ApduFormat, Command, Response},
        status::Status,
    },
    channel::resumption::{NONCE, Resumed, Resumption, TID, USES, terminal_id},
    crypto::{
        Key128,
        ec::KeyPair,
        random::{SystemRandom, bytes},
    },
    emulator::{PersistentState, SoftwareToken},
};

pub(super) const SLOT: &str = "04880101";
pub(super) const PRESENCE: &str = "04880201";
/// Where the first counter is in the answer.
const COUNTER_AT: std::ops::Range<usize> = 20..24;

/// A full tap with a slot; returns its resumption key.
pub(super) fn filled(rig: &mut Rig) -> Key128 {
    let mut open = rig.role(READ);
    rig.accept(&mut open, SLOT, &[7; 32]);
    open.resumption
}

pub(super) fn resume(rig: &mut Rig, tid: [u8; TID], keys: &[Key128]) -> Option<Open> {
    let select = rig.select();
    resume_selected(rig, &select, tid, keys)
}

fn resume_selected(rig: &mut Rig, select: &[u8], tid: [u8; TID], keys: &[Key128]) -> Option<Open> {
    let (command, waiting) = Resumption::begin(&tid, bytes(&mut SystemRandom).unwrap(), select);
    let response = rig.send(&command);
    let (_, messaging) = waiting.handle(response, keys).unwrap()?;
    Some(Open { messaging, binding: [0; 32], resumption: Key128::new([0; 16]), format: ApduFormat::Short })
}

pub(super) fn resumed(rig: &mut Rig, key: &Key128) -> Open {
    let tid = terminal_id(rig.terminal.public());
    resume(rig, tid, std::slice::from_ref(key)).expect("the token holds the key")
}

fn writes(rig: &Rig) -> usize {
    rig.saved.0.lock().unwrap().len()
}

/// Whether the session is over: a secured command is then refused before its MAC is checked.
fn is_over(rig: &mut Rig) -> bool {
    let (status, before) = (rig.raw("04CA0100 08 0000000000000000"), writes(rig));
    assert_eq!((status.as_str(), writes(rig)), ("6982", before));
    // Only a session without keys accepts this in plain.
    rig.raw("80CAFF3300").ends_with("9000")
}

#[test]
fn a_full_tap_with_a_slot_is_one_without_to_the_byte() {
    for private in [false, true] {
        let mut rig = Rig::blank();
        rig.enroll(private);
        let mut open = if private { rig.under_set_key(READ) } else { rig.role(READ) };
        let before = writes(&rig);
        let plain = rig.accept(&mut open, "04880001", &[7; 32]);
        assert_eq!(writes(&rig) - before, 1);
        let mut open = if private { rig.under_set_key(READ) } else { rig.role(READ) };
        let before = writes(&rig);
        let with_slot = rig.accept(&mut open, SLOT, &[7; 32]);
        assert_eq!(writes(&rig) - before, 2, "the counter, and the slot");
        // The id, and then the counter, which is one higher.
        assert_eq!(plain[..20], with_slot[..20]);
        let counter = |answer: &[u8]| u32::from_be_bytes(answer[COUNTER_AT].try_into().unwrap());
        assert_eq!(counter(&plain) + 1, counter(&with_slot));
        let key = open.resumption.clone();
        let mut open = resumed(&mut rig, &key);
        let presence = rig.accept(&mut open, PRESENCE, &[]);
        let record = plain.len() - 120;
        let expected = [&with_slot[..24], &[0x88, 1, USES - 1, 0x53, 120], &plain[record..]].concat();
        assert_eq!(presence, expected);
    }
}

#[test]
fn a_resumed_channel_reads_and_does_nothing_else() {
    let mut rig = Rig::issued();
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, SLOT, &[7; 32]);
    let key = open.resumption.clone();
    let mut open = resumed(&mut rig, &key);
    rig.accept(&mut open, PRESENCE, &[]);
    let before = writes(&rig);
    for (header, data, status) in [
        ("04CA0100", "", 0x9000),
        ("04CA0101", "", 0x9000),
        ("04CA7F21", "", 0x9000),
        ("04CABF21", "A6 04 83 02 11 41", 0x9000),
        ("04CAFF33", "", 0x9000),
        ("04B10102", "54 02 0000", 0x6A88),
        ("04880001", &"00".repeat(32), 0x6985),
        ("04880001", "", 0x6985),
        (SLOT, &"00".repeat(32), 0x6985),
        (PRESENCE, "", 0x6985),
        ("04880301", "", 0x6A80),
        ("04DA0101", "A0", 0x6982),
        ("84F0409F", "", 0x6982),
        ("84D80011", "00", 0x6982),
        ("84FF0000", "", 0x6D00),
        ("04CA0100", "", 0x9000),
    ] {
        assert_eq!(rig.status(&mut open, header, data), status, "{header}");
    }
    assert_eq!(writes(&rig), before);
}

#[test]
fn resumed_presence_is_the_first_command_or_none() {
    let mut rig = Rig::issued();
    let key = filled(&mut rig);
    for (header, data, status) in [
        ("04CA0100", "", 0x6985),
        ("04CA0101", "", 0x6985),
        ("04880001", &"00".repeat(32), 0x6985),
        (SLOT, &"00".repeat(32), 0x6985),
        ("84F0409F", "", 0x6985),
        ("04880301", "", 0x6985),
        (PRESENCE, "00", 0x6700),
        ("84FF0000", "", 0x6D00),
        ("84860000", "", 0x6E00),
    ] {
        let mut open = resumed(&mut rig, &key);
        let before = writes(&rig);
        assert_eq!(rig.status(&mut open, header, data), status, "{header}");
        assert!(is_over(&mut rig), "{header}");
        assert_eq!(writes(&rig), before, "{header}");
    }
    // In an SCP11a channel and under SCP03.
    let mut open = rig.role(ADMIN);
    assert_eq!(rig.status(&mut open, PRESENCE, ""), 0x6985);
    assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000);
    let mut rig = Rig::blank();
    let start = rig.start.clone();
    let mut open = rig.scp03(&start);
    for header in [PRESENCE, SLOT, "04880001"] {
        assert_eq!(rig.status(&mut open, header, ""), 0x6982);
    }
}

/// RESUME is answered from SELECTED only, and every refusal ends the session.
#[test]
fn resume_is_refused_in_every_other_state() {
    let good =
        |rig: &Rig| format!("80860000 18 {}{}", hex::encode(terminal_id(rig.terminal.public())), "11".repeat(16));
    let mut rig = Rig::issued();
    let key = filled(&mut rig);
    let resume = good(&rig);
    for (apdu, status) in [
        ("80860100 18", "6A80"),
        ("80860001 18", "6A80"),
        ("80860000", "6700"),
        ("80860000 17 0000000000000000000000000000000000000000000000", "6700"),
        ("80860000 19 00000000000000000000000000000000000000000000000000", "6700"),
        ("00860000 18", "6E00"),
        ("84860000 18", "6E00"),
    ] {
        rig.select();
        let whole = if apdu.ends_with("18") { format!("{apdu}{}", "00".repeat(24)) } else { apdu.to_owned() };
        assert_eq!(rig.raw(&whole), status, "{apdu}");
        assert!(is_over(&mut rig));
    }
    // CERTIFICATE_SEEN.
    rig.select();
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    assert!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(certificate)).status.is_ok());
    assert_eq!(rig.raw(&resume), "6985");
    assert_eq!(rig.raw("80824111 00"), "6985", "the certificate is gone");
    // KEYS_AGREED, CHANNEL, RESUMED, and a resumed channel.
    rig.role(READ);
    assert_eq!(rig.raw(&resume), "6982");
    assert!(is_over(&mut rig));
    let mut open = rig.role(READ);
    rig.accept(&mut open, "04CA0100", &[]);
    assert_eq!(rig.raw(&resume), "6982");
    assert!(is_over(&mut rig));
    resumed(&mut rig, &key);
    assert_eq!(rig.raw(&resume), "6982");
    assert!(is_over(&mut rig));
    open = resumed(&mut rig, &key);
    rig.accept(&mut open, PRESENCE, &[]);
    assert_eq!(rig.raw(&resume), "6982");
    assert!(is_over(&mut rig));
    // Before ISSUED the life cycle is checked before P1 P2 and length; and after INITIALIZE UPDATE.
    let mut rig = Rig::blank();
    for apdu in [&resume[..], "80860101", "80860000"] {
        assert_eq!(rig.raw(apdu), "6985", "{apdu}");
    }
    assert!(rig.raw("80500000 08 0001020304050607").ends_with("9000"));
    assert_eq!(rig.raw(&resume), "6985");
    assert_eq!(rig.raw("84823300 10 00000000000000000000000000000000"), "6985", "the agreement is gone");
}

/// A stranger learns nothing: with a slot or without, blocked or not, the answer has one format and nothing is written;
/// and the handshake can begin right after a miss.
#[test]
fn a_stranger_sees_the_same_of_every_token() {
    let mut rig = Rig::issued();
    let strange = [9; TID];
    let mut seen = Vec::new();
    let mut ask = |rig: &mut Rig, tid: [u8; TID]| {
        let select = rig.select();
        let before = writes(rig);
        let answer = rig.send(&Resumption::begin(&tid, [1; NONCE], &select).0);
        assert_eq!((answer.status, answer.data.len(), writes(rig)), (Status::OK, 24, before));
        assert!(!seen.contains(&answer.data), "each is new");
        seen.push(answer.data);
        // Any C-MAC is refused, and nothing is written.
        assert_eq!(rig.raw("04880201 08 0000000000000000"), "6982");
        assert!(is_over(rig));
    };
    let tid = terminal_id(rig.terminal.public());
    ask(&mut rig, tid);
    filled(&mut rig);
    for _ in 0..100 {
        ask(&mut rig, tid);
        ask(&mut rig, strange);
        ask(&mut rig, [0; TID]);
    }
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, "84F0409F", &[]);
    ask(&mut rig, tid);
    let mut private = Rig::issued_private();
    ask(&mut private, tid);
    // A miss costs one exchange: the handshake follows in the same session.
    let mut rig = Rig::issued();
    let select = rig.select();
    rig.send(&Resumption::begin(&strange, [1; NONCE], &select).0);
    let certificate = Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
    assert!(rig.send(&Command::new(0x80, 0x2A, 3, 0x10).data(certificate)).status.is_ok());
}

/// No C-MAC under the decoy is valid, even if made with the decoy itself.
#[test]
fn a_miss_has_no_good_mac() {
    let mut rig = Rig::issued();
    let decoy = rig.token.state().decoy.as_ref().unwrap().0.clone();
    let mut open = resume(&mut rig, [9; TID], &[decoy]).expect("runs under the decoy");
    assert_eq!(rig.status(&mut open, PRESENCE, ""), 0x6982);
    assert!(is_over(&mut rig));
}

#[test]
fn a_slot_serves_64_times_and_not_once_more() {
    let mut rig = Rig::issued();
    let key = filled(&mut rig);
    for left in (0..USES).rev() {
        let mut open = resumed(&mut rig, &key);
        let before = writes(&rig);
        let answer = rig.accept(&mut open, PRESENCE, &[]);
        assert_eq!((answer[24..27].to_vec(), writes(&rig) - before), (vec![0x88, 1, left], 1));
        assert_eq!(rig.status(&mut open, "04CA0100", ""), 0x9000, "the session goes on");
    }
    let tid = terminal_id(rig.terminal.public());
    assert!(resume(&mut rig, tid, &[key]).is_none());
    let file = rig.token.state().to_file().unwrap();
    assert!(!String::from_utf8_lossy(&file).contains("uses_left"), "the slot is empty");
}

/// A use is counted exactly when its C-MAC is valid.
#[test]
fn a_use_is_counted_before_its_answer() {
    let mut rig = Rig::issued();
    let key = filled(&mut rig);
    resumed(&mut rig, &key);
    *rig.saved.1.lock().unwrap() = true;
    let mut open = resumed(&mut rig, &key);
    assert_eq!(rig.bytes(&mut open, PRESENCE, &[]).status.0, 0x6F00);
    *rig.saved.1.lock().unwrap() = false;
    let mut open = resumed(&mut rig, &key);
    assert_eq!(rig.accept(&mut open, PRESENCE, &[])[26], USES - 1, "what was not stored was not used");
}

#[test]
fn eight_terminals_have_a_slot_each_and_the_ninth_takes_the_first() {
    let mut rig = Rig::issued();
    let known: Vec<(KeyPair, Key128)> = (0..9)
        .map(|_| {
            rig.terminal = new_key();
            let key = filled(&mut rig);
            (rig.terminal.clone(), key)
        })
        .collect();
    let holds = |rig: &mut Rig, terminal: &KeyPair, key: &Key128| {
        resume(rig, terminal_id(terminal.public()), std::slice::from_ref(key)).is_some()
    };
    for (n, (terminal, key)) in known.iter().enumerate() {
        assert_eq!(holds(&mut rig, terminal, key), n > 0, "{n}");
    }
    // A terminal's key is useless under another's name.
    assert!(resume(&mut rig, terminal_id(known[1].0.public()), &[known[2].1.clone()]).is_none());
    // A new key of the same terminal replaces the old one, in the next place.
    rig.terminal = known[5].0.clone();
    let newer = filled(&mut rig);
    assert!(!holds(&mut rig, &known[5].0, &known[5].1));
    assert!(holds(&mut rig, &known[5].0, &newer));
    assert!(!holds(&mut rig, &known[1].0, &known[1].1), "the next place in turn was its");
    assert!(holds(&mut rig, &known[2].0, &known[2].1));
}

#[test]
fn what_was_said_once_opens_nothing_twice() {
    let mut rig = Rig::issued();
    let key = filled(&mut rig);
    let tid = terminal_id(rig.terminal.public());
    let select = rig.select();
    let nonce = [1; NONCE];
    let (command, _) = Resumption::begin(&tid, nonce, &select);
    let first = rig.send(&command);
    let messaging = |answer: &Response| {
        let card = answer.data.first_chunk().unwrap();
        Resumed::derive(&key, &nonce, card, &select).unwrap().messaging
    };
    let wrapped = messaging(&first).wrap(&Command::new(0, 0x88, 2, 1).answered(), ApduFormat::Short).unwrap();
    assert!(rig.send(&wrapped).status.is_ok());
    // Presence replayed in its own channel; and RESUME replayed with the same nonce, though the token's differs.
    assert_eq!(rig.send(&wrapped).status.0, 0x6982);
    rig.select();
    let second = rig.send(&command);
    assert_ne!(first.data, second.data);
    let before = writes(&rig);
    assert_eq!(rig.send(&wrapped).status.0, 0x6982, "in another channel");
    // The cryptogram sent back as a MAC.
    rig.select();
    let third = rig.send(&command);
    let reflected = hex::encode(&third.data[16..]);
    assert_eq!(rig.raw(&format!("04880201 08 {reflected}")), "6982");
    assert_eq!(writes(&rig), before);
}

#[test]
fn a_certificate_that_ended_resumes_nothing() {
    let mut rig = Rig::issued();
    let short = Draft { not_after: "261108000000".into(), ..Draft::new(READ, rig.terminal.public(), &rig.ca) };
    let point = rig.own_point();
    let mut open = rig.agree(&short, 0x41, &point);
    rig.accept(&mut open, SLOT, &[7; 32]);
    let key = open.resumption.clone();
    // Another terminal of the same week advances the card's date: to the last valid moment, and one second beyond.
    let (ours, other) = (rig.terminal.clone(), new_key());
    for (not_before, status) in [("261108000000", 0x9000), ("261108000001", 0x6985)] {
        rig.terminal = other.clone();
        let later = Draft { not_before: not_before.into(), ..Draft::new(READ, rig.terminal.public(), &rig.ca) };
        let mut open = rig.agree(&later, 0x41, &point);
        rig.accept(&mut open, "04CA0100", &[]);
        rig.terminal = ours.clone();
        let mut open = resumed(&mut rig, &key);
        assert_eq!(rig.status(&mut open, PRESENCE, ""), status, "{not_before}");
    }
    assert!(is_over(&mut rig));
    let tid = terminal_id(rig.terminal.public());
    assert!(resume(&mut rig, tid, &[key]).is_none(), "the slot is empty");
}

/// Each command that changes keys, state or date clears all slots, in a separate write before its own first; if
/// refused, it clears none.
#[test]
fn changes_of_keys_state_and_date_empty_the_slots() {
    let point = new_key();
    let ca = hex::encode(ca_key(4, point.public()));
    let generate = "41 F0 01 00";
    for (header, data, refused) in [
        ("84F0409F", "", "01"),
        ("84F0407F", "", "01"),
        ("84D80010", &ca[..], "04"),
        ("84F10011", generate, "42 F0 01 00"),
        ("04DA0104", "323630313031303030303030", "393930313031303030303030"),
    ] {
        let mut rig = Rig::issued();
        let key = filled(&mut rig);
        let tid = terminal_id(rig.terminal.public());
        let mut open = rig.role(ADMIN);
        rig.accept(&mut open, "04CA0100", &[]);
        let before = writes(&rig);
        assert_ne!(rig.status(&mut open, header, refused), 0x9000, "{header}");
        assert_eq!(writes(&rig), before, "{header}");
        assert!(resume(&mut rig, tid, std::slice::from_ref(&key)).is_some(), "{header}, refused");
        let mut open = rig.role(ADMIN);
        assert_eq!(rig.status(&mut open, header, data), 0x9000, "{header}");
        assert_eq!(writes(&rig) - before, 2, "{header}");
        if header != "84F0407F" {
            assert!(resume(&mut rig, tid, &[key]).is_none(), "{header}");
        }
    }
}

/// STORE DATA of a certificate, DELETE KEY, and PUT KEY of a set key; and unblocking does not restore the slot.
#[test]
fn rotation_and_unblocking_leave_no_slot() {
    let mut rig = Rig::issued_private();
    let set = rig.set.clone();
    let certificate = Draft::new(SET, set.public(), &rig.ca).sign(&rig.ca);
    let data = |open: &Open, header| match header {
        "84D80011" => set_key(2, &set, open.messaging.dek().unwrap()),
        "84E29000" => store(2, &certificate),
        "84E40000" => vec![0xD0, 1, 0x11, 0xD2, 1, 2],
        _ => Vec::new(),
    };
    let tid = terminal_id(rig.terminal.public());
    let mut last = None;
    for header in ["84D80011", "84E29000", "84E40000", "84F0409F"] {
        let key = filled(&mut rig);
        assert!(resume(&mut rig, tid, std::slice::from_ref(&key)).is_some());
        let mut open = rig.role(ADMIN);
        let data = data(&open, header);
        rig.accept(&mut open, header, &data);
        assert!(resume(&mut rig, tid, std::slice::from_ref(&key)).is_none(), "{header}");
        last = Some(key);
    }
    let mut open = rig.role(ADMIN);
    rig.accept(&mut open, "84F0401F", &[]);
    assert!(resume(&mut rig, tid, &[last.unwrap()]).is_none());
}

/// Slots survive a loss of power, and earlier releases can read the file of a token without any.
#[test]
fn slots_are_part_of_the_saved_state() {
    let mut rig = Rig::issued();
    let untouched = rig.token.state().to_file().unwrap();
    assert!(!String::from_utf8_lossy(&untouched).contains("slots"));
    let key = filled(&mut rig);
    let file = rig.token.state().to_file().unwrap();
    let state = PersistentState::from_file(&file).unwrap();
    assert_eq!(*state.to_file().unwrap(), *file);
    rig.token = SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(SystemRandom));
    resumed(&mut rig, &key);
    // The state of a release without slots and decoy answers RESUME all the same.
    let old = String::from_utf8(untouched.to_vec()).unwrap();
    let without: String = old.lines().filter(|line| !line.contains("decoy")).collect::<Vec<_>>().join("\n");
    let without = without.replace("\"arrivals\": 2,", "\"arrivals\": 2");
    let state = PersistentState::from_file(without.as_bytes()).unwrap();
    assert!(state.decoy.is_none());
    rig.token = SoftwareToken::new(state, Box::new(Recorder::default()), Box::new(SystemRandom));
    let tid = terminal_id(rig.terminal.public());
    assert!(resume(&mut rig, tid, &[key]).is_none());
}
