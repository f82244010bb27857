//! Explains an answer to reset field by field (ISO/IEC 7816-3:2006, 8.2 and 8.3; historical bytes: ISO/IEC 7816-4,
//! 12.1.1).

use super::{Atr, AtrError, CheckByte, Convention};

/// One field: its name in the standard, its bytes, and their meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `TS`, `T0`, `TA1` …, `historical`, `TCK`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The meaning in words.
    pub meaning: String,
}

fn field(name: impl Into<String>, bytes: &[u8], meaning: impl Into<String>) -> Field {
    Field { name: name.into(), bytes: bytes.to_vec(), meaning: meaning.into() }
}

/// All fields, in order; every byte belongs to one.
///
/// # Errors
/// As [`Atr::parse`].
pub fn fields(bytes: &[u8]) -> Result<Vec<Field>, AtrError> {
    let atr = Atr::parse(bytes)?;
    let mut walk = Walk { rest: &bytes[2..], round: 0, protocol: None };
    let convention = match atr.convention {
        Convention::Direct => "direct convention",
        Convention::Inverse => "inverse convention",
    };
    let t0 = bytes[1];
    let mut all = vec![
        field("TS", &bytes[..1], convention),
        field("T0", &bytes[1..2], format!("{}{} historical bytes", follow(t0 >> 4, 1), t0 & 0x0F)),
    ];
    let mut follows = t0 >> 4;
    while follows != 0 {
        follows = walk.round(follows, &mut all)?;
    }
    if !atr.historical.is_empty() {
        all.push(field("historical", &atr.historical, historical(&atr)));
    }
    let last = bytes.last().map_or(&[][..], std::slice::from_ref);
    match atr.check {
        CheckByte::NotNeeded => {}
        CheckByte::Missing => all.push(field("TCK", &[], "missing")),
        CheckByte::Right => all.push(field("TCK", last, "correct")),
        CheckByte::Wrong => {
            let sum = bytes[1..bytes.len() - 1].iter().fold(0, |sum, byte| sum ^ byte);
            all.push(field("TCK", last, format!("wrong: it has to be {sum:02X}")));
        }
    }
    Ok(all)
}

struct Walk<'a> {
    rest: &'a [u8],
    /// The index i of `TAi`.
    round: usize,
    /// The T that the last TD indicated.
    protocol: Option<u8>,
}

impl Walk<'_> {
    /// `TAi`, `TBi`, `TCi` and `TDi` as far as they are present; returns what `TDi` announces.
    fn round(&mut self, follows: u8, all: &mut Vec<Field>) -> Result<u8, AtrError> {
        self.round += 1;
        for (bit, letter) in [(1, 'A'), (2, 'B'), (4, 'C')] {
            if follows & bit != 0 {
                let byte = self.byte()?;
                all.push(field(format!("T{letter}{}", self.round), &[byte], self.meaning(letter, byte)));
            }
        }
        if follows & 8 == 0 {
            return Ok(0);
        }
        let td = self.byte()?;
        self.protocol = Some(td & 0x0F);
        let of = if td & 0x0F == 15 { "global bytes follow (T=15)".to_owned() } else { format!("T={}", td & 0x0F) };
        let announced = follow(td >> 4, self.round + 1);
        all.push(field(format!("TD{}", self.round), &[td], format!("{announced}{of}")));
        Ok(td >> 4)
    }

    fn byte(&mut self) -> Result<u8, AtrError> {
        let (byte, rest) = self.rest.split_first().ok_or(AtrError::Truncated)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn meaning(&self, letter: char, byte: u8) -> String {
        match (letter, self.round, self.protocol) {
            ('A', 1, _) => speed(byte),
            ('B', 1 | 2, _) if byte == 0 => "no programming voltage".to_owned(),
            ('B', 1 | 2, _) => "programming voltage: not used any more".to_owned(),
            ('C', 1, _) if byte == 255 => "extra guard time: as short as the protocol allows".to_owned(),
            ('C', 1, _) => format!("extra guard time: {byte} etu"),
            ('A', 2, _) => specific_mode(byte),
            ('C', 2, _) => format!("T=0: waiting integer {byte}"),
            ('A', _, Some(1)) => format!("T=1: at most {byte} bytes of information to the card (IFSC)"),
            ('B', _, Some(1)) => {
                format!("T=1: block waiting integer {}, character waiting integer {}", byte >> 4, byte & 0x0F)
            }
            ('C', _, Some(1)) => format!("T=1: {}", if byte & 1 == 0 { "LRC" } else { "CRC" }),
            ('A', _, Some(15)) => supply(byte),
            ('B', _, Some(15)) => "use of contact C6 (SPU)".to_owned(),
            _ => "reserved".to_owned(),
        }
    }
}

/// `TA1, TD1 follow; `
fn follow(flags: u8, round: usize) -> String {
    let letters = [(1, 'A'), (2, 'B'), (4, 'C'), (8, 'D')].into_iter().filter(|(bit, _)| flags & bit != 0);
    let names: Vec<_> = letters.map(|(_, letter)| format!("T{letter}{round}")).collect();
    match names.len() {
        0 => String::new(),
        1 => format!("{} follows; ", names[0]),
        _ => format!("{} follow; ", names.join(", ")),
    }
}

/// Tables 7 and 8: clock rate conversion and baud rate adjustment.
fn speed(byte: u8) -> String {
    const F: [u16; 16] = [372, 372, 558, 744, 1116, 1488, 1860, 0, 0, 512, 768, 1024, 1536, 2048, 0, 0];
    const MHZ: [&str; 16] = ["4", "5", "6", "8", "12", "16", "20", "", "", "5", "7.5", "10", "15", "20", "", ""];
    const D: [u8; 16] = [0, 1, 2, 4, 8, 16, 32, 64, 12, 20, 0, 0, 0, 0, 0, 0];
    let (f, d) = (usize::from(byte >> 4), usize::from(byte & 0x0F));
    match (F[f], D[d]) {
        (0, _) | (_, 0) => "reserved".to_owned(),
        (fi, di) => format!("F={fi}, D={di}, at most {} MHz", MHZ[f]),
    }
}

/// Clause 8.3, TA2.
fn specific_mode(byte: u8) -> String {
    let may = if byte & 0x80 == 0 { "may change" } else { "may not change" };
    let by = if byte & 0x10 == 0 { "as TA1 says" } else { "as both sides know" };
    format!("specific mode, T={}, {may}, speed {by}", byte & 0x0F)
}

/// Clause 8.3, first TA for T=15.
fn supply(byte: u8) -> String {
    let clock = ["may not stop", "may stop low", "may stop high", "may stop"][usize::from(byte >> 6)];
    let classes: Vec<_> = [(1, "A (5 V)"), (2, "B (3 V)"), (4, "C (1.8 V)")]
        .into_iter()
        .filter(|(bit, _)| byte & bit != 0)
        .map(|(_, class)| class)
        .collect();
    format!("the clock {clock}; supply {}", if classes.is_empty() { "reserved".to_owned() } else { classes.join(", ") })
}

/// The category, and its contents.
fn historical(atr: &Atr) -> String {
    if let Some(card) = atr.storage_card() {
        return format!("storage card: {card}");
    }
    match atr.historical.as_slice() {
        [0x80, rest @ ..] => {
            objects(rest).map_or_else(|| "compact TLV, malformed".to_owned(), |text| format!("compact TLV: {text}"))
        }
        [0x00, rest @ .., life, sw1, sw2] => {
            let inside = objects(rest).unwrap_or_else(|| "malformed".to_owned());
            format!("compact TLV: {inside}; life cycle {life:02X}, status {sw1:02X}{sw2:02X}")
        }
        [0x10, ..] => "DIR data reference".to_owned(),
        _ => "proprietary".to_owned(),
    }
}

/// Compact TLV (ISO/IEC 7816-4, 12.1.1.2): a digit for the tag, one for the length.
fn objects(mut rest: &[u8]) -> Option<String> {
    let mut told = Vec::new();
    while let Some((head, after)) = rest.split_first() {
        let (value, after) = after.split_at_checked(usize::from(head & 0x0F))?;
        let name = match head >> 4 {
            1 => "country",
            2 => "issuer",
            3 => "card service",
            4 => "initial access",
            5 => "issuer's data",
            6 => "before issuing",
            7 => "capabilities",
            8 => "status",
            0xF => "application",
            _ => "reserved",
        };
        told.push(format!("{name} {}", hex::encode_upper(value)));
        rest = after;
    }
    Some(told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meanings(atr: &str) -> Vec<String> {
        let all = fields(&hex::decode(atr).unwrap()).unwrap();
        all.into_iter().map(|one| format!("{} {}: {}", one.name, hex::encode_upper(one.bytes), one.meaning)).collect()
    }

    #[test]
    fn a_card_with_contacts_is_told_field_by_field() {
        assert_eq!(
            meanings("3BF81300008131FE454A434F5076323431B7"),
            [
                "TS 3B: direct convention",
                "T0 F8: TA1, TB1, TC1, TD1 follow; 8 historical bytes",
                "TA1 13: F=372, D=4, at most 5 MHz",
                "TB1 00: no programming voltage",
                "TC1 00: extra guard time: 0 etu",
                "TD1 81: TD2 follows; T=1",
                "TD2 31: TA3, TB3 follow; T=1",
                "TA3 FE: T=1: at most 254 bytes of information to the card (IFSC)",
                "TB3 45: T=1: block waiting integer 4, character waiting integer 5",
                "historical 4A434F5076323431: proprietary",
                "TCK B7: correct",
            ]
        );
    }

    #[test]
    fn a_contactless_one_too() {
        let all = meanings("3B8F8001804F0CA000000306030001000000006A");
        assert_eq!(all[4], "historical 804F0CA00000030603000100000000: storage card: MIFARE Classic 1K (ISO 14443 A)");
        assert_eq!(meanings("3B8580018073C821C0DE")[4], "historical 8073C821C0: compact TLV: capabilities C821C0");
        assert_eq!(meanings("3B8580018073C821C0DF")[5], "TCK DF: wrong: it has to be DE");
    }

    proptest! {
        #[test]
        fn every_byte_belongs_to_one_field(bytes in prop::collection::vec(any::<u8>(), 0..40), first in prop::sample::select(vec![0x3B, 0x3F])) {
            let bytes = [&[first][..], &bytes].concat();
            if let Ok(all) = fields(&bytes) {
                prop_assert_eq!(all.into_iter().flat_map(|one| one.bytes).collect::<Vec<_>>(), bytes);
            }
        }
    }
}
