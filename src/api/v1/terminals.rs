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
    /// The name of the terminal, the common name in its certificates.
    #[schemars(with = "TerminalName")]
    pub name: String,
    /// What it may do here, and from this its role towards tokens: read → READ, enroll → WRITE, admin → ADMIN.
    pub role: Role,
    /// The certificate request for its TLS key, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub tls_request: String,
    /// The certificate request for the key that it uses with tokens, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub ecka_request: String,
    /// How many days its certificates, and all later ones from renewals, are valid: 1 to 366, by default 7.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole::optional")]
    #[schemars(range(min = 1, max = 366))]
    pub days: Option<u16>,
}

/// `POST /v1/terminals/self/renewal`: new certificates for the same name and role, valid for as many days as the
/// certificate of this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewalRequest {
    /// The certificate request for its TLS key, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub tls_request: String,
    /// The certificate request for the key that it uses with tokens, DER.
    #[schemars(with = "Base64Url<1, 2048>")]
    pub ecka_request: String,
}

/// The answer to [`TerminalRequest`] and [`RenewalRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalCertificates {
    /// The certificate of its TLS key, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub tls: String,
    /// The certificate of the key that it uses with tokens, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ecka: String,
    /// The certificate of the CA, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ca: String,
    /// The certificates under the previous CA while that one is rotated out; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousCertificates>,
}

/// What a terminal needs for the tokens of the CA that is rotated out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviousCertificates {
    /// The certificate of that CA, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ca: String,
    /// The certificate that this CA issued for the key that the terminal uses with tokens, DER.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub ecka: String,
    /// The signature of this CA (ECDSA with SHA-256, DER) over `rollcall CA succession 1`, a zero byte, and the DER of
    /// the certificate of its successor: with it, a terminal that knows only this CA trusts the new one.
    #[schemars(with = "Base64Url<1, 4096>")]
    pub endorsement: String,
}

/// A registered terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Terminal")]
pub struct RegisteredTerminal {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it was registered.
    pub added: Timestamp,
    /// When it last sent a request; absent if it never did, or the time was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// When the last of its TLS certificates expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Timestamp>,
}
