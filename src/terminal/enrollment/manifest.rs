//! The manifest of SET STATUS ISSUED: a hash over what the terminal believes is on the card; the card compares it.
//!
//! Specification: docs/protocol.md, "The manifest".

use crate::crypto::{ec::Point, sha256};

/// Collects the entries of a manifest.
#[derive(Debug, Default)]
pub struct Manifest(Vec<Vec<u8>>);

impl Manifest {
    /// A symmetric key, by its 3-byte check value.
    pub fn check_value(&mut self, kid: u8, kvn: u8, value: [u8; 3]) {
        self.0.push([&[kid, kvn], &value[..]].concat());
    }

    /// A P-256 key, by its point.
    pub fn point(&mut self, kid: u8, kvn: u8, point: &Point) {
        self.0.push([&[kid, kvn], &point.as_bytes()[..]].concat());
    }

    /// An object; `kvn` is zero except for certificates of ECKA keys.
    pub fn object(&mut self, tag: u16, kvn: u8, value: &[u8]) {
        self.0.push([&tag.to_be_bytes()[..], &[kvn], &sha256(&[value])].concat());
    }

    /// SHA-256 over the entries, sorted as bytes.
    pub fn digest(mut self) -> [u8; 32] {
        self.0.sort();
        sha256(&self.0.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_collection_does_not_matter() {
        let mut one = Manifest::default();
        one.object(0x0101, 0, b"record");
        one.check_value(1, 1, [1, 2, 3]);
        let mut other = Manifest::default();
        other.check_value(1, 1, [1, 2, 3]);
        other.object(0x0101, 0, b"record");
        assert_eq!(one.digest(), other.digest());
        let mut changed = Manifest::default();
        changed.check_value(1, 1, [1, 2, 3]);
        changed.object(0x0101, 0, b"recorD");
        assert_ne!(changed.digest(), Manifest::default().digest());
    }
}
