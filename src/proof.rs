//! The presence proof: a COSE_Sign1 (RFC 9052, ES256) of a fixed form, which any COSE library can verify.
//!
//! The token fills in a template and signs it; the terminal recomputes every field and assembles the message; the
//! server verifies the message. Each value has exactly one encoding, so nothing is parsed as CBOR: bytes are compared.
//!
//! Deliberately absent: certificates, clocks, and whether a nonce or a counter is fresh.
//!
//! Specification: docs/protocol.md, "Presence proof".

use crate::crypto::{
    CryptoError,
    ec::{self, Point, RAW_SIGNATURE},
    same, sha256,
};

/// The length of the zero-filled record that a proof binds.
pub const RECORD: usize = 120;
/// The length of the payload.
pub const PAYLOAD: usize = 182;
/// The length of the signed bytes.
pub const SIG_STRUCTURE: usize = 229;
/// The length of the message.
pub const MESSAGE: usize = 303;

/// `{1: -7, 16: "application/x.rollcall-1"}`: alg ES256, typ (RFC 9596).
const PROTECTED: &[u8; 30] = b"\xA2\x01\x26\x10\x78\x18application/x.rollcall-1";
const SIGNATURE_CONTEXT: &[u8] = b"\x84\x6ASignature1\x58\x1E";
const NO_EXTERNAL_DATA: &[u8] = b"\x40";
const PAYLOAD_HEAD: &[u8] = b"\x58\xB6";
const MESSAGE_HEAD: &[u8] = b"\xD2\x84\x58\x1E";
/// `{4: kid}`, unprotected.
const KID: &[u8] = b"\xA1\x04\x50";
const SIGNATURE_HEAD: &[u8] = b"\x58\x40";

const THUMBPRINT: &[u8] = b"\xA6\x08\xA1\x05\x58\x20";
const NONCE: &[u8] = b"\x0A\x58\x20";
const UEID: &[u8] = b"\x19\x01\x00\x51\x01";
const BINDING: &[u8] = b"\x3A\x00\x01\x11\x70\x58\x20";
const COUNTER: &[u8] = b"\x3A\x00\x01\x11\x71\x1A";
/// The use counter of a token's first proof: from here on, four bytes are the shortest CBOR form. Tokens enrolled by an
/// older release continue from their current value.
pub const FIRST_COUNTER: u32 = 0x1_0000;
const RECORD_BINDING: &[u8] = b"\x3A\x00\x01\x11\x72\x58\x20";

/// Why a proof is not valid.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The token's answer, or the message, does not have the form that the protocol prescribes.
    #[error("the presence proof has the wrong form")]
    Form,
    /// The token id in the answer is not the one of the channel.
    #[error("the presence proof names another token")]
    OtherToken,
    /// The identity key did not sign these fields.
    #[error("the signature of the presence proof is wrong")]
    Signature,
    /// The crypto library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Everything that a proof states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The thumbprint of the terminal's ECKA public key: the terminal that the token communicated with.
    pub terminal: [u8; 32],
    /// The nonce that the terminal sent.
    pub nonce: [u8; 32],
    /// The token id (EAT ueid).
    pub token_id: [u8; 16],
    /// The binding of the channel that carried it.
    pub binding: [u8; 32],
    /// The use counter.
    pub counter: u32,
    /// SHA-256 of the zero-filled compact record.
    pub record: [u8; 32],
}

impl Claims {
    /// The payload: a CBOR map in deterministic encoding.
    fn payload(&self) -> Vec<u8> {
        [
            THUMBPRINT,
            &self.terminal,
            NONCE,
            &self.nonce,
            UEID,
            &self.token_id,
            BINDING,
            &self.binding,
            COUNTER,
            &self.counter.to_be_bytes(),
            RECORD_BINDING,
            &self.record,
        ]
        .concat()
    }

    /// The bytes that are signed (RFC 9052, 4.4): the `Sig_structure` of these claims, [`SIG_STRUCTURE`] bytes.
    pub fn sig_structure(&self) -> Vec<u8> {
        [SIGNATURE_CONTEXT, PROTECTED, NO_EXTERNAL_DATA, PAYLOAD_HEAD, &self.payload()].concat()
    }

    /// The message with this signature (`r ‖ s`), [`MESSAGE`] bytes.
    fn message(&self, signature: &[u8; RAW_SIGNATURE]) -> Vec<u8> {
        let unprotected = [KID, &self.token_id].concat();
        [MESSAGE_HEAD, PROTECTED, &unprotected, PAYLOAD_HEAD, &self.payload(), SIGNATURE_HEAD, signature].concat()
    }

    /// Reads the claims of a message of [`MESSAGE`] bytes **without verifying it**, so that a server can look up the
    /// identity certificate.
    ///
    /// # Errors
    /// [`ProofError::Form`] for a malformed message.
    pub fn read(cose: &[u8]) -> Result<Self, ProofError> {
        Ok(split_message(cose).ok_or(ProofError::Form)?.0)
    }
}

/// The thumbprint of a public key (RFC 9679): SHA-256 of its required COSE_Key members in deterministic encoding.
pub fn thumbprint(key: &Point) -> [u8; 32] {
    let (x, y) = key.coordinates();
    sha256(&[b"\xA4\x01\x02\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y])
}

/// Verifies a message of exactly our form under the identity key of the token that it names, and returns its claims.
/// The caller checks that the identity certificate is that of `token_id`, and whether nonce and counter are fresh.
///
/// # Errors
/// [`ProofError::Form`] or [`ProofError::Signature`] for an invalid message; [`ProofError::Crypto`] when OpenSSL fails.
pub fn verify_message(cose: &[u8], identity: &Point) -> Result<Claims, ProofError> {
    let (claims, signature) = split_message(cose).ok_or(ProofError::Form)?;
    let der = ec::signature_from_raw(&signature)?;
    if identity.verify(&claims.sig_structure(), &der)? { Ok(claims) } else { Err(ProofError::Signature) }
}

/// What is wrong with a message whose claims cannot be read.
pub fn form_fault(cose: &[u8]) -> String {
    match cose.len() {
        MESSAGE => "the message does not have the form that docs/proof.md describes".to_owned(),
        length => format!("the message has {length} bytes instead of {MESSAGE}"),
    }
}

fn split_message(cose: &[u8]) -> Option<(Claims, [u8; RAW_SIGNATURE])> {
    let mut rest = FixedForm(cose);
    rest.literal(MESSAGE_HEAD)?.literal(PROTECTED)?.literal(KID)?;
    let kid: [u8; 16] = rest.field()?;
    rest.literal(PAYLOAD_HEAD)?;
    let claims = Claims {
        terminal: rest.literal(THUMBPRINT)?.field()?,
        nonce: rest.literal(NONCE)?.field()?,
        token_id: rest.literal(UEID)?.field()?,
        binding: rest.literal(BINDING)?.field()?,
        counter: u32::from_be_bytes(rest.literal(COUNTER)?.field()?),
        record: rest.literal(RECORD_BINDING)?.field()?,
    };
    let signature = rest.literal(SIGNATURE_HEAD)?.field()?;
    (rest.0.is_empty() && kid == claims.token_id).then_some((claims, signature))
}

/// Parses a fixed form: literal bytes, and fields of fixed length.
struct FixedForm<'a>(&'a [u8]);

impl FixedForm<'_> {
    fn literal(&mut self, expected: &[u8]) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(self)
    }

    fn field<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

/// The answer to INTERNAL AUTHENTICATE, parsed but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    token_id: [u8; 16],
    counter: u32,
    signature: [u8; RAW_SIGNATURE],
    record: [u8; RECORD],
}

/// What the terminal knows about its own side of the exchange.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The terminal's static ECKA key.
    pub terminal: &'a Point,
    /// The nonce that it sent.
    pub nonce: &'a [u8; 32],
    /// The token id of the channel.
    pub token_id: &'a [u8; 16],
    /// The channel binding.
    pub binding: &'a [u8; 32],
}

/// A verified proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    /// The use counter; the caller refuses one that is not greater than the last.
    pub counter: u32,
    /// The compact record, zero-filled.
    pub record: [u8; RECORD],
    /// The COSE_Sign1 message.
    pub cose: Vec<u8>,
}

impl Proof {
    /// Parses exactly `83 10 id, 80 04 counter, 9E signature, 53 78 record`.
    ///
    /// # Errors
    /// [`ProofError::Form`] for any other bytes.
    pub fn parse_answer(data: &[u8]) -> Result<Self, ProofError> {
        Self::split_answer(data).ok_or(ProofError::Form)
    }

    fn split_answer(data: &[u8]) -> Option<Self> {
        let mut rest = FixedForm(data);
        let token_id = rest.literal(&[0x83, 16])?.field()?;
        let counter = u32::from_be_bytes(rest.literal(&[0x80, 4])?.field()?);
        let [length] = rest.literal(&[0x9E])?.field()?;
        // A DER signature of P-256 has at most 72 bytes, so this length is one byte long.
        let (der, behind) = rest.0.split_at_checked(length.into()).filter(|_| length <= 72)?;
        rest.0 = behind;
        let record = rest.literal(&[0x53, 120])?.field()?;
        rest.0.is_empty().then_some(())?;
        Some(Self { token_id, counter, signature: ec::signature_to_raw(der)?, record })
    }

    /// The token id in the answer, unverified: it selects the identity certificate.
    pub const fn token_id(&self) -> &[u8; 16] {
        &self.token_id
    }

    /// Recomputes every field from what the terminal knows, and verifies the signature under the identity key.
    ///
    /// # Errors
    /// [`ProofError::OtherToken`] or [`ProofError::Signature`] when the token did not prove its identity;
    /// [`ProofError::Crypto`] when OpenSSL fails.
    pub fn check(&self, expected: &Expected<'_>, identity: &Point) -> Result<VerifiedProof, ProofError> {
        if !same(&self.token_id, expected.token_id) {
            return Err(ProofError::OtherToken);
        }
        let claims = Claims {
            terminal: thumbprint(expected.terminal),
            nonce: *expected.nonce,
            token_id: self.token_id,
            binding: *expected.binding,
            counter: self.counter,
            record: sha256(&[&self.record]),
        };
        let cose = claims.message(&self.signature);
        verify_message(&cose, identity)?;
        Ok(VerifiedProof { counter: self.counter, record: self.record, cose })
    }
}

#[cfg(test)]
mod tests;
