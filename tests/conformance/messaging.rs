//! Secure messaging: MACs, padding and order. Any failure wipes the session, so that a correct command then comes too
//! late.

use rollcall::{card::apdu::CHAINING, crypto::Key128};

use crate::{
    draft::{ADMIN, READ, WRITE, from_hex},
    guard::{ATTACKS, refused},
    terminal::{CardRig, Channel, apdus, commit, padded, part},
};

const HEARTBEAT: [u8; 4] = [4, 0xCA, 1, 0];
/// WRITE's row that would show: a new record.
const PUT_RECORD: [u8; 4] = [4, 0xDA, 1, 1];
const EVIL: [u8; 7] = [0xA2, 1, 0x61, b'e', 2, 0x61, b'v'];

/// What a bent command does: sends it in a channel that is made for it; the status, and the command as it should be.
type Bend<'a> = &'a dyn Fn(&mut CardRig, &mut Channel) -> u16;

/// A change to the terminal's keys, and what it is called.
type Swap<'a> = (&'a str, &'a dyn Fn(&mut Channel));

/// The bent command is refused with this status, and the session is wiped, before the first C-MAC and after it: neither
/// the right command of before is taken, nor the next one if the card went on with the C-MAC of the bent one.
fn wiped(rig: &mut CardRig, what: &str, want: u16, bend: Bend<'_>) {
    for (first, goes_on) in [(true, false), (true, true), (false, false), (false, true)] {
        let mut channel = if first { rig.agreed(ADMIN) } else { rig.open(ADMIN) };
        let mut right = channel.clone();
        let status = bend(rig, &mut channel);
        refused(what, status, want);
        rig.assert_wiped(if goes_on { &mut channel } else { &mut right }, what);
        rig.assert_no_session(what);
    }
}

fn untouched(kind: &str, attack: impl Fn(&mut CardRig)) {
    let mut rig = CardRig::issued(kind);
    let (before, count) = (rig.snapshot(), rig.count());
    attack(&mut rig);
    assert_eq!(rig.snapshot(), before, "something was written");
    assert_eq!(rig.count(), count + 1, "a proof was made");
}

case!(EachCard, mac_of_a_command_flipped);
fn mac_of_a_command_flipped(kind: &str) {
    untouched(kind, |rig| {
        for bit in 0..64 {
            wiped(rig, &format!("bit {bit} of the C-MAC"), 0x6982, &|rig, channel| {
                let mut data = channel.seal(PUT_RECORD, &EVIL);
                let at = data.len() - 8 + bit / 8;
                data[at] ^= 1 << (bit % 8);
                rig.chain(&apdus(PUT_RECORD, &data)).sw
            });
        }
    });
}

case!(EachCard, command_under_a_mac_changed);
fn command_under_a_mac_changed(kind: &str) {
    untouched(kind, |rig| {
        for bit in 0..128 {
            wiped(rig, &format!("bit {bit} of the data"), 0x6982, &|rig, channel| {
                let mut data = channel.seal(PUT_RECORD, &EVIL);
                data[bit / 8] ^= 1 << (bit % 8);
                rig.chain(&apdus(PUT_RECORD, &data)).sw
            });
        }
        // The header is under the MAC: a read does not become a write, nor one object another.
        for (what, header) in [
            ("CLA", [0x84, 0xCA, 1, 0]),
            ("INS", [4, 0xDA, 1, 0]),
            ("P1", [4, 0xCA, 0, 0]),
            ("P2", [4, 0xCA, 1, 1]),
            ("P2, identity certificate", [4, 0xCA, 0x7F, 0x21]),
            ("SET STATUS TERMINATED", [0x84, 0xF0, 0x40, 0x7F]),
        ] {
            wiped(rig, what, 0x6982, &|rig, channel| {
                let data = channel.seal(HEARTBEAT, &[]);
                rig.chain(&apdus(header, &data)).sw
            });
        }
        wiped(rig, "the length in the MAC", 0x6982, &|rig, channel| {
            let mut data = channel.seal(HEARTBEAT, &[]);
            data.extend_from_slice(&[0; 16]);
            rig.chain(&apdus(HEARTBEAT, &data)).sw
        });
    });
}

case!(EachCard, mac_cut_or_lengthened);
fn mac_cut_or_lengthened(kind: &str) {
    untouched(kind, |rig| {
        for length in 0..8 {
            wiped(rig, &format!("{length} bytes of a MAC"), 0x6982, &|rig, channel| {
                let data = channel.seal(HEARTBEAT, &[]);
                rig.chain(&apdus(HEARTBEAT, &data[..length])).sw
            });
        }
        wiped(rig, "a MAC of 16 bytes", 0x6982, &|rig, channel| {
            channel.seal(HEARTBEAT, &[]);
            let full = channel.chain;
            rig.chain(&apdus(HEARTBEAT, &full)).sw
        });
        wiped(rig, "no data", 0x6982, &|rig, _| rig.raw("04CA010000"));
        wiped(rig, "in an extended APDU, the short one's MAC", 0x6982, &|rig, channel| {
            let data = channel.seal(HEARTBEAT, &[]);
            rig.send(&[&HEARTBEAT[..], &[0, 0, 8], &data, &[0, 0]].concat()).sw
        });
    });
}

case!(EachCard, padding_bent);
fn padding_bent(kind: &str) {
    let zeros = [0; 16];
    let two = [&[0x80][..], &[0; 31]].concat();
    let early = [&EVIL[..], &[0x80], &[0; 24]].concat();
    let none = [1; 16];
    let other = [&EVIL[..], &[1], &[0; 8]].concat();
    let blocks: [(&str, &[u8]); 5] = [
        ("nothing but zeros", &zeros),
        ("a whole block of zeros behind", &two),
        ("the mark in the block before the last", &early),
        ("no mark", &none),
        ("another mark", &other),
    ];
    untouched(kind, |rig| {
        for (what, plain) in blocks {
            wiped(rig, what, 0x6982, &|rig, channel| {
                channel.counter += 1;
                let sealed = channel.encrypt(plain);
                let data = channel.finish(PUT_RECORD, sealed);
                rig.chain(&apdus(PUT_RECORD, &data)).sw
            });
        }
        for length in [1, 7, 8, 15, 17, 31] {
            wiped(rig, &format!("{length} bytes of cipher text"), 0x6982, &|rig, channel| {
                channel.counter += 1;
                let data = channel.finish(PUT_RECORD, vec![0x5A; length]);
                rig.chain(&apdus(PUT_RECORD, &data)).sw
            });
        }
        // The ICV depends on the counter: data encrypted for another position does not decrypt correctly.
        for counter in [0, 2, 3, 100] {
            let mut channel = rig.agreed(WRITE);
            channel.counter = counter;
            let sealed = channel.encrypt(&padded(&part(0, &[1; 8])));
            channel.counter = 1;
            let data = channel.finish([4, 0xD7, 1, 2], sealed);
            let status = rig.chain(&apdus([4, 0xD7, 1, 2], &data)).sw;
            ATTACKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!([0x6982, 0x6A80].contains(&status), "counter {counter}: {status:04X}");
        }
    });
}

case!(EachCard, commands_replayed_dropped_reordered_reflected);
fn commands_replayed_dropped_reordered_reflected(kind: &str) {
    untouched(kind, |rig| {
        let replay = |rig: &mut CardRig, back: usize| {
            let mut channel = rig.open(ADMIN);
            let sent: Vec<_> = (0..=back).map(|_| channel.command("04CA0100", &[])).collect();
            for apdus in &sent {
                assert_eq!(rig.chain(apdus).sw, 0x9000);
            }
            let status = rig.chain(&sent[0]).sw;
            refused(&format!("the command {back} back, again"), status, 0x6982);
            rig.assert_wiped(&mut channel, "a replay");
        };
        for back in 0..4 {
            replay(rig, back);
        }
        wiped(rig, "a command dropped", 0x6982, &|rig, channel| {
            channel.command("04CA0100", &[]);
            rig.chain(&channel.command("04CA0101", &[])).sw
        });
        wiped(rig, "the second before the first", 0x6982, &|rig, channel| {
            let _first = channel.command("04CA0100", &[]);
            let second = channel.command("04CA0100", &[]);
            rig.chain(&second).sw
        });
        for header in ["04CA0101", "04DA0101"] {
            let mut channel = rig.open(ADMIN);
            let answer = rig.chain(&channel.command("04CA0101", &[]));
            assert_eq!(answer.sw, 0x9000);
            let status = rig.plain(header, &answer.data).sw;
            refused("an answer sent back", status, 0x6982);
            rig.assert_wiped(&mut channel, "an answer sent back");
        }
        // A command recorded in one session, replayed at the same position of another with the same certificate.
        let mut channel = rig.agreed(ADMIN);
        let recorded = channel.command("04DA0101", &EVIL);
        let mut channel = rig.agreed(ADMIN);
        let status = rig.chain(&recorded).sw;
        refused("of another session, in the same place", status, 0x6982);
        rig.assert_wiped(&mut channel, "of another session");
    });
}

case!(EachCard, two_terminals_interleaved);
fn two_terminals_interleaved(kind: &str) {
    untouched(kind, |rig| {
        let mut first = rig.open(READ);
        let mut second = rig.open(ADMIN);
        let status = rig.chain(&first.command("04CA0100", &[])).sw;
        refused("the first terminal, once the second has opened", status, 0x6982);
        rig.assert_wiped(&mut second, "the second one's session too");
        let mut first = rig.open(WRITE);
        let third = crate::draft::Draft::new(READ, rig.terminal.public(), &rig.ca).sign(&rig.ca);
        assert_eq!(rig.verify_certificate(&third), 0x9000, "a certificate in the middle begins anew");
        rig.assert_wiped(&mut first, "the first one's");
        let mut first = rig.open(WRITE);
        let agreed = rig.agreed(READ);
        let status = rig.chain(&first.command("04DA0101", &EVIL)).sw;
        refused("a writer in a reader's session", status, 0x6982);
        rig.assert_wiped(&mut agreed.clone(), "the reader's");
    });
}

case!(EachCard, plain_commands_in_a_channel);
fn plain_commands_in_a_channel(kind: &str) {
    let plain = [
        "00CABF2106A6048302114100",
        "80CABF2106A6048302114100",
        "00CAFF3300",
        "00CAFF3400",
        "00CA010000",
        "00CA010100",
        "80CA010100",
        "00B1010204 54020000 00",
        "00DA010107 A2016165026176",
        "80DA010107 A2016165026176",
        "00D7010207 54020000530101",
        "80F0409F",
        "80F0407F00",
        "00880001 20 0505050505050505050505050505050505050505050505050505050505050505 00",
        "80D80010 01 03",
        "80F10011 04 41F00100 00",
        "80E29000 01 A6",
        "80E40000 06 D00110D20103",
        "8082411100",
        "10CA010000",
    ];
    untouched(kind, |rig| {
        for apdu in plain {
            wiped(rig, apdu, 0x6982, &|rig, _| rig.raw(apdu));
        }
        // CLA and INS come first in the order of checks; the session still ends.
        for (apdu, want) in
            [("0020000000", 0x6D00), ("8001000000", 0x6D00), ("20CA010000", 0x6E00), ("0CCA010000", 0x6E00)]
        {
            wiped(rig, apdu, want, &|rig, _| rig.raw(apdu));
        }
        for apdu in ["80500000080001020304050607", "848233001000000000000000000000000000000000"] {
            wiped(rig, apdu, 0x6985, &|rig, _| rig.raw(apdu));
        }
        // GET RESPONSE is transport, whatever its class.
        for cla in ["00", "04", "80", "84"] {
            let mut channel = rig.open(READ);
            let status = rig.raw(&format!("{cla}C0000000"));
            refused("GET RESPONSE with nothing waiting", status, 0x6985);
            assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000, "the session stays");
        }
    });
}

case!(EachCard, every_answer_carries_its_mac);
fn every_answer_carries_its_mac(kind: &str) {
    let mut rig = CardRig::issued(kind);
    let mut channel = rig.open(ADMIN);
    let mut seen = std::collections::BTreeSet::new();
    let commands: [(&str, Vec<u8>); 9] = [
        ("04CA0100", vec![]),
        ("04CA0101", vec![]),
        ("04CA7F21", vec![]),
        ("04CAFF33", vec![]),
        ("04CA0100", vec![]),
        ("04D70102", part(0, &[1; 20])),
        ("04DA0102", commit(&[1; 20])),
        ("04B10102", from_hex("54020000")),
        ("04880001", vec![5; 32]),
    ];
    for (header, data) in commands {
        let answer = rig.chain(&channel.command(header, &data));
        assert_eq!(answer.sw, 0x9000, "{header}");
        channel.open(&answer).unwrap_or_else(|fault| panic!("{header}: {fault}"));
        // Eight bytes of MAC, and encrypted whole blocks before it: an empty answer has a MAC too.
        assert_eq!((answer.data.len() - 8) % 16, 0, "{header}");
        assert!(seen.insert(answer.data), "{header}: the same answer twice");
    }
    // An error status carries nothing, and the session stays.
    for header in ["04CA9999", "04880002", "84FF0000"] {
        let answer = rig.chain(&channel.command(header, &[]));
        assert_ne!(answer.sw, 0x9000);
        assert!(answer.data.is_empty(), "{header}");
    }
    assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000);
}

case!(EachCard, keys_of_a_session_are_its_own);
fn keys_of_a_session_are_its_own(kind: &str) {
    untouched(kind, |rig| {
        let swaps: [Swap<'_>; 5] = [
            ("S-ENC for S-MAC", &|c| c.keys.mac = c.keys.enc.clone()),
            ("S-RMAC for S-MAC", &|c| c.keys.mac = c.keys.rmac.clone()),
            ("DEK for S-MAC", &|c| c.keys.mac = c.keys.dek.clone()),
            ("zeros for S-MAC", &|c| c.keys.mac = Key128::new([0; 16])),
            ("a chaining value of zeros", &|c| c.chain = [0; 16]),
        ];
        for (what, swap) in swaps {
            wiped(rig, what, 0x6982, &|rig, channel| {
                swap(channel);
                rig.chain(&channel.command("04CA0100", &[])).sw
            });
        }
    });
}

case!(EachCard, chains_that_are_odd);
fn chains_that_are_odd(kind: &str) {
    untouched(kind, |rig| {
        let data = |channel: &mut Channel| channel.seal(PUT_RECORD, &EVIL);
        let piece = |header: [u8; 4], data: &[u8], more: bool| {
            let cla = header[0] | if more { CHAINING } else { 0 };
            [&[cla, header[1], header[2], header[3], u8::try_from(data.len()).unwrap()][..], data].concat()
        };
        for (what, last) in [
            ("another CLA", [0x84, 0xDA, 1, 1]),
            ("another INS", [4, 0xD7, 1, 1]),
            ("another P1", [4, 0xDA, 0, 1]),
            ("another P2", [4, 0xDA, 1, 2]),
            ("heartbeat in the middle", HEARTBEAT),
            ("plain", [0, 0xDA, 1, 1]),
            ("plain GET DATA", [0, 0xCA, 0xFF, 0x33]),
        ] {
            wiped(rig, what, 0x6883, &|rig, channel| {
                let data = data(channel);
                assert_eq!(rig.send(&piece(PUT_RECORD, &data[..10], true)).sw, 0x9000);
                rig.send(&piece(last, &data[10..], false)).sw
            });
        }
        wiped(rig, "an extended piece with the chaining bit", 0x6883, &|rig, channel| {
            let data = data(channel);
            rig.send(&[&[0x14, 0xDA, 1, 1, 0, 0, 10][..], &data[..10]].concat()).sw
        });
        wiped(rig, "an extended last piece", 0x6883, &|rig, channel| {
            let data = data(channel);
            assert_eq!(rig.send(&piece(PUT_RECORD, &data[..10], true)).sw, 0x9000);
            rig.send(&[&[4, 0xDA, 1, 1, 0, 0, 14][..], &data[10..]].concat()).sw
        });
        wiped(rig, "a plain piece in a channel", 0x6982, &|rig, _| rig.raw("10DA0101 01 A2"));
        wiped(rig, "an unknown INS in the middle", 0x6D00, &|rig, channel| {
            let data = data(channel);
            assert_eq!(rig.send(&piece(PUT_RECORD, &data[..10], true)).sw, 0x9000);
            rig.raw("0420000000")
        });
        // A chain interrupted by GET RESPONSE, and one with empty pieces, stay intact.
        let mut channel = rig.open(WRITE);
        let data = channel.seal([4, 0xD7, 1, 3], &part(0, &[1; 3]));
        let header = [4, 0xD7, 1, 3];
        assert_eq!(rig.send(&piece(header, &[], true)).sw, 0x9000);
        assert_eq!(rig.send(&piece(header, &data[..3], true)).sw, 0x9000);
        assert_eq!(rig.raw("00C0000000"), 0x6985);
        assert_eq!(rig.send(&piece(header, &[], true)).sw, 0x9000);
        // Without data no card can recognize the extended form: Le alone does not make a piece invalid.
        assert_eq!(rig.raw("14D7010300"), 0x9000);
        assert_eq!(rig.raw("14D70103000000"), 0x9000);
        let answer = rig.send(&[piece(header, &data[3..], false), vec![0]].concat());
        assert_eq!(channel.open(&answer).unwrap().sw, 0x9000);
        // A piece with no channel.
        rig.select();
        let status = rig.send(&piece(PUT_RECORD, &[1; 10], true)).sw;
        refused("a secured piece without a channel", status, 0x6982);
        let status = rig.send(&piece(PUT_RECORD, &[1; 10], false)).sw;
        refused("and the last one", status, 0x6982);
    });
}

case!(EachCard, chains_that_are_too_long);
fn chains_that_are_too_long(kind: &str) {
    untouched(kind, |rig| {
        let header = "14DA0101";
        wiped(rig, "513 bytes", 0x6700, &|rig, _| {
            let mut status = 0x9000;
            for length in [255, 255, 3] {
                assert_eq!(status, 0x9000);
                status = rig.raw(&format!("{header}{length:02X}{}", "00".repeat(length)));
            }
            status
        });
        wiped(rig, "513 bytes at once", 0x6700, &|rig, _| rig.raw(&format!("04DA0101000201{}0000", "00".repeat(513))));
        wiped(rig, "a chain for ever", 0x6700, &|rig, _| {
            for _ in 0..1000 {
                let status = rig.raw(&format!("{header}40{}", "00".repeat(64)));
                if status != 0x9000 {
                    return status;
                }
            }
            0x9000
        });
        // 512 bytes are looked at, and the MAC is what is wrong.
        wiped(rig, "512 bytes", 0x6982, &|rig, _| {
            assert_eq!(rig.raw(&format!("{header}FF{}", "00".repeat(255))), 0x9000);
            assert_eq!(rig.raw(&format!("{header}FF{}", "00".repeat(255))), 0x9000);
            rig.raw("04DA0101020000")
        });
    });
}

case!(EachCard, a_session_ends_with_select_and_reset);
fn a_session_ends_with_select_and_reset(kind: &str) {
    untouched(kind, |rig| {
        for what in ["SELECT", "SELECT of another name", "SELECT of a part of the name", "reset"] {
            let mut channel = rig.open(ADMIN);
            match what {
                "SELECT" => drop(rig.select()),
                "reset" => {
                    rig.card.reset();
                    rig.select();
                }
                "SELECT of another name" => {
                    refused(what, rig.raw("00A404000AF0524F4C4C43414C4C0200"), 0x6A82);
                }
                _ => refused(what, rig.raw("00A4040009F0524F4C4C43414C4C00"), 0x6A82),
            }
            rig.assert_wiped(&mut channel, what);
        }
        let mut channel = rig.open(ADMIN);
        rig.card.reset();
        let status = rig.chain(&channel.command("04CA0100", &[])).sw;
        refused("after a reset, nothing of ours selected", status, 0x6D00);
        rig.select();
        rig.assert_wiped(&mut channel, "reset");
    });
}

case!(EachCard, other_channels_leave_the_session);
/// Commands answered by the platform do not reach the applet: its session continues.
fn other_channels_leave_the_session(kind: &str) {
    untouched(kind, |rig| {
        let mut channel = rig.open(ADMIN);
        for (apdu, want) in [
            ("01CA010000", 0x6999),
            ("05CA0100 08 0000000000000000 00", 0x6999),
            ("43DA0101 02 A201", 0x6999),
            ("81CA010000", 0x6881),
            ("0070000001", 0x9000),
            ("01CA010000", 0x6999),
            ("01A404000AF0524F4C4C43414C4C0100", 0x6985),
            ("02A404000AF0524F4C4C43414C4C0100", 0x6985),
            ("00708001", 0x9000),
            ("00708001", 0x6200),
            ("0470000001", 0x6882),
            ("0070000000", 0x6C01),
        ] {
            refused(apdu, rig.raw(apdu), want);
        }
        assert_eq!(rig.status(&mut channel, "04CA0100", &[]), 0x9000);
        // Nor can the applet be selected elsewhere when it is not on the basic channel.
        rig.card.reset();
        refused("SELECT on another channel", rig.raw("01A404000AF0524F4C4C43414C4C0100"), 0x6999);
        rig.select();
        rig.assert_wiped(&mut channel, "reset");
    });
}
