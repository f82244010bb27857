//! Writes one object: as compact JSON on one line, or as a csv record.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    cli::sanitize,
    failure::{ExitClass, Failure},
};

/// A csv record with its line end; no cell can be taken for a formula.
///
/// # Errors
/// An internal error, when the writer rejects the record.
pub fn csv<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(cells.map(|cell| sanitize::cell(cell).into_owned()));
    written.map_err(|e| bug(&e))?;
    writer.into_inner().map_err(|e| bug(&e))
}

/// Precedes everything for Excel: the byte order mark of UTF-16, little-endian.
pub const EXCEL_MARK: [u8; 2] = [0xFF, 0xFE];
/// The longest text in an Excel formula, in UTF-16 code units.
const EXCEL_TEXT_MAX: usize = 255;

/// A record that Excel opens without asking, whatever its language: UTF-16, tabs, and any text that it would change
/// wrapped in a formula (`="0042"`).
///
/// # Errors
/// As [`csv()`].
pub fn csv_for_excel<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Failure> {
    let mut writer =
        csv::WriterBuilder::new().delimiter(b'\t').terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.map(excel_cell)).map_err(|e| bug(&e))?;
    let text = String::from_utf8(writer.into_inner().map_err(|e| bug(&e))?).map_err(|e| bug(&e))?;
    Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

/// The words for true and false in Excel's languages: it would translate them for the user.
const TRUTH: [&str; 16] = [
    "true",
    "false",
    "wahr",
    "falsch",
    "vrai",
    "faux",
    "vero",
    "falso",
    "verdadero",
    "verdadeiro",
    "waar",
    "onwaar",
    "sant",
    "falskt",
    "sand",
    "falsk",
];
/// The longest number that Excel shows with all digits in any column.
const EXCEL_DIGITS: usize = 11;

/// A text with digits that is not a plain number may be a number, a date or a time in some language.
fn excel_cell(cell: &str) -> String {
    let text = sanitize::cell(cell);
    let is_number = text.len() <= EXCEL_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    let is_changed =
        || text.contains(char::is_numeric) || text.starts_with('#') || TRUTH.contains(&&*text.to_lowercase());
    // A formula must be one line.
    if is_number || !is_changed() || text.contains(['\n', '\r']) {
        return text.into_owned();
    }
    let (mut formula, mut length) = ("=\"".to_owned(), 0);
    for character in text.chars() {
        length += character.len_utf16();
        if length > EXCEL_TEXT_MAX {
            formula.push_str("\"&\"");
            length = character.len_utf16();
        }
        formula.push(character);
        if character == '"' {
            formula.push('"');
        }
    }
    formula + "\""
}

/// One object on one line. Characters that would control a terminal are escaped, beyond what JSON requires.
///
/// # Errors
/// An internal error, when the object cannot be written as JSON.
pub fn json<T: Serialize>(object: &T) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Sanitized);
    object.serialize(&mut serializer).map_err(|e| bug(&e))?;
    String::from_utf8(text).map_err(|e| bug(&e))
}

/// Compact JSON in which C1 control characters and direction marks are escaped as `\u009b`.
struct Sanitized;

impl serde_json::ser::Formatter for Sanitized {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(sanitize::steers) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().unwrap_or_default();
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

fn bug(error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitClass::Bug, "output.bug", format!("a result cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::user_csv::said;

    #[test]
    fn excel_gets_as_a_text_what_it_would_change() {
        for (text, cell) in [
            ("", ""),
            ("0", "0"),
            ("7", "7"),
            ("12345678901", "12345678901"),
            ("123456789012", "=\"123456789012\""),
            ("Wahr", "=\"Wahr\""),
            ("#N/A", "=\"#N/A\""),
            ("0042", "=\"0042\""),
            ("00", "=\"00\""),
            ("1e5", "=\"1e5\""),
            ("1-2", "=\"1-2\""),
            ("MAR1", "=\"MAR1\""),
            ("٤٢", "=\"٤٢\""),
            ("5\" pipe", "=\"5\"\" pipe\""),
            ("Ada", "Ada"),
            ("+49 170", "=\"'+49 170\""),
            ("=\"0042\"", "=\"'=\"\"0042\"\"\""),
            ("a\n1", "a\n1"),
        ] {
            assert_eq!(excel_cell(text), cell);
            assert_eq!(said(cell), text, "{cell}");
        }
        let long = "1\u{1F6AA}".repeat(300);
        let cell = excel_cell(&long);
        assert_eq!(said(&cell), long);
        assert!(cell.split("\"&\"").all(|piece| piece.encode_utf16().count() <= EXCEL_TEXT_MAX + 2), "{cell}");
    }

    #[test]
    fn a_record_for_excel_is_utf_16_with_tabs() {
        let record = csv_for_excel(["0042", "Zoë", "a\tb"].into_iter()).unwrap();
        let units: Vec<_> = record.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(String::from_utf16(&units).unwrap(), "\"=\"\"0042\"\"\"\tZoë\t\"a\tb\"\r\n");
    }
}
