//! Lays out text for people: styled cells, aligned by their width on a terminal.

mod fit;
mod wrap;

use std::collections::BTreeSet;

use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;
use uuid::Uuid;

use super::sanitize;
use super::wall_clock::WallClock;

/// The style of a piece of text where colour is allowed. The text must be clear without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// No style.
    #[default]
    Plain,
    /// Valid, present.
    Good,
    /// Needs attention.
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

    /// The text in this style, if colour is allowed.
    pub fn paint(self, text: &str, colour: bool) -> String {
        match self.code() {
            Some(code) if colour && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A styled text; sanitized when created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    content: CellContent,
    style: Style,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CellContent {
    Text(String),
    /// On one line, never broken: for copying, or reading at a glance.
    Solid(String),
    /// A text with a part that is never broken.
    Keeping(String, String),
    /// The id of a token.
    Token(Uuid),
    /// A time, and a remark on it.
    Moment(Timestamp, String),
}

impl Default for CellContent {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Cell {
    /// A text in a style.
    pub fn new(text: impl AsRef<str>, style: Style) -> Self {
        Self { content: CellContent::Text(sanitize::line(text.as_ref()).into_owned()), style }
    }

    /// A text that is never broken over lines.
    pub fn solid(text: impl AsRef<str>, style: Style) -> Self {
        Self { content: CellContent::Solid(sanitize::line(text.as_ref()).into_owned()), style }
    }

    /// A text with a part, such as a command, that is never broken, for copying.
    pub fn keeping(text: &str, part: &str) -> Self {
        let [text, part] = [text, part].map(|text| sanitize::line(text).into_owned());
        Self { content: CellContent::Keeping(text, part), style: Style::Plain }
    }

    /// The id of a token; in a table or a line only its beginning, which commands accept as well.
    pub const fn token(id: Uuid, style: Style) -> Self {
        Self { content: CellContent::Token(id), style }
    }

    /// A time, to the second, which is exact enough for people, followed by a remark.
    pub fn moment(at: Timestamp, said: impl AsRef<str>, style: Style) -> Self {
        Self { content: CellContent::Moment(at, sanitize::line(said.as_ref()).into_owned()), style }
    }

    /// The cell as shown there, with this many characters of token ids.
    fn piece(&self, letters: usize, screen: &Screen) -> ShownCell {
        let style = self.style;
        match &self.content {
            CellContent::Text(text) => ShownCell { text: text.clone(), style, unbroken: Unbroken::Nothing },
            CellContent::Solid(text) => ShownCell { text: text.clone(), style, unbroken: Unbroken::All },
            CellContent::Keeping(text, part) => {
                ShownCell { text: text.clone(), style, unbroken: Unbroken::part(text, part) }
            }
            CellContent::Token(id) => {
                let text: String = id.to_string().chars().take(letters).collect();
                ShownCell { text: text.trim_end_matches('-').to_owned(), style, unbroken: Unbroken::All }
            }
            CellContent::Moment(at, said) if said.is_empty() => {
                ShownCell { text: screen.moment(*at), style, unbroken: Unbroken::All }
            }
            CellContent::Moment(at, said) => {
                ShownCell { text: format!("{} {said}", screen.moment(*at)), style, unbroken: Unbroken::Nothing }
            }
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// A cell as shown.
#[derive(Debug, Clone)]
struct ShownCell {
    text: String,
    style: Style,
    unbroken: Unbroken,
}

/// Which part of a text is never broken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unbroken {
    Nothing,
    All,
    /// This byte range.
    Part(std::ops::Range<usize>),
}

impl Unbroken {
    fn part(text: &str, part: &str) -> Self {
        match text.find(part) {
            Some(at) if !part.is_empty() => Self::Part(at..at + part.len()),
            _ => Self::Nothing,
        }
    }
}

impl ShownCell {
    fn width(&self) -> usize {
        self.text.width()
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// The device on which text is shown.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    /// Cells in a line; unlimited if not known.
    pub width: Option<usize>,
    /// Whether it supports escape sequences for colours.
    pub colour: bool,
    /// The clock of the user; times are in UTC without one.
    pub clock: Option<WallClock>,
}

impl Screen {
    /// A time as shown here.
    pub fn moment(&self, at: Timestamp) -> String {
        self.clock.as_ref().map_or_else(|| format!("{at:.0}"), |clock| clock.show(at))
    }
}

/// How much of a token id is usually enough: its first group.
const SHORT: usize = 8;
/// A whole id, with its hyphens.
const WHOLE: usize = 36;

/// How many characters of the token ids are needed to tell them apart.
fn letters<'a>(cells: impl Iterator<Item = &'a Cell>) -> usize {
    let ids =
        cells.filter_map(|cell| if let CellContent::Token(id) = cell.content { Some(id.to_string()) } else { None });
    let ids: Vec<_> = ids.collect::<BTreeSet<_>>().into_iter().collect();
    // In sorted order, neighbours have the longest common prefix.
    let alike = ids.windows(2).map(|two| two[0].bytes().zip(two[1].bytes()).take_while(|(a, b)| a == b).count());
    alike.max().map_or(SHORT, |alike| SHORT.max(alike + 1))
}

/// Rows under their heads, in columns; empty columns are left out. If the screen is too narrow, cells wrap, and then
/// the columns on the right move below their row.
pub fn table(heads: &[&str], rows: &[Vec<Cell>], screen: &Screen) -> String {
    let letters = letters(rows.iter().flatten());
    let heads: Vec<_> = heads.iter().map(|head| Cell::new(head, Style::Dim).piece(WHOLE, screen)).collect();
    let rows: Vec<Vec<_>> =
        rows.iter().map(|row| row.iter().map(|cell| cell.piece(letters, screen)).collect()).collect();
    fit::table(&heads, &rows, screen)
}

/// One label and value per line, with aligned values; empty ones are left out.
pub fn details(pairs: &[(&str, Cell)], screen: &Screen) -> String {
    let pieces = pairs
        .iter()
        .map(|(label, value)| (Cell::new(label, Style::Dim).piece(WHOLE, screen), value.piece(WHOLE, screen)));
    let shown: Vec<_> = pieces.filter(|(_, value)| !value.is_empty()).collect();
    let beside = shown.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    shown.iter().map(|(label, value)| fit::detail(label, value, beside, screen)).collect()
}

/// One outcome on one line, which wraps if the screen is too narrow; empty cells are left out.
pub fn line(cells: &[Cell], screen: &Screen) -> String {
    indented(cells, 0, screen)
}

/// The same, indented.
pub fn indented(cells: &[Cell], by: usize, screen: &Screen) -> String {
    let pieces = cells.iter().map(|cell| cell.piece(SHORT, screen)).filter(|piece| !piece.is_empty());
    fit::items(&pieces.map(|piece| vec![piece]).collect::<Vec<_>>(), by, by + fit::INDENT, screen)
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
        let text = table(&["NAME", "STATE", "READER"], &rows, &Screen::default());
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
        let text = table(&["X", "Y"], &rows, &Screen { colour: true, ..Screen::default() });
        assert_eq!(text, "\u{1b}[2mX\u{1b}[0m  \u{1b}[2mY\u{1b}[0m\n\u{1b}[31ma\u{1b}[0m  b\n");
        assert_eq!(line(&rows[0], &Screen::default()), "a  b\n");
    }

    #[test]
    fn what_is_copied_stays_in_one_piece() {
        let narrow = Screen { width: Some(20), ..Screen::default() };
        let remedy =
            Cell::keeping("start it: sudo systemctl start pcscd, and look again soon", "sudo systemctl start pcscd");
        let expected = "→  start it:\n  sudo systemctl start pcscd,\n  and look again\n  soon\n";
        assert_eq!(line(&["→".into(), remedy], &narrow), expected);
        let url = Cell::solid("https://desk.example/#secret", Style::Plain);
        assert_eq!(
            details(&[("url", url), ("for", "hall".into())], &narrow),
            "url\n  https://desk.example/#secret\nfor  hall\n"
        );
    }

    #[test]
    fn ids_of_tokens_are_as_long_as_tells_them_apart() {
        let shown = |ids: &[&str]| {
            let rows: Vec<_> = ids.iter().map(|id| vec![Cell::token(id.parse().unwrap(), Style::Plain)]).collect();
            let text = table(&["T"], &rows, &Screen::default());
            text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let ann = "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e";
        assert_eq!(shown(&[ann, ann, "1b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e"]), ["0b5c9c2e", "0b5c9c2e", "1b5c9c2e"]);
        assert_eq!(shown(&["0b5c9c2e-2f5e-4f5b-8a39-5f0f7f1c2d3e", ann]), ["0b5c9c2e-2f5", "0b5c9c2e-2f4"]);
        let cell = Cell::token(ann.parse().unwrap(), Style::Plain);
        assert_eq!(line(std::slice::from_ref(&cell), &Screen::default()), "0b5c9c2e\n");
        assert_eq!(details(&[("token", cell)], &Screen::default()), format!("token  {ann}\n"));
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let rows = [vec!["a".into(), "".into(), "b".into()], vec![Cell::default(); 3]];
        assert_eq!(table(&["X", "Y", "Z"], &rows, &Screen::default()), "X  Z\na  b\n");
        assert_eq!(details(&[("x", "a".into()), ("long", "".into())], &Screen::default()), "x  a\n");
    }

    #[test]
    fn values_stand_below_each_other() {
        assert_eq!(details(&[("id", "7".into()), ("name", "Ann".into())], &Screen::default()), "id    7\nname  Ann\n");
    }
}
