//! Signatures of a server for offline use: compact JWS (RFC 7515) with ES256 (RFC 7518, 3.4) in one fixed form.
//!
//! The header is exactly `{"alg":"ES256","typ":…,"x5c":[leaf]}`; the leaf is of the class server-signature under the CA
//! that the reader already trusts. Nothing in a header chooses how it is verified.
//!
//! Deliberately absent: what the payload means, and how old it may be.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    CryptoError,
    ec::{self, KeyPair, Point, RAW_SIGNATURE},
    x509::{Certificate, CertificateError, CertificateProfile},
};

/// The longest JWS that is read, in bytes.
pub const LIMIT: usize = 256 * 1024;

/// Why a text is not accepted as signed by a server.
#[derive(Debug, thiserror::Error)]
pub enum JwsError {
    /// Longer than [`LIMIT`], not three parts in base64url, or with another header.
    #[error("not in the form that a server signs")]
    Form,
    /// Signed for another use.
    #[error("it was signed for another use ({0})")]
    Type(String),
    /// The certificate is not that of a server's signature key.
    #[error("its certificate is not valid: {0}")]
    Certificate(#[from] CertificateError),
    /// The key of the certificate did not sign this.
    #[error("its signature is wrong")]
    Signature,
    /// The underlying library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// A verified message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedJws {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The certificate of the signer.
    pub certificate: Certificate,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    /// DER in base64, not base64url (RFC 7515, 4.1.6).
    x5c: [String; 1],
}

/// The encoded header of the messages that one key signs for one use: it is the same in each of them.
pub struct EncodedHeader(String);

impl EncodedHeader {
    /// For this use, which `typ` names; `certificate` is that of the key, in DER.
    pub fn new(typ: &str, certificate: &[u8]) -> Self {
        let header = Header { alg: "ES256".into(), typ: typ.into(), x5c: [BASE64_STANDARD.encode(certificate)] };
        // A struct of strings always has a JSON form.
        Self(BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).unwrap_or_default()))
    }

    /// Signs a payload with the key of the certificate.
    ///
    /// # Errors
    /// [`CryptoError`] when OpenSSL fails.
    pub fn sign(&self, payload: &[u8], key: &KeyPair) -> Result<String, CryptoError> {
        let length = |bytes: usize| 1 + (bytes * 4).div_ceil(3);
        let mut jws = String::with_capacity(self.0.len() + length(payload.len()) + length(RAW_SIGNATURE));
        jws.push_str(&self.0);
        jws.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(payload, &mut jws);
        let signature = key.sign_raw(jws.as_bytes())?;
        jws.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut jws);
        Ok(jws)
    }
}

/// Signs a payload for one use, which `typ` names; `certificate` is that of the key, in DER.
///
/// # Errors
/// [`CryptoError`] when OpenSSL fails.
pub fn sign(payload: &[u8], typ: &str, key: &KeyPair, certificate: &[u8]) -> Result<String, CryptoError> {
    EncodedHeader::new(typ, certificate).sign(payload, key)
}

/// Verifies a message for one use under the CA's key. The certificate need only have been valid at the time of signing,
/// which the payload contains: the caller passes that time to [`VerifiedJws::check_time`].
///
/// # Errors
/// [`JwsError::Form`], [`JwsError::Type`] for another use, [`JwsError::Certificate`] for an invalid certificate,
/// [`JwsError::Signature`]; [`JwsError::Crypto`] when OpenSSL fails.
pub fn verify(jws: &str, typ: &str, ca: &Point) -> Result<VerifiedJws, JwsError> {
    if jws.len() > LIMIT {
        return Err(JwsError::Form);
    }
    let (signed, signature) = jws.rsplit_once('.').ok_or(JwsError::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(JwsError::Form)?;
    let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| JwsError::Form)?;
    if header.alg != "ES256" {
        return Err(JwsError::Form);
    }
    if header.typ != typ {
        return Err(JwsError::Type(header.typ));
    }
    let certificate = BASE64_STANDARD.decode(&header.x5c[0]).map_err(|_| JwsError::Form)?;
    let certificate = Certificate::verify(&certificate, ca, &[CertificateProfile::ServerSignature])?;
    let raw: [u8; RAW_SIGNATURE] = decoded(signature)?.try_into().map_err(|_| JwsError::Form)?;
    if !certificate.point().verify(signed.as_bytes(), &ec::signature_from_raw(&raw)?)? {
        return Err(JwsError::Signature);
    }
    Ok(VerifiedJws { payload: decoded(payload)?, certificate })
}

impl VerifiedJws {
    /// Refuses a message signed at a time when the certificate was not valid.
    ///
    /// # Errors
    /// [`JwsError::Certificate`] says whether it was not valid yet or had expired.
    pub fn check_time(&self, signed: Timestamp) -> Result<(), JwsError> {
        Ok(self.certificate.check_time(signed)?)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, JwsError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{
        random::SystemRandom,
        x509::{CertificateTemplate, issue},
    };
    use proptest::prelude::*;

    const TYP: &str = "rollcall-user+jws";

    fn pair() -> KeyPair {
        KeyPair::generate(&mut SystemRandom).unwrap()
    }

    fn certificate(ca: &KeyPair, key: &KeyPair, class: CertificateProfile) -> Vec<u8> {
        let not_before = "2026-11-22T00:00:00Z".parse().unwrap();
        let not_after = "2026-11-29T00:00:00Z".parse().unwrap();
        let template = CertificateTemplate { class, subject: "server", key: key.public(), not_before, not_after };
        issue(ca, "Rollcall CA", &template, &mut SystemRandom).unwrap()
    }

    fn signed(ca: &KeyPair, payload: &[u8]) -> String {
        let key = pair();
        sign(payload, TYP, &key, &certificate(ca, &key, CertificateProfile::ServerSignature)).unwrap()
    }

    #[test]
    fn what_a_server_signs_is_verified() {
        let ca = pair();
        let verified = verify(&signed(&ca, b"{}"), TYP, ca.public()).unwrap();
        assert_eq!(verified.payload, b"{}");
        assert_eq!(verified.certificate.subject(), "server");
        assert!(verified.check_time("2026-11-23T00:00:00Z".parse().unwrap()).is_ok());
        assert!(verified.check_time("2026-11-30T00:00:00Z".parse().unwrap()).is_err());
    }

    #[test]
    fn another_use_ca_class_or_key_is_refused() {
        let (ca, key) = (pair(), pair());
        let jws = signed(&ca, b"{}");
        assert!(matches!(verify(&jws, "rollcall-feed+jws", ca.public()), Err(JwsError::Type(t)) if t == TYP));
        assert!(matches!(verify(&jws, TYP, pair().public()), Err(JwsError::Certificate(_))));
        for class in CertificateProfile::ALL.into_iter().filter(|class| *class != CertificateProfile::ServerSignature) {
            let jws = sign(b"{}", TYP, &key, &certificate(&ca, &key, class)).unwrap();
            let refusal = verify(&jws, TYP, ca.public());
            assert!(matches!(refusal, Err(JwsError::Certificate(CertificateError::Class { .. }))), "{class:?}");
        }
        let jws = sign(b"{}", TYP, &pair(), &certificate(&ca, &key, CertificateProfile::ServerSignature)).unwrap();
        assert!(matches!(verify(&jws, TYP, ca.public()), Err(JwsError::Signature)));
    }

    /// The sender cannot choose the algorithm, add to the header, or send more than one certificate.
    #[test]
    fn the_header_is_exactly_ours() {
        let (ca, key) = (pair(), pair());
        let x5c = BASE64_STANDARD.encode(certificate(&ca, &key, CertificateProfile::ServerSignature));
        let right = format!(r#"{{"alg":"ES256","typ":"{TYP}","x5c":["{x5c}"]}}"#);
        let with = |header: &str| {
            let signed = format!("{}.e30", BASE64_URL_SAFE_NO_PAD.encode(header));
            let raw = ec::signature_to_raw(&key.sign(signed.as_bytes()).unwrap()).unwrap();
            verify(&format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(raw)), TYP, ca.public())
        };
        assert!(with(&right).is_ok());
        for wrong in [
            right.replace("ES256", "none"),
            right.replace("ES256", "HS256"),
            right.replace('}', r#","crit":["exp"]}"#),
            right.replace('}', r#","jwk":{}}"#),
            right.replace("\"]", &format!("\",\"{x5c}\"]")),
            right.replace(&x5c, ""),
            "{}".to_owned(),
        ] {
            assert!(with(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_changed_character_is_refused() {
        let ca = pair();
        let jws = signed(&ca, br#"{"a":1}"#);
        for at in 0..jws.len() {
            let mut bent = jws.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(verify(&bent, TYP, ca.public()).is_err(), "character {at}");
            assert!(verify(&jws[..at], TYP, ca.public()).is_err(), "cut at {at}");
        }
        assert!(verify(&format!("{jws}A"), TYP, ca.public()).is_err());
        assert!(matches!(verify(&"A".repeat(LIMIT + 1), TYP, ca.public()), Err(JwsError::Form)));
    }

    /// A message of exactly the limit is read, but not one byte more, although a longer one can be signed.
    #[test]
    fn a_message_may_be_as_long_as_the_limit() {
        assert_eq!(LIMIT, 262_144);
        let (ca, key) = (pair(), pair());
        let der = certificate(&ca, &key, CertificateProfile::ServerSignature);
        let filled = |typ: &str, more: usize| {
            let room = LIMIT - sign(b"", typ, &key, &der).unwrap().len();
            sign(&vec![b' '; room * 3 / 4 + more], typ, &key, &der).unwrap()
        };
        // The length of a base64 part is never 1 modulo 4; a header of another length then makes the parts fit exactly.
        let typ = ["a", "ab"].into_iter().find(|typ| filled(typ, 0).len() == LIMIT).unwrap();
        assert!(verify(&filled(typ, 0), typ, ca.public()).is_ok());
        assert!(matches!(verify(&filled(typ, 1), typ, ca.public()), Err(JwsError::Form)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_.{}\"-]{0,200}") {
            let ca = pair();
            prop_assert!(verify(&text, TYP, ca.public()).is_err());
        }
    }
}
