//! Resumed channels: what terminal and token derive from the key of a recent full tap.
//!
//! Specification: docs/protocol.md, "The fast tap".

use std::borrow::Borrow;

use super::{ChannelError, CommandName, accepted, messaging::Messaging};
use crate::{
    card::apdu::{Command, Response},
    crypto::{CryptoError, Key128, ec::Point, kdf::scp03_block, same, sha256},
};

/// The length of a terminal's identifier in RESUME, in bytes.
pub const TID: usize = 8;
/// The length of each side's random number, in bytes.
pub const NONCE: usize = 16;
/// The length of the card's cryptogram, in bytes.
pub const CRYPTOGRAM: usize = 8;
/// How often one key may be used before its slot is cleared.
pub const USES: u8 = 64;

/// Derivation constants, which SCP03 does not use: for the cryptogram and first chaining value, S-ENC, S-MAC, S-RMAC.
const CHAIN: u8 = 0x42;
const ENC: u8 = 0x44;
const MAC: u8 = 0x46;
const RMAC: u8 = 0x47;
/// The length of each derived value, in bits.
const BITS: u16 = 128;

/// A terminal's identifier in RESUME: the first bytes of the SHA-256 of the 65-byte point in its certificate.
pub fn terminal_id(point: &Point) -> [u8; TID] {
    let mut id = [0; TID];
    id.copy_from_slice(&sha256(&[point.as_bytes()])[..TID]);
    id
}

/// What both sides derive before the first protected command.
#[derive(Debug)]
pub struct Resumed {
    /// The card's proof that it holds the key.
    pub cryptogram: [u8; CRYPTOGRAM],
    /// The secure messaging.
    pub messaging: Messaging,
}

impl Resumed {
    /// Derives it from the key of the earlier tap, both random numbers (the terminal's first) and the answer to SELECT
    /// without its status.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn derive(
        key: &Key128,
        terminal: &[u8; NONCE],
        card: &[u8; NONCE],
        select: &[u8],
    ) -> Result<Self, CryptoError> {
        let nonces = [&terminal[..], card].concat();
        let chain = scp03_block(key, CHAIN, BITS, &[&nonces, select].concat())?;
        let session_key = |constant| scp03_block(key, constant, BITS, &nonces).map(Key128::new);
        let mut cryptogram = [0; CRYPTOGRAM];
        cryptogram.copy_from_slice(&chain[..CRYPTOGRAM]);
        let messaging = Messaging::without_dek(session_key(ENC)?, session_key(MAC)?, session_key(RMAC)?, chain);
        Ok(Self { cryptogram, messaging })
    }
}

/// The terminal's side, waiting for the answer to RESUME.
#[derive(Debug)]
pub struct Resumption<'a> {
    nonce: [u8; NONCE],
    select: &'a [u8],
}

impl<'a> Resumption<'a> {
    /// RESUME from the terminal with this identifier. `nonce` is random and fresh; `select` is the answer to SELECT
    /// without its status.
    pub fn begin(terminal: &[u8; TID], nonce: [u8; NONCE], select: &'a [u8]) -> (Command, Self) {
        let command = Command::new(0x80, 0x86, 0, 0).data([&terminal[..], &nonce].concat()).answered();
        (command, Self { nonce, select })
    }

    /// The index of the key that the card holds, and the channel under it. `None` if the card holds none of them: its
    /// answer then reveals no more than a random number would.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] for an error status, [`ChannelError::Form`] for a malformed answer,
    /// [`ChannelError::Crypto`] when OpenSSL fails.
    pub fn handle<K: Borrow<Key128>>(
        &self,
        response: Response,
        keys: &[K],
    ) -> Result<Option<(usize, Messaging)>, ChannelError> {
        const STEP: CommandName = CommandName::Resume;
        let data = accepted(STEP, response)?;
        let (card, cryptogram) = data.split_first_chunk::<NONCE>().ok_or(ChannelError::Form(STEP))?;
        if cryptogram.len() != CRYPTOGRAM {
            return Err(ChannelError::Form(STEP));
        }
        let mut found = None;
        // Every key is tried, so that the time taken does not reveal which one matched.
        for (place, key) in keys.iter().enumerate() {
            let resumed = Resumed::derive(key.borrow(), &self.nonce, card, self.select)?;
            if same(&resumed.cryptogram, cryptogram) && found.is_none() {
                found = Some((place, resumed.messaging));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
