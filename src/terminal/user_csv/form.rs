//! The format of a table of users: its encoding, its separator, and the meaning of its columns.

use super::{cell::said, encoding::TextEncoding};

/// The possible separators.
const SEPARATORS: &[u8] = b",;\t|";
/// The prefix of a field whose name would otherwise mean another column.
const FIELD: &str = "field.";

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableColumn {
    /// The identifier.
    Id,
    /// The name.
    Name,
    /// The path of a picture.
    Portrait,
    /// The field of this name.
    Field(String),
    /// Nothing: it has no name, and must have no values.
    Blank,
}

impl TableColumn {
    /// The meaning of a column heading, regardless of case.
    pub fn of(head: &str, portraits: bool) -> Self {
        let head = said(head);
        // A name with this prefix has its blanks on purpose.
        if let Some(key) = head.strip_prefix(FIELD).filter(|key| !key.is_empty()) {
            return Self::Field(key.to_owned());
        }
        match head.trim() {
            "" => Self::Blank,
            id if id.eq_ignore_ascii_case("id") => Self::Id,
            name if name.eq_ignore_ascii_case("name") => Self::Name,
            portrait if portraits && portrait.eq_ignore_ascii_case("portrait") => Self::Portrait,
            key => Self::Field(key.to_owned()),
        }
    }

    /// The heading under which a field of this name is read back as that field.
    pub fn head_of_field(key: &str) -> String {
        let is_plain = Self::of(key, true) == Self::Field(key.to_owned());
        if is_plain { key.to_owned() } else { format!("{FIELD}{key}") }
    }
}

/// What was recognised about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableForm {
    /// Its encoding.
    pub encoding: TextEncoding,
    /// The separator of its cells.
    pub separator: u8,
    /// The columns, once the header is read.
    pub columns: Vec<TableColumn>,
}

impl TableForm {
    /// The names of the field columns.
    pub fn fields(&self) -> impl Iterator<Item = &String> {
        self.columns.iter().filter_map(|column| match column {
            TableColumn::Field(key) => Some(key),
            _ => None,
        })
    }

    /// Whether its rows have names.
    pub fn has_names(&self) -> bool {
        self.columns.contains(&TableColumn::Name)
    }

    /// Whether it is the format that this program writes.
    pub fn is_usual(&self) -> bool {
        self.encoding == TextEncoding::Utf8 && self.separator == b','
    }

    /// How it was read: `read as UTF-16, separated by semicolons`.
    pub fn reading(&self) -> String {
        format!("read as {}, separated by {}", self.encoding.name(), in_words(self.separator))
    }

    /// What is wrong with a row of one cell that would have as many as the header with another separator.
    pub fn other_separator(&self, cell: &str) -> Option<String> {
        let fits =
            |other: &&u8| **other != self.separator && cell.split(char::from(**other)).count() == self.columns.len();
        let other = SEPARATORS.iter().find(fits)?;
        Some(format!(
            "its values are separated by {}, and those of the header by {}",
            in_words(*other),
            in_words(self.separator)
        ))
    }

    /// A description of the columns that became fields.
    pub fn fields_in_words(&self) -> String {
        let fields: Vec<_> = self.fields().map(String::as_str).collect();
        if fields.is_empty() { "no field columns".to_owned() } else { format!("fields: {}", fields.join(", ")) }
    }
}

fn in_words(separator: u8) -> String {
    match separator {
        b',' => "commas".to_owned(),
        b';' => "semicolons".to_owned(),
        b'\t' => "tabs".to_owned(),
        other => format!("{:?}", char::from(other)),
    }
}

/// The text below a line `sep=;`, and the separator which that line declares.
pub fn after_separator_line(text: &str) -> (&str, Option<u8>) {
    let (line, rest) = match text.find(['\r', '\n']) {
        Some(end) => text.split_at(end),
        None => (text, ""),
    };
    let line = line.trim_matches(|c| c == '"' || c == ' ');
    match line.as_bytes() {
        [s, e, p, b'=', separator]
            if [*s, *e, *p].eq_ignore_ascii_case(b"sep") && separator.is_ascii() && *separator != b'"' =>
        {
            (rest, Some(*separator))
        }
        _ => (text, None),
    }
}

/// The separator: the one with which the first row becomes a header with id and name, or else has the most columns.
pub fn separator_of(text: &str) -> u8 {
    let heads = |separator| {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let first = reader.records().take(64).find_map(|row| row.ok().filter(|row| row.iter().any(is_something)));
        first.map(|row| row.iter().map(|head| TableColumn::of(head, false)).collect::<Vec<_>>()).unwrap_or_default()
    };
    let merit = |separator: &&u8| {
        let heads = heads(**separator);
        let known = usize::from(heads.contains(&TableColumn::Id)) + usize::from(heads.contains(&TableColumn::Name));
        let place = SEPARATORS.iter().position(|one| one == *separator).unwrap_or_default();
        (known, heads.len(), SEPARATORS.len() - place)
    };
    SEPARATORS.iter().max_by_key(merit).copied().unwrap_or(b',')
}

/// Whether a cell has a value.
pub fn is_something(cell: &str) -> bool {
    !cell.trim().is_empty()
}
