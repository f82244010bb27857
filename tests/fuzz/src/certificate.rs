//! DER and the certificate walk. The bytes are signed here, so that they get past the signature check to the walk.

use std::sync::LazyLock;

use rollcall::{
    card::tlv::object,
    crypto::{
        ec::KeyPair,
        x509::{Authority, Certificate, CertificateProfile, CertificateRequest, TlsCertificate, TlsUse},
    },
};

use crate::input::pair;

static CA: LazyLock<KeyPair> = LazyLock::new(|| pair(0x42));
const ALGORITHM: &[u8] = b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";

/// The first byte says what the others are: a whole certificate, what is signed of one, or a request.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Some((form, body)) = data.split_first() else { return };
    let der = if form & 1 == 0 { body.to_vec() } else { signed(body) };
    let _ = Authority::read(&der);
    let _ = CertificateRequest::verify(&der);
    for expected in [TlsUse::Client, TlsUse::Server] {
        let _ = TlsCertificate::verify(&der, CA.public(), expected);
    }
    let taken: Vec<CertificateProfile> = CertificateProfile::ALL.into_iter().filter(|class| is(&der, *class)).collect();
    assert!(taken.len() <= 1, "one certificate of two classes: {taken:?}");
}

/// Whether it is a certificate of this class; then it means what it says, and no byte of it may be another.
fn is(der: &[u8], class: CertificateProfile) -> bool {
    let Ok(certificate) = Certificate::verify(der, CA.public(), &[class]) else { return false };
    assert_eq!((certificate.der(), certificate.class()), (der, class));
    assert_eq!(&certificate.authority(), &CA.public().key_identifier());
    assert!(certificate.subject().chars().count() <= 64 && !certificate.subject().contains(char::is_control));
    assert!((1..=20).contains(&certificate.serial().len()));
    assert!(der.windows(65).any(|window| window == certificate.point().as_bytes()));
    assert!(Certificate::verify(&[der, &[0]].concat(), CA.public(), &[class]).is_err());
    assert!(Certificate::verify(der, pair(0x43).public(), &[class]).is_err());
    true
}

fn signed(tbs: &[u8]) -> Vec<u8> {
    let signature = CA.sign(tbs).expect("a signature");
    let bits = object(0x03, &[&[0], &signature[..]].concat());
    object(0x30, &[tbs, ALGORITHM, &bits].concat())
}
