//! The file of `scan --out`: one record for each different token, on disk before the next is read.
//!
//! A file that holds anything is never written over: either it is refused, or it is read back and gone on with. What a
//! killed run left of its last record is taken away then.

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
    cli::{
        printer::{Printable, form},
        views::{self, Named},
    },
    config::OutputFormat,
    failure::{ExitClass, Failure},
    files::LockedFile,
};

/// The longest file that is gone on with, in bytes: half a million reads and more.
const LONGEST: u64 = 1 << 28;

/// A byte order mark, which some editors put in front.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file cannot take the records.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The form has no records that could be gone on with.
    #[error("--out takes ndjson or csv")]
    Form,
    /// It holds something, and nobody said to go on with it.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It is a pipe, a device or a folder.
    #[error("{} is no plain file", .0.display())]
    NoFile(PathBuf),
    /// Another scan writes it.
    #[error("{} is being written by another scan", .0.display())]
    Busy(PathBuf),
    /// It is too long to be read back.
    #[error("{} is longer than {LONGEST} bytes", .0.display())]
    TooLong(PathBuf),
    /// It holds something else than such records.
    #[error("{}, line {line}: this is no {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What it should be.
        what: &'static str,
    },
    /// It cannot be read or written.
    #[error("{} cannot be read or written: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let (class, code, hint) = match &error {
            FileError::Form => (ExitClass::Usage, "scan.out-form", "add --output ndjson, or --output csv"),
            FileError::Exists(_) => {
                (ExitClass::Io, "scan.out-exists", "name another file, or go on with this one: add --resume")
            }
            FileError::NoFile(_) => {
                (ExitClass::Io, "scan.out-no-file", "name a file, or leave --out away: records then go to stdout")
            }
            FileError::Busy(_) => (ExitClass::Busy, "scan.out-busy", "wait until it has ended, or name another file"),
            FileError::TooLong(_) => (ExitClass::Data, "scan.out-too-long", "name another file"),
            FileError::Damaged { .. } => {
                (ExitClass::Data, "scan.out-damaged", "name another file, or the form that it was begun in: --output")
            }
            FileError::Io(..) => {
                (ExitClass::Io, "scan.out-unwritable", "look at its folder, its owner and the room on the disk")
            }
        };
        Failure::new(class, code, error.to_string()).hint(hint)
    }
}

/// The forms that a file can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ndjson,
    Csv,
}

/// The file, locked while this exists.
#[derive(Debug)]
pub struct Records {
    file: LockedFile,
    path: PathBuf,
    form: Form,
    empty: bool,
}

impl Records {
    /// Opens the file, or makes it (mode 0600, for it tells who was where), and reads back which tokens are in it. A
    /// file that holds something is taken with `resume` only; with it, a file may also be missing.
    pub fn open(path: &Path, format: OutputFormat, resume: bool) -> Result<(Self, HashSet<Uuid>), FileError> {
        let form = match format {
            OutputFormat::Ndjson => Form::Ndjson,
            OutputFormat::Csv => Form::Csv,
            OutputFormat::Text | OutputFormat::Json => return Err(FileError::Form),
        };
        let failed = |error| FileError::Io(path.to_owned(), error);
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(FileError::NoFile(path.to_owned()));
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let Ok(mut file) = LockedFile::exclusively(file).map_err(failed)? else {
            return Err(FileError::Busy(path.to_owned()));
        };
        let text = content(&mut file, path)?;
        if !text.is_empty() && !resume {
            return Err(FileError::Exists(path.to_owned()));
        }
        let whole = form.whole(&text);
        let tokens = form.tokens(&text[..whole], path)?;
        form.check_torn(&text[..whole], &text[whole..], path)?;
        if whole < text.len() {
            let cut = file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)));
            cut.and_then(|_| file.sync_all()).map_err(failed)?;
        }
        sync_folder(path).map_err(failed)?;
        Ok((Self { file, path: path.to_owned(), form, empty: whole == 0 }, tokens))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record; it is on disk when this returns. The header of csv comes with the first.
    pub fn add(&mut self, object: &views::ScanView) -> Result<(), Failure> {
        let mut text = Vec::new();
        match self.form {
            Form::Ndjson => text = (form::json(object)? + "\n").into_bytes(),
            Form::Csv => {
                if self.empty {
                    text = form::csv(views::ScanView::header().into_iter())?;
                }
                text.extend(form::csv(object.record().iter().map(String::as_str))?);
            }
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|error| FileError::Io(self.path.clone(), error))?;
        self.empty = false;
        Ok(())
    }
}

fn content(file: &mut File, path: &Path) -> Result<Vec<u8>, FileError> {
    let mut text = Vec::new();
    let read = Read::by_ref(file).take(LONGEST + 1).read_to_end(&mut text);
    match read {
        Err(error) => Err(FileError::Io(path.to_owned(), error)),
        Ok(length) if length as u64 > LONGEST => Err(FileError::TooLong(path.to_owned())),
        Ok(_) => Ok(text),
    }
}

/// The name of a new file is on disk, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

impl Form {
    /// How much of the text is whole records. The line end is the last byte of one; between quotes it is no end.
    fn whole(self, text: &[u8]) -> usize {
        let (mut quoted, mut whole) = (false, 0);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'"' if self == Self::Csv => quoted = !quoted,
                b'\n' if !quoted => whole = at + 1,
                _ => {}
            }
        }
        whole
    }

    /// What is taken away must be what a killed run left of one record, and nothing of anybody else.
    fn check_torn(self, whole: &[u8], torn: &[u8], path: &Path) -> Result<(), FileError> {
        let torn = if whole.is_empty() { torn.strip_prefix(MARK).unwrap_or(torn) } else { torn };
        let header = views::ScanView::header().join(",");
        let ours = match self {
            Self::Ndjson => begins(torn, format!("{{\"schema\":\"{}\"", views::ScanView::SCHEMA).as_bytes()),
            Self::Csv if whole.is_empty() => begins(torn, header.as_bytes()),
            // A quote too many, by another hand, would make one record of all that follow.
            Self::Csv => !torn.split(|&byte| byte == b'\n').skip(1).any(begins_with_a_moment),
        };
        let line = whole.split(|&byte| byte == b'\n').count() as u64;
        let what = "beginning of a record";
        if ours { Ok(()) } else { Err(FileError::Damaged { path: path.to_owned(), line, what }) }
    }

    fn tokens(self, text: &[u8], path: &Path) -> Result<HashSet<Uuid>, FileError> {
        let damaged = |(line, what)| FileError::Damaged { path: path.to_owned(), line, what };
        let text = text.strip_prefix(MARK).unwrap_or(text);
        match self {
            Self::Ndjson => of_ndjson(text),
            Self::Csv => of_csv(text),
        }
        .map_err(damaged)
    }
}

/// Whether a torn text may be the beginning of one that begins so.
fn begins(torn: &[u8], so: &[u8]) -> bool {
    torn.iter().zip(so).all(|(one, other)| one == other)
}

/// Whether a line begins like a record of csv: with its moment.
fn begins_with_a_moment(line: &[u8]) -> bool {
    let first = line.split(|&byte| byte == b',').next().and_then(|cell| std::str::from_utf8(cell).ok());
    first.is_some_and(|cell| cell.parse::<jiff::Timestamp>().is_ok())
}

/// The line, and what it should have been.
type Amiss = (u64, &'static str);

/// What is looked at of a record; the rest is not ours to judge.
#[derive(Deserialize)]
struct Told<'a> {
    schema: &'a str,
    token_id: Uuid,
    authenticated: ProvedFields,
}

#[derive(Deserialize)]
struct ProvedFields {
    token: bool,
}

fn of_ndjson(text: &[u8]) -> Result<HashSet<Uuid>, Amiss> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
    let read = |(line, text)| match serde_json::from_slice::<Told<'_>>(text) {
        Ok(told) if told.schema == views::ScanView::SCHEMA && told.authenticated.token => Ok(told.token_id),
        _ => Err((line, "object of a token that was read")),
    };
    if text.is_empty() { Ok(HashSet::new()) } else { (1..).zip(lines).map(read).collect() }
}

fn of_csv(text: &[u8]) -> Result<HashSet<Uuid>, Amiss> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let mut records = reader.byte_records();
    match records.next() {
        None => return Ok(HashSet::new()),
        Some(Ok(header)) if header.iter().eq(views::ScanView::header().iter().map(|name| name.as_bytes())) => {}
        Some(_) => return Err((1, "header of a scan")),
    }
    let cell = |record: &csv::ByteRecord, name| {
        let at = views::ScanView::header().iter().position(|column| *column == name)?;
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

fn line(position: Option<&csv::Position>) -> u64 {
    position.map_or(1, csv::Position::line)
}

#[cfg(test)]
mod tests;
