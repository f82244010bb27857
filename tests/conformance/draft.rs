//! Drafts of certificates: every field can be altered before the CA signs.

use rollcall::{
    card::tlv,
    crypto::ec::{KeyPair, Point},
};

pub const READ: u8 = 1;
pub const WRITE: u8 = 2;
pub const ADMIN: u8 = 3;
pub const ECKA: u8 = 8;
pub const SET: u8 = 9;
pub const IDENTITY: u8 = 10;

/// notBefore and notAfter of everything that is not about dates.
pub const NOW: &str = "261101000000";
pub const LATER: &str = "361030000000";

const ECDSA_SHA256: &str = "300a06082a8648ce3d040302";
const P256: &str = "301306072a8648ce3d020106082a8648ce3d030107";
const KEY_AGREEMENT: [u8; 4] = [3, 2, 3, 8];
const DIGITAL_SIGNATURE: [u8; 4] = [3, 2, 7, 0x80];

/// One certificate before it is signed. Fields are whole DER objects, in the order of RFC 5280, 4.1.
#[derive(Clone)]
pub struct Draft {
    /// version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
    pub fields: [Vec<u8>; 7],
    /// keyUsage, authorityKeyIdentifier, extendedKeyUsage, then any others.
    pub extensions: Vec<Vec<u8>>,
    /// Behind the extensions, inside what is signed.
    pub tail: Vec<u8>,
    /// The signatureAlgorithm outside of what is signed.
    pub outer: Vec<u8>,
}

pub fn from_hex(digits: &str) -> Vec<u8> {
    hex::decode(digits.replace(' ', "")).unwrap()
}

pub fn name(text: &str) -> Vec<u8> {
    let attribute = [&[6, 3, 0x55, 4, 3][..], &tlv::object(0x0C, text.as_bytes())].concat();
    tlv::object(0x30, &tlv::object(0x31, &tlv::object(0x30, &attribute)))
}

/// UTCTime (tag 17) or any other time.
pub fn validity(tag: u16, not_before: &str, not_after: &str) -> Vec<u8> {
    let time = |text: &str| tlv::object(tag, text.as_bytes());
    tlv::object(0x30, &[time(not_before), time(not_after)].concat())
}

/// The BIT STRING holds `unused` and the point as it is given.
pub fn key_info(unused: u8, point: &[u8]) -> Vec<u8> {
    let bits = tlv::object(3, &[&[unused][..], point].concat());
    tlv::object(0x30, &[from_hex(P256), bits].concat())
}

/// An extension under id-ce.
pub fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xFF] } else { &[] };
    tlv::object(0x30, &[&[6, 3, 0x55, 0x1D, arc][..], flag, &tlv::object(4, value)].concat())
}

pub fn key_usage(critical: bool, value: &[u8]) -> Vec<u8> {
    extension(15, critical, value)
}

pub fn authority(id: &[u8]) -> Vec<u8> {
    extension(35, false, &tlv::object(0x30, &tlv::object(0x80, id)))
}

/// The object identifier of a class, `1.3.6.1.4.1.32473.82.CLASS`.
pub fn class_oid(class: u8) -> Vec<u8> {
    [from_hex("060a2b0601040181fd5952"), vec![class]].concat()
}

pub fn extended_key_usage(critical: bool, oids: &[Vec<u8>]) -> Vec<u8> {
    extension(37, critical, &tlv::object(0x30, &oids.concat()))
}

impl Draft {
    pub fn new(class: u8, key: &Point, ca: &KeyPair) -> Self {
        let usage = if class == IDENTITY { DIGITAL_SIGNATURE } else { KEY_AGREEMENT };
        Self {
            fields: [
                from_hex("a003020102"),
                tlv::object(2, &[0x11; 8]),
                from_hex(ECDSA_SHA256),
                name("Rollcall CA"),
                validity(0x17, &format!("{NOW}Z"), &format!("{LATER}Z")),
                name("somebody"),
                key_info(0, key.as_bytes()),
            ],
            extensions: vec![
                key_usage(true, &usage),
                authority(&ca.public().key_identifier()),
                extended_key_usage(false, &[class_oid(class)]),
            ],
            tail: Vec::new(),
            outer: from_hex(ECDSA_SHA256),
        }
    }

    pub fn dates(mut self, not_before: &str, not_after: &str) -> Self {
        self.fields[4] = validity(0x17, &format!("{not_before}Z"), &format!("{not_after}Z"));
        self
    }

    pub fn tbs(&self) -> Vec<u8> {
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            tlv::object(0xA3, &tlv::object(0x30, &self.extensions.concat()))
        };
        tlv::object(0x30, &[self.fields.concat(), extensions, self.tail.clone()].concat())
    }

    pub fn sign(&self, ca: &KeyPair) -> Vec<u8> {
        let tbs = self.tbs();
        let signature = [&[0][..], &ca.sign(&tbs).unwrap()].concat();
        self.seal(tbs, &tlv::object(3, &signature))
    }

    /// A certificate with this BIT STRING for a signature.
    pub fn seal(&self, tbs: Vec<u8>, signature: &[u8]) -> Vec<u8> {
        tlv::object(0x30, &[tbs, self.outer.clone(), signature.to_vec()].concat())
    }
}
