//! Reads and checks the portraits that are written to cards.

use std::{fs::OpenOptions, io::Read, os::unix::fs::OpenOptionsExt, path::Path};

use rustix::fs::OFlags;

use crate::{
    failure::{ExitClass, Failure},
    token::constants::PORTRAIT_MAX,
};

/// The picture format of some bytes, from their first bytes; `None` for an unknown format.
pub fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some("JPEG"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("PNG"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("WebP"),
        _ => None,
    }
}

/// A description of a picture: `JPEG, 7000 bytes`.
pub fn in_words(bytes: &[u8]) -> String {
    format!("{}, {} bytes", kind(bytes).unwrap_or("not a known kind of picture"), bytes.len())
}

/// Reads a picture named by the operator, at most [`PORTRAIT_MAX`] bytes.
///
/// # Errors
/// `enroll.portrait` when it cannot be read, is not a file, is empty, not a picture, or longer than [`PORTRAIT_MAX`]
/// bytes.
pub fn one(file: &Path) -> Result<Vec<u8>, Failure> {
    read(file).map_err(|what| {
        Failure::new(ExitClass::Data, "enroll.portrait", format!("{}: {what}", file.display()))
            .hint(format!("name a picture of at most {PORTRAIT_MAX} bytes: JPEG, PNG or WebP"))
    })
}

/// The same, with the reason for a failure in words.
///
/// # Errors
/// In words: it cannot be read, is not a file, is empty, not a picture, or longer than [`PORTRAIT_MAX`] bytes.
pub fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // Opening a FIFO would otherwise block until a writer appears.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(|error| error.to_string())?;
    let length = match opened.metadata() {
        Ok(about) if about.is_file() => about.len(),
        _ => return Err("not a file".to_owned()),
    };
    opened.take(PORTRAIT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match (bytes.len(), kind(&bytes)) {
        (0, _) => Err("it is empty".to_owned()),
        (_, None) => Err(format!("its {length} bytes are not a JPEG, PNG or WebP picture")),
        (taken, Some(kind)) if taken > PORTRAIT_MAX => {
            Err(format!("it is a {kind} of {length} bytes, and a card takes at most {PORTRAIT_MAX}"))
        }
        _ => Ok(bytes),
    }
}
