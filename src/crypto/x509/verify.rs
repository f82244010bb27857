//! The strict walk. A card does the same one, so nothing here looks at what a card would not.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    CLASS_ARC_DER, CertificateError, Class,
    der::{
        BIT_STRING, BOOLEAN, CONTEXT_3, DerError, INTEGER, OCTET_STRING, OID, PRINTABLE_STRING, Reader, SEQUENCE, SET,
        UTC_TIME, UTF8_STRING, only,
    },
};
use crate::crypto::ec::Point;

/// `[0] { INTEGER 2 }`: version 3.
const VERSION_3: [u8; 5] = [0xA0, 0x03, 0x02, 0x01, 0x02];
/// `AlgorithmIdentifier` of ecdsa-with-SHA256 (RFC 5758, 3.2): no parameters.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
/// `SubjectPublicKeyInfo` of a P-256 key (RFC 5480, 2), up to its 65-byte point.
const P256_KEY: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE,
    0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_LENGTH: usize = 65;
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// The most characters of a common name (RFC 5280, appendix A.1: ub-common-name).
pub const COMMON_NAME_LIMIT: usize = 64;
const KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x0F];
const AUTHORITY_KEY_IDENTIFIER: [u8; 3] = [0x55, 0x1D, 0x23];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x25];
/// `[0]`: the keyIdentifier inside an authorityKeyIdentifier.
const KEY_IDENTIFIER: u8 = 0x80;
/// The first year, as two digits, that a card does not read as one of this century.
const FIRST_REFUSED_YEAR: i16 = 80;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub serial: Vec<u8>,
    pub not_before: Moment,
    pub not_after: Moment,
    pub subject: String,
    pub point: Point,
    pub authority: [u8; 20],
    pub class: Class,
}

/// One end of a certificate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub digits: [u8; 12],
    pub moment: Timestamp,
}

/// See [`super::Certificate::verify`].
pub fn verify(der: &[u8], ca: &Point, expected: &[Class]) -> Result<Body, CertificateError> {
    let limit = expected.iter().map(|class| class.limit()).max().unwrap_or(0);
    let outer = Outer::bound(der, limit)?;
    if !ca.verify(outer.signed, outer.signature)? {
        return Err(CertificateError::Signature);
    }
    let body = walk(outer.signed)?;
    if body.authority != ca.key_identifier() {
        return Err(CertificateError::Authority);
    }
    if !expected.contains(&body.class) {
        return Err(CertificateError::Class { found: body.class });
    }
    if der.len() > body.class.limit() {
        return Err(CertificateError::TooLong { limit: body.class.limit() });
    }
    Ok(body)
}

fn form<T>(part: &'static str, result: Result<T, DerError>) -> Result<T, CertificateError> {
    result.map_err(|error| CertificateError::Form { part, error })
}

/// The three parts of a certificate, bounded and not looked into.
struct Outer<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Outer<'a> {
    fn bound(der: &'a [u8], limit: usize) -> Result<Self, CertificateError> {
        if der.len() > limit {
            return Err(CertificateError::TooLong { limit });
        }
        form("outer frame", Self::parse(der))
    }

    fn parse(der: &'a [u8]) -> Result<Self, DerError> {
        let mut parts = only(der, SEQUENCE)?;
        let (_, signed) = parts.object(SEQUENCE)?;
        parts.literal(&ECDSA_WITH_SHA256)?;
        let mut bits = parts.enter(BIT_STRING)?;
        parts.end()?;
        bits.literal(&[0])?; // no unused bits (X.690, 8.6.2.2)
        let signature = bits.take(bits.remaining())?;
        Ok(Self { signed, signature })
    }
}

/// Walks what is signed, `TBSCertificate` of RFC 5280, 4.1.
fn walk(signed: &[u8]) -> Result<Body, CertificateError> {
    let mut reader = form("frame", only(signed, SEQUENCE))?;
    form("version", reader.literal(&VERSION_3))?;
    let serial = serial(form("serial number", reader.value(INTEGER))?)?;
    form("signature algorithm", reader.literal(&ECDSA_WITH_SHA256))?;
    common_name("issuer", form("issuer", reader.enter(SEQUENCE))?)?;
    let (not_before, not_after) = validity(form("validity", reader.enter(SEQUENCE))?)?;
    let subject = common_name("subject", form("subject", reader.enter(SEQUENCE))?)?;
    reader.literal(&P256_KEY).map_err(|_| CertificateError::Key)?;
    let point = form("key", reader.take(POINT_LENGTH))?;
    let point = Point::parse(point).map_err(|_| CertificateError::Key)?;
    let wrapped = form("extensions", reader.enter(CONTEXT_3))?;
    form("frame", reader.end())?;
    let (authority, class) = extensions(wrapped)?;
    Ok(Body { serial, not_before, not_after, subject: subject.to_owned(), point, authority, class })
}

/// Positive, at most 20 bytes (RFC 5280, 4.1.2.2), in the shortest form (X.690, 8.3.2).
fn serial(value: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let magnitude = value.strip_prefix(&[0]).unwrap_or(value);
    let padded = magnitude.len() < value.len();
    let sign_bit = magnitude.first().is_some_and(|byte| byte & 0x80 != 0);
    if magnitude.is_empty() || padded != sign_bit || value.len() > 20 {
        return Err(CertificateError::Profile("serial number"));
    }
    Ok(magnitude.to_vec())
}

/// A name that is one common name and nothing else.
fn common_name<'a>(part: &'static str, mut name: Reader<'a>) -> Result<&'a str, CertificateError> {
    let (tag, value) = form(part, single_attribute(&mut name))?;
    let text = match tag {
        UTF8_STRING => std::str::from_utf8(value).ok(),
        _ => std::str::from_utf8(value).ok().filter(|text| text.is_ascii()),
    };
    text.filter(|text| is_common_name(text)).ok_or(CertificateError::Profile(part))
}

fn single_attribute<'a>(name: &mut Reader<'a>) -> Result<(u8, &'a [u8]), DerError> {
    let mut set = name.enter(SET)?;
    name.end()?;
    let mut attribute = set.enter(SEQUENCE)?;
    set.end()?;
    if attribute.value(OID)? != COMMON_NAME {
        return Err(DerError::Literal);
    }
    let tag = if attribute.peek() == Some(PRINTABLE_STRING) { PRINTABLE_STRING } else { UTF8_STRING };
    let value = attribute.value(tag)?;
    attribute.end()?;
    Ok((tag, value))
}

/// Whether a text may be a common name: 1 to 64 characters, none of them a control character, for names are printed.
pub fn is_common_name(text: &str) -> bool {
    (1..=COMMON_NAME_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn validity(mut reader: Reader<'_>) -> Result<(Moment, Moment), CertificateError> {
    const PART: &str = "validity";
    let not_before = form(PART, reader.value(UTC_TIME))?;
    let not_after = form(PART, reader.value(UTC_TIME))?;
    form(PART, reader.end())?;
    let read = |value| utc_time(value).ok_or(CertificateError::Profile(PART));
    Ok((read(not_before)?, read(not_after)?))
}

/// `YYMMDDhhmmssZ` (RFC 5280, 4.1.2.5.1), where 50 and above is 19YY. A card has digits only and compares those, so
/// both refuse 80 and above; what lies between has expired here.
fn utc_time(value: &[u8]) -> Option<Moment> {
    let digits: [u8; 12] = value.strip_suffix(b"Z")?.try_into().ok()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pair = |at: usize| i16::from((digits[at] - b'0') * 10 + (digits[at + 1] - b'0'));
    let small = |at: usize| i8::try_from(pair(at)).ok();
    let year = match pair(0) {
        FIRST_REFUSED_YEAR.. => return None,
        late @ 50.. => 1900 + late,
        early => 2000 + early,
    };
    let civil = DateTime::new(year, small(2)?, small(4)?, small(6)?, small(8)?, small(10)?, 0).ok()?;
    let moment = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Moment { digits, moment })
}

/// What the extensions have said so far.
#[derive(Default)]
struct Seen<'a> {
    oids: Vec<&'a [u8]>,
    key_usage: Option<&'a [u8]>,
    authority: Option<[u8; 20]>,
    class: Option<Class>,
}

/// keyUsage critical, authorityKeyIdentifier and the class not critical, each once, in any order. Another extension
/// that is not critical is passed over, as RFC 5280, 4.2 has it and as the card does.
fn extensions(mut wrapped: Reader<'_>) -> Result<([u8; 20], Class), CertificateError> {
    const PART: &str = "extensions";
    let mut list = form(PART, wrapped.enter(SEQUENCE))?;
    form(PART, wrapped.end())?;
    let mut seen = Seen::default();
    while !list.is_empty() {
        seen.take(form(PART, list.enter(SEQUENCE))?)?;
    }
    let key_usage = seen.key_usage.ok_or(CertificateError::Missing("key usage"))?;
    let authority = seen.authority.ok_or(CertificateError::Missing("authority key identifier"))?;
    let class = seen.class.ok_or(CertificateError::Missing("extended key usage"))?;
    if key_usage != class.key_usage() {
        return Err(CertificateError::Profile("key usage"));
    }
    Ok((authority, class))
}

impl<'a> Seen<'a> {
    fn take(&mut self, extension: Reader<'a>) -> Result<(), CertificateError> {
        let Extension { oid, critical, value } = form("extensions", Extension::parse(extension))?;
        if self.oids.contains(&oid) {
            return Err(CertificateError::Duplicate);
        }
        self.oids.push(oid);
        let known = [KEY_USAGE, AUTHORITY_KEY_IDENTIFIER, EXTENDED_KEY_USAGE].iter().any(|known| known == oid);
        if critical && !known {
            return Err(CertificateError::Critical);
        }
        if known && critical != (oid == KEY_USAGE) {
            return Err(CertificateError::Profile("criticality of an extension"));
        }
        if oid == KEY_USAGE {
            self.key_usage = Some(form("key usage", bits(value))?);
        } else if oid == AUTHORITY_KEY_IDENTIFIER {
            self.authority = Some(key_identifier(value)?);
        } else if oid == EXTENDED_KEY_USAGE {
            self.class = Some(class(value)?);
        }
        Ok(())
    }
}

/// One extension (RFC 5280, 4.1).
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<Self, DerError> {
        let oid = reader.value(OID)?;
        let critical = reader.peek() == Some(BOOLEAN);
        if critical {
            // DER writes true as FF, and false, the default, not at all (X.690, 11.1 and 11.5).
            reader.literal(&[BOOLEAN, 1, 0xFF])?;
        }
        let value = reader.value(OCTET_STRING)?;
        reader.end()?;
        Ok(Self { oid, critical, value })
    }
}

fn bits(value: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(value);
    let bits = reader.value(BIT_STRING)?;
    reader.end()?;
    Ok(bits)
}

fn key_identifier(value: &[u8]) -> Result<[u8; 20], CertificateError> {
    const PART: &str = "authority key identifier";
    let mut reader = form(PART, only(value, SEQUENCE))?;
    let id = form(PART, reader.value(KEY_IDENTIFIER))?;
    form(PART, reader.end())?;
    id.try_into().map_err(|_| CertificateError::Profile(PART))
}

fn class(value: &[u8]) -> Result<Class, CertificateError> {
    const PART: &str = "extended key usage";
    let mut reader = form(PART, only(value, SEQUENCE))?;
    let oid = form(PART, reader.value(OID))?;
    form(PART, reader.end())?;
    match oid.strip_prefix(&CLASS_ARC_DER) {
        Some(&[number]) => Class::from_number(number),
        _ => None,
    }
    .ok_or(CertificateError::Profile(PART))
}
