//! Pictures that come onto cards.

use std::{fs::OpenOptions, io::Read, os::unix::fs::OpenOptionsExt, path::Path};

use rustix::fs::OFlags;

use crate::{
    failure::{ExitClass, Failure},
    token::constants::PORTRAIT_MAX,
};

/// The picture in a file that was named, at most [`PORTRAIT_MAX`] bytes.
///
/// # Errors
/// `enroll.portrait` when it cannot be read, is no file, is empty, or is longer than [`PORTRAIT_MAX`] bytes.
pub fn one(file: &Path) -> Result<Vec<u8>, Failure> {
    read(file).map_err(|what| {
        Failure::new(ExitClass::Data, "enroll.portrait", format!("{}: {what}", file.display()))
            .hint(format!("name a picture of at most {PORTRAIT_MAX} bytes"))
    })
}

/// The same, and in words why there is none.
///
/// # Errors
/// In words: it cannot be read, is no file, is empty, or is longer than [`PORTRAIT_MAX`] bytes.
pub fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // Whoever opens a FIFO would wait for somebody who writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(|error| error.to_string())?;
    if !opened.metadata().is_ok_and(|about| about.is_file()) {
        return Err("it is no file".to_owned());
    }
    opened.take(PORTRAIT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() {
        0 => Err("it is empty".to_owned()),
        length if length > PORTRAIT_MAX => Err(format!("it is longer than {PORTRAIT_MAX} bytes")),
        _ => Ok(bytes),
    }
}
