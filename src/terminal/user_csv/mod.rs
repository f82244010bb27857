//! Users from a CSV file: columns `id`, `name` and any further fields. Everything that is wrong with the file is told
//! before anything is done with it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{
    api::User,
    failure::{ExitClass, Failure},
};

/// Bad rows that are told; the others are counted.
const TOLD: usize = 20;
/// The longest file that is read, in bytes: some millions of users.
const LONGEST: u64 = 256 << 20;
/// What spreadsheets write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// A row that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The line of the file, counted from 1.
    pub line: u64,
    /// The column, where one is to blame.
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

/// The users of a file. A failure lists what is wrong.
///
/// # Errors
/// `csv.unreadable` for a file that cannot be read or is longer than 256 MiB; `csv.bad-rows` lists the rows that cannot
/// be taken.
pub fn load(path: &Path) -> Result<Vec<User>, Failure> {
    load_checked(path, &mut |_| Ok(()))
}

/// What is wrong with a user, and the column to blame.
pub type RowProblem = (Option<&'static str>, String);
/// Looks at every user.
pub type RowCheck<'a> = &'a mut dyn FnMut(&mut User) -> Result<(), RowProblem>;

/// The same, where `check` takes what it needs from a user, and says what is wrong.
///
/// # Errors
/// As [`load`], with the rows that `check` refuses.
pub fn load_checked(path: &Path, check: RowCheck<'_>) -> Result<Vec<User>, Failure> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Failure::new(ExitClass::Io, "csv.unreadable", format!("{shown}: {error}"))
            .hint("name a CSV file that is there, of at most 256 MiB")
    };
    let mut text = Vec::new();
    let taken = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text)).map_err(unreadable)?;
    if taken as u64 > LONGEST {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    let (users, bad) = read(&text, check);
    if bad.is_empty() {
        return Ok(users);
    }
    let mut told: Vec<_> = bad.iter().take(TOLD).map(|row| format!("\n  {row}")).collect();
    if bad.len() > TOLD {
        told.push(format!("\n  and {} more", bad.len() - TOLD));
    }
    let rows = if bad.len() == 1 { "row" } else { "rows" };
    Err(Failure::new(
        ExitClass::Data,
        "csv.bad-rows",
        format!("{shown}: {} {rows} cannot be taken, and nothing was done:{}", bad.len(), told.concat()),
    )
    .hint("correct the file, and run the same command again"))
}

/// The users of a text, and what is wrong with it.
pub fn read(text: &[u8], check: RowCheck<'_>) -> (Vec<User>, Vec<BadRow>) {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(text);
    let head = match reader.headers() {
        Ok(head) => head.iter().map(str::to_owned).collect::<Vec<_>>(),
        Err(error) => return (Vec::new(), vec![unreadable(&error, 1)]),
    };
    let bad = check_head(&head);
    if !bad.is_empty() {
        return (Vec::new(), bad);
    }
    let (mut users, mut bad) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut record = csv::StringRecord::new();
    let mut lines = LineCounter { text, at: 0, line: 1 };
    loop {
        let line = lines.of(reader.position().byte());
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => match row(&head, &record, line, &mut seen) {
                Ok(mut user) => match check(&mut user) {
                    Ok(()) => users.push(user),
                    Err((column, what)) => bad.push(BadRow { line, column: column.map(str::to_owned), what }),
                },
                Err(row) => bad.push(row),
            },
            Err(error) => bad.push(unreadable(&error, line)),
        }
    }
    if users.is_empty() && bad.is_empty() {
        bad.push(BadRow { line: 1, column: None, what: "there is no row below the header".into() });
    }
    (users, bad)
}

fn check_head(head: &[String]) -> Vec<BadRow> {
    let mut bad = Vec::new();
    let mut refuse = |column: &str, what: &str| {
        bad.push(BadRow { line: 1, column: Some(column.to_owned()), what: what.to_owned() });
    };
    for needed in ["id", "name"] {
        if !head.iter().any(|name| name == needed) {
            refuse(needed, "it is missing: the header needs id and name");
        }
    }
    for (at, name) in head.iter().enumerate() {
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            refuse(&(at + 1).to_string(), "a column is called by 1 to 64 bytes without control characters");
        } else if head[..at].contains(name) {
            refuse(name, "it is there twice");
        }
    }
    bad
}

fn row(
    head: &[String],
    record: &csv::StringRecord,
    line: u64,
    seen: &mut HashMap<String, u64>,
) -> Result<User, BadRow> {
    let bad = |column: Option<&str>, what: String| BadRow { line, column: column.map(str::to_owned), what };
    if record.len() != head.len() {
        return Err(bad(None, format!("it has {} values, and the header has {}", record.len(), head.len())));
    }
    let mut user = User { id: String::new(), name: String::new(), fields: BTreeMap::new() };
    for (column, value) in head.iter().zip(record) {
        let longest = match column.as_str() {
            "id" => 64,
            "name" => 256,
            _ => 1024,
        };
        if value.len() > longest || value.chars().any(char::is_control) {
            return Err(bad(Some(column), format!("a value has at most {longest} bytes and no control characters")));
        }
        match column.as_str() {
            "id" => value.clone_into(&mut user.id),
            "name" => value.clone_into(&mut user.name),
            _ if value.is_empty() => {}
            _ => drop(user.fields.insert(column.clone(), value.to_owned())),
        }
    }
    for (column, value) in [("id", &user.id), ("name", &user.name)] {
        if value.trim().is_empty() {
            return Err(bad(Some(column), "it is empty".into()));
        }
    }
    if let Some(before) = seen.insert(user.id.clone(), line) {
        return Err(bad(Some("id"), format!("{:?} stands in line {before} already", user.id)));
    }
    Ok(user)
}

fn unreadable(error: &csv::Error, line: u64) -> BadRow {
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => "it is no CSV".to_owned(),
    };
    BadRow { line, column: None, what }
}

/// In which line of a text a place is. The reader's own count stays one behind after CR LF.
struct LineCounter<'t> {
    text: &'t [u8],
    at: usize,
    line: u64,
}

impl LineCounter<'_> {
    /// The line of the first row that begins at this byte or behind it: ends of lines, and empty ones, are passed over.
    fn of(&mut self, byte: u64) -> u64 {
        let mut end = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        while matches!(self.text.get(end), Some(b'\r' | b'\n')) {
            end += 1;
        }
        let passed = self.text.get(self.at..end).unwrap_or_default();
        self.line += passed.split(|byte| *byte == b'\n').count() as u64 - 1;
        self.at = end.max(self.at);
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bad(text: &str) -> Vec<String> {
        read(text.as_bytes(), &mut |_| Ok(())).1.iter().map(ToString::to_string).collect()
    }

    /// Whatever ends a line, and however many a value takes.
    #[test]
    fn the_line_is_that_of_the_file() {
        for end in ["\n", "\r\n"] {
            let rows = ["\u{FEFF}id,name", "1,Ada", "", "2,", "\"3", "x\",Bob", "", "", "1,Eve", "4,\u{7}"];
            assert_eq!(
                bad(&rows.join(end)),
                [
                    "line 4, column name: it is empty",
                    "line 5, column id: a value has at most 64 bytes and no control characters",
                    "line 9, column id: \"1\" stands in line 2 already",
                    "line 10, column name: a value has at most 256 bytes and no control characters",
                ],
                "{end:?}"
            );
        }
        let cut = read(b"id,name\r\n1,Ada\r\n2,\xFF\r\n", &mut |_| Ok(())).1;
        assert_eq!(cut.iter().map(|row| row.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn users_in_any_script_with_a_byte_order_mark() {
        let text = "\u{FEFF}id,name,team\r\n7,\"Lovelace, Ada\",\r\nü,山田 太郎,\"a \"\"b\"\"\"\r\n";
        let (users, bad) = read(text.as_bytes(), &mut |_| Ok(()));
        assert_eq!(bad, []);
        assert_eq!((users[0].name.as_str(), users[0].fields.len()), ("Lovelace, Ada", 0));
        assert_eq!(users[1].fields["team"], "a \"b\"");
    }

    #[test]
    fn every_bad_row_is_told_with_its_place() {
        let long = "x".repeat(257);
        let text = format!("id,name\n1,Ada\n,Bob\n2,\n1,Eve\n3,{long}\n4\n5,a\u{7}\n6,Zoe\n");
        assert_eq!(
            bad(&text),
            [
                "line 3, column id: it is empty",
                "line 4, column name: it is empty",
                "line 5, column id: \"1\" stands in line 2 already",
                "line 6, column name: a value has at most 256 bytes and no control characters",
                "line 7: it has 1 values, and the header has 2",
                "line 8, column name: a value has at most 256 bytes and no control characters",
            ]
        );
        assert_eq!(
            bad("name,name\n"),
            [
                "line 1, column id: it is missing: the header needs id and name",
                "line 1, column name: it is there twice",
            ]
        );
        assert_eq!(bad("id,name\n"), ["line 1: there is no row below the header"]);
        assert_eq!(read(&b"id,name\n1,\xFF\n2,Ada\n"[..], &mut |_| Ok(())).1.len(), 1);
    }

    proptest! {
        #[test]
        fn whatever_was_written_is_read(ids in proptest::collection::hash_set("[^\\p{C}\\s]{1,8}", 1..5), name in "[^\\p{C}]{0,20}x") {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["id", "name"]).unwrap();
            for id in &ids {
                writer.write_record([id, &name]).unwrap();
            }
            let (users, bad) = read(&writer.into_inner().unwrap()[..], &mut |_| Ok(()));
            prop_assert_eq!(bad, Vec::new());
            prop_assert_eq!(users.len(), ids.len());
            prop_assert!(users.iter().all(|user| ids.contains(&user.id) && user.name == name));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes[..], &mut |_| Ok(()));
        }
    }
}
