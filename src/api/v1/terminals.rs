//! Terminals: their registration, their certificates, and the server's information about them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Role, whole};
use crate::api::json_schema::{Base64Url, TerminalName};

/// `POST /v1/terminals`: registers a terminal and certifies its keys, each by its own PKCS#10 request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalRequest {
    /// The name of the terminal, which its certificates hold as common name.
    #[schemars(with = "TerminalName")]
    pub name: String,
    /// What it may do here. The card's role follows from it: read → READ, enroll → WRITE, admin → ADMIN.
    pub role: Role,
    /// Request for its TLS key, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub tls_request: String,
    /// Request for the key that it uses to tokens, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub ecka_request: String,
    /// For how many days its certificates are valid, 1 to 366, and each that it renews later; without it 7.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[schemars(range(min = 1, max = 366))]
    pub days: Option<u16>,
}

/// `POST /v1/terminals/self/renewal`: fresh certificates for the same name and role, valid for as long as that of the
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewalRequest {
    /// Request for its TLS key, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub tls_request: String,
    /// Request for the key that it uses to tokens, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub ecka_request: String,
}

/// The answer to [`TerminalRequest`] and [`RenewalRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalCertificates {
    /// Of its TLS key, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub tls: String,
    /// Of the key that it uses to tokens, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ecka: String,
    /// The CA, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ca: String,
    /// While another CA is rotated out: what belongs to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousCertificates>,
}

/// What a terminal needs for the tokens of the CA that is rotated out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviousCertificates {
    /// That CA, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ca: String,
    /// The certificate under it of the key that the terminal uses to tokens, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ecka: String,
    /// Its signature (ECDSA with SHA-256, DER) over `rollcall CA succession 1`, a zero byte, and the DER of the CA that
    /// takes its place: a terminal that knows only the one before trusts the new one by this.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub endorsement: String,
}

/// A terminal as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Terminal")]
pub struct RegisteredTerminal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Since when it is known.
    pub added: Timestamp,
    /// When it last asked; none where it never did, or was not noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When the newest of its TLS certificates ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Timestamp>,
}
