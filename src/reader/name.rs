//! Converts reader names between bytes and text: the service gives bytes, and cuts long names anywhere. Bytes that are
//! not UTF-8 are written as `\xHH`, so that every name can be shown, typed and put into a file.

use std::{ffi::OsStr, fmt::Write};

/// A reader's name as displayed: each byte that is not UTF-8 as `\xHH`, and so is a backslash before an `x`. Names that
/// differ in any byte are displayed differently.
pub fn shown(name: &[u8]) -> String {
    escaped(name, true)
}

/// A typed reader name in the form in which names are displayed. Valid UTF-8 stays as it is: it may have been copied.
pub fn typed(text: &OsStr) -> String {
    escaped(text.as_encoded_bytes(), false)
}

/// The bytes of the name that is displayed like this.
pub fn bytes(shown: &str) -> Vec<u8> {
    let (mut name, mut rest) = (Vec::new(), shown);
    while let Some((before, after)) = rest.split_once("\\x") {
        name.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if let Some(byte) = byte {
            name.push(byte);
            &after[2..]
        } else {
            name.extend_from_slice(b"\\x");
            after
        };
    }
    name.extend_from_slice(rest.as_bytes());
    name
}

fn escaped(name: &[u8], with_backslashes: bool) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        if with_backslashes {
            text.push_str(&chunk.valid().replace("\\x", "\\x5Cx"));
        } else {
            text.push_str(chunk.valid());
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_shown_so_that_it_can_be_typed() {
        for (name, text) in [
            (&b"Door"[..], "Door"),
            (b"S\xC3\xBCd", "S\u{fc}d"),
            (b"Le\xC3", "Le\\xC3"),
            (b"Le\xE9or", "Le\\xE9or"),
            (b"Le\\xE9or", "Le\\x5CxE9or"),
            (b"back\\slash", "back\\slash"),
        ] {
            assert_eq!((shown(name).as_str(), bytes(text).as_slice()), (text, name));
        }
        assert_eq!(bytes("\\xG1 \\x+1 \\x1"), b"\\xG1 \\x+1 \\x1", "no name is shown like that, and it stays as it is");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_typed_looks_like_what_is_shown() {
        use std::os::unix::ffi::OsStrExt;

        assert_eq!(typed(OsStr::from_bytes(b"Le\xE9or")), "Le\\xE9or");
        assert_eq!(typed(OsStr::new("Le\\xE9or S\u{fc}d")), "Le\\xE9or S\u{fc}d", "it was copied");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(name in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'E')], 0..12)) {
            prop_assert_eq!(bytes(&shown(&name)), name);
        }
    }
}
