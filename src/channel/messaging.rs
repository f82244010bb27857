//! Secure messaging at SCP03 level 33: C-MAC, R-MAC and encryption both ways (GP Amendment D, 6.2).
//!
//! Both sides are here: the terminal wraps commands and unwraps answers; the software token does the reverse.
//!
//! Specification: docs/protocol.md, "Secure messaging".

use zeroize::Zeroizing;

use super::ChannelError;
use crate::{
    card::{
        apdu::{ApduFormat, Command, Response, SECURE, SHORT_MAX},
        status::Status,
    },
    crypto::{CryptoError, Key128, aes, cmac::cmac, same},
};

/// The length of a C-MAC or R-MAC in bytes (S8 mode).
pub const MAC: usize = 8;

/// The session keys of a channel. Each is zeroized on drop.
#[derive(Debug, Clone)]
pub struct SessionKeys {
    /// S-ENC.
    pub enc: Key128,
    /// S-MAC.
    pub mac: Key128,
    /// S-RMAC.
    pub rmac: Key128,
    /// The key that wraps keys inside the channel: the session DEK of SCP11, or the static DEK of SCP03.
    pub dek: Key128,
}

/// The secure messaging state of one session.
#[derive(Debug)]
pub struct Messaging {
    enc: Key128,
    mac: Key128,
    rmac: Key128,
    dek: Option<Key128>,
    chain: [u8; 16],
    counter: u32,
}

impl Messaging {
    /// Starts with these keys and this MAC chaining value (for SCP11 the receipt; for SCP03 the MAC of EXTERNAL
    /// AUTHENTICATE).
    pub fn new(keys: SessionKeys, chain: [u8; 16]) -> Self {
        let SessionKeys { enc, mac, rmac, dek } = keys;
        Self { enc, mac, rmac, dek: Some(dek), chain, counter: 0 }
    }

    /// A resumed channel, which only reads: it has no DEK, so no key can be wrapped in it.
    pub(super) const fn without_dek(enc: Key128, mac: Key128, rmac: Key128, chain: [u8; 16]) -> Self {
        Self { enc, mac, rmac, dek: None, chain, counter: 0 }
    }

    /// The key that wraps keys inside this channel; `None` for a resumed one.
    pub const fn dek(&self) -> Option<&Key128> {
        self.dek.as_ref()
    }

    /// Protects a command: encrypts the data and appends the C-MAC. Lc enters the MAC as `format` will send it.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn wrap(&mut self, command: &Command, format: ApduFormat) -> Result<Command, CryptoError> {
        self.counter = self.counter.wrapping_add(1);
        let mut data = Vec::new();
        if !command.payload().is_empty() {
            data = aes::cbc_encrypt(&self.enc, &self.icv(0)?, &pad(command.payload()))?;
        }
        let header = [command.cla | SECURE, command.ins, command.p1, command.p2];
        let full = cmac(&self.mac, &[&self.chain, &header, &lc(data.len() + MAC, format), &data])?;
        self.chain = full;
        data.extend_from_slice(&full[..MAC]);
        Ok(Command::new(header[0], header[1], header[2], header[3]).data(data).answered())
    }

    /// Verifies and decrypts an answer. An error status carries no MAC and is returned as it is, without data: the
    /// caller must treat it as unauthenticated. Any other answer must have a valid R-MAC.
    ///
    /// # Errors
    /// [`ChannelError::ResponseMac`] or [`ChannelError::Padding`] for an answer that is not the card's;
    /// [`ChannelError::Crypto`] when OpenSSL fails. The channel must not be used any further then.
    pub fn unwrap(&mut self, response: &Response) -> Result<Response, ChannelError> {
        let status = response.status;
        if !status.carries_mac() {
            return Ok(Response::status(status));
        }
        let (sealed, mac) = response.data.split_last_chunk::<MAC>().ok_or(ChannelError::ResponseMac)?;
        let expected = self.response_mac(sealed, status)?;
        if !same(mac, &expected) {
            return Err(ChannelError::ResponseMac);
        }
        if sealed.is_empty() {
            return Ok(Response::status(status));
        }
        if !sealed.len().is_multiple_of(aes::BLOCK) {
            return Err(ChannelError::Padding);
        }
        let padded = aes::cbc_decrypt(&self.enc, &self.icv(0x80)?, sealed)?;
        let data = unpad(&padded).ok_or(ChannelError::Padding)?.to_vec();
        Ok(Response { data, status })
    }

    /// The card's side of [`Self::wrap`]: [`Self::verify`], then [`Self::decrypt`]. `None` for a wrong MAC or padding.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn open(&mut self, header: [u8; 4], lc: &[u8], data: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, CryptoError> {
        match self.verify(header, lc, data)? {
            Some(sealed) => self.decrypt(sealed),
            None => Ok(None),
        }
    }

    /// Verifies the C-MAC over the header (chaining bit clear), Lc as sent, and the data; returns the encrypted data,
    /// or `None` when the MAC is wrong.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn verify<'a>(&mut self, header: [u8; 4], lc: &[u8], data: &'a [u8]) -> Result<Option<&'a [u8]>, CryptoError> {
        let Some((sealed, mac)) = data.split_last_chunk::<MAC>() else {
            return Ok(None);
        };
        let full = cmac(&self.mac, &[&self.chain, &header, lc, sealed])?;
        if !same(&full[..MAC], mac) {
            return Ok(None);
        }
        self.chain = full;
        Ok(Some(sealed))
    }

    /// Decrypts the data of a command whose C-MAC was verified; `None` when the padding is wrong. An encrypted empty
    /// block and no data at all both mean an empty command.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn decrypt(&mut self, sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, CryptoError> {
        self.counter = self.counter.wrapping_add(1);
        if sealed.is_empty() {
            return Ok(Some(Zeroizing::default()));
        }
        if !sealed.len().is_multiple_of(aes::BLOCK) {
            return Ok(None);
        }
        let padded = aes::cbc_decrypt(&self.enc, &self.icv(0)?, sealed)?;
        Ok(unpad(&padded).map(|data| Zeroizing::new(data.to_vec())))
    }

    /// The card's side of [`Self::unwrap`]: protects an answer with a status that carries a MAC.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn seal(&mut self, data: &[u8], status: Status) -> Result<Vec<u8>, CryptoError> {
        let mut out = Vec::new();
        if !data.is_empty() {
            out = aes::cbc_encrypt(&self.enc, &self.icv(0x80)?, &pad(data))?;
        }
        let mac = self.response_mac(&out, status)?;
        out.extend_from_slice(&mac);
        Ok(out)
    }

    fn response_mac(&self, sealed: &[u8], status: Status) -> Result<[u8; MAC], CryptoError> {
        let full = cmac(&self.rmac, &[&self.chain, sealed, &status.0.to_be_bytes()])?;
        let mut mac = [0; MAC];
        mac.copy_from_slice(&full[..MAC]);
        Ok(mac)
    }

    fn icv(&self, top: u8) -> Result<[u8; aes::BLOCK], CryptoError> {
        let mut block = [0; aes::BLOCK];
        block[0] = top;
        block[12..].copy_from_slice(&self.counter.to_be_bytes());
        aes::block_encrypt(&self.enc, &block)
    }
}

/// Lc as sent in this format: one byte, or `00 hh ll`; a chain counts like an extended APDU.
#[allow(clippy::cast_possible_truncation)] // a command is at most 512 bytes long
fn lc(length: usize, format: ApduFormat) -> Vec<u8> {
    if format == ApduFormat::Short && length <= SHORT_MAX {
        vec![length as u8]
    } else {
        vec![0, (length >> 8) as u8, length as u8]
    }
}

/// ISO/IEC 9797-1 padding method 2: 80, then zeros up to a whole block.
fn pad(data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(data.len() + aes::BLOCK));
    padded.extend_from_slice(data);
    padded.push(0x80);
    let whole = padded.len().next_multiple_of(aes::BLOCK);
    padded.resize(whole, 0);
    padded
}

fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|b| *b != 0)?;
    // The marker must be in the last block: padding never adds a whole block of zeros.
    (padded[end] == 0x80 && padded.len() - end <= aes::BLOCK).then(|| &padded[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> (Messaging, Messaging) {
        let keys = || SessionKeys {
            enc: Key128::new([1; 16]),
            mac: Key128::new([2; 16]),
            rmac: Key128::new([3; 16]),
            dek: Key128::new([4; 16]),
        };
        (Messaging::new(keys(), [5; 16]), Messaging::new(keys(), [5; 16]))
    }

    fn sent_lc(length: usize, format: ApduFormat) -> Vec<u8> {
        lc(length, format)
    }

    proptest! {
        #[test]
        fn both_sides_agree(
            commands in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..400), prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 1..5),
        ) {
            let (mut terminal, mut card) = pair();
            for (data, answer, short) in commands {
                let format = if short { ApduFormat::Short } else { ApduFormat::Extended };
                let wrapped = terminal.wrap(&Command::new(0, 0xCA, 1, 1).data(data.clone()), format).unwrap();
                let lc = sent_lc(wrapped.payload().len(), format);
                let opened = card.open(wrapped.header(), &lc, wrapped.payload()).unwrap().unwrap();
                prop_assert_eq!(&*opened, &data);
                let sealed = card.seal(&answer, Status::OK).unwrap();
                let response = terminal.unwrap(&Response { data: sealed, status: Status::OK }).unwrap();
                prop_assert_eq!(response.data, answer);
            }
        }

        #[test]
        fn any_flipped_bit_of_an_answer_is_refused(answer in prop::collection::vec(any::<u8>(), 0..40), bit in any::<prop::sample::Index>()) {
            let (mut terminal, mut card) = pair();
            let wrapped = terminal.wrap(&Command::new(0, 0xCA, 1, 1), ApduFormat::Short).unwrap();
            card.open(wrapped.header(), &[8], wrapped.payload()).unwrap().unwrap();
            let mut sealed = card.seal(&answer, Status::OK).unwrap();
            let bit = bit.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            let outcome = terminal.unwrap(&Response { data: sealed, status: Status::OK });
            prop_assert!(outcome.is_err());
        }
    }

    #[test]
    fn an_answer_without_mac_is_refused_even_when_empty() {
        let (mut terminal, _) = pair();
        for data in [vec![], vec![0; 7], vec![0; 8]] {
            assert!(matches!(terminal.unwrap(&Response { data, status: Status::OK }), Err(ChannelError::ResponseMac)));
        }
    }

    #[test]
    fn data_of_an_error_status_are_dropped() {
        let (mut terminal, _) = pair();
        let answer = terminal.unwrap(&Response { data: vec![1, 2, 3], status: Status::SECURITY }).unwrap();
        assert_eq!(answer, Response::status(Status::SECURITY));
    }

    #[test]
    fn an_encrypted_empty_block_is_an_empty_command() {
        let (mut terminal, mut card) = pair();
        terminal.counter = 1;
        let sealed = aes::cbc_encrypt(&terminal.enc, &terminal.icv(0).unwrap(), &pad(&[])).unwrap();
        let header = [0x84, 0xCA, 1, 0];
        let full = cmac(&terminal.mac, &[&terminal.chain, &header, &[24], &sealed]).unwrap();
        let data = [&sealed[..], &full[..MAC]].concat();
        assert!(card.open(header, &[24], &data).unwrap().unwrap().is_empty());
    }

    /// An answer with a valid R-MAC and this encrypted part.
    fn answered(card: &Messaging, sealed: &[u8], status: Status) -> Response {
        let mac = card.response_mac(sealed, status).unwrap();
        Response { data: [sealed, &mac].concat(), status }
    }

    #[test]
    fn an_answer_with_a_right_mac_and_wrong_padding_is_refused() {
        let (mut terminal, card) = pair();
        let encrypted = |plain: &[u8]| aes::cbc_encrypt(&card.enc, &card.icv(0x80).unwrap(), plain).unwrap();
        for plain in [vec![0; 16], vec![1; 16], [vec![0x80], vec![0; 31]].concat()] {
            let answer = answered(&card, &encrypted(&plain), Status::OK);
            assert!(matches!(terminal.unwrap(&answer), Err(ChannelError::Padding)), "{plain:?}");
        }
        let block = encrypted(&pad(&[7]));
        for length in [1, 15] {
            let answer = answered(&card, &block[..length], Status::OK);
            assert!(matches!(terminal.unwrap(&answer), Err(ChannelError::Padding)), "{length}");
        }
        assert_eq!(terminal.unwrap(&answered(&card, &block, Status::OK)).unwrap().data, [7]);
    }

    #[test]
    fn the_mac_of_an_answer_covers_its_status() {
        let (mut terminal, card) = pair();
        let mut answer = answered(&card, &[], Status::OK);
        answer.status = Status(0x6283);
        assert!(matches!(terminal.unwrap(&answer), Err(ChannelError::ResponseMac)));
    }

    #[test]
    fn padding_is_checked_strictly() {
        assert_eq!(unpad(&[0; 16]), None);
        assert_eq!(unpad(&[1; 16]), None);
        let mut two = [0; 32];
        two[0] = 0x80;
        assert_eq!(unpad(&two), None);
        two[16] = 0x80;
        assert_eq!(unpad(&two).unwrap().len(), 16);
    }
}
