//! BER-TLV (ISO/IEC 7816-4, 5.2.2): built with `iso7816-tlv`, but parsed strictly here.
//!
//! Received data is parsed by our own reader (docs/adr/0006-strict-tlv-reader.md), which accepts shortest forms only
//! and never recurses: a caller opens the one constructed object that it expects.

use iso7816_tlv::ber::{Tag, Tlv, Value};

/// Why bytes are not the TLV that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// The bytes end inside a tag, a length or a value.
    #[error("the data object is truncated")]
    Truncated,
    /// A tag of more than two bytes, or one that is not minimal.
    #[error("the tag is not in its shortest form")]
    Tag,
    /// A length of more than two bytes, an indefinite one, or one that is not minimal.
    #[error("the length is not in its shortest form")]
    Length,
    /// A different tag from the one required here.
    #[error("expected tag {expected:X}, found {found:X}")]
    Unexpected {
        /// The required tag.
        expected: u16,
        /// The tag found.
        found: u16,
    },
    /// The value does not have the required length.
    #[error("the value of tag {0:X} has the wrong length")]
    ValueLength(u16),
    /// Bytes after the last object.
    #[error("there are bytes after the data object")]
    Trailing,
}

/// One data object: its tag (one or two bytes as a number) and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<'a> {
    /// The tag, `0x84` or `0x5F49`.
    pub tag: u16,
    /// The value.
    pub value: &'a [u8],
    /// The whole object, tag and length included.
    pub whole: &'a [u8],
}

/// Reads one object after the other from the front of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct TlvReader<'a>(&'a [u8]);

/// How many objects of an answer are shown, and how deep.
const TREE_MAX: (usize, usize) = (1_000, 8);

/// All objects of these bytes, each with its depth, the content of a constructed one after it; `None` when not every
/// byte belongs to an object. A constructed object whose value is not TLV is treated as primitive.
pub fn tree(bytes: &[u8]) -> Option<Vec<(usize, Object<'_>)>> {
    let mut found = Vec::new();
    let mut left = vec![TlvReader::new(bytes)];
    while let Some(reader) = left.last_mut() {
        if reader.is_empty() {
            left.pop();
            continue;
        }
        let object = reader.any().ok()?;
        let depth = left.len() - 1;
        found.push((depth, object));
        if found.len() > TREE_MAX.0 {
            return None;
        }
        let inside = TlvReader::new(object.value);
        if object.is_constructed() && depth < TREE_MAX.1 && inside.is_whole() {
            left.push(inside);
        }
    }
    Some(found)
}

impl Object<'_> {
    /// Whether its value consists of objects (ISO/IEC 7816-4, 5.2.2.1).
    fn is_constructed(&self) -> bool {
        let first = self.tag.to_be_bytes().into_iter().find(|byte| *byte != 0).unwrap_or_default();
        first & 0x20 != 0
    }
}

impl<'a> TlvReader<'a> {
    /// Whether all bytes belong to objects.
    fn is_whole(mut self) -> bool {
        while !self.is_empty() {
            if self.any().is_err() {
                return false;
            }
        }
        true
    }

    /// Reads from these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next object, whatever its tag.
    ///
    /// # Errors
    /// [`TlvError::Truncated`] when the bytes end too soon; otherwise what is wrong with tag or length.
    pub fn any(&mut self) -> Result<Object<'a>, TlvError> {
        let start = self.0;
        let tag = self.tag()?;
        let length = self.length()?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(TlvError::Truncated)?;
        self.0 = rest;
        Ok(Object { tag, value, whole: &start[..start.len() - rest.len()] })
    }

    /// The next object, which must have this tag, one or two bytes as a number.
    ///
    /// # Errors
    /// [`TlvError::Unexpected`] for another tag; as [`Self::any`].
    pub fn object(&mut self, expected: u16) -> Result<Object<'a>, TlvError> {
        let object = self.any()?;
        if object.tag == expected { Ok(object) } else { Err(TlvError::Unexpected { expected, found: object.tag }) }
    }

    /// The bytes of the value of the next object, which must have this tag.
    ///
    /// # Errors
    /// As [`Self::object`].
    pub fn value(&mut self, expected: u16) -> Result<&'a [u8], TlvError> {
        Ok(self.object(expected)?.value)
    }

    /// The value of the next object, which must have this tag and exactly `N` bytes.
    ///
    /// # Errors
    /// [`TlvError::ValueLength`] for another length; as [`Self::object`].
    pub fn array<const N: usize>(&mut self, expected: u16) -> Result<[u8; N], TlvError> {
        self.value(expected)?.try_into().map_err(|_| TlvError::ValueLength(expected))
    }

    /// The bytes of the value of the next object if it has this tag; otherwise nothing is consumed.
    ///
    /// # Errors
    /// As [`Self::any`], except at the end.
    pub fn optional(&mut self, expected: u16) -> Result<Option<&'a [u8]>, TlvError> {
        let mut ahead = *self;
        if ahead.is_empty() {
            return Ok(None);
        }
        let object = ahead.any()?;
        if object.tag != expected {
            return Ok(None);
        }
        *self = ahead;
        Ok(Some(object.value))
    }

    /// Refuses remaining bytes.
    ///
    /// # Errors
    /// [`TlvError::Trailing`].
    pub const fn end(&self) -> Result<(), TlvError> {
        if self.0.is_empty() { Ok(()) } else { Err(TlvError::Trailing) }
    }

    fn byte(&mut self) -> Result<u8, TlvError> {
        let (first, rest) = self.0.split_first().ok_or(TlvError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn tag(&mut self) -> Result<u16, TlvError> {
        let first = self.byte()?;
        if first & 0x1F != 0x1F {
            return Ok(first.into());
        }
        let second = self.byte()?;
        if second & 0x80 != 0 || second < 0x1F {
            return Err(TlvError::Tag);
        }
        Ok(u16::from_be_bytes([first, second]))
    }

    fn length(&mut self) -> Result<usize, TlvError> {
        match self.byte()? {
            n @ 0..=0x7F => Ok(n.into()),
            0x81 => match self.byte()? {
                n @ 0x80.. => Ok(n.into()),
                _ => Err(TlvError::Length),
            },
            0x82 => match u16::from_be_bytes([self.byte()?, self.byte()?]) {
                n @ 0x100.. => Ok(n.into()),
                _ => Err(TlvError::Length),
            },
            _ => Err(TlvError::Length),
        }
    }
}

/// Parses bytes that are exactly one object with this tag, and returns its value.
///
/// # Errors
/// [`TlvError::Trailing`] for bytes after it; as [`TlvReader::object`].
pub fn only(bytes: &[u8], expected: u16) -> Result<&[u8], TlvError> {
    let mut reader = TlvReader::new(bytes);
    let value = reader.value(expected)?;
    reader.end()?;
    Ok(value)
}

/// The encoding of one object. `tag` is one of our constants, and `value` shorter than 64 KiB.
pub fn object(tag: u16, value: &[u8]) -> Vec<u8> {
    if value.len() != 127
        && let Some(bytes) = primitive(tag, value)
    {
        return bytes;
    }
    let mut out = header(tag, value.len());
    out.extend_from_slice(value);
    out
}

/// The crate encodes a value as given only under a primitive tag: a constructed one it would parse and re-encode.
fn primitive(tag: u16, value: &[u8]) -> Option<Vec<u8>> {
    let tag = Tag::try_from(tag).ok()?;
    Some(Tlv::new(tag, Value::Primitive(value.to_vec())).ok()?.to_vec())
}

/// For what the crate cannot do: constructed objects, and a length of exactly 127, which it encodes as `81 7F`.
#[allow(clippy::cast_possible_truncation)] // each arm is bounded by its pattern
fn header(tag: u16, length: usize) -> Vec<u8> {
    let mut out = match tag.to_be_bytes() {
        [0, low] => vec![low],
        both => both.to_vec(),
    };
    match length {
        0..=0x7F => out.push(length as u8),
        0x80..=0xFF => out.extend_from_slice(&[0x81, length as u8]),
        _ => out.extend_from_slice(&[0x82, (length >> 8) as u8, length as u8]),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(
            tag in prop::sample::select(vec![0x53_u16, 0x80, 0x5F49, 0x6F, 0xA6, 0xBF21, 0xFF33, 0x9E]),
            value in prop::collection::vec(any::<u8>(), 0..700),
        ) {
            let bytes = object(tag, &value);
            prop_assert_eq!(only(&bytes, tag).unwrap(), &value[..]);
            prop_assert!(only(&bytes[..bytes.len() - 1], tag).is_err());
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = TlvReader::new(&bytes);
            while let Ok(object) = reader.any() {
                prop_assert!(!object.whole.is_empty());
            }
        }
    }

    #[test]
    fn lengths_around_the_known_trap() {
        for length in [0, 1, 126, 127, 128, 255, 256, 480] {
            let child = object(0x53, &vec![7; length]);
            let parent = object(0xA6, &child);
            assert_eq!(only(only(&parent, 0xA6).unwrap(), 0x53).unwrap().len(), length);
        }
    }

    #[test]
    fn loose_encodings_are_refused() {
        for (bytes, error) in [
            ("538100", TlvError::Length),
            ("5381", TlvError::Truncated),
            ("53820080", TlvError::Length),
            ("5380", TlvError::Length),
            ("5F", TlvError::Truncated),
            ("5F8101", TlvError::Tag),
            ("5F1E00", TlvError::Tag),
            ("5302FF", TlvError::Truncated),
            ("53015300", TlvError::Trailing),
        ] {
            assert_eq!(only(&hex::decode(bytes).unwrap(), 0x53).unwrap_err(), error, "{bytes}");
        }
    }

    #[test]
    fn a_reader_takes_what_is_asked_for() {
        let bytes = [object(0x53, &[1, 2]), object(0x5F49, &[3])].concat();
        let mut reader = TlvReader::new(&bytes);
        assert!(!reader.is_empty());
        assert_eq!(reader.optional(0x54), Ok(None));
        assert_eq!(reader.optional(0x53), Ok(Some(&[1, 2][..])));
        assert_eq!(reader.array::<2>(0x5F49), Err(TlvError::ValueLength(0x5F49)));
        assert!(reader.is_empty());
        assert_eq!(reader.optional(0x53), Ok(None));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.any(), Err(TlvError::Truncated));
        let mut reader = TlvReader::new(&bytes);
        assert_eq!(reader.array::<2>(0x53), Ok([1, 2]));
        assert_eq!(reader.end(), Err(TlvError::Trailing));
        assert_eq!(reader.value(0x53), Err(TlvError::Unexpected { expected: 0x53, found: 0x5F49 }));
        assert_eq!(TlvReader::new(&[0x53, 2, 1]).optional(0x53), Err(TlvError::Truncated));
    }

    /// The tree of these bytes as depths and tags.
    fn shape(bytes: &[u8]) -> Option<Vec<(usize, u16)>> {
        Some(tree(bytes)?.into_iter().map(|(depth, object)| (depth, object.tag)).collect())
    }

    #[test]
    fn a_tree_has_what_is_inside_behind_its_object() {
        let leaf = object(0x84, &[1]);
        for tag in [0x6F, 0x7F49, 0xBF21] {
            let bytes = [object(tag, &[&leaf[..], &object(0xA5, &leaf)].concat()), leaf.clone()].concat();
            assert_eq!(shape(&bytes), Some(vec![(0, tag), (1, 0x84), (1, 0xA5), (2, 0x84), (0, 0x84)]), "{tag:X}");
        }
        assert_eq!(shape(&[]), Some(Vec::new()));
        assert_eq!(shape(&object(0xA5, &[])), Some(vec![(0, 0xA5)]));
        // Primitive tags stay closed, and so do constructed ones without objects.
        for tag in [0x53, 0x5F49] {
            assert_eq!(shape(&object(tag, &leaf)), Some(vec![(0, tag)]), "{tag:X}");
        }
        for value in [&[0x84, 2, 1][..], &[&leaf[..], &[0x84]].concat()] {
            assert_eq!(shape(&object(0xA5, value)), Some(vec![(0, 0xA5)]), "{value:02X?}");
        }
        assert_eq!(shape(&[&leaf[..], &[0]].concat()), None);
    }

    #[test]
    fn a_tree_is_bounded() {
        let nested = (0..10).fold(object(0x84, &[1]), |inside, _| object(0xA5, &inside));
        assert_eq!(shape(&nested), Some((0..=8).map(|depth| (depth, 0xA5)).collect()));
        let many = object(0x84, &[1]).repeat(1_001);
        assert_eq!(shape(&many[3..]).map(|objects| objects.len()), Some(1_000));
        assert_eq!(shape(&many), None);
    }

    #[test]
    fn tags_and_lengths_have_their_shortest_form() {
        for (bytes, read) in [
            ("5F1F00", Ok((0x5F1F, 0))),
            ("5F7F00", Ok((0x5F7F, 0))),
            ("5F1E00", Err(TlvError::Tag)),
            ("5F8001", Err(TlvError::Tag)),
            ("5F811F00", Err(TlvError::Tag)),
            ("5F", Err(TlvError::Truncated)),
            ("53", Err(TlvError::Truncated)),
            ("537F", Err(TlvError::Truncated)),
            ("5380", Err(TlvError::Length)),
            ("53817F", Err(TlvError::Length)),
            ("538180", Err(TlvError::Truncated)),
            ("538200FF", Err(TlvError::Length)),
            ("53820100", Err(TlvError::Truncated)),
            ("5383000100", Err(TlvError::Length)),
        ] {
            let bytes = hex::decode(bytes).unwrap();
            let found = TlvReader::new(&bytes).any().map(|object| (object.tag, object.value.len()));
            assert_eq!(found, read, "{bytes:02X?}");
        }
        for length in [0, 1, 126, 127, 128, 129, 255, 256, 257, 512] {
            for tag in [0x53, 0x30, 0x5F49, 0xBF21] {
                let value = vec![0x5A; length];
                let bytes = object(tag, &value);
                assert_eq!(only(&bytes, tag), Ok(&value[..]), "{tag:X} {length}");
                let header = bytes.len() - length;
                let expected = usize::from(tag > 0xFF) + 2 + usize::from(length > 127) + usize::from(length > 255);
                assert_eq!(header, expected, "{tag:X} {length}");
            }
        }
    }
}
