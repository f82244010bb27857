//! Parses the answer to reset (ATR; ISO/IEC 7816-3, 8.2) strictly, and sums it up in one line for people.
//!
//! A contactless reader makes up the ATR from what it knows of the card (PC/SC part 3, 3.1.3.2.3).

pub mod fields;
pub mod names;

use std::fmt;

/// The longest answer to reset: TS and 32 characters.
pub const ATR_MAX: usize = 33;

/// Why bytes are not a valid answer to reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AtrError {
    /// The first byte is neither 3B nor 3F.
    #[error("it begins with neither 3B nor 3F")]
    Convention,
    /// It ends before all the bytes that it announces.
    #[error("it is cut short")]
    Truncated,
    /// It continues after all the bytes that it announces.
    #[error("it has too many bytes")]
    Trailing,
    /// It is longer than 33 bytes.
    #[error("it is longer than 33 bytes")]
    TooLong,
}

/// How bits map to bytes on the contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convention {
    /// TS is 3B.
    Direct,
    /// TS is 3F.
    Inverse,
}

/// The check byte TCK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckByte {
    /// Absent, as it must be: only T=0 is offered.
    NotNeeded,
    /// Present and correct.
    Right,
    /// Present and wrong.
    Wrong,
    /// Absent although required.
    Missing,
}

/// A parsed answer to reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atr {
    /// How bits map to bytes.
    pub convention: Convention,
    /// The transmission protocols that are offered, in order, each once (`0` for T=0).
    pub protocols: Vec<u8>,
    /// The historical bytes: 0 to 15.
    pub historical: Vec<u8>,
    /// The check byte.
    pub check: CheckByte,
    contactless: bool,
}

impl Atr {
    /// Parses an answer to reset; every byte must be accounted for.
    ///
    /// # Errors
    /// [`AtrError`]: longer than [`ATR_MAX`] bytes, cut off, with bytes left over, or of an unknown convention. A wrong
    /// check byte is not an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, AtrError> {
        if bytes.len() > ATR_MAX {
            return Err(AtrError::TooLong);
        }
        let (&[first, t0], mut rest) = bytes.split_first_chunk().ok_or(AtrError::Truncated)?;
        let convention = match first {
            0x3B => Convention::Direct,
            0x3F => Convention::Inverse,
            _ => return Err(AtrError::Convention),
        };
        let indicated = interface_bytes(t0, &mut rest)?;
        let (historical, check) = rest.split_at_checked(usize::from(t0 & 0x0F)).ok_or(AtrError::Truncated)?;
        let needed = indicated.iter().any(|t| *t != 0);
        let check = match (check, needed) {
            ([], false) => CheckByte::NotNeeded,
            ([], true) => CheckByte::Missing,
            ([_], true) if bytes[1..].iter().fold(0, |sum, byte| sum ^ byte) == 0 => CheckByte::Right,
            ([_], true) => CheckByte::Wrong,
            _ => return Err(AtrError::Trailing),
        };
        Ok(Self {
            convention,
            protocols: protocols(&indicated),
            historical: historical.to_vec(),
            check,
            contactless: bytes.get(1..4).is_some_and(|b| b[0] >> 4 == 8 && b[1..] == [0x80, 0x01]),
        })
    }

    /// What a contactless reader says of a card without a file system, if it does.
    pub fn storage_card(&self) -> Option<StorageCard> {
        // Category 80, tag 4F: an application identifier of the PC/SC workgroup, the standard, the name, four zeros.
        match *self.historical {
            [0x80, 0x4F, 0x0C, 0xA0, 0x00, 0x00, 0x03, 0x06, standard, high, low, ..] => {
                Some(StorageCard { standard, name: u16::from_be_bytes([high, low]) })
            }
            _ => None,
        }
    }
}

/// Skips TA1 up to the last TD, and returns the T that each TD indicates.
fn interface_bytes(t0: u8, rest: &mut &[u8]) -> Result<Vec<u8>, AtrError> {
    let (mut follows, mut indicated) = (t0 >> 4, Vec::new());
    loop {
        // TA, TB and TC of this round are not interpreted here.
        let skipped = (follows & 0x07).count_ones() as usize;
        *rest = rest.get(skipped..).ok_or(AtrError::Truncated)?;
        if follows & 0x08 == 0 {
            return Ok(indicated);
        }
        let (td, after) = rest.split_first().ok_or(AtrError::Truncated)?;
        *rest = after;
        indicated.push(td & 0x0F);
        follows = td >> 4;
    }
}

/// T=15 is not a protocol: it marks global interface bytes. Without any indication the protocol is T=0.
fn protocols(indicated: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for t in indicated {
        if *t != 15 && !all.contains(t) {
            all.push(*t);
        }
    }
    if all.is_empty() {
        all.push(0);
    }
    all
}

/// A contactless card without a file system, as PC/SC part 3 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageCard {
    /// The byte SS: the standard.
    pub standard: u8,
    /// The bytes NN: the name.
    pub name: u16,
}

impl fmt::Display for StorageCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match card_name(self.name) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "storage card {:04X}", self.name)?,
        }
        match self.standard {
            0x01..=0x03 => f.write_str(" (ISO 14443 A)"),
            0x05..=0x07 => f.write_str(" (ISO 14443 B)"),
            0x09..=0x0C => f.write_str(" (ISO 15693)"),
            _ => Ok(()),
        }
    }
}

/// The common names in the supplemental document of PC/SC part 3.
fn card_name(name: u16) -> Option<&'static str> {
    Some(match name {
        0x0001 => "MIFARE Classic 1K",
        0x0002 => "MIFARE Classic 4K",
        0x0003 => "MIFARE Ultralight",
        0x0006 => "SR176",
        0x0007 => "SRI X4K",
        0x0012 => "TAG IT",
        0x0014 => "ICODE SLI",
        0x0016 => "ICODE 1",
        0x0017..=0x0020 => "PicoPass",
        0x0021 => "LRI64",
        0x0022 => "ICODE UID",
        0x0023 => "ICODE EPC",
        0x0025 => "LRI128",
        0x0026 => "MIFARE Mini",
        0x0027 => "my-d move",
        0x0028 => "my-d NFC",
        0x002F => "Jewel",
        0x0030 => "Topaz",
        0x0035 => "ICODE SL2",
        0x0036 => "MIFARE Plus SL1 2K",
        0x0037 => "MIFARE Plus SL1 4K",
        0x0038 => "MIFARE Plus SL2 2K",
        0x0039 => "MIFARE Plus SL2 4K",
        0x003A => "MIFARE Ultralight C",
        0x003B => "FeliCa",
        0x003D => "MIFARE Ultralight EV1",
        _ => return None,
    })
}

impl fmt::Display for Atr {
    /// One line: what kind of card, which protocols, the historical bytes, and what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.contactless {
            f.write_str("contactless")?;
        } else {
            let protocols: Vec<_> = self.protocols.iter().map(|t| format!("T={t}")).collect();
            f.write_str(&protocols.join(" "))?;
        }
        if self.convention == Convention::Inverse {
            f.write_str(", inverse convention")?;
        }
        match self.storage_card() {
            Some(card) => write!(f, ", {card}")?,
            None if self.historical.is_empty() => {}
            None => write!(f, ", {}", Historical(&self.historical))?,
        }
        match self.check {
            CheckByte::NotNeeded | CheckByte::Right => Ok(()),
            CheckByte::Wrong => f.write_str(", wrong check byte"),
            CheckByte::Missing => f.write_str(", no check byte"),
        }
    }
}

/// Shown as text if they are printable, otherwise in hex.
struct Historical<'a>(&'a [u8]);

impl fmt::Display for Historical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) => write!(f, "\"{text}\""),
            _ => write!(f, "history {}", hex::encode_upper(self.0)),
        }
    }
}

/// Describes in one line any bytes that a reader reports as an answer to reset.
pub fn describe(bytes: &[u8]) -> String {
    match Atr::parse(bytes) {
        Ok(atr) => atr.to_string(),
        Err(error) => format!("no valid ATR: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(hex: &str) -> Result<Atr, AtrError> {
        Atr::parse(&hex::decode(hex).unwrap())
    }

    #[test]
    fn real_cards_in_one_line() {
        for (atr, line) in [
            // JCOP 4 and a YubiKey 5, contact and contactless; MIFARE; FeliCa; an old SIM; an empty history.
            ("3BD518FF8191FE1FC38073C8211309", "T=1, history 8073C82113"),
            ("3BFD1300008131FE158073C021C057597562694B657940", "T=1, history 8073C021C057597562694B6579"),
            ("3B8D80018073C021C057597562694B6579F9", "contactless, history 8073C021C057597562694B6579"),
            ("3B8F8001804F0CA000000306030001000000006A", "contactless, MIFARE Classic 1K (ISO 14443 A)"),
            ("3B8F8001804F0CA00000030611003B0000000042", "contactless, FeliCa"),
            ("3B8F8001804F0CA0000003060300FF0000000094", "contactless, storage card 00FF (ISO 14443 A)"),
            ("3F2F008069AF0204013600000A0E833E9F16", "T=0, inverse convention, history 8069AF0204013600000A0E833E9F16"),
            ("3B80800101", "contactless"),
            ("3B024A43", "T=0, \"JC\""),
            (
                "3B8D80018073C021C057597562694B6579F8",
                "contactless, history 8073C021C057597562694B6579, wrong check byte",
            ),
            ("3B8D80018073C021C057597562694B6579", "contactless, history 8073C021C057597562694B6579, no check byte"),
        ] {
            assert_eq!(describe(&hex::decode(atr).unwrap()), line, "{atr}");
        }
    }

    #[test]
    fn what_is_no_atr_is_refused() {
        for (atr, error) in [
            ("", AtrError::Truncated),
            ("3B", AtrError::Truncated),
            ("0300", AtrError::Convention),
            ("3B80", AtrError::Truncated),
            ("3BF01100", AtrError::Truncated),
            ("3B014100", AtrError::Trailing),
            ("3B808001010101", AtrError::Trailing),
            ("3B".repeat(34).as_str(), AtrError::TooLong),
        ] {
            assert_eq!(parse(atr).unwrap_err(), error, "{atr}");
        }
    }

    #[test]
    fn protocols_are_listed_once_and_without_the_global_bytes() {
        let atr = parse("3B9F95801FC78031E073FE211B63E208A8830F900089").unwrap();
        assert_eq!((atr.protocols, atr.check), (vec![0], CheckByte::Right));
    }

    /// An ATR of these parts, with a correct check byte where one is needed.
    fn build(rounds: &[(u8, u8)], historical: &[u8]) -> Vec<u8> {
        let skip = |round: usize| rounds.get(round).map_or(0, |(y, _)| y & 7);
        let more = |round: usize| if round < rounds.len() { 8 } else { 0 };
        let history = u8::try_from(historical.len()).unwrap();
        let mut out = vec![0x3B, (more(0) | skip(0)) << 4 | history];
        for (at, (y, t)) in rounds.iter().enumerate() {
            out.extend(std::iter::repeat_n(0x11, (y & 7).count_ones() as usize));
            out.push((more(at + 1) | skip(at + 1)) << 4 | t);
        }
        out.extend_from_slice(historical);
        if rounds.iter().any(|(_, t)| *t != 0) {
            out.push(out[1..].iter().fold(0, |sum, byte| sum ^ byte));
        }
        out
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(!describe(&bytes).is_empty());
        }

        #[test]
        fn any_bytes_after_a_good_start(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
            let line = describe(&[&[0x3B], &bytes[..]].concat());
            prop_assert!(line.chars().all(|c| !c.is_control()));
        }

        #[test]
        fn what_is_built_is_found_again(
            rounds in prop::collection::vec((0..8_u8, 0..16_u8), 0..4),
            historical in prop::collection::vec(any::<u8>(), 0..16),
        ) {
            let bytes = build(&rounds, &historical);
            prop_assume!(bytes.len() <= ATR_MAX);
            let atr = Atr::parse(&bytes).unwrap();
            prop_assert_eq!(&atr.historical, &historical);
            prop_assert!(matches!(atr.check, CheckByte::Right | CheckByte::NotNeeded));
            prop_assert!(rounds.iter().all(|(_, t)| *t == 15 || atr.protocols.contains(t)));
            if atr.check == CheckByte::Right {
                let mut bent = bytes.clone();
                *bent.last_mut().unwrap() ^= 1;
                prop_assert_eq!(Atr::parse(&bent).unwrap().check, CheckByte::Wrong);
            }
            prop_assert_eq!(Atr::parse(&[&bytes[..], &[0, 0]].concat()).is_err(), true);
        }
    }
}
