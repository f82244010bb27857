//! The file format of a batch's journal: a header and one JSON line per event.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    files::{LockedFile, folder_of},
    terminal::enrollment::failure::BatchError,
};

/// The maximum journal size that is read, in bytes.
const LONGEST: u64 = 1 << 30;

/// The first line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerHeader {
    journal: String,
    authority: String,
}

const NAME: &str = "rollcall.batch/1";

/// Any line after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The id of the user.
    pub user: String,
    /// The card (diversification data, hex).
    pub card: String,
    /// What happened.
    #[serde(flatten)]
    pub event: RowEvent,
}

/// What happened to a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum RowEvent {
    /// The row was assigned to a card that had not been touched before.
    Begun {
        /// A digest of the row.
        digest: String,
        /// The row's text; journals before 0.3 do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<RowText>,
    },
    /// The token has authenticated.
    Done {
        /// The token.
        token_id: Uuid,
    },
    /// The card was abandoned.
    Abandoned,
    /// The token is finished, but its row is no longer in the file: it has left the batch.
    Forgotten,
}

/// The content of a row, apart from the id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowText {
    /// The name.
    pub name: String,
    /// The fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// Opens or creates the journal and locks it; returns the lines with their numbers.
///
/// # Errors
/// [`BatchError::Busy`] when another run holds the lock; [`BatchError::Damaged`], [`BatchError::OtherAuthority`];
/// [`BatchError::Io`].
pub fn open(path: &Path, authority: &str) -> Result<(LockedFile, Vec<(usize, LedgerLine)>), BatchError> {
    let failed = |error| BatchError::Io(path.to_owned(), error);
    let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    let Ok(mut file) = LockedFile::exclusively(options.map_err(failed)?).map_err(failed)? else {
        return Err(BatchError::Busy(path.to_owned()));
    };
    let text = content(&mut file).map_err(failed)?;
    let whole = whole(&text);
    if whole < text.len() {
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0)).map(drop)).map_err(failed)?;
    }
    if whole == 0 {
        begin(&mut file, path, authority).map_err(failed)?;
        return Ok((file, Vec::new()));
    }
    Ok((file, parse(&text[..whole], path, authority)?))
}

/// Reads the lines of a journal, which may not exist.
///
/// # Errors
/// [`BatchError::Damaged`], [`BatchError::OtherAuthority`]; [`BatchError::Io`].
pub fn read(path: &Path, authority: &str) -> Result<Vec<(usize, LedgerLine)>, BatchError> {
    let text = match File::open(path).and_then(|mut file| content(&mut file)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BatchError::Io(path.to_owned(), error)),
    };
    match whole(&text) {
        0 => Ok(Vec::new()),
        whole => parse(&text[..whole], path, authority),
    }
}

fn content(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Read::by_ref(file).take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// The length of all complete lines: a line without its final newline was never reported as written.
fn whole(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

fn begin(file: &mut File, path: &Path, authority: &str) -> io::Result<()> {
    let head = LedgerHeader { journal: NAME.to_owned(), authority: authority.to_owned() };
    file.write_all((serde_json::to_string(&head)? + "\n").as_bytes())?;
    file.sync_all()?;
    File::open(folder_of(path))?.sync_all()
}

fn parse(text: &[u8], path: &Path, authority: &str) -> Result<Vec<(usize, LedgerLine)>, BatchError> {
    let damaged = |line, what| BatchError::Damaged { path: path.to_owned(), line, what };
    let mut lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n').enumerate();
    let head = lines.next().and_then(|(_, line)| serde_json::from_slice::<LedgerHeader>(line).ok());
    match head {
        Some(head) if head.journal == NAME && head.authority == authority => {}
        Some(head) if head.journal == NAME => return Err(BatchError::OtherAuthority(path.to_owned())),
        _ => return Err(damaged(1, "it is not the header of one")),
    }
    let line = |(at, line)| match serde_json::from_slice(line) {
        Ok(line) => Ok((at + 1, line)),
        Err(_) => Err(damaged(at + 1, "it cannot be read")),
    };
    lines.map(line).collect()
}
