//! Reads the files of the folder, with a size limit, private ones only with private permissions, and into types that do
//! not print secrets.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use zeroize::Zeroizing;

use super::{PkiError, lost};
use crate::{
    crypto::{Key128, ec::KeyPair, x509},
    files::without_mark,
};

/// The longest file that is read, in bytes: far more than any key or certificate.
const LIMIT: u64 = 16 * 1024;

/// A private key. Refuses a file to which group or others have any access.
///
/// # Errors
/// As [`private`]; [`PkiError::Key`] for anything but a P-256 private key in PEM.
pub fn key_pair(path: &Path) -> Result<KeyPair, PkiError> {
    KeyPair::from_pem(&private(path)?).map_err(|error| PkiError::Key { path: path.to_owned(), error })
}

/// A secret AES key, 32 hex digits. Refuses a file to which group or others have any access.
///
/// # Errors
/// As [`private`]; [`PkiError::NotHex`] for anything but 32 hex digits.
pub fn key_128(path: &Path) -> Result<Key128, PkiError> {
    let text = private(path)?;
    let mut bytes = Zeroizing::new([0; 16]);
    hex::decode_to_slice(without_mark(&text).trim_ascii(), &mut *bytes)
        .map_err(|_| PkiError::NotHex(path.to_owned()))?;
    Ok(Key128::new(*bytes))
}

/// A certificate, as DER.
///
/// # Errors
/// [`PkiError::NotInitialised`], [`PkiError::NotImported`] or [`PkiError::FileLost`] where there is none;
/// [`PkiError::NotACertificate`]; [`PkiError::Io`].
pub fn certificate(path: &Path) -> Result<Vec<u8>, PkiError> {
    let pem = read(path, open(path)?)?;
    x509::from_pem(&pem).ok_or_else(|| PkiError::NotACertificate(path.to_owned()))
}

/// Whether the file exists.
///
/// # Errors
/// [`PkiError::Io`] when the system cannot tell.
pub fn exists(path: &Path) -> Result<bool, PkiError> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PkiError::Io { path: path.to_owned(), error }),
    }
}

/// A private file. Refuses one to which group or others have any access.
///
/// # Errors
/// [`PkiError::NotInitialised`], [`PkiError::NotImported`] or [`PkiError::FileLost`] where there is none;
/// [`PkiError::KeyPermissions`]; [`PkiError::Io`], also for more than 16 KiB.
pub fn private(path: &Path) -> Result<Zeroizing<Vec<u8>>, PkiError> {
    let file = open(path)?;
    // Permissions of the open file, not of the path, so that it cannot be exchanged in between.
    let mode = file.metadata().map_err(|error| PkiError::Io { path: path.to_owned(), error })?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(PkiError::KeyPermissions { path: path.to_owned(), mode: mode & 0o7777 });
    }
    read(path, file)
}

fn open(path: &Path) -> Result<File, PkiError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => lost::missing(path),
        _ => PkiError::Io { path: path.to_owned(), error },
    })
}

fn read(path: &Path, file: File) -> Result<Zeroizing<Vec<u8>>, PkiError> {
    // Reserved at once, so that no secret is left behind in a buffer that was outgrown.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(LIMIT).unwrap_or_default() + 1));
    let length = file.take(LIMIT + 1).read_to_end(&mut content);
    match length {
        Ok(length) if length as u64 <= LIMIT => Ok(content),
        Ok(_) => Err(PkiError::Io { path: path.to_owned(), error: io::ErrorKind::FileTooLarge.into() }),
        Err(error) => Err(PkiError::Io { path: path.to_owned(), error }),
    }
}
