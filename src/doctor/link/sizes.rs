//! Finds the largest command and answer that pass over a link in one piece. No command here changes anything.

use crate::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError, Sensitivity},
    },
    reader::causes::is_final,
    token::commands::ecka_certificate,
};

/// The largest pieces that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of data in the largest short command.
    pub command: usize,
    /// Bytes of data in the largest answer; none if the card has no data to send.
    pub answer: Option<usize>,
    /// Whether that answer was all that the card has: a longer one might pass as well.
    pub whole: bool,
    /// Whether a command of extended length passed.
    pub extended: bool,
}

/// What a tap sends in one piece: a certificate is sent in short APDUs.
pub const COMMAND_NEEDED: usize = 255;
/// What a tap requests in one piece.
pub const ANSWER_NEEDED: usize = 240;
/// DER has its length in the first four bytes of anything from 256 bytes on (ITU-T X.690, 8.1.3).
const DER_HEAD: usize = 4;

impl Sizes {
    /// Tries ever larger ones. `kvn` identifies a key whose certificate the card gives anybody. Extended length, which
    /// cards handle worst, comes last; whether it failed, so that the card may need a reset, is returned as well.
    ///
    /// # Errors
    /// [`LinkError`] when the card or the reader is gone, hangs, or does not answer in time, or an exchange of short
    /// length fails.
    pub fn find(link: &mut dyn Link, kvn: Option<u8>) -> Result<(Self, bool), LinkError> {
        let (command, expected) = commands(link)?;
        let mut told = match kvn {
            Some(kvn) => answers(link, kvn)?,
            None => None,
        };
        let long = [&[0x00, 0xEE, 0x00, 0x00, 0x00, 0x01, 0x2C][..], &[0x5A; 300]].concat();
        let mut failed = false;
        let mut extended = false;
        if command >= COMMAND_NEEDED {
            // A reader without support may also answer with an error of its own.
            match link.transmit(&long, Sensitivity::Plain) {
                Ok(answer) => extended = answer == expected,
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => failed = true,
            }
        }
        if let (true, Some(kvn), Some(short)) = (extended, kvn, told.as_mut()) {
            failed = !long_answer(link, kvn, short)?;
        }
        let (answer, whole) = told.map_or((None, false), |told| (Some(told.length), told.length == told.whole));
        Ok((Self { command, answer, whole, extended }, failed))
    }
}

/// Sends an instruction that no card has, which is refused as such at any length: another answer means that bytes were
/// lost. Returns the largest length that passed, and the answer.
fn commands(link: &mut dyn Link) -> Result<(usize, Vec<u8>), LinkError> {
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
    Ok((largest, expected))
}

/// How much of the certificate arrived in one piece.
struct LongestAnswer {
    length: usize,
    /// The length of the whole certificate; zero if too little arrived to know it.
    whole: usize,
    known: Vec<u8>,
}

/// Requests the certificate with growing lengths: a shorter or different answer means that bytes were lost. A card or
/// reader that ignores Le sends more. `None` if the card gives no certificate.
fn answers(link: &mut dyn Link, kvn: u8) -> Result<Option<LongestAnswer>, LinkError> {
    let short = ecka_certificate(kvn).encode(ApduFormat::Short).swap_remove(0);
    let Some((_, head)) = short.split_last() else { return Ok(None) };
    let mut known: Vec<u8> = Vec::new();
    for le in [32u8, 64, 128, 200, 240, 250, 0] {
        let wanted = if le == 0 { 256 } else { usize::from(le) };
        let answer = link.transmit(&[head, &[le]].concat(), Sensitivity::Plain)?;
        let (data, status) = answer.split_at(answer.len().saturating_sub(2));
        let more = matches!(status, [0x61, _]);
        // A refusal: it has no data, and one of the statuses for that (ISO/IEC 7816-4, 5.6).
        if known.is_empty() && data.is_empty() && !more && matches!(status, [0x62..=0x6F, _]) {
            return Ok(None);
        }
        let whole = total(if known.is_empty() { data } else { &known });
        let ignores_le = data.len() > wanted && data.starts_with(&known);
        let fits = data.len() == wanted.min(whole) && data.starts_with(&known) && more == (wanted < whole);
        if !fits && !ignores_le {
            // Nothing is known yet: not even so few bytes pass.
            return Ok(Some(LongestAnswer { length: known.len(), whole: 0, known }));
        }
        known = data.to_vec();
    }
    Ok(Some(LongestAnswer { length: known.len(), whole: total(&known), known }))
}

/// Requests the whole certificate in an answer of extended length; returns whether the card accepted the request.
fn long_answer(link: &mut dyn Link, kvn: u8, short: &mut LongestAnswer) -> Result<bool, LinkError> {
    if short.whole <= short.length {
        return Ok(true);
    }
    let long = ecka_certificate(kvn).encode(ApduFormat::Extended).swap_remove(0);
    match link.transmit(&long, Sensitivity::Plain) {
        Ok(answer) if answer.len() == short.whole + 2 && answer.starts_with(&short.known) => short.length = short.whole,
        Ok(_) => {}
        Err(error) if is_final(&error) => return Err(error),
        Err(_) => return Ok(false),
    }
    Ok(true)
}

/// The length of a certificate by its first bytes; if they do not tell, the number of bytes present.
fn total(der: &[u8]) -> usize {
    match der {
        [0x30, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + DER_HEAD,
        _ => der.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card with a certificate, behind a link that limits lengths.
    struct Narrow {
        /// Bytes of the certificate.
        certificate: usize,
        command: usize,
        answer: usize,
        extended: bool,
        /// It gives no certificate.
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
            Sizes::find(&mut link, Some(0x41)).unwrap().0
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
        // Limited either by the link or by the certificate.
        for (certificate, answer, extended, expected) in [
            (395, 1000, true, (395, true)),
            (372, 1000, true, (372, true)),
            (256, 1000, false, (256, true)),
            (395, 394, true, (256, false)),
            (395, 1000, false, (256, false)),
            (395, 200, true, (200, false)),
        ] {
            let mut link = Narrow { certificate, command: 255, answer, extended, silent: false };
            let found = Sizes::find(&mut link, Some(0x41)).unwrap().0;
            assert_eq!(
                (found.answer, found.whole),
                (Some(expected.0), expected.1),
                "{certificate} {answer} {extended}"
            );
        }
        let mut silent = Narrow { certificate: 395, command: 255, answer: 1000, extended: false, silent: true };
        assert_eq!(Sizes::find(&mut silent, Some(0x41)).unwrap().0.answer, None);
        assert_eq!(Sizes::find(&mut silent, None).unwrap().0.answer, None);
    }

    /// A card that sends its whole certificate, whatever is requested.
    struct Deaf(usize);

    impl Link for Deaf {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            if command[1] == 0xEE {
                return Ok(vec![0x6D, 0x00]);
            }
            let length = u16::try_from(self.0 - DER_HEAD).unwrap().to_be_bytes();
            Ok([&[0x30, 0x82][..], &length, &vec![0xA5; self.0 - DER_HEAD], &[0x90, 0x00]].concat())
        }
    }

    #[test]
    fn a_card_that_ignores_le_cuts_nothing() {
        let (sizes, failed) = Sizes::find(&mut Deaf(395), Some(0x41)).unwrap();
        assert_eq!((sizes.answer, sizes.whole, failed), (Some(395), true, false));
    }

    /// Does not answer extended length, nor anything after it until it is reset.
    struct Mute(Narrow, bool);

    impl Link for Mute {
        fn transmit(&mut self, command: &[u8], privacy: Sensitivity) -> Result<Vec<u8>, LinkError> {
            self.1 |= command.len() > 300;
            if self.1 { Err(LinkError::Transmission("mute".into())) } else { self.0.transmit(command, privacy) }
        }
    }

    #[test]
    fn extended_length_that_is_not_taken_is_the_last_thing_tried() {
        let narrow = Narrow { certificate: 395, command: 255, answer: 1000, extended: false, silent: false };
        let (sizes, failed) = Sizes::find(&mut Mute(narrow, false), Some(0x41)).unwrap();
        assert_eq!((sizes.command, sizes.answer, sizes.extended, failed), (255, Some(256), false, true));
    }
}
