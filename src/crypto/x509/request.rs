//! Certificate requests (PKCS#10, RFC 2986), which prove that the holder of a key wants it certified.

use openssl::{error::ErrorStack, hash::MessageDigest, x509::X509Req};

use super::{
    CertificateError, IssueError,
    der::{SEQUENCE, only},
    issue::name,
    walk::{Outer, common_name, form, public_key},
};
use crate::crypto::ec::{KeyPair, Point};

/// The longest request that is read, in bytes.
const LIMIT: usize = 1024;
/// `INTEGER 0`: the version.
const VERSION_1: [u8; 3] = [0x02, 0x01, 0x00];
/// `[0]`, constructed: the attributes.
const ATTRIBUTES: u8 = 0xA0;

/// A request whose signature was verified with the key to be certified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    subject: String,
    point: Point,
}

impl CertificateRequest {
    /// Reads a request in DER: bounds the lengths, finds the key, verifies the signature with it, and reads strictly.
    /// The attributes are ignored: the CA decides what it certifies.
    ///
    /// # Errors
    /// [`CertificateError`] says what is wrong: the length, the form of a part, the key, or the signature.
    pub fn verify(der: &[u8]) -> Result<Self, CertificateError> {
        let outer = Outer::bound(der, LIMIT)?;
        let mut reader = form("frame", only(outer.signed, SEQUENCE))?;
        form("version", reader.literal(&VERSION_1))?;
        let subject = common_name("subject", form("subject", reader.enter(SEQUENCE))?)?.to_owned();
        let point = public_key(&mut reader)?;
        form("attributes", reader.value(ATTRIBUTES))?;
        form("frame", reader.end())?;
        outer.verify(&point)?;
        Ok(Self { subject, point })
    }

    /// Makes a request for this key; returns DER.
    ///
    /// # Errors
    /// [`IssueError::Name`]; [`IssueError::Crypto`] when OpenSSL fails.
    pub fn sign(key: &KeyPair, subject: &str) -> Result<Vec<u8>, IssueError> {
        let name = name(subject)?;
        let build = || -> Result<Vec<u8>, ErrorStack> {
            let mut builder = X509Req::builder()?;
            builder.set_version(0)?;
            builder.set_subject_name(&name)?;
            builder.set_pubkey(key.as_pkey())?;
            builder.sign(key.as_pkey(), MessageDigest::sha256())?;
            builder.build().to_der()
        };
        Ok(build()?)
    }

    /// The requested common name.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The key to be certified.
    pub const fn point(&self) -> &Point {
        &self.point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;

    #[test]
    fn a_request_is_signed_by_the_key_that_it_is_for() {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let der = CertificateRequest::sign(&key, "terminal-0").unwrap();
        let read = CertificateRequest::verify(&der).unwrap();
        assert_eq!((read.subject(), read.point()), ("terminal-0", key.public()));

        // Another key put into it, with the original signature.
        let other = KeyPair::generate(&mut SystemRandom).unwrap();
        let own = key.public().as_bytes();
        let at = der.windows(65).position(|window| window == own).unwrap();
        let mut swapped = der.clone();
        swapped[at..at + 65].copy_from_slice(other.public().as_bytes());
        assert!(matches!(CertificateRequest::verify(&swapped), Err(CertificateError::Signature)));
    }

    #[test]
    fn no_byte_may_change() {
        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let good = CertificateRequest::sign(&key, "terminal-0").unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(CertificateRequest::verify(&bad).is_err(), "byte {at}");
            assert!(CertificateRequest::verify(&good[..at]).is_err(), "length {at}");
        }
        assert!(CertificateRequest::verify(&[&good[..], &[0]].concat()).is_err());
    }

    /// Signed with the key to be certified, so that nothing else is wrong.
    #[test]
    fn a_request_is_of_the_one_version_and_ends_with_its_attributes() {
        use crate::card::tlv::object;

        let key = KeyPair::generate(&mut SystemRandom).unwrap();
        let good = CertificateRequest::sign(&key, "terminal-0").unwrap();
        let mut outer = only(&good, SEQUENCE).unwrap();
        let inner = outer.value(SEQUENCE).unwrap();
        let algorithm = outer.object(SEQUENCE).unwrap().1;
        let body = &inner[VERSION_1.len()..];
        let right = &VERSION_1[..];
        for (version, more, taken) in [
            (right, &[][..], true),
            (&[2, 1, 1], &[], false),
            (&[2, 1, 2], &[], false),
            (right, &[5, 0], false),
            (right, &[0xA0, 0], false),
        ] {
            let signed = object(0x30, &[version, body, more].concat());
            let signature = object(3, &[&[0][..], &key.sign(&signed).unwrap()].concat());
            let request = object(0x30, &[&signed, algorithm, &signature].concat());
            assert_eq!(CertificateRequest::verify(&request).is_ok(), taken, "{version:02X?} {more:02X?}");
        }
    }

    #[test]
    fn requests_of_other_keys_and_too_long_ones_are_refused() {
        let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::SECP384R1).unwrap();
        let key = openssl::pkey::PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
        let mut builder = X509Req::builder().unwrap();
        builder.set_version(0).unwrap();
        builder.set_subject_name(&name("terminal-0").unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let der = builder.build().to_der().unwrap();
        assert!(matches!(CertificateRequest::verify(&der), Err(CertificateError::Key)));
        assert!(matches!(CertificateRequest::verify(&[0x30; LIMIT + 1]), Err(CertificateError::TooLong { .. })));
    }
}
