//! Certificates that a CA issued to others: checks their three extensions against the profile.

use super::{
    CLASS_ARC_DER, CertificateError, CertificateProfile, Purpose, TlsUse,
    der::{OID, SEQUENCE, only},
    walk::{CertificateHead, Extensions, Outer, bit_string, form, walk},
};
use crate::crypto::ec::Point;

pub const KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x0F];
const AUTHORITY_KEY_IDENTIFIER: [u8; 3] = [0x55, 0x1D, 0x23];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1D, 0x25];
/// `[0]`: the keyIdentifier inside an authorityKeyIdentifier.
const KEY_IDENTIFIER: u8 = 0x80;

/// The content of such a certificate.
pub struct Leaf {
    pub head: CertificateHead,
    pub authority: [u8; 20],
    pub purpose: Purpose,
}

/// Bounds the lengths, verifies the signature under the CA's point, and walks the content, in this order.
pub fn verify(der: &[u8], ca: &Point, limit: usize) -> Result<Leaf, CertificateError> {
    let outer = Outer::bound(der, limit)?;
    outer.verify(ca)?;
    let (head, extensions) = walk(outer.signed)?;
    let (authority, purpose) = profile(extensions)?;
    if authority != ca.key_identifier() {
        return Err(CertificateError::Authority);
    }
    Ok(Leaf { head, authority, purpose })
}

/// keyUsage must be critical, authorityKeyIdentifier and extendedKeyUsage not, in any order.
fn profile(mut extensions: Extensions<'_>) -> Result<([u8; 20], Purpose), CertificateError> {
    let key_usage = extensions.take(&KEY_USAGE, true, "key usage")?;
    let authority = key_identifier(extensions.take(&AUTHORITY_KEY_IDENTIFIER, false, "authority key identifier")?)?;
    let purpose = purpose(extensions.take(&EXTENDED_KEY_USAGE, false, "extended key usage")?)?;
    extensions.end()?;
    if form("key usage", bit_string(key_usage))? != purpose.key_usage() {
        return Err(CertificateError::Profile("key usage"));
    }
    Ok((authority, purpose))
}

/// Only the keyIdentifier, nothing else (RFC 5280, 4.2.1.1).
fn key_identifier(value: &[u8]) -> Result<[u8; 20], CertificateError> {
    const PART: &str = "authority key identifier";
    let mut reader = form(PART, only(value, SEQUENCE))?;
    let id = form(PART, reader.value(KEY_IDENTIFIER))?;
    form(PART, reader.end())?;
    id.try_into().map_err(|_| CertificateError::Profile(PART))
}

/// Exactly one OID.
fn purpose(value: &[u8]) -> Result<Purpose, CertificateError> {
    const PART: &str = "extended key usage";
    let mut reader = form(PART, only(value, SEQUENCE))?;
    let oid = form(PART, reader.value(OID))?;
    form(PART, reader.end())?;
    match oid.strip_prefix(&CLASS_ARC_DER) {
        Some(&[number]) => CertificateProfile::from_number(number).map(Purpose::Class),
        Some(_) => None,
        None => TlsUse::from_oid(oid).map(Purpose::Tls),
    }
    .ok_or(CertificateError::Profile(PART))
}

impl Purpose {
    /// The content of the keyUsage bit string (RFC 5280, 4.2.1.3): unused bits, then the bits.
    pub(super) const fn key_usage(self) -> [u8; 2] {
        match self {
            Self::Class(class) => class.key_usage(),
            Self::Tls(_) => [7, 0x80], // digitalSignature
        }
    }
}
