//! The object for a presence proof, as part of a tap or of a look at a token.

use schemars::JsonSchema;
use serde::Serialize;

use super::cells::word;

/// The presence proof of a tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Proof")]
pub struct ProofView {
    /// The terminal verified it.
    pub verified: bool,
    /// The token's use counter.
    pub counter: u32,
    /// Who made the nonce.
    pub nonce_source: NonceSource,
    /// The `COSE_Sign1` message (RFC 9052, ES256), 303 bytes, base64url without padding; with `--proof` only. CBOR tag 18
    /// stays in front, there is no external data, and `kid` is the 16 raw bytes of the token id. The claims: 8 `cnf` with the
    /// thumbprint of the terminal's key (RFC 9679), 10 the nonce, 256 `ueid` (01 and the token id), -70001 the binding to
    /// the channel, -70002 the use counter in four bytes, -70003 SHA-256 of the record. docs/proof.md says how to verify it.
    pub cose: Option<String>,
    /// The certificate of the key that signed the message, X.509 in DER, base64url without padding; with `--proof` only. Its
    /// subject is the token id, and the CA of this terminal (pki/ca.crt) signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_certificate: Option<String>,
}

/// Who made the nonce of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonceSource {
    /// This terminal.
    Local,
    /// The server.
    Server,
}

/// The values of its csv columns, which also exist for objects without a proof.
impl ProofView {
    /// The use counter.
    pub fn counter(proof: Option<&Self>) -> String {
        proof.map(|proof| proof.counter.to_string()).unwrap_or_default()
    }

    /// `local` or `server`.
    pub fn nonce_source(proof: Option<&Self>) -> String {
        proof.map(|proof| word(&proof.nonce_source)).unwrap_or_default()
    }

    /// The certificate of the signing key, if included.
    pub fn identity_certificate(proof: Option<&Self>) -> String {
        proof.and_then(|proof| proof.identity_certificate.clone()).unwrap_or_default()
    }

    /// The message, if included.
    pub fn cose(proof: Option<&Self>) -> String {
        proof.and_then(|proof| proof.cose.clone()).unwrap_or_default()
    }
}
