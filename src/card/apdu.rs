//! Builds and encodes command and response APDUs, and parses them on the card's side (ISO/IEC 7816-3, 12.1; 7816-4,
//! 5.1).

use zeroize::Zeroizing;

use super::{error::Sensitivity, status::Status};

/// How commands are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApduFormat {
    /// Short APDUs, longer data by command chaining: every reader supports this.
    #[default]
    Short,
    /// Extended APDUs, for every command.
    Extended,
}

/// The Le that we send in short APDUs: some readers fail at answers above 250 bytes.
pub const SHORT_LE: u8 = 0xF0;
/// The longest data of one short APDU.
pub const SHORT_MAX: usize = 255;
/// The bit of CLA for "more of the command follows" (ISO/IEC 7816-4, 5.4.1).
pub const CHAINING: u8 = 0x10;
/// The bit of CLA for secure messaging as `GlobalPlatform` uses it.
pub const SECURE: u8 = 0x04;

/// A command before encoding: header, logical data, and whether an answer is expected.
#[derive(Clone)]
pub struct Command {
    /// Class byte, without the chaining bit.
    pub cla: u8,
    /// Instruction byte.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Whether the answer may carry data, that is, whether Le is sent.
    pub answers: bool,
    /// Whether a trace may show the data.
    pub sensitivity: Sensitivity,
    data: Zeroizing<Vec<u8>>,
}

impl Command {
    /// A command without data that expects no data.
    pub fn new(cla: u8, ins: u8, p1: u8, p2: u8) -> Self {
        Self { cla, ins, p1, p2, answers: false, sensitivity: Sensitivity::Plain, data: Zeroizing::default() }
    }

    /// Sets the data: more than [`SHORT_MAX`] bytes are sent in extended length, or as a chain.
    #[must_use]
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Zeroizing::new(data.into());
        self
    }

    /// Expects data, so that Le is sent.
    #[must_use]
    pub const fn answered(mut self) -> Self {
        self.answers = true;
        self
    }

    /// Keeps the data out of every trace.
    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitivity = Sensitivity::Sensitive;
        self
    }

    /// The logical data: the bytes of the whole chain.
    pub fn payload(&self) -> &[u8] {
        &self.data
    }

    /// The four header bytes.
    pub const fn header(&self) -> [u8; 4] {
        [self.cla, self.ins, self.p1, self.p2]
    }

    /// The APDUs that carry this command, in order: one, or a chain of short ones with at most [`SHORT_MAX`] bytes of
    /// data each.
    pub fn encode(&self, format: ApduFormat) -> Vec<Zeroizing<Vec<u8>>> {
        match format {
            ApduFormat::Extended => vec![self.encode_extended()],
            ApduFormat::Short if self.data.len() <= SHORT_MAX => {
                vec![self.encode_short(self.cla, &self.data, self.answers)]
            }
            ApduFormat::Short => {
                let last = self.data.len().div_ceil(SHORT_MAX) - 1;
                let piece = |(i, data): (usize, &[u8])| {
                    let cla = if i < last { self.cla | CHAINING } else { self.cla };
                    self.encode_short(cla, data, self.answers && i == last)
                };
                self.data.chunks(SHORT_MAX).enumerate().map(piece).collect()
            }
        }
    }

    fn encode_short(&self, cla: u8, data: &[u8], answers: bool) -> Zeroizing<Vec<u8>> {
        // The caller splits data into 255 bytes.
        #[allow(clippy::cast_possible_truncation)]
        let lc = data.len() as u8;
        let mut out = Zeroizing::new(Vec::with_capacity(data.len() + 6));
        out.extend_from_slice(&[cla, self.ins, self.p1, self.p2]);
        if lc > 0 {
            out.push(lc);
            out.extend_from_slice(data);
        }
        if answers {
            out.push(SHORT_LE);
        }
        out
    }

    fn encode_extended(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.data.len() + 9));
        out.extend_from_slice(&self.header());
        if !self.data.is_empty() {
            // Our commands are at most 512 bytes long.
            #[allow(clippy::cast_possible_truncation)]
            let lc = (self.data.len() as u16).to_be_bytes();
            out.extend_from_slice(&[0, lc[0], lc[1]]);
            out.extend_from_slice(&self.data);
        }
        if self.answers {
            out.extend_from_slice(if self.data.is_empty() { &[0, 0, 0] } else { &[0, 0] });
        }
        out
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({} + {} bytes)", hex::encode_upper(self.header()), self.data.len())
    }
}

/// A complete answer: its reassembled data, and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The data without the status bytes.
    pub data: Vec<u8>,
    /// The status bytes.
    pub status: Status,
}

impl Response {
    /// Splits the bytes that a link returned; `None` when they are shorter than a status word.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (data, sw) = bytes.split_last_chunk::<2>()?;
        Some(Self { data: data.to_vec(), status: Status(u16::from_be_bytes(*sw)) })
    }

    /// An answer without data.
    pub const fn status(status: Status) -> Self {
        Self { data: Vec::new(), status }
    }
}

/// One APDU as a card receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received<'a> {
    /// CLA INS P1 P2.
    pub header: [u8; 4],
    /// The data of this APDU.
    pub data: &'a [u8],
    /// Ne: how many bytes of answer are expected; `None` without Le, 256 or 65536 for zero.
    pub expected: Option<usize>,
    /// Whether the lengths were given in the extended form.
    pub extended: bool,
}

impl<'a> Received<'a> {
    /// Parses one command APDU; every byte must be accounted for (ISO/IEC 7816-3, 12.1.3).
    pub fn parse(apdu: &'a [u8]) -> Option<Self> {
        let (header, body) = apdu.split_first_chunk::<4>()?;
        let (data, expected, extended): (&[u8], _, _) = match *body {
            [] => (&[], None, false),
            [le] => (&[], Some(short_le(le)), false),
            [0, hi, lo] => (&[], Some(extended_le(hi, lo)), true),
            [0, _] => return None,
            [0, hi, lo, ref rest @ ..] => {
                let lc = usize::from(u16::from_be_bytes([hi, lo]));
                match rest.split_at_checked(lc)? {
                    _ if lc == 0 => return None,
                    (data, []) => (data, None, true),
                    (data, &[hi, lo]) => (data, Some(extended_le(hi, lo)), true),
                    _ => return None,
                }
            }
            [lc, ref rest @ ..] => match rest.split_at_checked(lc.into())? {
                (data, []) => (data, None, false),
                (data, &[le]) => (data, Some(short_le(le)), false),
                _ => return None,
            },
        };
        Some(Self { header: *header, data, expected, extended })
    }
}

fn short_le(le: u8) -> usize {
    if le == 0 { 256 } else { le.into() }
}

fn extended_le(hi: u8, lo: u8) -> usize {
    match u16::from_be_bytes([hi, lo]) {
        0 => 65536,
        n => n.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn short_chains_and_extended_carry_the_same(data in prop::collection::vec(any::<u8>(), 0..600), answers: bool) {
            let mut command = Command::new(0x80, 0x2A, 3, 0x10).data(data.clone());
            command.answers = answers;
            for format in [ApduFormat::Short, ApduFormat::Extended] {
                let apdus = command.encode(format);
                let mut seen = Vec::new();
                for (i, apdu) in apdus.iter().enumerate() {
                    let received = Received::parse(apdu).unwrap();
                    let last = i + 1 == apdus.len();
                    prop_assert_eq!(received.header[0] & CHAINING == 0, last);
                    prop_assert_eq!(received.expected.is_some(), last && answers);
                    seen.extend_from_slice(received.data);
                }
                prop_assert_eq!(&seen, &data);
            }
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Received::parse(&bytes);
            let _ = Response::parse(&bytes);
        }
    }

    #[test]
    fn a_command_tells_its_parts_and_prints_no_data() {
        let command = Command::new(0x84, 0xDA, 1, 2).data([0xAB; 3]);
        assert_eq!((command.header(), command.payload()), ([0x84, 0xDA, 1, 2], &[0xAB; 3][..]));
        assert_eq!(format!("{command:?}"), "Command(84DA0102 + 3 bytes)");
    }

    #[test]
    fn le_says_how_much_is_expected() {
        for (apdu, length, expected, extended) in [
            ("00CA0101", 0, None, false),
            ("00CA010100", 0, Some(256), false),
            ("00CA010101", 0, Some(1), false),
            ("00CA0101FF", 0, Some(255), false),
            ("00CA0101000000", 0, Some(65536), true),
            ("00CA0101000001", 0, Some(1), true),
            ("00CA0101000100", 0, Some(256), true),
            ("00CA010102AABB", 2, None, false),
            ("00CA010102AABB00", 2, Some(256), false),
            ("00CA010102AABB10", 2, Some(16), false),
            ("00CA0101000002AABB", 2, None, true),
            ("00CA0101000002AABB0000", 2, Some(65536), true),
            ("00CA0101000002AABB0203", 2, Some(0x0203), true),
        ] {
            let bytes = hex::decode(apdu).unwrap();
            let received = Received::parse(&bytes).unwrap();
            assert_eq!(
                (received.data.len(), received.expected, received.extended),
                (length, expected, extended),
                "{apdu}"
            );
        }
    }

    #[test]
    fn odd_lengths_are_refused() {
        for bad in
            ["00", "00A404", "00A40400020102030405", "00A404000500", "00A40400000005010203", "00A404000000000000"]
        {
            assert_eq!(Received::parse(&hex::decode(bad).unwrap()), None, "{bad}");
        }
    }
}
