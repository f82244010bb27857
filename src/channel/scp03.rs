//! SCP03 (GP Amendment D): the terminal's side, and the derivations that both sides share.
//!
//! Specification: docs/protocol.md, "SCP03 keys"; docs/protocol.md, "Secure messaging".

use super::{
    ChannelError, Step, accepted,
    messaging::{MAC, Messaging, SessionKeys},
};
use crate::channel::CommandName;
use crate::{
    card::apdu::{Command, Response},
    crypto::{CryptoError, Key128, cmac::cmac, kdf, same},
};

/// The security level that we use, and the only one that our token accepts: C-MAC, R-MAC, encryption both ways.
pub const LEVEL: u8 = 0x33;
/// The parameter i of the key information: R-MAC and R-ENCRYPTION are supported, challenges are random.
pub const I_PARAMETER: u8 = 0x60;

/// A static key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticKeys {
    /// Key-ENC.
    pub enc: Key128,
    /// Key-MAC.
    pub mac: Key128,
    /// Key-DEK.
    pub dek: Key128,
}

impl StaticKeys {
    /// The same key three times, as `GlobalPlatform`'s test keys are.
    pub fn all(key: &Key128) -> Self {
        Self { enc: key.clone(), mac: key.clone(), dek: key.clone() }
    }

    /// The well-known test keys 404142…4F: anyone who observes an enrollment under them learns the token's keys.
    pub fn test() -> Self {
        Self::all(&Key128::new(*b"\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49\x4A\x4B\x4C\x4D\x4E\x4F"))
    }

    /// The per-token keys (docs/protocol.md, "SCP03 keys"): for each key, one CMAC block under the personalisation key
    /// over the 10 bytes of diversification data.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn diversified(master: &Key128, diversification: &[u8; 10]) -> Result<Self, CryptoError> {
        Self::diversified_by(diversification, |block| Ok(Key128::new(cmac(master, &[block])?)))
    }

    /// The same when the personalisation key is not accessible and only computes: `cmac` is called for three blocks.
    ///
    /// # Errors
    /// The error of `cmac`.
    pub fn diversified_by<E>(
        diversification: &[u8; 10],
        mut cmac: impl FnMut(&[u8]) -> Result<Key128, E>,
    ) -> Result<Self, E> {
        let mut key = |n: u8| cmac(&[&kdf::scp03_head(n, 128)[..], diversification].concat());
        Ok(Self { enc: key(1)?, mac: key(2)?, dek: key(3)? })
    }
}

/// The answer to INITIALIZE UPDATE (GP Amendment D, 7.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardChallenge {
    /// The card's diversification data.
    pub diversification: [u8; 10],
    /// The KVN of the active keys.
    pub kvn: u8,
    /// The card's challenge.
    pub challenge: [u8; 8],
    /// The card's cryptogram.
    pub cryptogram: [u8; 8],
}

impl CardChallenge {
    /// Parses exactly 29 bytes that name SCP03 with `i` = 60.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (diversification, rest) = data.split_first_chunk::<10>()?;
        let ([kvn, 0x03, I_PARAMETER], rest) = rest.split_first_chunk::<3>()? else {
            return None;
        };
        let (challenge, cryptogram) = rest.split_first_chunk::<8>()?;
        Some(Self {
            diversification: *diversification,
            kvn: *kvn,
            challenge: *challenge,
            cryptogram: cryptogram.try_into().ok()?,
        })
    }
}

/// The session that results from both challenges.
#[derive(Debug)]
pub struct Agreed {
    keys: SessionKeys,
    context: [u8; 16],
}

impl Agreed {
    /// Derives the session keys (GP Amendment D, 6.2.1).
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn derive(statics: &StaticKeys, host: &[u8; 8], card: &[u8; 8]) -> Result<Self, CryptoError> {
        let mut context = [0; 16];
        context[..8].copy_from_slice(host);
        context[8..].copy_from_slice(card);
        let key = |from: &Key128, constant: u8| -> Result<Key128, CryptoError> {
            Ok(Key128::new(kdf::scp03_block(from, constant, 128, &context)?))
        };
        let keys = SessionKeys {
            enc: key(&statics.enc, 4)?,
            mac: key(&statics.mac, 6)?,
            rmac: key(&statics.mac, 7)?,
            dek: statics.dek.clone(),
        };
        Ok(Self { keys, context })
    }

    /// The card's cryptogram (GP Amendment D, 6.2.2.2).
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn card_cryptogram(&self) -> Result<[u8; 8], CryptoError> {
        self.cryptogram(0)
    }

    /// The host's cryptogram (GP Amendment D, 6.2.2.3).
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn host_cryptogram(&self) -> Result<[u8; 8], CryptoError> {
        self.cryptogram(1)
    }

    fn cryptogram(&self, constant: u8) -> Result<[u8; 8], CryptoError> {
        let block = kdf::scp03_block(&self.keys.mac, constant, 64, &self.context)?;
        let mut out = [0; 8];
        out.copy_from_slice(&block[..8]);
        Ok(out)
    }

    /// The full MAC of EXTERNAL AUTHENTICATE, whose chaining value is zero; `lc` as sent.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn authenticate_mac(&self, header: [u8; 4], lc: &[u8], cryptogram: &[u8]) -> Result<[u8; 16], CryptoError> {
        cmac(&self.keys.mac, &[&[0; 16], &header, lc, cryptogram])
    }

    /// The secure messaging that starts after EXTERNAL AUTHENTICATE with this MAC.
    pub fn into_messaging(self, mac: [u8; 16]) -> Messaging {
        Messaging::new(self.keys, mac)
    }
}

/// A handshake waiting for the card. The keys are chosen between the two steps, from what the card says about itself.
#[derive(Debug)]
pub struct AwaitChallenge {
    host: [u8; 8],
}

/// INITIALIZE UPDATE with a fresh host challenge; KVN 00 selects the active keys.
pub fn begin(host: [u8; 8]) -> (Command, AwaitChallenge) {
    (Command::new(0x80, 0x50, 0, 0).data(host).answered(), AwaitChallenge { host })
}

impl AwaitChallenge {
    /// Parses the answer; nothing secret has been used yet.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] for an error status, [`ChannelError::Form`] for a malformed answer.
    pub fn handle(self, response: Response) -> Result<(CardChallenge, ChooseKeys), ChannelError> {
        const STEP: CommandName = CommandName::InitializeUpdate;
        let challenge = CardChallenge::parse(&accepted(STEP, response)?).ok_or(ChannelError::Form(STEP))?;
        Ok((challenge.clone(), ChooseKeys { host: self.host, challenge }))
    }
}

/// The card has sent its KVN and diversification data; the terminal chooses the keys.
#[derive(Debug)]
pub struct ChooseKeys {
    host: [u8; 8],
    challenge: CardChallenge,
}

impl ChooseKeys {
    /// Whether the card's cryptogram was made with these keys. Nothing is sent, so a wrong guess costs the card
    /// nothing.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn proves(&self, statics: &StaticKeys) -> Result<bool, CryptoError> {
        let agreed = Agreed::derive(statics, &self.host, &self.challenge.challenge)?;
        Ok(same(&agreed.card_cryptogram()?, &self.challenge.cryptogram))
    }

    /// Verifies the card's cryptogram before anything is sent, then returns EXTERNAL AUTHENTICATE. A wrong cryptogram
    /// costs the card nothing: no retry counter is touched.
    ///
    /// # Errors
    /// [`ChannelError::Cryptogram`] when the card does not hold these keys; [`ChannelError::Crypto`] when OpenSSL
    /// fails.
    pub fn with(self, statics: &StaticKeys) -> Result<Step<AwaitAccepted, Messaging>, ChannelError> {
        let agreed = Agreed::derive(statics, &self.host, &self.challenge.challenge)?;
        if !same(&agreed.card_cryptogram()?, &self.challenge.cryptogram) {
            return Err(ChannelError::Cryptogram);
        }
        let header = [0x84, 0x82, LEVEL, 0];
        let cryptogram = agreed.host_cryptogram()?;
        let mac = agreed.authenticate_mac(header, &[16], &cryptogram)?;
        let data = [&cryptogram[..], &mac[..MAC]].concat();
        let command = Command::new(header[0], header[1], header[2], header[3]).data(data);
        Ok(Step::Send(command, AwaitAccepted { messaging: agreed.into_messaging(mac) }))
    }
}

/// Waits for the answer to EXTERNAL AUTHENTICATE, which carries no R-MAC.
#[derive(Debug)]
pub struct AwaitAccepted {
    messaging: Messaging,
}

impl AwaitAccepted {
    /// The channel is open once the card has accepted.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] when it has not, [`ChannelError::Form`] when it answers with data.
    pub fn handle(self, response: Response) -> Result<Messaging, ChannelError> {
        const STEP: CommandName = CommandName::ExternalAuthenticate;
        if !accepted(STEP, response)?.is_empty() {
            return Err(ChannelError::Form(STEP));
        }
        Ok(self.messaging)
    }
}

#[cfg(test)]
mod tests;
