//! Detects the encoding of a CSV file as saved by spreadsheets, and decodes it.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How a text file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// The default of Western European Windows programs, which is not marked in the file.
    Windows1252,
}

impl TextEncoding {
    /// The name shown to users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le | Self::Utf16Be => "UTF-16",
            Self::Windows1252 => "Windows-1252",
        }
    }
}

/// Decodes a text, without its byte order mark.
///
/// # Errors
/// The position of the first byte that fits no encoding, and what is wrong.
pub fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, TextEncoding), (usize, String)> {
    if is_workbook(bytes) {
        return Err((0, "it is a workbook, not text: save it as CSV (UTF-8) in the spreadsheet program".to_owned()));
    }
    if let Some(wide) = wide(bytes) {
        let codec = if wide == TextEncoding::Utf16Le { UTF_16LE } else { UTF_16BE };
        let (text, damaged) = codec.decode_with_bom_removal(bytes);
        return if damaged || bytes.len() % 2 == 1 {
            Err((0, "starts as UTF-16, but parts of it are not".to_owned()))
        } else {
            Ok((text, wide))
        };
    }
    let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((Cow::Borrowed(text), TextEncoding::Utf8)),
        Err(error) if is_mostly_utf8(bytes) => {
            Err((error.valid_up_to(), "it is not UTF-8, unlike the rest of the file".to_owned()))
        }
        Err(_) => Ok((WINDOWS_1252.decode_without_bom_handling(bytes).0, TextEncoding::Windows1252)),
    }
}

/// Whether it is a file of a spreadsheet program: a ZIP archive, or the older format.
pub fn is_workbook(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xD0\xCF\x11\xE0")
}

/// Recognises UTF-16 by its byte order mark, or because every other byte at the beginning is zero, as in a header.
pub fn wide(bytes: &[u8]) -> Option<TextEncoding> {
    match bytes {
        [0xFF, 0xFE, ..] | [1..=0xFF, 0, 1..=0xFF, 0, ..] => Some(TextEncoding::Utf16Le),
        [0xFE, 0xFF, ..] | [0, 1..=0xFF, 0, 1..=0xFF, ..] => Some(TextEncoding::Utf16Be),
        _ => None,
    }
}

/// Whether more multi-byte characters are valid than broken: a text in a single-byte encoding hardly ever has a valid
/// one.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    whole > broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spreadsheets_save_is_recognised() {
        let wide = |order: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
        let text = "id;name\r\n7;Eva Ö €\r\n";
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), TextEncoding::Utf8),
            (format!("\u{FEFF}{text}").into_bytes(), TextEncoding::Utf8),
            (wide(u16::to_le_bytes, text), TextEncoding::Utf16Le),
            (wide(u16::to_be_bytes, text), TextEncoding::Utf16Be),
            (wide(u16::to_le_bytes, &format!("\u{FEFF}{text}")), TextEncoding::Utf16Le),
            (wide(u16::to_be_bytes, &format!("\u{FEFF}{text}")), TextEncoding::Utf16Be),
            (b"id;name\r\n7;Eva \xD6 \x80\r\n".to_vec(), TextEncoding::Windows1252),
        ] {
            let (read, found) = decode(&bytes).unwrap();
            assert_eq!((read.as_ref(), found), (text, encoding));
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert!(decode(b"PK\x03\x04\x14\0").unwrap_err().1.contains("workbook"));
        let cut = decode("id,name\nö,ü\nx,\u{e4}".as_bytes()).map(|(text, _)| text.len());
        assert_eq!(cut, Ok(18));
        let (at, what) = decode(b"id,name\n\xC3\xB6,\xC3\xBC\nx,\xFF\n").unwrap_err();
        assert_eq!((at, what.contains("not UTF-8")), (16, true));
        assert!(decode(b"\xFF\xFEi\0d\0,").unwrap_err().1.contains("UTF-16"));
        assert!(decode(b"\xFF\xFE\x00\xD8,\0").unwrap_err().1.contains("UTF-16"));
    }
}
