//! The cryptographic primitives of the token protocol, all from OpenSSL: no cryptography of our own.
//!
//! Deliberately absent: any protocol state, any I/O, any knowledge of APDUs.

pub mod aes;
pub mod cmac;
pub mod ec;
pub mod jws;
pub mod kdf;
pub mod random;
pub mod x509;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret AES-128 key: zeroized on drop, compared in constant time, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key128([u8; 16]);

impl Key128 {
    /// Takes the 16 key bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 key bytes, only for the primitives and for wrapping.
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl PartialEq for Key128 {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Key128 {}

impl std::fmt::Debug for Key128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key128(…)")
    }
}

/// The underlying library failed where it normally cannot (out of memory, broken installation).
#[derive(Debug, thiserror::Error)]
#[error("the cryptographic library failed: {0}")]
pub struct CryptoError(#[from] openssl::error::ErrorStack);

/// Compares bytes in time that depends only on their lengths.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && openssl::memcmp::eq(a, b)
}

/// SHA-256, 32 bytes, over the concatenation of the parts (FIPS 180-4).
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = openssl::sha::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}
