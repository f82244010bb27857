//! Invariants after every attack: no session remains, and nothing was written.

use std::sync::atomic::{AtomicUsize, Ordering};

use rollcall::card::tlv;

use crate::{
    draft::{ADMIN, from_hex},
    terminal::{CardRig, Channel, KVN_OWN},
};

/// Attacks carried out, over all tests of this run.
pub static ATTACKS: AtomicUsize = AtomicUsize::new(0);

/// The date that every card here shows: notBefore of the certificates.
pub const DATE: &str = "323631313031303030303030";
const MINUTE_LATER: &str = "323631313031303030313030";

/// Everything a token lets its administrator read.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    select: Vec<u8>,
    answers: Vec<(u16, Vec<u8>)>,
}

const READS: [(&str, &str); 9] = [
    ("04CA0100", ""),
    ("04CA0101", ""),
    ("04CA7F21", ""),
    ("04CABF21", "A60483021141"),
    ("04CABF21", "A60483021101"),
    ("04CABF21", "A60483021102"),
    ("04CAFF33", ""),
    ("04B10102", "54020000"),
    ("04B10103", "54020000"),
];

impl CardRig {
    /// Reads everything under a new ADMIN channel. The use counter has risen by exactly this reading, and the date is
    /// where it was.
    pub fn snapshot(&mut self) -> Snapshot {
        let select = self.select();
        let mut channel = self.agreed(ADMIN);
        let mut answers: Vec<_> = READS
            .iter()
            .map(|(header, data)| {
                let answer = self.secure(&mut channel, header, &from_hex(data));
                (answer.sw, answer.data)
            })
            .collect();
        // The date cannot be read, so test by setting it: a later date is rejected, the same date accepted.
        for date in [MINUTE_LATER, DATE] {
            let answer = self.secure(&mut channel, "04DA0104", &from_hex(date));
            answers.push((answer.sw, answer.data));
        }
        Snapshot { select, answers }
    }

    /// The use counter after one more proof.
    pub fn count(&mut self) -> u32 {
        let mut channel = self.agreed(ADMIN);
        let answer = self.accept(&mut channel, "04880001", &[5; 32]);
        let mut reader = tlv::TlvReader::new(&answer);
        reader.value(0x83).unwrap();
        u32::from_be_bytes(reader.array(0x80).unwrap())
    }

    /// No certificate was seen, no keys are agreed and no channel is open.
    pub fn assert_no_session(&mut self, what: &str) {
        let key = self.own.expect("an own key");
        assert_eq!(self.agree(KVN_OWN, &key).0, 0x6985, "{what}: a certificate is still seen");
        assert_eq!(self.raw("04CA0100 08 0000000000000000 00"), 0x6982, "{what}: a channel is still open");
    }

    /// Asserts that the next valid command of this channel is rejected.
    pub fn assert_wiped(&mut self, channel: &mut Channel, what: &str) {
        let status = self.chain(&channel.command("04CA0100", &[])).sw;
        assert_eq!(status, 0x6982, "{what}: the session still stands");
    }
}

/// Counts an attack and compares what it led to.
#[track_caller]
pub fn refused(what: &str, got: u16, want: u16) {
    ATTACKS.fetch_add(1, Ordering::Relaxed);
    assert_eq!(format!("{got:04X}"), format!("{want:04X}"), "{what}");
}
