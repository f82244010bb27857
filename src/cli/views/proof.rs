//! The presence proof, as a tap and a look at a token show it.

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
    /// The `COSE_Sign1` message, base64url without padding; with `--proof` only.
    pub cose: Option<String>,
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

/// The values of its columns in csv, which are there for objects without a proof too.
impl ProofView {
    /// The use counter.
    pub fn counter(proof: Option<&Self>) -> String {
        proof.map(|proof| proof.counter.to_string()).unwrap_or_default()
    }

    /// `local` or `server`.
    pub fn nonce_source(proof: Option<&Self>) -> String {
        proof.map(|proof| word(&proof.nonce_source)).unwrap_or_default()
    }

    /// The message, where it is shown.
    pub fn cose(proof: Option<&Self>) -> String {
        proof.and_then(|proof| proof.cose.clone()).unwrap_or_default()
    }
}
