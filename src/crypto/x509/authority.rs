//! The certificate of a CA: self-signed, and the only kind that may sign others.

use jiff::Timestamp;

use super::{
    CertificateError, IssueError,
    der::{BOOLEAN, DerReader, OCTET_STRING, SEQUENCE, only},
    issue::{Common, begin, extension, finish, subject_key_identifier},
    leaf::KEY_USAGE,
    walk::{CertificateHead, Extensions, Outer, bit_string, form, walk},
};
use crate::crypto::{
    ec::{KeyPair, Point},
    random::Random,
};

/// The longest CA certificate that is read, in bytes.
const LIMIT: usize = 1024;
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1D, 0x13];
const SUBJECT_KEY_IDENTIFIER: [u8; 3] = [0x55, 0x1D, 0x0E];
/// The bit keyCertSign in the first byte of keyUsage (RFC 5280, 4.2.1.3).
const KEY_CERT_SIGN: u8 = 0x04;

/// A CA's own certificate, verified under its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    der: Vec<u8>,
    head: CertificateHead,
}

impl Authority {
    /// Reads a CA certificate in DER strictly. Its self-signature proves nothing: whoever puts the file there is
    /// trusted.
    ///
    /// # Errors
    /// [`CertificateError`] says what is outside the profile of a CA, or that it is not signed by its own key.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let outer = Outer::bound(der, LIMIT)?;
        let (head, extensions) = walk(outer.signed)?;
        outer.verify(&head.point)?;
        if head.issuer != head.subject {
            return Err(CertificateError::Profile("issuer"));
        }
        profile(extensions, &head.point.key_identifier())?;
        Ok(Self { der: der.to_vec(), head })
    }

    /// Issues the certificate of a new CA with this common name.
    ///
    /// # Errors
    /// [`IssueError::Name`], [`IssueError::Validity`], [`IssueError::Refused`] when reading it back would fail;
    /// [`IssueError::Crypto`] when OpenSSL or `random` fails.
    pub fn issue(
        key: &KeyPair,
        name: &str,
        not_before: Timestamp,
        not_after: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Self, IssueError> {
        let common = Common { issuer: name, subject: name, key: key.public(), not_before, not_after };
        let mut builder = begin(&common, random)?;
        // cA is true, and no CA may be below it.
        builder.append_extension(extension("2.5.29.19", true, &[0x30, 6, 1, 1, 0xFF, 2, 1, 0])?)?;
        builder.append_extension(extension("2.5.29.15", true, &[0x03, 0x02, 0x02, KEY_CERT_SIGN])?)?;
        builder.append_extension(subject_key_identifier(key.public())?)?;
        Ok(Self::read(&finish(builder, key)?)?)
    }

    /// Refuses a CA that is not valid at this time.
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`] or [`CertificateError::Expired`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), CertificateError> {
        self.head.check_time(now)
    }

    /// The certificate as it was given, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its common name, which is the issuer name in everything it signs.
    pub fn name(&self) -> &str {
        &self.head.subject
    }

    /// The CA's key, which terminals and cards trust.
    pub const fn point(&self) -> &Point {
        &self.head.point
    }

    /// The serial number as big-endian bytes without leading zeros, 1 to 20.
    pub fn serial(&self) -> &[u8] {
        &self.head.serial
    }

    /// The start of its validity.
    pub const fn not_before(&self) -> Timestamp {
        self.head.not_before.moment
    }

    /// The end of its validity.
    pub const fn not_after(&self) -> Timestamp {
        self.head.not_after.moment
    }
}

fn profile(mut extensions: Extensions<'_>, id: &[u8; 20]) -> Result<(), CertificateError> {
    let constraints = extensions.take(&BASIC_CONSTRAINTS, true, "basic constraints")?;
    let key_usage = extensions.take(&KEY_USAGE, true, "key usage")?;
    let identifier = extensions.take(&SUBJECT_KEY_IDENTIFIER, false, "subject key identifier")?;
    extensions.end()?;
    let mut constraints = form("basic constraints", only(constraints, SEQUENCE))?;
    if form("basic constraints", constraints.value(BOOLEAN))? != [0xFF] {
        return Err(CertificateError::Profile("basic constraints"));
    }
    let bits = form("key usage", bit_string(key_usage))?;
    if bits.get(1).is_none_or(|bits| bits & KEY_CERT_SIGN == 0) {
        return Err(CertificateError::Profile("key usage"));
    }
    let mut reader = DerReader::new(identifier);
    let named = form("subject key identifier", reader.value(OCTET_STRING))?;
    form("subject key identifier", reader.end())?;
    if named == id { Ok(()) } else { Err(CertificateError::Profile("subject key identifier")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{
        random::SystemRandom,
        x509::{Certificate, CertificateProfile, CertificateTemplate},
    };

    fn from() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    fn to() -> Timestamp {
        "2046-11-17T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_new_authority_reads_as_it_was_issued() {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let authority = Authority::issue(&key, "Rollcall CA", from(), to(), &mut SystemRandom).unwrap();
        assert_eq!((authority.name(), authority.point()), ("Rollcall CA", key.public()));
        assert_eq!((authority.not_before(), authority.not_after()), (from(), to()));
        assert_eq!(Authority::read(authority.der()).unwrap(), authority);
        // It is not a certificate of any class that a CA issues to others.
        assert!(Certificate::verify(authority.der(), key.public(), &CertificateProfile::ALL).is_err());
    }

    #[test]
    fn what_an_authority_issued_is_no_authority() {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let other = KeyPair::generate(&mut SystemRandom).unwrap();
        for (subject, certified) in [("somebody", &other), ("Rollcall CA", &key)] {
            let template = CertificateTemplate {
                class: CertificateProfile::Identity,
                subject,
                key: certified.public(),
                not_before: from(),
                not_after: to(),
            };
            let der = super::super::issue(&key, "Rollcall CA", &template, &mut SystemRandom).unwrap();
            assert!(Authority::read(&der).is_err());
        }
    }

    #[test]
    fn no_byte_may_change() {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let good = Authority::issue(&key, "Rollcall CA", from(), to(), &mut SystemRandom).unwrap();
        for at in 0..good.der().len() {
            let mut bad = good.der().to_vec();
            bad[at] ^= 1;
            assert!(Authority::read(&bad).is_err(), "byte {at}");
            assert!(Authority::read(&bad[..at]).is_err(), "length {at}");
        }
    }

    /// A self-signed certificate with these extensions, each `(OID, critical, DER)`.
    fn draft(extensions: &[(&str, bool, &[u8])]) -> Result<Authority, CertificateError> {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let common = Common { issuer: "CA", subject: "CA", key: key.public(), not_before: from(), not_after: to() };
        let mut builder = begin(&common, &mut SystemRandom).unwrap();
        let own = [&[0x04, 0x14][..], &key.public().key_identifier()].concat();
        for (oid, critical, value) in extensions {
            let value = if value.is_empty() { &own[..] } else { value };
            builder.append_extension(extension(oid, *critical, value).unwrap()).unwrap();
        }
        Authority::read(&finish(builder, &key).unwrap())
    }

    #[test]
    fn an_authority_says_that_it_is_one() {
        const CONSTRAINTS: (&str, bool, &[u8]) = ("2.5.29.19", true, &[0x30, 3, 1, 1, 0xFF]);
        const USAGE: (&str, bool, &[u8]) = ("2.5.29.15", true, &[3, 2, 1, 0x06]);
        const OWN: (&str, bool, &[u8]) = ("2.5.29.14", false, &[]);
        draft(&[CONSTRAINTS, USAGE, OWN]).unwrap();
        let other = [&[0x04, 0x14][..], &[7; 20]].concat();
        for bad in [
            [CONSTRAINTS, USAGE, ("2.5.29.14", false, &other)],
            [CONSTRAINTS, ("2.5.29.15", true, &[3, 2, 7, 0x80]), OWN],
            [CONSTRAINTS, ("2.5.29.15", true, &[3, 1, 0]), OWN],
            [("2.5.29.19", true, &[0x30, 0]), USAGE, OWN],
            [("2.5.29.19", true, &[0x30, 3, 1, 1, 0]), USAGE, OWN],
            [("2.5.29.19", false, CONSTRAINTS.2), USAGE, OWN],
        ] {
            assert!(draft(&bad).is_err(), "{bad:?}");
        }
        assert!(matches!(draft(&[CONSTRAINTS, USAGE]), Err(CertificateError::Missing("subject key identifier"))));
        let unknown = [CONSTRAINTS, USAGE, OWN, ("2.5.29.30", true, &[0x30, 0][..])];
        assert!(matches!(draft(&unknown), Err(CertificateError::Critical)));
    }
}
