//! Strictly reads the parts that every certificate of ours has, as a card does.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    CertificateError,
    der::{
        BIT_STRING, BOOLEAN, CONTEXT_3, DerError, DerReader, INTEGER, OCTET_STRING, OID, PRINTABLE_STRING, SEQUENCE,
        SET, UTC_TIME, UTF8_STRING, only,
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
/// The first two-digit year that a card does not read as one of this century.
const FIRST_REFUSED_YEAR: i16 = 80;

/// The content of a certificate before its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateHead {
    pub serial: Vec<u8>,
    pub issuer: String,
    pub not_before: ValidityTime,
    pub not_after: ValidityTime,
    pub subject: String,
    pub point: Point,
}

impl CertificateHead {
    /// Refuses a certificate that is not valid at this time; both ends are included (RFC 5280, 4.1.2.5).
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`] or [`CertificateError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), CertificateError> {
        let (from, at) = (self.not_before.moment, self.not_after.moment);
        if now < from {
            return Err(CertificateError::NotYetValid { from, now });
        }
        if now > at {
            return Err(CertificateError::Expired { at });
        }
        Ok(())
    }
}

/// One end of a certificate's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidityTime {
    pub digits: [u8; 12],
    pub moment: Timestamp,
}

/// Adds to an encoding error the name of the part that it is in.
pub fn form<T>(part: &'static str, result: Result<T, DerError>) -> Result<T, CertificateError> {
    result.map_err(|error| CertificateError::Form { part, error })
}

/// The parts of a certificate or of a request, with bounded lengths, but not parsed any further.
pub struct Outer<'a> {
    pub signed: &'a [u8],
    pub signature: &'a [u8],
}

impl<'a> Outer<'a> {
    pub fn bound(der: &'a [u8], limit: usize) -> Result<Self, CertificateError> {
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

    /// Fails unless this key signed it.
    pub fn verify(&self, key: &Point) -> Result<(), CertificateError> {
        if key.verify(self.signed, self.signature)? { Ok(()) } else { Err(CertificateError::Signature) }
    }
}

/// Walks the signed part, `TBSCertificate` of RFC 5280, 4.1, up to its extensions.
pub fn walk(signed: &[u8]) -> Result<(CertificateHead, Extensions<'_>), CertificateError> {
    let mut reader = form("frame", only(signed, SEQUENCE))?;
    form("version", reader.literal(&VERSION_3))?;
    let serial = serial(form("serial number", reader.value(INTEGER))?)?;
    form("signature algorithm", reader.literal(&ECDSA_WITH_SHA256))?;
    let issuer = common_name("issuer", form("issuer", reader.enter(SEQUENCE))?)?.to_owned();
    let (not_before, not_after) = validity(form("validity", reader.enter(SEQUENCE))?)?;
    let subject = common_name("subject", form("subject", reader.enter(SEQUENCE))?)?.to_owned();
    let point = public_key(&mut reader)?;
    let wrapped = form("extensions", reader.enter(CONTEXT_3))?;
    form("frame", reader.end())?;
    Ok((CertificateHead { serial, issuer, not_before, not_after, subject, point }, Extensions::parse(wrapped)?))
}

/// A `SubjectPublicKeyInfo`, which must hold an uncompressed point of P-256.
pub fn public_key(reader: &mut DerReader<'_>) -> Result<Point, CertificateError> {
    reader.literal(&P256_KEY).map_err(|_| CertificateError::Key)?;
    let point = form("key", reader.take(POINT_LENGTH))?;
    Point::parse(point).map_err(|_| CertificateError::Key)
}

/// Reads a serial number: positive, at most 20 bytes (RFC 5280, 4.1.2.2), in the shortest form (X.690, 8.3.2).
fn serial(value: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let magnitude = value.strip_prefix(&[0]).unwrap_or(value);
    let padded = magnitude.len() < value.len();
    let sign_bit = magnitude.first().is_some_and(|byte| byte & 0x80 != 0);
    if magnitude.is_empty() || padded != sign_bit || value.len() > 20 {
        return Err(CertificateError::Profile("serial number"));
    }
    Ok(magnitude.to_vec())
}

/// Reads a name that is one common name and nothing else.
pub fn common_name<'a>(part: &'static str, mut name: DerReader<'a>) -> Result<&'a str, CertificateError> {
    let (tag, value) = form(part, single_attribute(&mut name))?;
    let text = match tag {
        UTF8_STRING => std::str::from_utf8(value).ok(),
        _ => std::str::from_utf8(value).ok().filter(|text| text.is_ascii()),
    };
    text.filter(|text| is_common_name(text)).ok_or(CertificateError::Profile(part))
}

fn single_attribute<'a>(name: &mut DerReader<'a>) -> Result<(u8, &'a [u8]), DerError> {
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

/// Whether a text may be a common name: 1 to 64 characters, none of them a control character, because names are
/// printed.
pub fn is_common_name(text: &str) -> bool {
    (1..=COMMON_NAME_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn validity(mut reader: DerReader<'_>) -> Result<(ValidityTime, ValidityTime), CertificateError> {
    const PART: &str = "validity";
    let not_before = form(PART, reader.value(UTC_TIME))?;
    let not_after = form(PART, reader.value(UTC_TIME))?;
    form(PART, reader.end())?;
    let read = |value| utc_time(value).ok_or(CertificateError::Profile(PART));
    Ok((read(not_before)?, read(not_after)?))
}

/// Reads `YYMMDDhhmmssZ` (RFC 5280, 4.1.2.5.1), where 50 and above is 19YY. A card compares only the digits, so both
/// refuse 80 and above; years in between have expired here.
fn utc_time(value: &[u8]) -> Option<ValidityTime> {
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
    Some(ValidityTime { digits, moment })
}

/// The extensions of a certificate: each at most once, and taken out one by one.
pub struct Extensions<'a>(Vec<Extension<'a>>);

impl<'a> Extensions<'a> {
    fn parse(mut wrapped: DerReader<'a>) -> Result<Self, CertificateError> {
        const PART: &str = "extensions";
        let mut list = form(PART, wrapped.enter(SEQUENCE))?;
        form(PART, wrapped.end())?;
        let mut found: Vec<Extension<'a>> = Vec::new();
        while !list.is_empty() {
            let extension = form(PART, list.enter(SEQUENCE).and_then(Extension::parse))?;
            if found.iter().any(|other| other.oid == extension.oid) {
                return Err(CertificateError::Duplicate);
            }
            found.push(extension);
        }
        Ok(Self(found))
    }

    /// The value of the extension with this OID, which must be present, and critical or not as the profile requires.
    pub fn take(&mut self, oid: &[u8], critical: bool, name: &'static str) -> Result<&'a [u8], CertificateError> {
        let at = self.0.iter().position(|extension| extension.oid == oid).ok_or(CertificateError::Missing(name))?;
        let extension = self.0.swap_remove(at);
        if extension.critical != critical {
            return Err(CertificateError::Profile("criticality of an extension"));
        }
        Ok(extension.value)
    }

    /// Ignores what was not taken, as RFC 5280, 4.2 requires and the card does, unless it is critical.
    pub fn end(self) -> Result<(), CertificateError> {
        if self.0.iter().any(|extension| extension.critical) { Err(CertificateError::Critical) } else { Ok(()) }
    }
}

/// One extension (RFC 5280, 4.1).
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Extension<'a> {
    fn parse(mut reader: DerReader<'a>) -> Result<Self, DerError> {
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

/// A bit string that takes up all of these bytes: the number of unused bits, then the bits.
pub fn bit_string(value: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = DerReader::new(value);
    let bits = reader.value(BIT_STRING)?;
    reader.end()?;
    Ok(bits)
}
