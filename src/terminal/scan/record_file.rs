//! The output file of a scan: one record for each different token, on disk before the next card is read.
//!
//! The caller formats the records; this module only checks which tokens the file holds. A file with content is never
//! overwritten: it is either refused, or read back and continued. The remains of a record that a killed run left
//! unfinished are then removed.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use uuid::Uuid;

use crate::{
    failure::{ExitClass, Failure},
    files::{LockedFile, folder_of},
    terminal::user_csv,
};

/// The longest file that can be continued, in bytes: half a million reads and more.
const LONGEST: u64 = 1 << 28;

/// A byte order mark, which some editors add.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file cannot be used for the records.
#[derive(Debug, thiserror::Error)]
pub enum RecordFileError {
    /// It has content, and resuming was not requested.
    #[error("{} already exists", .0.display())]
    Exists(PathBuf),
    /// It is a pipe, a device or a folder.
    #[error("{} is not a regular file", .0.display())]
    NoFile(PathBuf),
    /// Another scan is writing it.
    #[error("{} is being written by another scan", .0.display())]
    Busy(PathBuf),
    /// It is too long to be read back.
    #[error("{} is longer than {LONGEST} bytes", .0.display())]
    TooLong(PathBuf),
    /// It contains something other than such records.
    #[error("{}, line {line}: not a valid {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was expected.
        what: &'static str,
    },
    /// Another program has saved it in its own form.
    #[error("{} was saved by another program: {how}", path.display())]
    Resaved {
        /// The file.
        path: PathBuf,
        /// What differs.
        how: String,
        /// Whether it is to be CSV.
        is_csv: bool,
    },
    /// It cannot be read or written.
    #[error("{} cannot be read or written: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

impl From<RecordFileError> for Failure {
    fn from(error: RecordFileError) -> Self {
        let (class, code, hint) = match &error {
            RecordFileError::Exists(_) => {
                (ExitClass::Io, "scan.out-exists", "name another file, or continue this one: add --resume")
            }
            RecordFileError::NoFile(_) => {
                (ExitClass::Io, "scan.out-no-file", "name a file, or leave --out away: records then go to stdout")
            }
            RecordFileError::Busy(_) => {
                (ExitClass::Busy, "scan.out-busy", "wait until it has ended, or name another file")
            }
            RecordFileError::TooLong(_) => (ExitClass::Data, "scan.out-too-long", "name another file"),
            RecordFileError::Damaged { .. } => {
                (ExitClass::Data, "scan.out-damaged", "name another file, or the format that it was begun in: --output")
            }
            RecordFileError::Resaved { is_csv: false, .. } => {
                (ExitClass::Data, "scan.out-damaged", "name another file, and leave this one to that program")
            }
            RecordFileError::Resaved { .. } => (
                ExitClass::Data,
                "scan.out-damaged",
                "save it there once more, as CSV in UTF-8 with commas; or name another file, and leave this one to that program",
            ),
            RecordFileError::Io(..) => {
                (ExitClass::Io, "scan.out-unwritable", "check its folder, its owner and the free space on the disk")
            }
        };
        Failure::new(class, code, error.to_string()).hint(hint)
    }
}

/// The format of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordForm {
    /// One JSON object per line, beginning with the field `schema`.
    Ndjson {
        /// The value of that field.
        schema: &'static str,
    },
    /// CSV. A record of a token has `true` in the column `authenticated`, and its id in `token_id`.
    Csv {
        /// The names of the columns.
        header: Vec<&'static str>,
    },
}

/// The open file, locked while this exists.
#[derive(Debug)]
pub struct RecordFile {
    file: LockedFile,
    path: PathBuf,
    is_empty: bool,
    columns: usize,
}

impl RecordFile {
    /// Opens or creates the file (mode 0600, because it says who was where), and reads back the tokens in it. A file
    /// with content is accepted only with `resume`; with `resume`, the file may also be missing.
    ///
    /// # Errors
    /// See [`RecordFileError`]. The file is unchanged then.
    pub fn open(path: &Path, form: &RecordForm, resume: bool) -> Result<(Self, HashSet<Uuid>), RecordFileError> {
        let failed = |error| RecordFileError::Io(path.to_owned(), error);
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(RecordFileError::NoFile(path.to_owned()));
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let Ok(mut file) = LockedFile::exclusively(file).map_err(failed)? else {
            return Err(RecordFileError::Busy(path.to_owned()));
        };
        let text = content(&mut file, path)?;
        if !text.is_empty() && !resume {
            return Err(RecordFileError::Exists(path.to_owned()));
        }
        let whole = form.whole(&text);
        let tokens = form.tokens(&text[..whole], path).and_then(|tokens| {
            form.check_torn(&text[..whole], &text[whole..], path)?;
            Ok(tokens)
        });
        let tokens = tokens.map_err(|error| match form.resaved(&text) {
            Some(how) => {
                RecordFileError::Resaved { path: path.to_owned(), how, is_csv: matches!(form, RecordForm::Csv { .. }) }
            }
            None => error,
        })?;
        if whole < text.len() {
            let cut = file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)));
            cut.and_then(|_| file.sync_all()).map_err(failed)?;
        }
        sync_folder(path).map_err(failed)?;
        let columns = form.columns(&text[..whole]);
        Ok((Self { file, path: path.to_owned(), is_empty: whole == 0, columns }, tokens))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is completely empty, without even a header.
    pub const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// The number of columns of a CSV record in this file: an earlier release may have started it with fewer.
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Appends a record with its line end (in CSV with the header before the first); it is on disk when this returns.
    ///
    /// # Errors
    /// [`RecordFileError::Io`] when it cannot be written; a partial record is removed by the next run.
    pub fn append(&mut self, record: &[u8]) -> Result<(), RecordFileError> {
        let written = self.file.write_all(record).and_then(|()| self.file.sync_data());
        written.map_err(|error| RecordFileError::Io(self.path.clone(), error))?;
        self.is_empty = false;
        Ok(())
    }
}

fn content(file: &mut File, path: &Path) -> Result<Vec<u8>, RecordFileError> {
    let mut text = Vec::new();
    let read = Read::by_ref(file).take(LONGEST + 1).read_to_end(&mut text);
    match read {
        Err(error) => Err(RecordFileError::Io(path.to_owned(), error)),
        Ok(length) if length as u64 > LONGEST => Err(RecordFileError::TooLong(path.to_owned())),
        Ok(_) => Ok(text),
    }
}

/// Syncs the folder, so that the name of a new file is on disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

impl RecordForm {
    /// The length of all complete records. A record ends with a line end that is not inside quotes.
    fn whole(&self, text: &[u8]) -> usize {
        let (mut quoted, mut whole) = (false, 0);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'"' if matches!(self, Self::Csv { .. }) => quoted = !quoted,
                b'\n' if !quoted => whole = at + 1,
                _ => {}
            }
        }
        whole
    }

    /// The number of columns, from the header if there is one.
    fn columns(&self, text: &[u8]) -> usize {
        let Self::Csv { header } = self else { return 0 };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
        reader.byte_records().next().and_then(Result::ok).map_or(header.len(), |found| found.len())
    }

    /// Checks that what would be removed is the unfinished record of a killed run, and not somebody else's data.
    fn check_torn(&self, whole: &[u8], torn: &[u8], path: &Path) -> Result<(), RecordFileError> {
        let torn = if whole.is_empty() { torn.strip_prefix(MARK).unwrap_or(torn) } else { torn };
        let ours = match self {
            Self::Ndjson { schema } => begins(torn, format!("{{\"schema\":\"{schema}\"").as_bytes()),
            Self::Csv { header } if whole.is_empty() => begins(torn, header.join(",").as_bytes()),
            // A stray quote, from a manual edit, would swallow all following records into one.
            Self::Csv { .. } => !torn.split(|&byte| byte == b'\n').skip(1).any(begins_with_a_moment),
        };
        let line = whole.split(|&byte| byte == b'\n').count() as u64;
        let what = "beginning of a record";
        if ours { Ok(()) } else { Err(RecordFileError::Damaged { path: path.to_owned(), line, what }) }
    }

    /// How another program has saved what were records of ours.
    fn resaved(&self, text: &[u8]) -> Option<String> {
        if user_csv::is_workbook(text) {
            return Some("it is a workbook, not text".to_owned());
        }
        if user_csv::wide(text).is_some() {
            return Some("it is in UTF-16".to_owned());
        }
        let Self::Csv { header } = self else { return None };
        let (text, _) = user_csv::decode(text).ok()?;
        let first: Vec<_> = header.iter().take(2).copied().collect();
        let separated = |(separator, _): &(&str, &str)| text.replace('"', "").starts_with(&first.join(separator));
        let (_, word) = [(";", "semicolons"), ("\t", "tabs")].into_iter().find(separated)?;
        Some(format!("its columns are separated by {word}"))
    }

    fn tokens(&self, text: &[u8], path: &Path) -> Result<HashSet<Uuid>, RecordFileError> {
        let damaged = |(line, what)| RecordFileError::Damaged { path: path.to_owned(), line, what };
        let text = text.strip_prefix(MARK).unwrap_or(text);
        match self {
            Self::Ndjson { schema } => tokens_of_ndjson(text, schema),
            Self::Csv { header } => tokens_of_csv(text, header),
        }
        .map_err(damaged)
    }
}

/// Whether an unfinished text may be the beginning of one with this prefix.
fn begins(torn: &[u8], so: &[u8]) -> bool {
    torn.iter().zip(so).all(|(one, other)| one == other)
}

/// Whether a line begins like a CSV record: with its time.
fn begins_with_a_moment(line: &[u8]) -> bool {
    let first = line.split(|&byte| byte == b',').next().and_then(|cell| std::str::from_utf8(cell).ok());
    first.is_some_and(|cell| cell.parse::<jiff::Timestamp>().is_ok())
}

/// The line number, and what was expected there.
type Damage = (u64, &'static str);

/// The fields of a record that are checked; the rest is up to the caller.
#[derive(Deserialize)]
struct ReadRecord<'a> {
    schema: &'a str,
    token_id: Uuid,
    authenticated: ProvedFields,
}

#[derive(Deserialize)]
struct ProvedFields {
    token: bool,
}

fn tokens_of_ndjson(text: &[u8], schema: &str) -> Result<HashSet<Uuid>, Damage> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
    let read = |(line, text)| match serde_json::from_slice::<ReadRecord<'_>>(text) {
        Ok(record) if record.schema == schema && record.authenticated.token => Ok(record.token_id),
        _ => Err((line, "object of a token that was read")),
    };
    if text.is_empty() { Ok(HashSet::new()) } else { (1..).zip(lines).map(read).collect() }
}

fn tokens_of_csv(text: &[u8], names: &[&str]) -> Result<HashSet<Uuid>, Damage> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let mut records = reader.byte_records();
    match records.next() {
        None => return Ok(HashSet::new()),
        Some(Ok(header)) if is_header(&header, names) => {}
        Some(_) => return Err((1, "header of a scan")),
    }
    let cell = |record: &csv::ByteRecord, name| {
        let at = names.iter().position(|column| *column == name)?;
        record.get(at).map(<[u8]>::to_vec)
    };
    let read = |record: csv::Result<csv::ByteRecord>| {
        let record = record.map_err(|error| (line(error.position()), "record of a token that was read"))?;
        let proved = cell(&record, "authenticated").is_some_and(|word| word == b"true");
        let id = cell(&record, "token_id").filter(|_| proved).and_then(|id| Uuid::try_parse_ascii(&id).ok());
        id.ok_or_else(|| (line(record.position()), "record of a token that was read"))
    };
    records.map(read).collect()
}

/// Whether it is this header, or a shorter prefix of it: later releases add columns at the end.
fn is_header(found: &csv::ByteRecord, names: &[&str]) -> bool {
    let is_read = |name| names[..found.len()].contains(name);
    found.len() <= names.len()
        && found.iter().zip(names).all(|(cell, name)| cell == name.as_bytes())
        && ["token_id", "authenticated"].iter().all(is_read)
}

fn line(position: Option<&csv::Position>) -> u64 {
    position.map_or(1, csv::Position::line)
}
