//! Text for people: styled cells, aligned by the width that a terminal gives them.

use unicode_width::UnicodeWidthStr;

use super::sanitize;

/// How a piece of text looks where colour is allowed. It reads well without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// Holds, is there.
    Good,
    /// Wants attention.
    Warning,
    /// Failed, refused.
    Bad,
    /// Less important.
    Dim,
    /// More important.
    Strong,
}

impl Style {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Strong => Some("1"),
        }
    }

    /// The text in this style, where colour is allowed.
    pub fn paint(self, text: &str, colour: bool) -> String {
        match self.code() {
            Some(code) if colour && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A text with a style; harmless from the moment it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// With a style.
    pub fn new(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: sanitize::line(text.as_ref()).into_owned(), style }
    }

    fn width(&self) -> usize {
        self.text.width()
    }

    /// As it is written.
    pub fn paint(&self, colour: bool) -> String {
        self.style.paint(&self.text, colour)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// Rows under their heads, in columns. Every row has as many cells as there are heads.
pub fn table(heads: &[&str], rows: &[Vec<Cell>], colour: bool) -> String {
    let heads: Vec<_> = heads.iter().map(|head| Cell::new(head, Style::Dim)).collect();
    let rows: Vec<_> = std::iter::once(&heads).chain(rows).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max().unwrap_or(0);
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        text.push_str(&aligned(row, &widths, colour));
        text.push('\n');
    }
    text
}

/// One label and value a line, the values below each other.
pub fn details(pairs: &[(&str, Cell)], colour: bool) -> String {
    let widths = [pairs.iter().map(|(label, _)| label.width()).max().unwrap_or(0), 0];
    let mut text = String::new();
    for (label, value) in pairs {
        text.push_str(&aligned(&[Cell::new(label, Style::Dim), value.clone()], &widths, colour));
        text.push('\n');
    }
    text
}

/// One outcome on one line: its cells, those that are empty left out.
pub fn line(cells: &[Cell], colour: bool) -> String {
    let cells: Vec<_> = cells.iter().filter(|c| !c.text.is_empty()).map(|c| c.paint(colour)).collect();
    cells.join("  ")
}

/// Two spaces between columns, and none at the end of the line.
fn aligned(row: &[Cell], widths: &[usize], colour: bool) -> String {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate().take(last) {
        line.push_str(&cell.paint(colour));
        if at + 1 < last {
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let rows = [
            vec!["山田".into(), Cell::new("present", Style::Good), "x".into()],
            vec!["Zoë".into(), "here".into(), "".into()],
            vec!["a\u{1b}[2J".into(), "".into(), "".into()],
        ];
        let text = table(&["NAME", "STATE", "READER"], &rows, false);
        let expected = "\
NAME        STATE    READER
山田        present  x
Zoë         here
a\\u{1b}[2J
";
        assert_eq!(text, expected);
    }

    #[test]
    fn colour_changes_no_width() {
        let rows = [vec![Cell::new("a", Style::Bad), "b".into()]];
        let text = table(&["X", "Y"], &rows, true);
        assert_eq!(text, "\u{1b}[2mX\u{1b}[0m  \u{1b}[2mY\u{1b}[0m\n\u{1b}[31ma\u{1b}[0m  b\n");
        assert_eq!(line(&rows[0], false), "a  b");
    }

    #[test]
    fn values_stand_below_each_other() {
        assert_eq!(details(&[("id", "7".into()), ("name", "Ann".into())], false), "id    7\nname  Ann\n");
    }
}
