//! A strict DER reader (X.690, 10 and 11), only for what a certificate of the profile needs.
//!
//! It never recurses and never allocates: the caller opens the one object that it expects. A tag has one byte, a length
//! at most two after its first, and only the shortest form is accepted.

/// Why bytes are not the expected DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside a tag, a length or a value.
    #[error("truncated")]
    Truncated,
    /// A length that is not in its shortest form, indefinite, or above 65,535.
    #[error("a length is not in its shortest form")]
    Length,
    /// Another tag than the expected one.
    #[error("expected tag {expected:02X}, found {found:02X}")]
    Tag {
        /// The expected tag.
        expected: u8,
        /// The tag found instead.
        found: u8,
    },
    /// Other bytes than the ones fixed by the profile.
    #[error("not the value that the profile fixes")]
    Literal,
    /// Bytes after the last object.
    #[error("there are bytes left over")]
    Trailing,
}

// The universal tags that a certificate of the profile uses (X.680, 8.4).
pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0C;
pub const PRINTABLE_STRING: u8 = 0x13;
pub const UTC_TIME: u8 = 0x17;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
/// `[3]`, constructed: the extensions of a certificate.
pub const CONTEXT_3: u8 = 0xA3;

/// Reads one object after the other from the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct DerReader<'a>(&'a [u8]);

impl<'a> DerReader<'a> {
    /// Reads from these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// The tag of the next object.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next object, which must have this tag: its value, and the whole object.
    ///
    /// # Errors
    /// [`DerError::Tag`] for another tag; [`DerError::Length`] and [`DerError::Truncated`].
    pub fn object(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), DerError> {
        let start = self.0;
        let found = self.byte()?;
        if found != tag {
            return Err(DerError::Tag { expected: tag, found });
        }
        let length = self.length()?;
        let value = self.take(length)?;
        Ok((value, &start[..start.len() - self.0.len()]))
    }

    /// The value of the next object, which must have this tag.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn value(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        Ok(self.object(tag)?.0)
    }

    /// A reader for the content of the next object, which must have this tag.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn enter(&mut self, tag: u8) -> Result<Self, DerError> {
        self.value(tag).map(Self)
    }

    /// Skips exactly these bytes.
    ///
    /// # Errors
    /// [`DerError::Literal`] for any other bytes.
    pub fn literal(&mut self, expected: &[u8]) -> Result<(), DerError> {
        self.0 = self.0.strip_prefix(expected).ok_or(DerError::Literal)?;
        Ok(())
    }

    /// The next bytes, this many.
    ///
    /// # Errors
    /// [`DerError::Truncated`] when there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DerError> {
        let (value, rest) = self.0.split_at_checked(length).ok_or(DerError::Truncated)?;
        self.0 = rest;
        Ok(value)
    }

    /// Refuses any remaining bytes.
    ///
    /// # Errors
    /// [`DerError::Trailing`].
    pub const fn end(&self) -> Result<(), DerError> {
        if self.0.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }

    fn byte(&mut self) -> Result<u8, DerError> {
        Ok(self.take(1)?[0])
    }

    fn length(&mut self) -> Result<usize, DerError> {
        match self.byte()? {
            n @ 0..=0x7F => Ok(n.into()),
            0x81 => match self.byte()? {
                n @ 0x80.. => Ok(n.into()),
                _ => Err(DerError::Length),
            },
            0x82 => match u16::from_be_bytes([self.byte()?, self.byte()?]) {
                n @ 0x100.. => Ok(n.into()),
                _ => Err(DerError::Length),
            },
            _ => Err(DerError::Length),
        }
    }
}

/// Reads bytes that are exactly one object with this tag, and returns a reader for its content.
///
/// # Errors
/// [`DerError::Trailing`] for bytes after it; as [`DerReader::object`].
pub fn only(bytes: &[u8], tag: u8) -> Result<DerReader<'_>, DerError> {
    let mut reader = DerReader::new(bytes);
    let inner = reader.enter(tag)?;
    reader.end()?;
    Ok(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loose_encodings_are_refused() {
        for (bytes, error) in [
            ("", DerError::Truncated),
            ("30", DerError::Truncated),
            ("3001", DerError::Truncated),
            ("3081", DerError::Truncated),
            ("308100", DerError::Length),
            ("30817F", DerError::Length),
            ("308200FF", DerError::Length),
            ("3080", DerError::Length),
            ("3083000000", DerError::Length),
            ("30020000FF", DerError::Trailing),
            ("3100", DerError::Tag { expected: 0x30, found: 0x31 }),
        ] {
            assert_eq!(only(&hex::decode(bytes).unwrap(), SEQUENCE).unwrap_err(), error, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = DerReader::new(&bytes);
            while let Some(tag) = reader.peek() {
                match reader.object(tag) {
                    Ok((value, whole)) => prop_assert!(whole.ends_with(value) && whole.len() >= value.len() + 2),
                    Err(_) => break,
                }
            }
        }
    }
}
