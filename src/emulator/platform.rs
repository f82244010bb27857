//! The card platform around the applet, which enrollment checks: the card's UID as a reader reports it, and the issuer
//! security domain. A token has neither unless configured.

use crate::{
    card::{apdu::Received, status::Status, tlv},
    crypto::{CryptoError, random::Random, sha256},
    token::constants::INS_SELECT,
};

/// How the reader reports the card's UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uid {
    /// Always the same, and the security domain gives serial numbers: the card is identifiable.
    Fixed,
    /// Different in each field, and nothing else identifies the card.
    Random,
}

/// The AID of the issuer security domain.
const SECURITY_DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];
/// GET DATA of the UID (PC/SC part 3, 3.2.2.1.3), up to its length.
const GET_UID: [u8; 4] = [0xFF, 0xCA, 0x00, 0x00];
/// GET DATA of the historical bytes of the ATS, likewise.
const GET_ATS: [u8; 4] = [0xFF, 0xCA, 0x01, 0x00];
/// The historical bytes of [`super::vpcd::ATR`].
const HISTORICAL: [u8; 5] = [0x80, 0x73, 0xC8, 0x21, 0xC0];
/// The part of the CPLC for chip and operating system; data of the individual card follow.
const CPLC_KIND: [u8; 10] = [0x47, 0x90, 0xD3, 0x21, 0x47, 0x00, 0x00, 0x00, 0x00, 0x00];

/// The platform of one card.
pub struct CardPlatform {
    uid: Uid,
    serial: [u8; 32],
    random: Box<dyn Random + Send>,
    now: [u8; 4],
    /// Whether the security domain is selected, and not the applet.
    selected: bool,
}

/// Who answers an APDU.
#[derive(Debug, PartialEq, Eq)]
pub enum PlatformAnswer {
    /// The reader: the card does not see the command.
    ByReader(Vec<u8>),
    /// The security domain: the applet is no longer selected.
    ByDomain(Vec<u8>),
    /// Neither: the command is for the token.
    ByNobody,
}

impl CardPlatform {
    /// The platform of the card with these diversification data.
    ///
    /// # Errors
    /// [`CryptoError`] when there is no randomness.
    pub fn new(uid: Uid, diversification: &[u8; 10], mut random: Box<dyn Random + Send>) -> Result<Self, CryptoError> {
        let now = fresh(&mut *random)?;
        Ok(Self { uid, serial: sha256(&[diversification]), random, now, selected: false })
    }

    /// The field was switched off, or the card was reset.
    pub fn reset(&mut self) {
        self.selected = false;
        // Without randomness it keeps its UID: the card is then identifiable, but never answers wrongly.
        self.now = fresh(&mut *self.random).unwrap_or(self.now);
    }

    /// Answers commands that are not for the applet.
    pub fn answer(&mut self, apdu: &[u8]) -> PlatformAnswer {
        let Some(received) = Received::parse(apdu) else { return PlatformAnswer::ByNobody };
        if received.header == GET_UID {
            let uid = match self.uid {
                Uid::Fixed => [&[0x04], &self.serial[..6]].concat(),
                Uid::Random => self.now.to_vec(),
            };
            return PlatformAnswer::ByReader(done(uid));
        }
        if received.header == GET_ATS {
            return PlatformAnswer::ByReader(done(HISTORICAL.to_vec()));
        }
        if self.uid == Uid::Random {
            return PlatformAnswer::ByNobody;
        }
        if received.header == [0x00, INS_SELECT, 0x04, 0x00] {
            self.selected = received.data == SECURITY_DOMAIN;
            let names = tlv::object(0x84, &SECURITY_DOMAIN);
            let told = done(tlv::object(0x6F, &[names, tlv::object(0xA5, &[])].concat()));
            return if self.selected { PlatformAnswer::ByDomain(told) } else { PlatformAnswer::ByNobody };
        }
        if self.selected { PlatformAnswer::ByDomain(self.domain(&received)) } else { PlatformAnswer::ByNobody }
    }

    fn domain(&self, received: &Received<'_>) -> Vec<u8> {
        match received.header {
            [0x80, 0xCA, 0x9F, 0x7F] => done(tlv::object(0x9F7F, &[&CPLC_KIND, &self.serial[..]].concat())),
            // Diversification data, keys FF of SCP03, challenge and cryptogram; this channel is never opened.
            [0x80, 0x50, ..] => done([&self.serial[..10], &[0xFF, 0x03, 0x70], &self.serial[..16]].concat()),
            _ => Status::NO_DATA.0.to_be_bytes().to_vec(),
        }
    }
}

/// A random UID of a single size (ISO/IEC 14443-3, 6.5.4): 08 and three random bytes.
fn fresh(random: &mut dyn Random) -> Result<[u8; 4], CryptoError> {
    let mut uid = [0x08; 4];
    random.fill(&mut uid[1..])?;
    Ok(uid)
}

fn done(mut data: Vec<u8>) -> Vec<u8> {
    data.extend_from_slice(&Status::OK.0.to_be_bytes());
    data
}
