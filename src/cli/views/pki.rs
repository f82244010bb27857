//! A key or certificate of this machine.

use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Schema};

/// One file of the folder `pki`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Pki {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Its path below `pki`.
    pub file: String,
    /// Certificate or key.
    pub kind: PkiKind,
    /// What it may be used for: `ca`, `terminal-read`, `terminal-admin`, `tls-client`, `tls-server`, `set` …
    pub class: Option<String>,
    /// The subject of a certificate.
    pub subject: Option<String>,
    /// The serial number of a certificate, in hex.
    pub serial: Option<String>,
    /// The beginning of its validity.
    pub not_before: Option<At>,
    /// The end of its validity.
    pub not_after: Option<At>,
    /// Whether it may be used now.
    pub state: PkiState,
    /// Whether it was made or renewed just now, by `pki init` or `pki renew`.
    pub new: bool,
}

/// What a file of the folder `pki` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PkiKind {
    /// A certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A symmetric key.
    SecretKey,
}

/// Whether a certificate or key may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PkiState {
    /// It may.
    Valid,
    /// Its end is near.
    Expiring,
    /// Its end has passed.
    Expired,
    /// Its beginning lies ahead.
    NotYetValid,
    /// It cannot be read, others may read it, or key and certificate do not match.
    Broken,
}
