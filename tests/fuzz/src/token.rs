//! Sequences of commands against the virtual token, encoded in a small byte language: valid sessions of every role, and
//! everything that may go wrong around them.
//!
//! Invariants:
//! - every command has an answer, and a short one at most 258 bytes;
//! - secrets of the token never appear in an answer in clear;
//! - nothing is stored except by a command backed by a terminal's certificate and a handshake, and by a READ terminal
//!   only the date and the use counter;
//! - commands that need a session are refused outside one, and an altered or replayed command ends the session;
//! - the stored state can be loaded again, and the use counter never decreases.

mod rig;

use rig::{Rig, Sent};

use crate::input::Input;

/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut rig = Rig::new(input.byte());
    // A step costs a signature or two: this many are enough for every state.
    for _ in 0..24 {
        let Some(step) = input.more() else { break };
        take(&mut rig, step, &mut input);
    }
}

const INSTRUCTIONS: [u8; 18] =
    [0xCA, 0xB1, 0x88, 0xDA, 0xD7, 0xD8, 0xF1, 0xE2, 0xE4, 0xF0, 0xA4, 0xC0, 0x2A, 0x82, 0x50, 0x20, 0x70, 0xFF];
const NAMES: [u16; 32] = [
    0x0100, 0x0101, 0x0102, 0x0103, 0x0104, 0x7F21, 0xBF21, 0x0083, 0xFF33, 0xFF34, 0x0001, 0x9000, 0x0000, 0x4007,
    0x400F, 0x401F, 0x409F, 0x407F, 0x0081, 0x0010, 0x0011, 0x0021, 0x0310, 0x8310, 0x4111, 0x3300, 0x0400, 0x0111,
    0x8101, 0x8102, 0x0310, 0x4211,
];
/// Data objects of the protocol, right and nearly right.
const WORDS: [&str; 16] = [
    "",
    "00",
    "54020000",
    "540200005302AABB",
    "80020002",
    "A60483021141",
    "A60483021101",
    "41F00100",
    "01F00100",
    "D00110D20103",
    "D00111D20102",
    "D00111D20141",
    "A2016161026162",
    "323631313031303030303030",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "5402000053020707",
];
const CLASSES: [u8; 8] = [0x00, 0x04, 0x80, 0x84, 0x10, 0x90, 0x14, 0x94];

fn take(rig: &mut Rig, step: u8, input: &mut Input<'_>) {
    match step % 16 {
        0 => drop(rig.send(input.run(), Sent::Unproved)),
        1 | 2 => plain(rig, input),
        3 => rig.reset(),
        4 => rig.select(),
        5..=7 => {
            let (role, set) = (1 + input.byte() % 3, input.byte() & 1 == 1);
            rig.open(role, set);
        }
        8 => rig.enroll(),
        9 => rig.open_with_bent_certificate(input),
        10 => rig.agree_alone(input),
        11 => rig.replay(),
        12 => {
            let (command, extended) = secured(input);
            rig.bent(&command, extended, input);
        }
        _ => {
            let (command, extended) = secured(input);
            rig.secure(&command, extended);
        }
    }
}

type Whole = ([u8; 4], Vec<u8>);

fn plain(rig: &mut Rig, input: &mut Input<'_>) {
    let cla = input.pick(&CLASSES);
    let extended = input.byte() & 7 == 7;
    let ([_, ins, p1, p2], data) = command(input);
    let mut apdu = vec![cla, ins, p1, p2];
    match u8::try_from(data.len()) {
        Ok(0) if !extended => apdu.push(0),
        Ok(length) if !extended => apdu.push(length),
        _ => apdu.extend([&[0][..], &u16::try_from(data.len()).expect("short").to_be_bytes()].concat()),
    }
    apdu.extend(data);
    rig.send(&apdu, Sent::Unproved);
}

fn secured(input: &mut Input<'_>) -> (Whole, bool) {
    let extended = input.byte() & 7 == 7;
    (command(input), extended)
}

fn command(input: &mut Input<'_>) -> Whole {
    let ins = input.pick(&INSTRUCTIONS);
    let choice = input.byte();
    let [p1, p2] =
        if choice == 0xFF { [input.byte(), input.byte()] } else { NAMES[usize::from(choice) % 32].to_be_bytes() };
    let data = match input.byte() {
        word @ 0..0xC0 => hex::decode(WORDS[usize::from(word) % WORDS.len()]).expect("hexadecimal"),
        0xC0..0xE0 => input.run().to_vec(),
        0xE0..0xF0 => input.long_run()[..].iter().copied().take(530).collect(),
        n => vec![n; 480 + usize::from(n & 0x0F) * 4],
    };
    ([0x80, ins, p1, p2], data)
}
