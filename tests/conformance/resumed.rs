//! The fast tap under attack: without the slot's key an attacker gets nothing, and with it may read but no more. Keys
//! are derived here independently, from docs/protocol.md, "The fast tap".

use std::sync::Arc;

use rollcall::{
    card::tlv::TlvReader,
    channel::messaging::SessionKeys,
    crypto::{Key128, ec::Point, kdf, random, random::SystemRandom, sha256},
};

use crate::{
    draft::{ADMIN, READ, WRITE, from_hex},
    guard::refused,
    table::{ROWS, valid},
    terminal::{CardRig, Channel, START, apdus, new_key, padded},
};

const PROVE_WITH_SLOT: &str = "04880101";
const PRESENCE: &str = "04880201";
const USES: u8 = 64;

fn bytes<const N: usize>() -> [u8; N] {
    random::bytes(&mut SystemRandom).unwrap()
}

/// The terminal's name in RESUME.
fn tid(point: &Point) -> [u8; 8] {
    sha256(&[point.as_bytes()])[..8].try_into().unwrap()
}

/// What RESUME led to.
struct Resume {
    /// Whether the card's cryptogram is that of the key.
    known: bool,
    channel: Channel,
    /// What was sent and answered.
    dialogue: (Vec<u8>, Vec<u8>),
}

impl CardRig {
    /// A full tap of this class that leaves a slot; its key.
    fn filled(&mut self, class: u8) -> Arc<Key128> {
        let mut channel = self.agreed(class);
        self.accept(&mut channel, PROVE_WITH_SLOT, &[5; 32]);
        self.resumption.clone().expect("a key agreement")
    }

    /// SELECT and RESUME under this name and key.
    fn resume_as(&mut self, tid: [u8; 8], key: &Key128) -> Resume {
        self.resume_bent(tid, key, None)
    }

    /// The same; somebody between turns this bit of what the terminal sends over.
    fn resume_bent(&mut self, tid: [u8; 8], key: &Key128, bit: Option<usize>) -> Resume {
        let select = self.select();
        let request = [&tid[..], &bytes::<16>()].concat();
        let mut sent = request.clone();
        if let Some(bit) = bit {
            sent[bit / 8] ^= 1 << (bit % 8);
        }
        let answer = self.plain("80860000", &sent);
        assert_eq!((answer.sw, answer.data.len()), (0x9000, 24));
        let (card, cryptogram) = answer.data.split_at(16);
        let nonces = [&request[8..], card].concat();
        let derived = |constant, context: &[u8]| kdf::scp03_block(key, constant, 128, context).unwrap();
        let chain = derived(0x42, &[&nonces, &select[..]].concat());
        let [enc, mac, rmac] = [0x44, 0x46, 0x47].map(|constant| Key128::new(derived(constant, &nonces)));
        // There is no DEK: anything encrypted under one is meaningless to the card.
        let keys = SessionKeys { enc, mac, rmac, dek: Key128::new([0; 16]) };
        let channel = Channel { keys, chain, counter: 0 };
        Resume { known: chain[..8] == *cryptogram, channel, dialogue: (request, answer.data) }
    }

    fn resume(&mut self, key: &Key128) -> Resume {
        let tid = tid(self.terminal.public());
        self.resume_as(tid, key)
    }

    /// A channel that is open for reading, and the uses that are left.
    fn resumed(&mut self, key: &Key128) -> (Channel, u8) {
        let Resume { known, mut channel, .. } = self.resume(key);
        assert!(known, "the card has no slot with this key");
        let answer = self.accept(&mut channel, PRESENCE, &[]);
        let mut reader = TlvReader::new(&answer);
        assert_eq!(reader.value(0x83).unwrap(), self.id);
        reader.array::<4>(0x80).unwrap();
        let [left] = reader.array(0x88).unwrap();
        assert_eq!(reader.value(0x53).unwrap().len(), 120);
        reader.end().unwrap();
        (channel, left)
    }

    /// Asserts that this key no longer works, whatever is sent under it.
    fn assert_no_slot(&mut self, tid: [u8; 8], key: &Key128, what: &str) {
        let resume = self.resume_as(tid, key);
        self.assert_no_channel(resume, what);
    }

    fn assert_no_channel(&mut self, resume: Resume, what: &str) {
        let Resume { known, mut channel, .. } = resume;
        assert!(!known, "{what}: the card holds the key");
        let status = self.chain(&channel.command(PRESENCE, &[])).sw;
        refused(what, status, 0x6982);
        self.assert_no_session(what);
    }
}

case!(EachCard, a_resumed_channel_reads_and_no_more);
/// Whatever the certificate of the full tap says.
fn a_resumed_channel_reads_and_no_more(kind: &str) {
    let mut rig = CardRig::issued(kind);
    for class in [READ, WRITE, ADMIN] {
        let before = rig.snapshot(); // sets the date, which ends every slot
        let key = rig.filled(class);
        let (mut channel, _) = rig.resumed(&key);
        for row in &ROWS {
            let data = valid(&rig, row.header, &channel);
            let answer = rig.secure(&mut channel, row.header, &data);
            let what = format!("{} of class {class}", row.header);
            match (row.header, row.roles.contains('R')) {
                ("04880001", _) => refused(&what, answer.sw, 0x6985),
                ("04880002", _) => refused(&what, answer.sw, 0x6A80),
                (_, true) => assert!(![0x6982, 0x6985].contains(&answer.sw), "{what}: {:04X}", answer.sw),
                (_, false) => refused(&what, answer.sw, 0x6982),
            }
            assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000, "{what}: the session stays");
        }
        for (header, data) in [(PROVE_WITH_SLOT, &[5; 32][..]), (PROVE_WITH_SLOT, &[]), (PRESENCE, &[])] {
            let status = rig.status(&mut channel, header, data);
            refused(header, status, 0x6985);
        }
        assert_eq!(rig.accept(&mut channel, "04CA0101", &[]), crate::terminal::RECORD);
        assert_eq!(rig.snapshot(), before);
    }
}

case!(EachCard, presence_comes_first_and_nothing_else_does);
fn presence_comes_first_and_nothing_else_does(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let key = rig.filled(ADMIN);
    let wiped = |rig: &mut CardRig, what: &str, want: u16, bend: &dyn Fn(&mut CardRig, &mut Channel) -> u16| {
        let Resume { known, mut channel, .. } = rig.resume(&key);
        assert!(known, "{what}: the slot is gone");
        let mut right = channel.clone();
        let status = bend(rig, &mut channel);
        refused(what, status, want);
        rig.assert_wiped(&mut channel, what);
        let status = rig.chain(&right.command(PRESENCE, &[])).sw;
        refused(what, status, 0x6982);
        rig.assert_no_session(what);
    };
    for row in &ROWS {
        wiped(&mut rig, row.header, 0x6985, &|rig, channel| {
            let data = valid(rig, row.header, channel);
            rig.chain(&channel.command(row.header, &data)).sw
        });
    }
    for (header, want) in [("04200000", 0x6D00), (PROVE_WITH_SLOT, 0x6985)] {
        wiped(&mut rig, header, want, &|rig, channel| rig.chain(&channel.command(header, &[5; 32])).sw);
    }
    wiped(&mut rig, "presence with data", 0x6700, &|rig, channel| rig.chain(&channel.command(PRESENCE, &[0])).sw);
    let header: [u8; 4] = from_hex(PRESENCE).try_into().unwrap();
    wiped(&mut rig, "padding", 0x6982, &|rig, channel| {
        channel.counter += 1;
        let sealed = channel.encrypt(&[0; 16]);
        let data = channel.finish(header, sealed);
        rig.chain(&apdus(header, &data)).sw
    });
    for bit in 0..64 {
        wiped(&mut rig, &format!("bit {bit} of the C-MAC"), 0x6982, &|rig, channel| {
            let mut data = channel.seal(header, &[]);
            data[bit / 8] ^= 1 << (bit % 8);
            rig.chain(&apdus(header, &data)).sw
        });
    }
    for other in ["00CA0100", "80860000", "80CA0100"] {
        wiped(&mut rig, other, 0x6982, &|rig, _| rig.plain(other, &[]).sw);
    }
    assert_eq!(rig.resumed(&key).1, USES - 1, "none of this has cost a use");
    // An encrypted empty block is no data.
    let Resume { mut channel, .. } = rig.resume(&key);
    channel.counter += 1;
    let sealed = channel.encrypt(&padded(&[]));
    let data = channel.finish(header, sealed);
    let answer = rig.chain(&apdus(header, &data));
    assert_eq!(channel.open(&answer).unwrap().sw, 0x9000);
}

case!(EachCard, without_the_key_nothing_comes_of_resume);
fn without_the_key_nothing_comes_of_resume(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let ours = tid(rig.terminal.public());
    rig.assert_no_slot(ours, &Key128::new(bytes()), "before any slot");
    let key = rig.filled(READ);
    rig.assert_no_slot(ours, &Key128::new(bytes()), "a slot, and another key");
    for bit in [0, 63] {
        let mut other = ours;
        other[bit / 8] ^= 1 << (bit % 8);
        rig.assert_no_slot(other, &key, "the key, and another name");
    }
    // Another terminal fills its own slot: neither key works for the other.
    let first = std::mem::replace(&mut rig.terminal, new_key());
    let second = rig.filled(READ);
    let theirs = tid(rig.terminal.public());
    rig.assert_no_slot(theirs, &key, "another terminal's name");
    rig.assert_no_slot(ours, &second, "another terminal's key");
    assert_eq!(rig.resumed(&second).1, USES - 1);
    rig.terminal = first;
    assert_eq!(rig.resumed(&key).1, USES - 1);
    // A full tap replaces the earlier slot.
    let newer = rig.filled(READ);
    rig.assert_no_slot(ours, &key, "the key of the tap before");
    assert_eq!(rig.resumed(&newer).1, USES - 1);
}

case!(EachCard, no_bit_of_resume_may_change);
/// Terminal and card agree on every bit of the name and of the terminal's number, or on nothing.
fn no_bit_of_resume_may_change(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let key = rig.filled(READ);
    let ours = tid(rig.terminal.public());
    for bit in 0..192 {
        let resume = rig.resume_bent(ours, &key, Some(bit));
        rig.assert_no_channel(resume, &format!("bit {bit} of RESUME"));
    }
    assert_eq!(rig.resumed(&key).1, USES - 1, "none of this has cost a use");
}

case!(EachCard, a_dialogue_that_was_heard_is_of_no_use);
fn a_dialogue_that_was_heard_is_of_no_use(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let key = rig.filled(READ);
    let Resume { mut channel, dialogue: (request, answer), .. } = rig.resume(&key);
    let presence = channel.command(PRESENCE, &[]);
    assert_eq!(rig.chain(&presence).sw, 0x9000);
    let read = channel.command("04CA0101", &[]);
    assert_eq!(rig.chain(&read).sw, 0x9000);
    for replayed in [&presence, &read] {
        rig.select();
        let again = rig.plain("80860000", &request);
        assert_eq!(again.sw, 0x9000);
        assert_ne!(again.data[..16], answer[..16], "the card's number is new each time");
        assert_ne!(again.data[16..], answer[16..]);
        let status = rig.chain(replayed).sw;
        refused("a replay in another channel", status, 0x6982);
        rig.assert_no_session("a replay in another channel");
    }
    // In the same channel, too, and the cryptogram for a number of the terminal's.
    let (_, left) = rig.resumed(&key);
    assert_eq!(left, USES - 2, "replays cost nothing");
    let Resume { mut channel, .. } = rig.resume(&key);
    let presence = channel.command(PRESENCE, &[]);
    assert_eq!(rig.chain(&presence).sw, 0x9000);
    let status = rig.chain(&presence).sw;
    refused("a replay in the same channel", status, 0x6982);
    let reflected = [&request[..8], &answer[..16]].concat();
    rig.select();
    assert_ne!(rig.plain("80860000", &reflected).data[16..], answer[16..]);
}

case!(EachCard, a_slot_serves_64_times_and_not_once_more);
fn a_slot_serves_64_times_and_not_once_more(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let key = rig.filled(READ);
    for left in (0..USES).rev() {
        assert_eq!(rig.resumed(&key).1, left);
    }
    let ours = tid(rig.terminal.public());
    rig.assert_no_slot(ours, &key, "the 65th time");
}

case!(EachCard, what_changes_a_token_ends_its_slots);
fn what_changes_a_token_ends_its_slots(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let ours = tid(rig.terminal.public());
    let later = "250101000000";
    for (what, header) in [
        ("blocked", "84F0409F"),
        ("date", "04DA0104"),
        ("CA key", "84D80010"),
        ("own key", "84F10011"),
        ("deleted", "84E40000"),
    ] {
        let key = rig.filled(ADMIN);
        // A rejected command ends no resumption.
        let mut channel = rig.agreed(READ);
        let data = valid(&rig, header, &channel);
        let status = rig.status(&mut channel, header, &data);
        refused(what, status, 0x6982);
        rig.resumed(&key);
        let mut channel = rig.agreed(ADMIN);
        let data = match header {
            "04DA0104" => later.as_bytes().to_vec(),
            "84F0409F" => Vec::new(),
            // The key that was put before.
            "84E40000" => from_hex("D00110D20104"),
            _ => valid(&rig, header, &channel),
        };
        let answer = rig.secure(&mut channel, header, &data);
        assert_eq!(answer.sw, 0x9000, "{what}");
        if header == "84F0409F" {
            // A blocked token answers RESUME like any other, but nothing after that.
            rig.assert_no_slot(ours, &key, "blocked");
            rig.set_status(0x1F);
        }
        rig.assert_no_slot(ours, &key, what);
    }
    rig.filled(ADMIN);
    let mut channel = rig.agreed(ADMIN);
    assert_eq!(rig.secure(&mut channel, "84F0407F", &[]).sw, 0x9000);
    refused("terminated", rig.plain("80860000", &[&ours[..], &[0x11; 16]].concat()).sw, 0x6985);
}

case!(EachCard, resume_is_judged_in_its_order);
fn resume_is_judged_in_its_order(kind: &str) {
    let good = [0x11; 24];
    let mut rig = CardRig::blank(kind);
    refused("before ISSUED", rig.plain("80860000", &good).sw, 0x6985);
    let mut channel = rig.scp03(&Key128::new(START));
    for header in [PROVE_WITH_SLOT, PRESENCE, "04880001"] {
        let status = rig.status(&mut channel, header, &[5; 32]);
        refused(header, status, 0x6982);
    }
    let mut rig = CardRig::issued(kind);
    for (header, data, want) in [
        ("80860001", &good[..], 0x6A80),
        ("80860100", &good, 0x6A80),
        ("80860100", &good[..1], 0x6A80),
        ("80860000", &good[..23], 0x6700),
        ("80860000", &[0x11; 25], 0x6700),
        ("80860000", &[], 0x6700),
        ("00860000", &good, 0x6E00),
        ("84860000", &good, 0x6E00),
    ] {
        rig.select();
        let status = rig.plain(header, data).sw;
        refused(&format!("{header} and {} bytes", data.len()), status, want);
        rig.assert_no_session(header);
    }
    rig.agreed(READ);
    refused("with keys agreed", rig.plain("80860000", &good).sw, 0x6982);
    rig.assert_no_session("RESUME with keys agreed");
    let mut channel = rig.open(READ);
    refused("in a channel", rig.plain("80860000", &good).sw, 0x6982);
    rig.assert_wiped(&mut channel, "RESUME in a channel");
    // In the channel of a full tap presence is rejected, and a slot requires a full nonce.
    let mut channel = rig.open(READ);
    for (header, data, want) in [(PRESENCE, &[][..], 0x6985), (PROVE_WITH_SLOT, &[5; 31], 0x6700)] {
        let status = rig.status(&mut channel, header, data);
        refused(header, status, want);
    }
    assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000);
}
