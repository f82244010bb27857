//! Every command in every life-cycle state and role. The rows are the table of docs/protocol.md, "Commands", and the
//! expected answers are derived here from docs/protocol.md, "Order of checks": CLA, INS, session and MAC, life cycle,
//! role, P1 P2, length, data.

use std::sync::atomic::{AtomicUsize, Ordering};

use rollcall::{card::tlv, crypto::Key128};

use crate::{
    draft::{ADMIN, Draft, ECKA, READ, WRITE, from_hex},
    terminal::{CardRig, Channel, RECORD, START, ca_key, commit, new_key, part, put_keys, set_key, store},
};

/// Cells compared, over all tests of this run.
pub static CELLS: AtomicUsize = AtomicUsize::new(0);

/// A row of the table that is sent in a channel.
pub struct Row {
    pub header: &'static str,
    /// Who may use it: R, W, A for the terminals' roles, S for SCP03.
    pub roles: &'static str,
    /// What one byte that fits none of them is answered with.
    unfit: u16,
}

const fn row(header: &'static str, roles: &'static str, unfit: u16) -> Row {
    Row { header, roles, unfit }
}

pub const ROWS: [Row; 32] = [
    row("04CA0100", "RWA", 0x6700),
    row("04CA0101", "RWA", 0x6700),
    row("04CA7F21", "RWA", 0x6700),
    row("04CABF21", "RWAS", 0x6A80),
    row("04CA0083", "RWAS", 0x6A80),
    row("04CAFF33", "RWAS", 0x6700),
    row("04CAFF34", "RWAS", 0x6700),
    row("04CA0102", "RWAS", 0x6A80),
    row("04CA0104", "RWAS", 0x6A80),
    row("04880001", "RWA", 0x6700),
    row("04880002", "RWA", 0x6A80),
    row("04B10102", "RWA", 0x6A80),
    row("04B10103", "RWA", 0x6A80),
    row("04B10101", "RWA", 0x6A80),
    row("04D70102", "WAS", 0x6A80),
    row("04D70103", "WAS", 0x6A80),
    row("04D70101", "WAS", 0x6A80),
    row("04DA0102", "WAS", 0x6A80),
    row("04DA0103", "WAS", 0x6A80),
    row("04DA0101", "WAS", 0x6A84),
    row("04DA7F21", "AS", 0x6A80),
    row("04DA0100", "S", 0x6700),
    row("04DA0104", "A", 0x6700),
    row("84D80081", "S", 0x6A80),
    row("84D80010", "AS", 0x6A80),
    row("84D80011", "AS", 0x6985),
    row("84F10011", "AS", 0x6A80),
    row("84F10021", "S", 0x6A80),
    row("84E29000", "AS", 0x6A80),
    row("84E40000", "AS", 0x6A80),
    row("84F0409F", "A", 0x6700),
    row("84F0407F", "A", 0x6700),
];

/// What would be carried out where it is allowed.
pub fn valid(rig: &CardRig, header: &str, channel: &Channel) -> Vec<u8> {
    let sealing = &channel.keys.dek;
    match &header[2..] {
        "880001" => vec![5; 32],
        "B10102" | "B10103" => from_hex("54020000"),
        "D70102" | "D70103" => part(0, b"evil"),
        "DA0102" | "DA0103" => commit(b"evil"),
        "DA0101" => RECORD.to_vec(),
        "DA7F21" => rig.identity_certificate.clone(),
        "DA0100" => vec![0; 17],
        "DA0104" => b"250101000000".to_vec(),
        "D80081" => put_keys(&Key128::new([1; 16]), sealing),
        "D80010" => ca_key(4, new_key().public()),
        "D80011" => set_key(2, &new_key(), sealing),
        "F10011" => from_hex("41F00100"),
        "F10021" => from_hex("01F00100"),
        "E29000" => store(0x41, &Draft::new(ECKA, &rig.own.unwrap(), &rig.ca).sign(&rig.ca)),
        "E40000" => from_hex("D00110D20103"),
        "CABF21" => from_hex("A60483021141"),
        "CA0083" => tlv::object(0xA6, &tlv::object(0x42, &rig.ca.public().key_identifier())),
        _ => Vec::new(),
    }
}

fn cell(what: &str, got: u16, want: u16) {
    CELLS.fetch_add(1, Ordering::Relaxed);
    assert_eq!(format!("{got:04X}"), format!("{want:04X}"), "{what}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Blank,
    Personalised,
    Issued,
    Blocked,
    Terminated,
}

const LIVES: [Life; 5] = [Life::Blank, Life::Personalised, Life::Issued, Life::Blocked, Life::Terminated];

fn rig_in(kind: &str, life: Life) -> CardRig {
    let mut rig = CardRig::blank(kind);
    if life != Life::Blank {
        let mut channel = rig.prepare(false);
        if life != Life::Personalised {
            let manifest = rig.manifest();
            rig.accept(&mut channel, "84F0401F", &manifest);
        }
    }
    match life {
        Life::Blocked => rig.set_status(0x9F),
        Life::Terminated => rig.set_status(0x7F),
        _ => {}
    }
    rig.select();
    rig
}

/// Instructions that have no meaning outside a channel.
fn needs_channel(ins: u8) -> bool {
    matches!(ins, 0x88 | 0xB1 | 0xD7 | 0xDA | 0xD8 | 0xF1 | 0xE2 | 0xE4 | 0xF0)
}

/// What the platform answers before the applet: other logical channels than the basic one, and MANAGE CHANNEL.
fn platform(cla: u8, ins: u8) -> Option<u16> {
    match (cla, ins) {
        (0x01 | 0x40, _) => Some(0x6999),
        (0xC0, _) => Some(0x6881),
        (0x00 | 0x10, 0x70) => Some(0x6C01),
        (0x04 | 0x0C | 0x14, 0x70) => Some(0x6882),
        _ => None,
    }
}

/// `CLA INS 00 00` and Le, with nothing before it but SELECT.
fn alone(life: Life, cla: u8, ins: u8) -> u16 {
    if let Some(status) = platform(cla, ins) {
        return status;
    }
    let (class, chained) = (cla & !0x10, cla & 0x10 != 0);
    if life == Life::Terminated {
        return if (cla, ins) == (0, 0xA4) { 0x6A80 } else { 0x6985 };
    }
    if !matches!(class, 0x00 | 0x04 | 0x80 | 0x84) {
        return 0x6E00;
    }
    let secured = class & 4 != 0;
    // A chained command is judged when it is complete.
    let whole = |status: u16| if chained { 0x9000 } else { status };
    let handshakes = matches!(life, Life::Issued | Life::Blocked);
    match ins {
        0xA4 if cla == 0 => 0x6A80,
        0xC0 if !chained => 0x6985,
        0x2A if class == 0x80 => whole(if handshakes { 0x6A80 } else { 0x6985 }),
        0x50 if class == 0x80 => whole(if handshakes { 0x6985 } else { 0x6700 }),
        0x82 if class == 0x80 => whole(0x6985),
        0x82 if class == 0x84 => 0x6985,
        0x86 if class == 0x80 => whole(if handshakes { 0x6700 } else { 0x6985 }),
        0xA4 | 0xC0 | 0x2A | 0x50 | 0x82 | 0x86 => 0x6E00,
        0xCA if secured => 0x6982,
        0xCA => whole(0x6A80),
        // At the first piece already.
        _ if needs_channel(ins) => 0x6982,
        _ => 0x6D00,
    }
}

case!(EachCard, table_without_a_session);
fn table_without_a_session(kind: &str) {
    let classes = [0x00, 0x80, 0x04, 0x84, 0x10, 0x90, 0x14, 0x94, 0x01, 0x0C, 0x20, 0x40, 0xC0, 0xFF];
    for life in LIVES {
        let mut rig = rig_in(kind, life);
        let select = rig.select();
        for cla in classes {
            for ins in 0..=0xFF {
                rig.select();
                let answer = rig.send(&[cla, ins, 0, 0, 0]);
                cell(&format!("{life:?} {cla:02X} {ins:02X}"), answer.sw, alone(life, cla, ins));
                assert!(answer.data.is_empty(), "{life:?} {cla:02X} {ins:02X} gives data");
            }
        }
        // The rows in plain, with otherwise valid data: without a channel none is executed.
        let nobody = Channel { keys: dead_keys(), chain: [0; 16], counter: 0 };
        let has_keys = rig.own.is_some();
        for row in ROWS.iter().filter(|row| has_keys && needs_channel(from_hex(row.header)[1])) {
            for cla in ["00", "80", "04", "84"] {
                let header = format!("{cla}{}", &row.header[2..]);
                let status = rig.plain(&header, &valid(&rig, row.header, &nobody)).sw;
                cell(&header, status, if life == Life::Terminated { 0x6985 } else { 0x6982 });
            }
        }
        assert_eq!(rig.select(), select);
    }
}

fn dead_keys() -> rollcall::channel::messaging::SessionKeys {
    let key = || Key128::new([0; 16]);
    rollcall::channel::messaging::SessionKeys { enc: key(), mac: key(), rmac: key(), dek: key() }
}

/// The roles that can have a channel, each with the life cycle state in which it can.
const CHANNELS: [(Life, char); 8] = [
    (Life::Issued, 'R'),
    (Life::Issued, 'W'),
    (Life::Issued, 'A'),
    (Life::Blocked, 'R'),
    (Life::Blocked, 'W'),
    (Life::Blocked, 'A'),
    (Life::Blank, 'S'),
    (Life::Personalised, 'S'),
];

fn open(rig: &mut CardRig, life: Life, role: char) -> Channel {
    match (role, life) {
        ('R', _) => rig.open(READ),
        ('W', _) => rig.open(WRITE),
        ('A', _) => rig.open(ADMIN),
        (_, Life::Blank) => rig.scp03(&Key128::new(START)),
        _ => {
            let keys = rig.keys.clone();
            rig.scp03(&keys)
        }
    }
}

/// The role may do something with this instruction.
fn role_has(role: char, ins: u8) -> bool {
    match ins {
        0x88 | 0xB1 => role != 'S',
        0xD7 | 0xDA => role != 'R',
        0xD8 | 0xF1 | 0xE2 | 0xE4 | 0xF0 => "AS".contains(role),
        _ => true,
    }
}

/// A command with one byte of data in a channel, P1 P2 00 00: its status, and whether the session stays.
fn inside(life: Life, role: char, cla: u8, ins: u8) -> (u16, bool) {
    let locked = life == Life::Blocked && (role != 'A' || ins == 0x88);
    match ins {
        // Under SCP03 and in a channel alike: EXTERNAL AUTHENTICATE out of turn.
        0x82 if cla == 0x84 => (0x6985, false),
        0xA4 | 0x2A | 0x50 | 0x82 | 0x86 => (0x6E00, true),
        0xCA if !locked => (0x6A80, true),
        0xCA => (0x6985, true),
        _ if !needs_channel(ins) => (0x6D00, true),
        _ if locked => (0x6985, true),
        _ if !role_has(role, ins) => (0x6982, true),
        // DELETE KEY has no other P1 P2; all of them reject the byte.
        _ => (0x6A80, true),
    }
}

case!(EachCard, table_of_instructions_in_a_channel);
fn table_of_instructions_in_a_channel(kind: &str) {
    for (life, role) in CHANNELS {
        let mut rig = rig_in(kind, life);
        let mut channel = open(&mut rig, life, role);
        for cla in [0x04, 0x84] {
            // GET RESPONSE is transport and not part of the session, and MANAGE CHANNEL belongs to the platform.
            for ins in (0..=0xFF).filter(|ins| *ins != 0xC0 && platform(cla, *ins).is_none()) {
                let (want, stays) = inside(life, role, cla, ins);
                let got = rig.status(&mut channel, &format!("{cla:02X}{ins:02X}0000"), &[0xEE]);
                cell(&format!("{life:?} {role} {cla:02X} {ins:02X}"), got, want);
                if !stays {
                    rig.assert_wiped(&mut channel, "a command out of turn");
                    channel = open(&mut rig, life, role);
                }
            }
        }
        assert_eq!(rig.status(&mut channel, "04CAFF33", &[]), if life == Life::Blank { 0x6A88 } else { 0x9000 });
    }
}

/// A row with data that is valid for no role.
fn unfit(life: Life, role: char, row: &Row) -> u16 {
    let ins = from_hex(row.header)[1];
    let open_when_blocked = ["CABF21", "CA0083", "CAFF33"].contains(&&row.header[2..]);
    if life == Life::Blocked && (role != 'A' && !open_when_blocked || ins == 0x88) {
        return 0x6985;
    }
    if !row.roles.contains(role) {
        // SET STATUS is SCP03's too: to another state than these.
        return if ins == 0xF0 && role == 'S' { 0x6985 } else { 0x6982 };
    }
    if row.header == "84F0409F" && life == Life::Blocked { 0x6985 } else { row.unfit }
}

case!(EachCard, table_of_rows_in_a_channel);
fn table_of_rows_in_a_channel(kind: &str) {
    for (life, role) in CHANNELS {
        let mut rig = rig_in(kind, life);
        let before = (life == Life::Issued).then(|| rig.snapshot());
        let mut channel = open(&mut rig, life, role);
        for row in &ROWS {
            let want = unfit(life, role, row);
            let data = if row.unfit == 0x6A84 { vec![0xEE; 121] } else { vec![0xEE] };
            let got = rig.status(&mut channel, row.header, &data);
            cell(&format!("{life:?} {role} {}", row.header), got, want);
            // If the role or the state forbids a command, it also rejects valid data.
            if (!row.roles.contains(role) || want == 0x6985) && rig.own.is_some() {
                let data = valid(&rig, row.header, &channel);
                let got = rig.status(&mut channel, row.header, &data);
                cell(&format!("{life:?} {role} {} with right data", row.header), got, want);
            }
        }
        for state in ["07", "0F", "1F", "42", "FF"] {
            let got = rig.status(&mut channel, &format!("84F040{state}"), &[0xEE]);
            cell(&format!("{life:?} {role} SET STATUS {state}"), got, status_to(life, role, state));
        }
        if let Some(before) = before {
            assert_eq!(rig.snapshot(), before);
        }
    }
}

/// SET STATUS to a state, with a byte too many.
fn status_to(life: Life, role: char, state: &str) -> u16 {
    match (role, state) {
        ('R' | 'W', _) if life == Life::Blocked => 0x6985,
        ('R' | 'W', _) => 0x6982,
        (_, "42" | "FF") => 0x6A80,
        ('S', "07") => 0x6700,
        ('S', "1F") if life == Life::Personalised => 0x6700,
        ('A', "1F") if life == Life::Blocked => 0x6700,
        _ => 0x6985,
    }
}

case!(EachCard, table_of_roles_out_of_reach);
/// The cells of roles that cannot be had in a state: their first step is refused.
fn table_of_roles_out_of_reach(kind: &str) {
    for life in LIVES {
        let mut rig = rig_in(kind, life);
        for class in [READ, WRITE, ADMIN] {
            let certificate = Draft::new(class, rig.terminal.public(), &rig.ca).sign(&rig.ca);
            let want = if matches!(life, Life::Issued | Life::Blocked) { 0x9000 } else { 0x6985 };
            cell(&format!("{life:?} certificate .{class}"), rig.verify_certificate(&certificate), want);
        }
        let want = if matches!(life, Life::Blank | Life::Personalised) { 0x9000 } else { 0x6985 };
        cell(&format!("{life:?} INITIALIZE UPDATE"), rig.plain("80500000", &[7; 8]).sw, want);
    }
}
