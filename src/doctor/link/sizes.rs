//! What passes over a link in one piece. Every command here changes nothing.

use crate::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity},
    },
    token::commands::ecka_certificate,
};

/// The largest pieces that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of data in the largest short command.
    pub command: usize,
    /// Bytes of data in the largest answer; none where the card has nothing to tell.
    pub answer: Option<usize>,
    /// That answer was all that the card has to tell: a longer one might pass as well.
    pub whole: bool,
    /// A command of extended length passed.
    pub extended: bool,
}

/// What a tap sends in one piece: a certificate goes in pieces of short APDUs.
pub const COMMAND_NEEDED: usize = 255;
/// What a tap asks for in one piece.
pub const ANSWER_NEEDED: usize = 240;
/// DER has its length in the first four bytes of anything from 256 bytes on (ITU-T X.690, 8.1.3).
const DER_HEAD: usize = 4;

impl Sizes {
    /// Tries ever larger ones. `kvn` is that of a key whose certificate the card tells anybody.
    pub fn find(link: &mut dyn Link, kvn: Option<u8>) -> Result<Self, LinkError> {
        let (command, extended) = commands(link)?;
        let told = match kvn {
            Some(kvn) => answers(link, kvn, extended)?,
            None => None,
        };
        let (answer, whole) = told.map_or((None, false), |(length, whole)| (Some(length), whole));
        Ok(Self { command, answer, whole, extended })
    }
}

/// An instruction that no card has is refused as such at any length: another answer means that bytes were lost.
fn commands(link: &mut dyn Link) -> Result<(usize, bool), LinkError> {
    let expected = link.transmit(&[0x00, 0xEE, 0x00, 0x00, 0x01, 0x00], Sensitivity::Plain)?;
    let mut largest = 1;
    for length in [32u8, 64, 128, 200, 255] {
        let data = vec![length; usize::from(length)];
        let answer = link.transmit(&[&[0x00, 0xEE, 0x00, 0x00, length], &data[..]].concat(), Sensitivity::Plain)?;
        if answer != expected {
            break;
        }
        largest = usize::from(length);
    }
    let long = [&[0x00, 0xEE, 0x00, 0x00, 0x00, 0x01, 0x2C][..], &[0x5A; 300]].concat();
    // A reader that cannot may also answer with an error of its own.
    let extended =
        largest >= COMMAND_NEEDED && link.transmit(&long, Sensitivity::Plain).is_ok_and(|one| one == expected);
    Ok((largest, extended))
}

/// The certificate, of which the card sends as much as is asked for: less, or something else than before, means that
/// bytes were lost. How long the longest answer was and whether it was the whole certificate; none where it tells none.
fn answers(link: &mut dyn Link, kvn: u8, extended: bool) -> Result<Option<(usize, bool)>, LinkError> {
    let short = ecka_certificate(kvn).encode(ApduFormat::Short).swap_remove(0);
    let Some((_, head)) = short.split_last() else { return Ok(None) };
    let mut known: Vec<u8> = Vec::new();
    for le in [32u8, 64, 128, 200, 240, 250, 0] {
        let wanted = if le == 0 { 256 } else { usize::from(le) };
        let answer = link.transmit(&[head, &[le]].concat(), Sensitivity::Plain)?;
        let (data, status) = answer.split_at(answer.len().saturating_sub(2));
        let more = matches!(status, [0x61, _]);
        // A refusal: it has no data, and is one of the statuses that say so (ISO/IEC 7816-4, 5.6).
        if known.is_empty() && data.is_empty() && !more && matches!(status, [0x62..=0x6F, _]) {
            return Ok(None);
        }
        let whole = total(if known.is_empty() { data } else { &known });
        let fits = data.len() == wanted.min(whole) && data.starts_with(&known) && more == (wanted < whole);
        if !fits {
            // Nothing that was told is known yet: even so few bytes do not come through.
            return Ok(Some((known.len(), false)));
        }
        known = data.to_vec();
    }
    let whole = total(&known);
    if extended && whole > known.len() {
        let long = ecka_certificate(kvn).encode(ApduFormat::Extended).swap_remove(0);
        let fits = |answer: Vec<u8>| answer.len() == whole + 2 && answer.starts_with(&known);
        if link.transmit(&long, Sensitivity::Plain).is_ok_and(fits) {
            return Ok(Some((whole, true)));
        }
    }
    Ok(Some((known.len(), known.len() == whole)))
}

/// How long a certificate is, by its first bytes; as long as what is there, where they say nothing.
fn total(der: &[u8]) -> usize {
    match der {
        [0x30, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + DER_HEAD,
        _ => der.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card with a certificate, behind a link that passes so much.
    struct Narrow {
        /// Bytes of the certificate.
        certificate: usize,
        command: usize,
        answer: usize,
        extended: bool,
        /// It tells no certificate.
        silent: bool,
    }

    impl Link for Narrow {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            let long = command.len() > 5 && command[4] == 0;
            if command[1] == 0xEE {
                let good = if long { self.extended } else { command.len() <= self.command + 6 };
                return Ok(if good { vec![0x6D, 0x00] } else { vec![0x67, 0x00] });
            }
            if self.silent {
                return Ok(vec![0x6A, 0x88]);
            }
            let length = u16::try_from(self.certificate - DER_HEAD).unwrap().to_be_bytes();
            let der = [&[0x30, 0x82][..], &length, &vec![0xA5; self.certificate - DER_HEAD]].concat();
            let wanted = match (long, command.last()) {
                (true, _) => der.len(),
                (false, Some(0)) => 256,
                (false, le) => usize::from(*le.unwrap()),
            };
            let status = if wanted < der.len() { [0x61, 0x00] } else { [0x90, 0x00] };
            let mut answer = [&der[..wanted.min(der.len())], &status].concat();
            answer.truncate(self.answer + 2);
            Ok(answer)
        }
    }

    #[test]
    fn the_largest_pieces_that_pass_are_found() {
        let find = |command, answer, extended| {
            let mut link = Narrow { certificate: 395, command, answer, extended, silent: false };
            Sizes::find(&mut link, Some(0x41)).unwrap()
        };
        for (link, expected) in [
            ((255, 1000, true), (255, 395, true)),
            ((255, 1000, false), (255, 256, false)),
            ((255, 300, true), (255, 256, true)),
            ((255, 255, false), (255, 250, false)),
            ((255, 240, false), (255, 240, false)),
            ((255, 239, false), (255, 200, false)),
            ((255, 20, false), (255, 0, false)),
            ((255, 0, false), (255, 0, false)),
            ((128, 1000, true), (128, 256, false)),
        ] {
            let found = find(link.0, link.1, link.2);
            assert_eq!(
                (found.command, found.answer, found.extended),
                (expected.0, Some(expected.1), expected.2),
                "{link:?}"
            );
        }
        // Whether the link or the certificate set the limit.
        for (certificate, answer, extended, expected) in [
            (395, 1000, true, (395, true)),
            (372, 1000, true, (372, true)),
            (256, 1000, false, (256, true)),
            (395, 394, true, (256, false)),
            (395, 1000, false, (256, false)),
            (395, 200, true, (200, false)),
        ] {
            let mut link = Narrow { certificate, command: 255, answer, extended, silent: false };
            let found = Sizes::find(&mut link, Some(0x41)).unwrap();
            assert_eq!(
                (found.answer, found.whole),
                (Some(expected.0), expected.1),
                "{certificate} {answer} {extended}"
            );
        }
        let mut silent = Narrow { certificate: 395, command: 255, answer: 1000, extended: false, silent: true };
        assert_eq!(Sizes::find(&mut silent, Some(0x41)).unwrap().answer, None);
        assert_eq!(Sizes::find(&mut silent, None).unwrap().answer, None);
    }
}
