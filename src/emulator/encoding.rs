//! Serializes bytes and keys as hexadecimal text in the saved state.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::crypto::{
    Key128,
    ec::{KeyPair, Point},
};

/// Bytes that are not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex<T>(pub(super) T);

/// What [`Hex`] can carry.
pub(super) trait HexValue: Sized {
    fn bytes(&self) -> &[u8];
    fn of(bytes: &[u8]) -> Option<Self>;
}

impl HexValue for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl<const N: usize> HexValue for [u8; N] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

impl HexValue for Point {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes).ok()
    }
}

impl<T: HexValue> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Digits(self.0.bytes()))
    }
}

impl<'de, T: HexValue> Deserialize<'de> for Hex<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, T::of).map(Self)
    }
}

/// An AES key: hexadecimal in the file, hidden in debug output.
#[derive(Debug, Clone)]
pub(super) struct SecretKey(pub(super) Key128);

impl Serialize for SecretKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Digits(self.0.expose()))
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, |bytes| bytes.try_into().ok().map(|key| Self(Key128::new(key))))
    }
}

/// A key pair: its private scalar is in the file, and hidden in debug output.
#[derive(Debug, Clone)]
pub(super) struct SecretPair(pub(super) KeyPair);

impl Serialize for SecretPair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scalar = self.0.scalar().map_err(|_| serde::ser::Error::custom("a private key cannot be read"))?;
        serializer.collect_str(&Digits(&*scalar))
    }
}

impl<'de> Deserialize<'de> for SecretPair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, |bytes| KeyPair::from_scalar(bytes.try_into().ok()?).ok().map(Self))
    }
}

/// Writes digits straight into the serializer's buffer, without another copy of the key.
struct Digits<'a>(&'a [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

/// The text is borrowed from the file's buffer, which is zeroized; the bytes are zeroized here.
fn from_text<'de, D, T>(deserializer: D, make: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let text = <&'de str>::deserialize(deserializer)?;
    let wrong = || de::Error::custom("not the hexadecimal value that belongs here");
    let bytes = Zeroizing::new(hex::decode(text).map_err(|_| wrong())?);
    make(&bytes).ok_or_else(wrong)
}
