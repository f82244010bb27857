//! SCP11a (GP Amendment F, 6.4): the terminal's side of the handshake, and the key derivation that both sides share.
//!
//! Specification: docs/protocol.md, "The handshake".

use std::sync::Arc;

use crate::channel::CommandName;
use zeroize::Zeroizing;

use super::{
    ChannelError, Step, accepted,
    messaging::{Messaging, SessionKeys},
};
use crate::{
    card::{
        apdu::{Command, Response},
        tlv::{self, TlvReader},
    },
    crypto::{
        CryptoError, Key128,
        cmac::cmac,
        ec::{KeyPair, Point},
        kdf, same, sha256,
    },
};

/// The control reference template of MUTUAL AUTHENTICATE: SCP11a, C-MAC, R-MAC and encryption both ways, AES, 16 bytes.
/// There is only this one, so nothing can be negotiated down.
pub const PARAMETERS: [u8; 15] =
    [0xA6, 0x0D, 0x90, 0x02, 0x11, 0x01, 0x95, 0x01, 0x3C, 0x80, 0x01, 0x88, 0x81, 0x01, 0x10];
/// SharedInfo of the key derivation: key usage, key type, key length.
const SHARED_INFO: [u8; 3] = [0x3C, 0x88, 0x10];
/// The tag of an ephemeral public key.
pub const TAG_POINT: u16 = 0x5F49;
/// The tag of the receipt.
pub const TAG_RECEIPT: u16 = 0x86;

/// The terminal's input to a handshake.
#[derive(Debug)]
pub struct Offer<'a> {
    /// The answer to SELECT, without its status: it enters the channel binding.
    pub select: &'a [u8],
    /// The terminal's static ECKA key.
    pub terminal_key: &'a KeyPair,
    /// The terminal's certificate, DER.
    pub terminal_certificate: &'a [u8],
    /// The KVN under which the card stores the CA key that verifies this certificate.
    pub ca_kvn: u8,
    /// The point of the card's verified ECKA certificate.
    pub card_key: &'a Point,
    /// The KVN of that key.
    pub card_kvn: u8,
    /// A fresh, single-use key pair.
    pub ephemeral: KeyPair,
}

/// A handshake waiting for the card.
#[derive(Debug)]
pub enum Handshake {
    /// Waits for the answer to PERFORM SECURITY OPERATION.
    AwaitCertificateVerified(Agreement),
    /// Waits for the answer to MUTUAL AUTHENTICATE.
    AwaitReceipt(Agreement),
}

/// The data that both waiting states carry.
#[derive(Debug)]
pub struct Agreement {
    static_secret: Zeroizing<[u8; 32]>,
    ephemeral: KeyPair,
    card_kvn: u8,
    binding_head: Vec<u8>,
}

/// An open channel, and the value that binds a presence proof to it.
#[derive(Debug)]
pub struct Opened {
    /// The secure messaging.
    pub messaging: Messaging,
    /// The channel binding of the presence proof.
    pub binding: [u8; 32],
    /// The key under which a later channel can be resumed, if the token stores it in a slot.
    pub resumption: Arc<Key128>,
}

impl Handshake {
    /// Starts with PERFORM SECURITY OPERATION [verify certificate].
    ///
    /// # Errors
    /// [`ChannelError::Crypto`] when OpenSSL fails.
    pub fn begin(offer: Offer<'_>) -> Result<Step<Self, Opened>, ChannelError> {
        let command = Command::new(0x80, 0x2A, offer.ca_kvn, 0x10).data(offer.terminal_certificate);
        let agreement = Agreement {
            static_secret: offer.terminal_key.agree(offer.card_key)?,
            ephemeral: offer.ephemeral,
            card_kvn: offer.card_kvn,
            binding_head: [offer.select, &sha256(&[offer.terminal_certificate])].concat(),
        };
        Ok(Step::Send(command, Self::AwaitCertificateVerified(agreement)))
    }

    /// Processes the card's answer to the last command.
    ///
    /// # Errors
    /// [`ChannelError::Refused`] for an error status, [`ChannelError::Form`] for a malformed answer,
    /// [`ChannelError::Receipt`] when the card does not hold its key, [`ChannelError::Crypto`] when OpenSSL fails.
    pub fn handle(self, response: Response) -> Result<Step<Self, Opened>, ChannelError> {
        match self {
            Self::AwaitCertificateVerified(agreement) => agreement.certificate_verified(response),
            Self::AwaitReceipt(agreement) => agreement.receipt(response).map(Step::Done),
        }
    }
}

impl Agreement {
    fn certificate_verified(self, response: Response) -> Result<Step<Handshake, Opened>, ChannelError> {
        if !accepted(CommandName::VerifyCertificate, response)?.is_empty() {
            return Err(ChannelError::Form(CommandName::VerifyCertificate));
        }
        let command = Command::new(0x80, 0x82, self.card_kvn, 0x11).data(self.request()).answered();
        Ok(Step::Send(command, Handshake::AwaitReceipt(self)))
    }

    fn request(&self) -> Vec<u8> {
        request(self.ephemeral.public())
    }

    fn receipt(self, response: Response) -> Result<Opened, ChannelError> {
        const STEP: CommandName = CommandName::MutualAuthenticate;
        let data = accepted(STEP, response)?;
        let (point, receipt) = parse_answer(&data).ok_or(ChannelError::Form(STEP))?;
        let ephemeral_secret = self.ephemeral.agree(&point)?;
        let derived = derive(&ephemeral_secret, &self.static_secret)?;
        let request = self.request();
        let object = tlv::object(TAG_POINT, point.as_bytes());
        if !same(&derived.receipt(&request, &object)?, &receipt) {
            return Err(ChannelError::Receipt);
        }
        let binding = sha256(&[&self.binding_head, &request, &data]);
        Ok(Opened { messaging: Messaging::new(derived.keys, receipt), binding, resumption: derived.resumption })
    }
}

/// The data of MUTUAL AUTHENTICATE for this ephemeral point.
pub fn request(ephemeral: &Point) -> Vec<u8> {
    [&PARAMETERS[..], &tlv::object(TAG_POINT, ephemeral.as_bytes())].concat()
}

fn parse_answer(data: &[u8]) -> Option<(Point, [u8; 16])> {
    let mut reader = TlvReader::new(data);
    let point = Point::parse(reader.value(TAG_POINT).ok()?).ok()?;
    let receipt = reader.array(TAG_RECEIPT).ok()?;
    reader.end().ok()?;
    Some((point, receipt))
}

/// The keys that result from a key agreement.
#[derive(Debug)]
pub struct Derived {
    receipt_key: Key128,
    /// The session keys.
    pub keys: SessionKeys,
    /// The key under which a later channel can be resumed. Shared by reference, so that no copy outlives it.
    pub resumption: Arc<Key128>,
}

impl Derived {
    /// The receipt: AES-CMAC over the request and the card's 5F49 object (GP Amendment F, 6.5.2.3).
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn receipt(&self, request: &[u8], point_object: &[u8]) -> Result<[u8; 16], CryptoError> {
        cmac(&self.receipt_key, &[request, point_object])
    }
}

/// Derives the keys from ECDH(ephemeral, ephemeral) and ECDH(static, static) (GP Amendment F, 3.1.2).
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn derive(ephemeral: &[u8; 32], fixed: &[u8; 32]) -> Result<Derived, CryptoError> {
    let mut secret = Zeroizing::new([0; 64]);
    secret[..32].copy_from_slice(ephemeral);
    secret[32..].copy_from_slice(fixed);
    // The standard takes 80 bytes; SHA-256 produces a third whole block with 16 more.
    let block = kdf::x963(&*secret, &SHARED_INFO, 96);
    let key = |n: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&block[16 * n..16 * (n + 1)]);
        Key128::new(bytes)
    };
    let keys = SessionKeys { enc: key(1), mac: key(2), rmac: key(3), dek: key(4) };
    Ok(Derived { receipt_key: key(0), keys, resumption: Arc::new(key(5)) })
}

#[cfg(test)]
mod tests;
