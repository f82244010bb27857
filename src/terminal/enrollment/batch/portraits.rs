//! The portraits of a batch: picture files named in the CSV column `portrait`.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::Row;
use crate::{
    api::User,
    crypto::sha256,
    terminal::{
        enrollment::{
            failure::{BatchError, EnrollError},
            portrait::read,
        },
        user_csv::{RowProblem, UserRow},
    },
    token::record::Layout,
};

/// The name of the column.
const COLUMN: &str = "portrait";

/// The locations of the pictures. Each is read once before the first card, and again when its own card is enrolled.
#[derive(Debug, Default)]
pub struct Portraits {
    of: HashMap<String, (PathBuf, [u8; 32])>,
}

impl Portraits {
    /// Takes the path out of a row; it is relative to the folder of the CSV file.
    ///
    /// # Errors
    /// The column and the reason: the picture cannot be read or is unsuitable, or the user does not fit on a card.
    pub fn take(&mut self, UserRow { user, portrait }: &mut UserRow, folder: &Path) -> Result<(), RowProblem> {
        if let Some(path) = portrait.take() {
            let path = folder.join(path);
            let bytes = read(&path).map_err(|what| (Some(COLUMN), format!("{}: {what}", path.display())))?;
            self.of.insert(user.id.clone(), (path, sha256(&[&bytes])));
        }
        Layout::of(user).map(drop).map_err(|error| (None, error.to_string()))
    }

    /// The row of a user, with its picture; `whole` is the user completed from the server's record.
    pub fn row(&self, user: User, whole: User) -> Row {
        let portrait = self.of.get(&user.id).map(|(_, digest)| *digest);
        Row { user, whole, portrait }
    }

    /// The picture of a user, provided that it has not changed since before the first card.
    ///
    /// # Errors
    /// [`BatchError::Changed`], as an [`EnrollError::Batch`], when it can no longer be read or has changed.
    pub fn of(&self, user: &str) -> Result<Option<Vec<u8>>, EnrollError> {
        let Some((path, digest)) = self.of.get(user) else { return Ok(None) };
        let same = read(path).ok().filter(|bytes| sha256(&[bytes]) == *digest);
        same.map(Some).ok_or_else(|| BatchError::Changed { users: vec![user.to_owned()] }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::constants::PORTRAIT_MAX;

    /// Bytes that begin like a JPEG.
    fn jpeg(length: usize) -> Vec<u8> {
        b"\xFF\xD8\xFF\xD9".iter().copied().chain(std::iter::repeat(7)).take(length).collect()
    }

    #[test]
    fn a_picture_is_a_file_that_fits() {
        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("empty", 0), ("one", 4), ("most", PORTRAIT_MAX), ("long", PORTRAIT_MAX + 1)] {
            std::fs::write(folder.path().join(name), jpeg(length)).unwrap();
        }
        let fifo = std::process::Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap();
        assert!(fifo.success());
        let mut portraits = Portraits::default();
        let mut take = |name: &str| {
            let user = User { id: name.to_owned(), name: "Ada".to_owned(), ..User::default() };
            portraits.take(&mut UserRow { user, portrait: Some(name.to_owned()) }, folder.path())
        };
        assert_eq!((take("one"), take("most")), (Ok(()), Ok(())));
        std::fs::write(folder.path().join("text"), "x".repeat(7000)).unwrap();
        for bad in ["text", "empty", "long", "missing", ".", "fifo"] {
            assert_eq!(take(bad).unwrap_err().0, Some(COLUMN), "{bad}");
        }
        assert_eq!(portraits.of("most").unwrap().map(|bytes| bytes.len()), Some(PORTRAIT_MAX));
        assert_eq!(portraits.of("empty").unwrap(), None);
        std::fs::write(folder.path().join("one"), "another").unwrap();
        assert!(matches!(portraits.of("one"), Err(EnrollError::Batch(BatchError::Changed { .. }))));
    }
}
