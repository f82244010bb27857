//! Project Wycheproof, whole sets, through our own functions. Valid cases must be accepted and give the right answer;
//! invalid ones, and those that are merely acceptable, must be refused: we need only one encoding of anything.

use rollcall::{
    card::tlv,
    crypto::{
        Key128,
        cmac::cmac,
        ec::{KeyPair, Point, signature_from_raw},
        same,
        x509::{Certificate, CertificateError, CertificateProfile},
    },
};
use wycheproof::{TestResult, ecdh, ecdsa, mac};

/// The results for the vectors of one set.
#[derive(Default)]
struct Tally {
    taken: usize,
    refused: usize,
    not_applicable: Vec<(&'static str, usize)>,
}

impl Tally {
    /// Compares one of our verdicts with the published one.
    fn hold(&mut self, id: usize, result: TestResult, taken: bool) {
        assert_eq!(taken, result == TestResult::Valid, "case {id}");
        if taken { self.taken += 1 } else { self.refused += 1 }
    }

    fn skip(&mut self, reason: &'static str) {
        match self.not_applicable.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, count)) => *count += 1,
            None => self.not_applicable.push((reason, 1)),
        }
    }

    /// Prints the counts, which must cover the whole set.
    fn tell(&self, name: &str, stated: usize) {
        let skipped: usize = self.not_applicable.iter().map(|(_, count)| count).sum();
        assert_eq!(self.taken + self.refused + skipped, stated);
        println!(
            "vectors: Wycheproof {name}: {stated} cases, {} taken, {} refused, {skipped} not applicable",
            self.taken, self.refused
        );
        for (reason, count) in &self.not_applicable {
            println!("vectors: Wycheproof {name}: {count} not applicable: {reason}");
        }
    }
}

/// A private key as Wycheproof writes it: a number of any length.
fn private_key(number: &[u8]) -> KeyPair {
    let digits = &number[number.iter().position(|b| *b != 0).unwrap()..];
    let mut scalar = [0; 32];
    scalar[32 - digits.len()..].copy_from_slice(digits);
    KeyPair::from_scalar(&scalar).unwrap()
}

fn agrees(test: &ecdh::Test, point: &Point) -> bool {
    let secret = private_key(&test.private_key).agree(point).unwrap();
    assert_eq!(*secret, test.shared_secret[..], "case {}", test.tc_id);
    true
}

#[test]
fn ecdh_with_points() {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap();
    let mut tally = Tally::default();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let taken = Point::parse(&test.public_key).is_ok_and(|point| agrees(test, &point));
        tally.hold(test.tc_id, test.result, taken);
    }
    tally.tell("ECDH P-256 with points", set.number_of_tests);
}

/// A `SubjectPublicKeyInfo` comes to us inside a certificate only, so each goes through the certificate walk.
#[test]
fn ecdh_with_encoded_keys() {
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1).unwrap();
    let ca = private_key(&[7]);
    let mut tally = Tally::default();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let taken = match Certificate::verify(
            &certificate(&ca, &test.public_key),
            ca.public(),
            &[CertificateProfile::TokenEcka],
        ) {
            Ok(certificate) => agrees(test, certificate.point()),
            Err(CertificateError::Key | CertificateError::Form { .. } | CertificateError::TooLong { .. }) => false,
            Err(other) => panic!("case {}: {other}", test.tc_id),
        };
        tally.hold(test.tc_id, test.result, taken);
    }
    tally.tell("ECDH P-256 with keys in certificates", set.number_of_tests);
}

/// A certificate of our profile around this `SubjectPublicKeyInfo`.
fn certificate(ca: &KeyPair, key: &[u8]) -> Vec<u8> {
    let name = tlv::object(0x30, &tlv::object(0x31, &tlv::object(0x30, b"\x06\x03\x55\x04\x03\x0C\x04name")));
    let time = |digits: &[u8]| tlv::object(0x17, digits);
    let extension = |arc: u8, critical: &[u8], value: &[u8]| {
        tlv::object(0x30, &[&[6, 3, 0x55, 0x1D, arc], critical, &tlv::object(4, value)].concat())
    };
    let algorithm = b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";
    let class = b"\x30\x0C\x06\x0A\x2B\x06\x01\x04\x01\x81\xFD\x59\x52\x08";
    let extensions = [
        extension(15, &[1, 1, 0xFF], &[3, 2, 3, 8]),
        extension(35, &[], &tlv::object(0x30, &tlv::object(0x80, &ca.public().key_identifier()))),
        extension(37, &[], class),
    ];
    let signed = tlv::object(
        0x30,
        &[
            b"\xA0\x03\x02\x01\x02\x02\x01\x01",
            &algorithm[..],
            &name,
            &tlv::object(0x30, &[time(b"261101000000Z"), time(b"361030000000Z")].concat()),
            &name,
            key,
            &tlv::object(0xA3, &tlv::object(0x30, &extensions.concat())),
        ]
        .concat(),
    );
    let signature = tlv::object(3, &[&[0], &ca.sign(&signed).unwrap()[..]].concat());
    tlv::object(0x30, &[&signed, &algorithm[..], &signature].concat())
}

#[test]
fn ecdsa_in_der() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = Point::parse(&group.key.key).unwrap();
        for test in &group.tests {
            tally.hold(test.tc_id, test.result, key.verify(&test.msg, &test.sig).unwrap());
        }
    }
    tally.tell("ECDSA P-256 SHA-256, DER", set.number_of_tests);
}

/// The form of a COSE signature: `r ‖ s`, 64 bytes by its type.
#[test]
fn ecdsa_raw() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        let key = Point::parse(&group.key.key).unwrap();
        for test in &group.tests {
            let taken = <&[u8; 64]>::try_from(&test.sig[..])
                .is_ok_and(|raw| key.verify(&test.msg, &signature_from_raw(raw).unwrap()).unwrap());
            tally.hold(test.tc_id, test.result, taken);
        }
    }
    tally.tell("ECDSA P-256 SHA-256, r and s", set.number_of_tests);
}

#[test]
fn aes_cmac() {
    let set = mac::TestSet::load(mac::TestName::AesCmac).unwrap();
    let mut tally = Tally::default();
    for group in &set.test_groups {
        for test in &group.tests {
            let Ok(key) = <[u8; 16]>::try_from(&test.key[..]) else {
                tally.skip("no key of ours has this length: they are AES-128, by their type");
                continue;
            };
            let made = cmac(&Key128::new(key), &[&test.msg]).unwrap();
            tally.hold(test.tc_id, test.result, same(&made[..group.tag_size / 8], &test.tag));
        }
    }
    tally.tell("AES-CMAC", set.number_of_tests);
}
