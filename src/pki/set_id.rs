//! The identifier of a set of private tokens.

use std::{fmt, str::FromStr};

use crate::crypto::sha256;

/// The identifier of a set: the first 8 bytes of SHA-256 of its ECKA certificate. Written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId([u8; 8]);

impl SetId {
    /// The identifier of the set with this certificate (DER).
    pub fn of(certificate: &[u8]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&sha256(&[certificate])[..8]);
        Self(id)
    }

    /// The 8 bytes that a card announces.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl From<[u8; 8]> for SetId {
    fn from(id: [u8; 8]) -> Self {
        Self(id)
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The text is not the identifier of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a set id, which has 16 hex digits; rollcall pki list shows those that are here")]
pub struct SetIdError;

impl FromStr for SetId {
    type Err = SetIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 8];
        hex::decode_to_slice(text, &mut id).map_err(|_| SetIdError)?;
        Ok(Self(id))
    }
}
