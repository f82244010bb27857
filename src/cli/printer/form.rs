//! One object as it is written: compact JSON on one line, or a record of csv.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    cli::sanitize,
    failure::{ExitClass, Failure},
};

/// One record of csv with its line end; nothing in it is taken for a formula.
///
/// # Errors
/// A bug of ours, when the writer does not take the record.
pub fn csv<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(cells.map(|cell| sanitize::cell(cell).into_owned()));
    written.map_err(|e| bug(&e))?;
    writer.into_inner().map_err(|e| bug(&e))
}

/// One object on one line. What would steer a terminal is escaped, also beyond what JSON asks for.
///
/// # Errors
/// A bug of ours, when JSON cannot say the object.
pub fn json<T: Serialize>(object: &T) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Sanitized);
    object.serialize(&mut serializer).map_err(|e| bug(&e))?;
    String::from_utf8(text).map_err(|e| bug(&e))
}

/// Compact JSON in which C1 control characters and direction marks are written as `\u009b`.
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
