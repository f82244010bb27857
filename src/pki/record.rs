//! The record of what a CA has issued: one line of JSON per certificate, on disk before the certificate is handed out.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt},
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CLOCK_LEAP, CLOCK_TOLERANCE, PkiError};
use crate::crypto::{ec::Point, sha256};

/// Whether the clock and the record are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockCheck {
    /// A clock that is behind the last issue or far ahead of it is refused, and so is a missing record.
    Enforced,
    /// The operator confirms that the clock is right, and that a missing record may be started anew (`--yes`).
    Skipped,
}

impl ClockCheck {
    /// Skipped if the operator says so.
    pub const fn skipped_if(says_so: bool) -> Self {
        if says_so { Self::Skipped } else { Self::Enforced }
    }
}

/// One certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// What the key may be used for: `ca`, or the word of a class or of a TLS use.
    pub class: String,
    /// The common name.
    pub subject: String,
    /// The serial number, hex.
    pub serial: String,
    /// SHA-256 of the key's 65-byte point, hex.
    pub key: String,
    /// The start of its validity.
    #[serde(with = "rfc3339")]
    pub not_before: Timestamp,
    /// The end of its validity.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
}

/// The name of a key in the record.
pub fn fingerprint(key: &Point) -> String {
    hex::encode(sha256(&[key.as_bytes()]))
}

/// The certificates in the order of their issue; empty when there is no record.
///
/// # Errors
/// [`PkiError::RecordDamaged`] names the first line that cannot be read; [`PkiError::Io`].
pub fn entries(path: &Path) -> Result<Vec<Issued>, PkiError> {
    let failed = |error| PkiError::Io { path: path.to_owned(), error };
    match std::fs::read(path) {
        Ok(content) => whole_lines(&content).0.enumerate().map(|(at, line)| parse(path, at + 1, line)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// The complete lines, and their total length. What follows the last newline was cut off by a crash, and its
/// certificate was never handed out.
fn whole_lines(content: &[u8]) -> (impl Iterator<Item = &[u8]>, usize) {
    let length = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (content[..length].split_inclusive(|byte| *byte == b'\n'), length)
}

fn parse(path: &Path, line: usize, text: &[u8]) -> Result<Issued, PkiError> {
    serde_json::from_slice(text).map_err(|_| PkiError::RecordDamaged { path: path.to_owned(), line })
}

/// The open record, with what has been read of it.
#[derive(Debug)]
pub struct IssueRecord {
    path: PathBuf,
    file: File,
    read: u64,
    lines: usize,
    last: Option<Timestamp>,
    keys: HashMap<String, (String, String)>,
}

impl IssueRecord {
    /// Opens the record; with `create`, an empty one is created if there is none.
    ///
    /// # Errors
    /// [`PkiError::RecordMissing`] where there is none and `create` is false; [`PkiError::Io`].
    pub fn open(path: &Path, create: bool) -> Result<Self, PkiError> {
        let opened = OpenOptions::new().read(true).append(true).create(create).mode(0o600).open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => PkiError::RecordMissing(path.to_owned()),
            _ => PkiError::Io { path: path.to_owned(), error },
        })?;
        Ok(Self { path: path.to_owned(), file, read: 0, lines: 0, last: None, keys: HashMap::new() })
    }

    /// Locks the record for one issue, waiting while another process holds it.
    ///
    /// # Errors
    /// [`PkiError::RecordDamaged`] names the first line that cannot be read; [`PkiError::Io`].
    pub fn lock(&mut self) -> Result<LockedRecord<'_>, PkiError> {
        self.file.lock_exclusive().map_err(|error| PkiError::Io { path: self.path.clone(), error })?;
        let mut locked = LockedRecord(self);
        locked.catch_up()?;
        Ok(locked)
    }
}

/// The locked record: no other process can issue meanwhile.
pub struct LockedRecord<'a>(&'a mut IssueRecord);

impl LockedRecord<'_> {
    /// The time of this issue. Refuses a clock that is behind the last issue, or far ahead of it; within the tolerance,
    /// time stands still rather than going back.
    ///
    /// # Errors
    /// [`PkiError::ClockBehind`] and [`PkiError::ClockAhead`], unless the check is skipped.
    pub fn moment(&self, now: Timestamp, clock_check: ClockCheck) -> Result<Timestamp, PkiError> {
        match self.0.last {
            Some(last) if clock_check == ClockCheck::Enforced => {
                if last.duration_since(now) > CLOCK_TOLERANCE {
                    return Err(PkiError::ClockBehind { now, last });
                }
                if now.duration_since(last) > CLOCK_LEAP {
                    return Err(PkiError::ClockAhead { now, last });
                }
                Ok(now.max(last))
            }
            _ => Ok(now),
        }
    }

    /// Refuses a key that is certified for anything else.
    ///
    /// # Errors
    /// [`PkiError::KeyTaken`] says what it is certified for.
    pub fn require_free(&self, key: &Point, class: &str, subject: &str) -> Result<(), PkiError> {
        match self.0.keys.get(&fingerprint(key)) {
            Some((taken, name)) if taken != class || name != subject => {
                Err(PkiError::KeyTaken { class: taken.clone(), subject: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Appends an issue; it is on disk when this returns.
    ///
    /// # Errors
    /// [`PkiError::Io`] when it is not on disk.
    pub fn append(&mut self, issued: &Issued) -> Result<(), PkiError> {
        let mut line = serde_json::to_vec(issued).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        let written = (&self.0.file).write_all(&line).and_then(|()| self.0.file.sync_all());
        written.map_err(|error| self.failed(error))?;
        self.0.read += line.len() as u64;
        self.note(issued.clone());
        Ok(())
    }

    fn note(&mut self, issued: Issued) {
        self.0.lines += 1;
        self.0.last = Some(issued.at);
        self.0.keys.insert(issued.key, (issued.class, issued.subject));
    }

    /// Reads what other processes have added, and removes a line that a crash has left incomplete.
    fn catch_up(&mut self) -> Result<(), PkiError> {
        let length = self.0.file.metadata().map_err(|error| self.failed(error))?.len();
        let mut added = vec![0; usize::try_from(length.saturating_sub(self.0.read)).unwrap_or(usize::MAX)];
        self.0.file.read_exact_at(&mut added, self.0.read).map_err(|error| self.failed(error))?;
        let (lines, whole) = whole_lines(&added);
        for line in lines {
            let issued = parse(&self.0.path, self.0.lines + 1, line)?;
            self.note(issued);
        }
        self.0.read += whole as u64;
        if self.0.read < length {
            self.0.file.set_len(self.0.read).map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn failed(&self, error: io::Error) -> PkiError {
        PkiError::Io { path: self.0.path.clone(), error }
    }
}

impl Drop for LockedRecord<'_> {
    fn drop(&mut self) {
        // If this fails, the lock still ends when the file is closed.
        let _ = FileExt::unlock(&self.0.file);
    }
}

/// Timestamps as text.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
