//! Issues certificates of the profile, with OpenSSL's builder.

use jiff::Timestamp;
use openssl::{
    asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time},
    bn::BigNum,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    x509::{X509, X509Builder, X509Extension, X509Name},
};

use super::{
    CLASS_ARC_DER, Certificate, CertificateError, CertificateProfile, Purpose,
    der::{SEQUENCE, only},
    walk::is_common_name,
};
use crate::crypto::{
    CryptoError,
    ec::{KeyPair, Point},
    random::{self, Random},
};

/// The first second beyond `UTCTime` (RFC 5280, 4.1.2.5): 2050-01-01T00:00:00Z.
pub const UTC_TIME_END: i64 = 2_524_608_000;
/// 2000-01-01T00:00:00Z: before it, a card would read the two-digit year as another century.
const UTC_TIME_START: i64 = 946_684_800;
/// The first line of a certificate; the second is the older label, which OpenSSL accepts, too.
const LABELS: [&str; 2] = ["-----BEGIN CERTIFICATE-----", "-----BEGIN X509 CERTIFICATE-----"];
/// The length of a serial number in bytes: 62 random bits, and two that keep it positive and of constant length.
const SERIAL_LENGTH: usize = 8;

/// The content of a certificate to issue.
#[derive(Debug, Clone, Copy)]
pub struct CertificateTemplate<'a> {
    /// Its class.
    pub class: CertificateProfile,
    /// The common name: for a token its id as UUID, for a set `set ` and random hex.
    pub subject: &'a str,
    /// The certified key.
    pub key: &'a Point,
    /// The start of its validity; fractions of a second are cut off.
    pub not_before: Timestamp,
    /// The end of its validity; fractions of a second are cut off.
    pub not_after: Timestamp,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name is empty, longer than 64 characters, or has control characters.
    #[error("not a common name of 1 to 64 printable characters")]
    Name,
    /// The dates are in the wrong order, or outside the range of `UTCTime` used here (2000 to 2049).
    #[error("the dates are in the wrong order, or outside the years 2000 to 2049")]
    Validity,
    /// A card would not accept the result; for a terminal, the subject is too long.
    #[error("the certificate would be rejected: {0}")]
    Refused(#[from] CertificateError),
    /// The library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<ErrorStack> for IssueError {
    fn from(e: ErrorStack) -> Self {
        Self::Crypto(e.into())
    }
}

/// Issues a certificate under the CA's key; `issuer` is the common name in the CA's own certificate. Returns DER,
/// verified as a card would verify it.
///
/// # Errors
/// [`IssueError::Name`], [`IssueError::Validity`], [`IssueError::Refused`] when a card would not accept it;
/// [`IssueError::Crypto`] when OpenSSL or `random` fails.
pub fn issue(
    ca: &KeyPair,
    issuer: &str,
    template: &CertificateTemplate<'_>,
    random: &mut dyn Random,
) -> Result<Vec<u8>, IssueError> {
    let &CertificateTemplate { class, subject, key, not_before, not_after } = template;
    let mut builder = begin(&Common { issuer, subject, key, not_before, not_after }, random)?;
    standard_extensions(&mut builder, ca.public(), Purpose::Class(class))?;
    let der = finish(builder, ca)?;
    Certificate::verify(&der, ca.public(), &[class])?;
    Ok(der)
}

/// A certificate as PEM (RFC 7468).
///
/// # Errors
/// [`CryptoError`] for anything but a certificate in DER, or when OpenSSL fails.
pub fn to_pem(der: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Ok(X509::from_der(der)?.to_pem()?)
}

/// The first certificate in a text file (RFC 7468) as DER, whatever else is in it; `None` when there is none. Its
/// content is checked by whoever reads it: OpenSSL would also prepare its key, which takes as long as everything else
/// that is done before the first card.
pub fn from_pem(text: &[u8]) -> Option<Vec<u8>> {
    let begin =
        LABELS.iter().filter_map(|label| text.windows(label.len()).position(|part| part == label.as_bytes())).min()?;
    let der = pem::parse(&text[begin..]).ok()?.into_contents();
    only(&der, SEQUENCE).is_ok().then_some(der)
}

/// Everything in a certificate before its extensions.
pub struct Common<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    pub key: &'a Point,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Begins a certificate, without extensions.
pub fn begin(common: &Common<'_>, random: &mut dyn Random) -> Result<X509Builder, IssueError> {
    let (from, to) = (common.not_before.as_second(), common.not_after.as_second());
    if !(UTC_TIME_START <= from && from < to && to < UTC_TIME_END) {
        return Err(IssueError::Validity);
    }
    let mut builder = X509::builder()?;
    builder.set_version(2)?; // counted from 0: v3
    builder.set_serial_number(&*serial(random)?)?;
    builder.set_issuer_name(&*name(common.issuer)?)?;
    builder.set_subject_name(&*name(common.subject)?)?;
    builder.set_not_before(&*Asn1Time::from_unix(from)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(to)?)?;
    builder.set_pubkey(&*common.key.to_pkey()?)?;
    Ok(builder)
}

/// Adds the three extensions of all certificates except the CA's own.
pub fn standard_extensions(builder: &mut X509Builder, ca: &Point, purpose: Purpose) -> Result<(), ErrorStack> {
    let [unused, bits] = purpose.key_usage();
    builder.append_extension(extension("2.5.29.15", true, &[0x03, 0x02, unused, bits])?)?;
    let authority = [&[0x30, 0x16, 0x80, 0x14][..], &ca.key_identifier()].concat();
    builder.append_extension(extension("2.5.29.35", false, &authority)?)?;
    builder.append_extension(extension("2.5.29.37", false, &usage(purpose))?)
}

/// The identifier of the certified key; cards do not need it, so only CA and TLS certificates have it.
pub fn subject_key_identifier(key: &Point) -> Result<X509Extension, ErrorStack> {
    extension("2.5.29.14", false, &[&[0x04, 0x14][..], &key.key_identifier()].concat())
}

/// A sequence of one OID.
fn usage(purpose: Purpose) -> Vec<u8> {
    match purpose {
        Purpose::Class(class) => [&[0x30, 0x0C, 0x06, 0x0A][..], &CLASS_ARC_DER, &[class.number()]].concat(),
        Purpose::Tls(usage) => [&[0x30, 0x0A, 0x06, 0x08][..], &usage.oid()].concat(),
    }
}

/// Signs the certificate; returns DER.
pub fn finish(mut builder: X509Builder, ca: &KeyPair) -> Result<Vec<u8>, ErrorStack> {
    builder.sign(ca.as_pkey(), MessageDigest::sha256())?;
    builder.build().to_der()
}

/// A random serial number whose first bit is 0 and second bit is 1.
fn serial(random: &mut dyn Random) -> Result<Asn1Integer, IssueError> {
    let mut bytes: [u8; SERIAL_LENGTH] = random::bytes(random)?;
    bytes[0] = bytes[0] & 0x7F | 0x40;
    Ok(BigNum::from_slice(&bytes)?.to_asn1_integer()?)
}

/// A name consisting of this common name.
pub fn name(text: &str) -> Result<X509Name, IssueError> {
    if !is_common_name(text) {
        return Err(IssueError::Name);
    }
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid_with_type(Nid::COMMONNAME, text, openssl::asn1::Asn1Type::UTF8STRING)?;
    Ok(builder.build())
}

/// An extension with this DER value.
pub fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<X509Extension, ErrorStack> {
    let oid = Asn1Object::from_str(oid)?;
    X509Extension::new_from_der(&oid, critical, &*Asn1OctetString::new_from_bytes(value)?)
}
