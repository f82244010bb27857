//! Reads users from a CSV file: columns `id`, `name` and any further fields, as spreadsheets save them. All errors in
//! the file are reported before anything is done with it.

mod cell;
mod encoding;
mod form;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, IsTerminal},
    path::Path,
};

use crate::{
    api::{FIELDS_MAX, User, UserFault, plain},
    failure::{ExitClass, Failure, number_of},
    files,
    terminal::user_patch::UserPatch,
};
pub use cell::said;
use cell::{ends_in_quotes, typed, typed_id, within_blanks};
pub use encoding::{TextEncoding, decode, is_workbook, wide};
pub use form::{TableColumn, TableForm};
use form::{after_separator_line, is_something, separator_of};

/// How many bad rows are listed; the others are counted.
const TOLD: usize = 20;
/// The maximum file size, in bytes: some millions of users.
const LONGEST: u64 = 256 << 20;
/// The maximum length of a portrait path, in bytes.
const PATH_MAX: usize = 1024;

/// A row that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the file, counted from 1.
    pub line: u64,
    /// The column, if one is at fault.
    pub column: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, column, what } = self;
        match column {
            Some(column) => write!(f, "line {line}, column {column}: {what}"),
            None => write!(f, "line {line}: {what}"),
        }
    }
}

/// One row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The user; the name is empty if the file has none.
    pub user: User,
    /// The path of the portrait, if portraits are read.
    pub portrait: Option<String>,
}

/// The users of a file, and the file's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTable {
    /// The rows, in the order of the file.
    pub rows: Vec<UserRow>,
    /// The format recognised.
    pub form: TableForm,
}

impl UserTable {
    /// The row of this user as a patch: an empty cell removes the field, and a field without a column stays.
    pub fn patch(&self, user: &User) -> UserPatch {
        let value = |key: &String| (key.clone(), user.fields.get(key).cloned().unwrap_or_default());
        let fields = self.form.fields().map(value).collect();
        let name = self.form.has_names().then(|| user.name.clone());
        UserPatch { id: Some(user.id.clone()), name, fields }
    }
}

/// What is wrong with a user, and the column at fault.
pub type RowProblem = (Option<&'static str>, String);
/// Checks each row.
pub type RowCheck<'a> = &'a mut dyn FnMut(&mut UserRow) -> Result<(), RowProblem>;

/// Reads the users of a file, or of standard input if its name is `-`; a column `portrait` is an ordinary field.
///
/// # Errors
/// `csv.no-input`; `csv.unreadable`; `csv.bad-rows` with the errors, and the format recognised.
pub fn load(path: &Path) -> Result<UserTable, Failure> {
    load_of(path, CsvReading::USUAL, &mut |_| Ok(()))
}

/// The same for users that may be known already: the column `name` may be missing, and there may be no rows, since an
/// empty list can be exported too.
///
/// # Errors
/// As [`load`].
pub fn load_changes(path: &Path) -> Result<UserTable, Failure> {
    load_of(path, CsvReading { changes: true, ..CsvReading::USUAL }, &mut |_| Ok(()))
}

/// The same with portraits; `check` takes what it needs from each row, and reports errors.
///
/// # Errors
/// As [`load`], with the rows that `check` refuses.
pub fn load_with_portraits(path: &Path, check: RowCheck<'_>) -> Result<UserTable, Failure> {
    load_of(path, CsvReading { portraits: true, ..CsvReading::USUAL }, check)
}

/// Whether this stands for standard input.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The name of the file in messages.
pub fn shown(path: &Path) -> Cow<'_, str> {
    if is_stdin(path) { "standard input".into() } else { path.to_string_lossy() }
}

/// Somebody who types at a terminal would wait for an answer, and the command for the end of the table.
fn require_piped(is_terminal: bool) -> Result<(), Failure> {
    if !is_terminal {
        return Ok(());
    }
    Err(Failure::new(ExitClass::Usage, "csv.no-input", "\"-\" takes a table from standard input, which is a terminal")
        .hint("send the table there, from another program with | or from a file with <; or name the file"))
}

/// How the columns and rows of a file are interpreted.
#[derive(Clone, Copy)]
struct CsvReading {
    /// Whether a column `portrait` holds paths of pictures.
    portraits: bool,
    /// Whether a header without rows is accepted, and a header without names.
    changes: bool,
}

impl CsvReading {
    const USUAL: Self = Self { portraits: false, changes: false };
}

fn load_of(path: &Path, reading: CsvReading, check: RowCheck<'_>) -> Result<UserTable, Failure> {
    let shown = shown(path);
    let unreadable = |error: io::Error| {
        Failure::new(ExitClass::Io, "csv.unreadable", format!("{shown}: {error}"))
            .hint("name an existing CSV file of at most 256 MiB")
    };
    let text = if is_stdin(path) {
        require_piped(io::stdin().is_terminal())?;
        files::read_bounded(io::stdin().lock(), LONGEST)
    } else {
        File::open(path).and_then(|file| files::read_bounded(file, LONGEST))
    };
    let text = text.map_err(unreadable)?;
    let (table, bad) = read_as(&text, reading, check);
    let form = match table {
        Some(table) if bad.is_empty() => return Ok(table),
        table => table.map(|table| table.form),
    };
    let mut told: Vec<_> = bad.iter().take(TOLD).map(|row| format!("\n  {row}")).collect();
    if bad.len() > TOLD {
        told.push(format!("\n  and {} more", bad.len() - TOLD));
    }
    if let Some(form) = form {
        told.push(format!("\n  {}; {}", form.reading(), form.fields_in_words()));
    }
    Err(Failure::new(
        ExitClass::Data,
        "csv.bad-rows",
        format!("{shown}: {} cannot be used, and nothing was done:{}", number_of(bad.len(), "row"), told.concat()),
    )
    .hint("correct the file, and run the same command again"))
}

/// Reads the users of a text, and the errors in it; there is no table if it is not text.
pub fn read(bytes: &[u8], portraits: bool, check: RowCheck<'_>) -> (Option<UserTable>, Vec<BadRow>) {
    read_as(bytes, CsvReading { portraits, ..CsvReading::USUAL }, check)
}

fn read_as(bytes: &[u8], reading: CsvReading, check: RowCheck<'_>) -> (Option<UserTable>, Vec<BadRow>) {
    let (text, encoding) = match encoding::decode(bytes) {
        Ok(decoded) => decoded,
        Err((at, what)) => {
            let line = LineCounter { text: bytes, at: 0, line: 1 }.of(at);
            return (None, vec![BadRow { line, column: None, what }]);
        }
    };
    let (body, said) = after_separator_line(&text);
    let separator = said.unwrap_or_else(|| separator_of(body));
    let mut table = UserTable { rows: Vec::new(), form: TableForm { encoding, separator, columns: Vec::new() } };
    let bad = TableReader { table: &mut table, reading, seen: HashMap::new() }.rows(&text, body, check);
    (Some(table), bad)
}

/// Reads the rows of a text into a table.
struct TableReader<'a> {
    table: &'a mut UserTable,
    reading: CsvReading,
    /// The line of each id seen so far.
    seen: HashMap<String, u64>,
}

impl TableReader<'_> {
    fn rows(&mut self, text: &str, body: &str, check: RowCheck<'_>) -> Vec<BadRow> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.table.form.separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(body.as_bytes());
        let skipped = text.len() - body.len();
        let at = |reader: &csv::Reader<&[u8]>| {
            usize::try_from(reader.position().byte()).map_or(body.len(), |at| at.min(body.len()))
        };
        let mut lines = LineCounter { text: text.as_bytes(), at: 0, line: 1 };
        let (mut bad, mut record) = (Vec::new(), csv::StringRecord::new());
        loop {
            let begin = at(&reader);
            let line = lines.of(skipped + begin);
            match reader.read_record(&mut record) {
                Ok(false) => break,
                // Spreadsheets also save rows without any value.
                Ok(true) if !record.iter().any(is_something) => {}
                Ok(true) if self.table.form.columns.is_empty() => {
                    bad.extend(self.head(&record, line));
                    if !bad.is_empty() {
                        return bad;
                    }
                }
                Ok(true) if ends_in_quotes(&body.as_bytes()[begin..at(&reader)], self.table.form.separator) => {
                    let what = "a quotation mark is opened here and never closed".into();
                    bad.push(BadRow { line, column: None, what });
                }
                Ok(true) => {
                    let row = self.row(&record, line).and_then(|mut row| match check(&mut row) {
                        Ok(()) => Ok(row),
                        Err((column, what)) => Err(BadRow { line, column: column.map(str::to_owned), what }),
                    });
                    match row {
                        Ok(row) => self.table.rows.push(row),
                        Err(row) => bad.push(row),
                    }
                }
                Err(error) => bad.push(BadRow { line, column: None, what: unreadable(&error) }),
            }
        }
        if self.table.form.columns.is_empty() && bad.is_empty() {
            bad.extend(self.head(&csv::StringRecord::new(), 1));
        } else if self.table.rows.is_empty() && bad.is_empty() && !self.reading.changes {
            bad.push(BadRow { line: 1, column: None, what: "there is no row below the header".into() });
        }
        bad
    }

    fn head(&mut self, record: &csv::StringRecord, line: u64) -> Vec<BadRow> {
        let columns: Vec<_> = record.iter().map(|head| TableColumn::of(head, self.reading.portraits)).collect();
        let mut bad = Vec::new();
        let mut refuse = |column: &str, what: String| bad.push(BadRow { line, column: Some(column.to_owned()), what });
        let (needed, in_words) = if self.reading.changes {
            (&[("id", TableColumn::Id)][..], "id")
        } else {
            (&[("id", TableColumn::Id), ("name", TableColumn::Name)][..], "id and name")
        };
        for (needed, column) in needed {
            if !columns.contains(column) {
                let found: Vec<_> = record.iter().map(str::trim).filter(|head| !head.is_empty()).take(TOLD).collect();
                let found = if found.is_empty() { "nothing".to_owned() } else { found.join(" | ") };
                refuse(needed, format!("it is missing: the header needs {in_words}, and has {found}"));
            }
        }
        for (at, column) in columns.iter().enumerate() {
            if matches!(column, TableColumn::Field(key) if key.len() > 64 || key.chars().any(char::is_control)) {
                let what = "the name of a column is 1 to 64 bytes without control characters";
                refuse(&(at + 1).to_string(), what.to_owned());
            } else if *column != TableColumn::Blank && columns[..at].contains(column) {
                refuse(record.get(at).unwrap_or_default().trim(), "it appears twice".to_owned());
            }
        }
        self.table.form.columns = columns;
        bad
    }

    fn row(&mut self, record: &csv::StringRecord, line: u64) -> Result<UserRow, BadRow> {
        let bad = |column: Option<&str>, what: String| BadRow { line, column: column.map(str::to_owned), what };
        let columns = &self.table.form.columns;
        // The whole row would be the id, where that is the first column and no name is needed.
        let only = record.get(0).filter(|_| record.len() == 1 && columns.len() > 1);
        if let Some(what) = only.and_then(|cell| self.table.form.other_separator(cell)) {
            return Err(bad(None, what));
        }
        // Spreadsheets omit empty cells at the end of a row, or add some.
        let needed = columns.iter().rposition(|column| matches!(column, TableColumn::Id | TableColumn::Name));
        let is_cut = needed.is_some_and(|last| record.len() <= last);
        if is_cut || record.iter().skip(columns.len()).any(is_something) {
            let has = number_of(record.len(), "value");
            return Err(bad(None, format!("it has {has}, and the header has {}", columns.len())));
        }
        let mut user = User { id: String::new(), name: String::new(), fields: BTreeMap::new() };
        let mut portrait = None;
        for (at, (column, cell)) in columns.iter().zip(record).enumerate() {
            let named = match column {
                TableColumn::Id => "id",
                TableColumn::Name => "name",
                TableColumn::Portrait => "portrait",
                TableColumn::Field(key) => key.as_str(),
                TableColumn::Blank if is_something(cell) => {
                    return Err(bad(Some(&(at + 1).to_string()), "it has a value, but its column has no name".into()));
                }
                TableColumn::Blank => continue,
            };
            let cell = within_blanks(cell).map_err(|what| bad(Some(named), what.into()))?;
            let is_typed = match column {
                TableColumn::Id => typed_id(cell),
                TableColumn::Name => typed(cell),
                _ => Ok(()),
            };
            is_typed.map_err(|what| bad(Some(named), what))?;
            let value = said(cell).into_owned();
            if matches!(column, TableColumn::Id | TableColumn::Name) && value.trim().is_empty() {
                return Err(bad(Some(named), "it is empty".into()));
            }
            let taken = match column {
                TableColumn::Id => User::check_id(&value).map_err(fault),
                TableColumn::Name => User::check_name(&value).map_err(fault),
                TableColumn::Field(key) => User::check_field(key, &value).map_err(fault),
                _ if plain(&value, 0, PATH_MAX) => Ok(()),
                _ => Err(format!("a path has at most {PATH_MAX} bytes and no control characters")),
            };
            taken.map_err(|what| {
                let broken = value.contains(['\r', '\n']);
                bad(Some(named), if broken { format!("it contains a line break, and {what}") } else { what })
            })?;
            match column {
                TableColumn::Id => user.id = value,
                TableColumn::Name => user.name = value,
                _ if value.is_empty() => {}
                TableColumn::Portrait => portrait = Some(value),
                _ => drop(user.fields.insert(named.to_owned(), value)),
            }
        }
        // Each part was checked above, so only the number of fields remains.
        if user.fields.len() > FIELDS_MAX {
            return Err(bad(None, fault(UserFault::Fields)));
        }
        if let Some(before) = self.seen.insert(user.id.clone(), line) {
            return Err(bad(Some("id"), format!("duplicate id {:?} (first used on line {before})", user.id)));
        }
        Ok(UserRow { user, portrait })
    }
}

fn fault(fault: UserFault) -> String {
    fault.to_string()
}

fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => "not a valid CSV file".to_owned(),
    }
}

/// Finds the line number of a position in a text. The CSV reader's own count is one too low after CR LF.
struct LineCounter<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl LineCounter<'_> {
    /// The line of the first row that begins at or after this byte, skipping line ends and empty lines. CR LF, LF and a
    /// single CR each end one line.
    fn of(&mut self, byte: usize) -> u64 {
        let mut end = byte.min(self.text.len());
        while matches!(self.text.get(end), Some(b'\r' | b'\n')) {
            end += 1;
        }
        let passed = self.text.get(self.at..end).unwrap_or_default();
        let ends = |at: &usize| match passed[*at] {
            b'\n' => true,
            b'\r' => passed.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        self.line += (0..passed.len()).filter(ends).count() as u64;
        self.at = end.max(self.at);
        self.line
    }
}

#[cfg(test)]
mod tests;
