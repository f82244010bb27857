//! Parses certificates as the card does: outer lengths, then the signature, and only then the signed bytes.
//!
//! The card checks less than a terminal, and no expiry: it has no clock, and a refusal would reveal its date to a
//! stranger. So it does not use the terminal's parser.

use super::command::Rights;
use crate::{
    card::tlv::{Object, TlvError, TlvReader},
    crypto::ec::Point,
    token::constants::TERMINAL_CERTIFICATE_MAX,
};

const SEQUENCE: u16 = 0x30;
const INTEGER: u16 = 0x02;
const BIT_STRING: u16 = 0x03;
const OCTET_STRING: u16 = 0x04;
const OBJECT_IDENTIFIER: u16 = 0x06;
const BOOLEAN: u16 = 0x01;
const UTC_TIME: u16 = 0x17;
const VERSION: u16 = 0xA0;
const EXTENSIONS: u16 = 0xA3;

const VERSION_3: &[u8] = b"\x02\x01\x02";
const ECDSA_WITH_SHA256: &[u8] = b"\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";
/// `SubjectPublicKeyInfo` of a P-256 key, up to its point.
const P256_KEY: &[u8] =
    b"\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\x03\x42\x00";
const TRUE: &[u8] = b"\xFF";
const KEY_USAGE: &[u8] = b"\x55\x1D\x0F";
const AUTHORITY_KEY_IDENTIFIER: &[u8] = b"\x55\x1D\x23";
const EXTENDED_KEY_USAGE: &[u8] = b"\x55\x1D\x25";
const KEY_AGREEMENT: &[u8] = b"\x03\x02\x03\x08";
const KEY_IDENTIFIER: &[u8] = b"\x30\x16\x80\x14";
/// An OID under 1.3.6.1.4.1.32473.82, up to its last arc.
const CLASS: &[u8] = b"\x30\x0C\x06\x0A\x2B\x06\x01\x04\x01\x81\xFD\x59\x52";

/// The fields found in the signed bytes.
pub(super) struct ParsedCertificate<'a> {
    /// 12 digits YYMMDDhhmmss.
    pub(super) not_before: [u8; 12],
    not_after: [u8; 12],
    /// The certified key: 65 bytes, not checked to be on the curve.
    pub(super) point: &'a [u8; 65],
    extensions: &'a [u8],
}

/// What a session keeps of a terminal's certificate.
#[derive(Debug, Clone)]
pub(super) struct TerminalCertificate {
    pub(super) rights: Rights,
    pub(super) point: [u8; 65],
    pub(super) not_before: [u8; 12],
    pub(super) not_after: [u8; 12],
    pub(super) hash: [u8; 32],
}

/// Verifies a terminal's certificate under this CA key. Its dates are checked later.
pub(super) fn verify_terminal(der: &[u8], ca: &Point) -> Option<TerminalCertificate> {
    if der.len() > TERMINAL_CERTIFICATE_MAX {
        return None;
    }
    let (signed, signature) = bound(der).ok()?;
    if !ca.verify(signed.whole, signature).ok()? {
        return None;
    }
    let certificate = ParsedCertificate::walk(signed.value).ok()??;
    Some(TerminalCertificate {
        rights: rights(certificate.extensions, &ca.key_identifier())?,
        point: *certificate.point,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        hash: crate::crypto::sha256(&[der]),
    })
}

/// Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }, and nothing after it.
fn bound(der: &[u8]) -> Result<(Object<'_>, &[u8]), TlvError> {
    let mut outer = TlvReader::new(der);
    let mut inner = TlvReader::new(outer.value(SEQUENCE)?);
    outer.end()?;
    let signed = inner.object(SEQUENCE)?;
    literal(inner.value(SEQUENCE)?, ECDSA_WITH_SHA256)?;
    let bits = inner.value(BIT_STRING)?;
    inner.end()?;
    // X.690, 8.6.2.2: no unused bits, so the first byte is 0; a signature follows.
    match bits {
        [0, signature @ ..] if !signature.is_empty() => Ok((signed, signature)),
        _ => Err(TlvError::ValueLength(BIT_STRING)),
    }
}

fn literal(found: &[u8], expected: &[u8]) -> Result<(), TlvError> {
    if found == expected { Ok(()) } else { Err(TlvError::Trailing) }
}

impl<'a> ParsedCertificate<'a> {
    /// Parses a certificate from an authorised writer: the signature is not checked.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let (signed, _) = bound(der).ok()?;
        Self::walk(signed.value).ok()?
    }

    fn walk(signed: &'a [u8]) -> Result<Option<Self>, TlvError> {
        let mut tbs = TlvReader::new(signed);
        literal(tbs.value(VERSION)?, VERSION_3)?;
        tbs.value(INTEGER)?;
        literal(tbs.value(SEQUENCE)?, ECDSA_WITH_SHA256)?;
        tbs.value(SEQUENCE)?;
        let mut validity = TlvReader::new(tbs.value(SEQUENCE)?);
        let not_before = utc_time(validity.value(UTC_TIME)?);
        let not_after = utc_time(validity.value(UTC_TIME)?);
        validity.end()?;
        tbs.value(SEQUENCE)?;
        let point = tbs.value(SEQUENCE)?.strip_prefix(P256_KEY).and_then(|p| p.try_into().ok());
        let mut wrapper = TlvReader::new(tbs.value(EXTENSIONS)?);
        tbs.end()?;
        let extensions = wrapper.value(SEQUENCE)?;
        wrapper.end()?;
        Ok(not_before.zip(not_after).zip(point).map(|((not_before, not_after), point)| Self {
            not_before,
            not_after,
            point,
            extensions,
        }))
    }
}

/// UTCTime YYMMDDhhmmssZ (RFC 5280, 4.1.2.5.1). Years from 80 on would not be 20YY, and digits are compared.
fn utc_time(value: &[u8]) -> Option<[u8; 12]> {
    let digits: [u8; 12] = value.strip_suffix(b"Z")?.try_into().ok()?;
    is_date(&digits).then_some(digits)
}

/// 12 digits whose year is below 80.
pub(super) fn is_date(digits: &[u8; 12]) -> bool {
    digits.iter().all(u8::is_ascii_digit) && digits[0] < b'8'
}

/// The rights from the extensions: each of the three once, only keyUsage critical, and no unknown critical one.
fn rights(extensions: &[u8], ca_id: &[u8; 20]) -> Option<Rights> {
    let mut list = TlvReader::new(extensions);
    let (mut usage, mut authority, mut class) = (None, None, None);
    while !list.is_empty() {
        let mut extension = TlvReader::new(list.value(SEQUENCE).ok()?);
        let oid = extension.value(OBJECT_IDENTIFIER).ok()?;
        let critical = match extension.optional(BOOLEAN).ok()? {
            None => false,
            Some(TRUE) => true,
            Some(_) => return None,
        };
        let value = extension.value(OCTET_STRING).ok()?;
        extension.end().ok()?;
        let seen = match oid {
            KEY_USAGE => usage.replace(value),
            AUTHORITY_KEY_IDENTIFIER => authority.replace(value),
            EXTENDED_KEY_USAGE => class.replace(value),
            _ => None,
        };
        if seen.is_some() || critical != (oid == KEY_USAGE) {
            return None;
        }
    }
    let authority_fits = authority?.strip_prefix(KEY_IDENTIFIER)? == ca_id;
    if usage? != KEY_AGREEMENT || !authority_fits {
        return None;
    }
    match class?.strip_prefix(CLASS)? {
        [1] => Some(Rights::Read),
        [2] => Some(Rights::Write),
        [3] => Some(Rights::Admin),
        _ => None,
    }
}
