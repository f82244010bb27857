//! Fits a table into the width of the terminal: long text wraps in its column, and then columns move below their row,
//! the rightmost first. Nothing is cut off.

use unicode_width::UnicodeWidthStr;

use super::wrap::{longest_word, words, wrap};
use super::{Screen, ShownCell, Style, Unbroken};

/// The gap between two columns.
const GAP: usize = 2;
/// The indentation of continuation lines.
pub const INDENT: usize = 2;
/// The minimum width of a text column: a few letters per line are unreadable.
const NARROWEST: usize = 10;
/// A text cell demands room for half its length, so that it takes two or three lines, but at most this. Longer words
/// are broken before a column moves away for them, as are words that need more than a third of the screen.
const LONGEST: usize = 24;

/// The range of a column's width.
#[derive(Debug, Clone, Copy)]
struct Span {
    least: usize,
    most: usize,
}

/// Rows under their heads, in columns. Empty columns and rows are left out.
pub fn table(heads: &[ShownCell], rows: &[Vec<ShownCell>], screen: &Screen) -> String {
    let used = |column: &usize| rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty()));
    let columns: Vec<_> = (0..heads.len()).filter(used).collect();
    let rows: Vec<_> = rows.iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
    let longest = screen.width.map_or(LONGEST, |width| (width / 3).clamp(NARROWEST, LONGEST));
    let spans: Vec<_> = columns.iter().map(|column| span(&heads[*column], &rows, *column, longest)).collect();
    let widths = widths(&spans, screen.width);
    let (inside, below) = columns.split_at(widths.len());
    let mut text = String::new();
    let head: Vec<_> = inside.iter().map(|column| &heads[*column]).collect();
    push_row(&mut text, &head, &widths, screen.colour);
    for row in rows {
        let cells: Vec<_> = inside.iter().filter_map(|column| row.get(*column)).collect();
        push_row(&mut text, &cells, &widths, screen.colour);
        let named = below.iter().filter_map(|column| Some((&heads[*column], row.get(*column)?)));
        let named = named.filter(|(_, cell)| !cell.is_empty());
        let named: Vec<_> = named.map(|(head, cell)| labelled(head, cell)).collect();
        text.push_str(&items(&named, INDENT, INDENT, screen));
    }
    text
}

/// The least width that a column needs, and the most that it can use.
fn span(head: &ShownCell, rows: &[&Vec<ShownCell>], column: usize, longest: usize) -> Span {
    let mut span = Span { least: longest_word(&head.text), most: head.width() };
    for cell in rows.iter().filter_map(|row| row.get(column)) {
        let whole = cell.width();
        let least = if cell.unbroken == Unbroken::All {
            whole
        } else {
            longest_word(&cell.text).max(whole / 2 + 3).min(longest).max(whole.min(NARROWEST))
        };
        span = Span { least: span.least.max(least), most: span.most.max(whole) };
    }
    span
}

/// The widths of the columns that stay in the table: as many from the left as fit, at least one.
fn widths(spans: &[Span], width: Option<usize>) -> Vec<usize> {
    let most = spans.iter().map(|span| span.most).collect::<Vec<_>>();
    let Some(width) = width.filter(|width| needed(&most) > *width) else { return most };
    let mut widths: Vec<_> = spans.iter().map(|span| span.least).collect();
    while widths.len() > 1 && needed(&widths) > width {
        widths.pop();
    }
    if let [only] = &mut widths[..] {
        *only = (*only).min(width.max(1));
    }
    for _ in needed(&widths)..width {
        // Widen the column whose text is longest in proportion to its width.
        let tightest = (0..widths.len()).filter(|at| widths[*at] < spans[*at].most);
        let Some(at) = tightest.max_by_key(|at| spans[*at].most * 1_000 / widths[*at].max(1)) else { break };
        widths[at] += 1;
    }
    widths
}

fn needed(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// One row, on as many lines as its longest cell.
fn push_row(text: &mut String, cells: &[&ShownCell], widths: &[usize], colour: bool) {
    let cells: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| (cell.style, wrap(&cell.text, *width))).collect();
    let height = cells.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    for line in 0..height {
        let of_line = |(style, lines): &(Style, Vec<String>)| (*style, lines.get(line).cloned().unwrap_or_default());
        let parts: Vec<_> = cells.iter().map(of_line).collect();
        let last = parts.iter().rposition(|(_, part)| !part.is_empty()).map_or(0, |last| last + 1);
        for (at, ((style, part), width)) in parts.iter().zip(widths).enumerate().take(last) {
            text.push_str(&style.paint(part, colour));
            if at + 1 < last {
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(part.width()) + GAP));
            }
        }
        text.push('\n');
    }
}

/// Kept together if there is room: a value, or its name and the value.
pub type Item = Vec<ShownCell>;

/// A value with the head of its column.
fn labelled(head: &ShownCell, cell: &ShownCell) -> Item {
    // Abbreviations stay in capitals.
    let lower =
        |word: &str| if ["ATR", "CA", "ID", "UID"].contains(&word) { word.to_owned() } else { word.to_lowercase() };
    let text = head.text.split(' ').map(lower).collect::<Vec<_>>().join(" ");
    let label = ShownCell { text, style: Style::Dim, unbroken: Unbroken::All };
    [label, cell.clone()].into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// Items side by side, separated by two spaces, on as many lines as needed: the first line indented by `first`, the
/// others by `rest`.
pub fn items(items: &[Item], first: usize, rest: usize, screen: &Screen) -> String {
    let mut flow = Flow { lines: Vec::new(), at: first, rest, width: screen.width.unwrap_or(usize::MAX) };
    for item in items {
        flow.item(item);
    }
    let mut text = String::new();
    for (at, line) in flow.lines.iter().enumerate() {
        indent(&mut text, if at == 0 { first } else { rest });
        for (n, (style, run)) in line.iter().enumerate() {
            // No trailing padding at the end of a line.
            let run = if n + 1 == line.len() { run.trim_end_matches(' ') } else { run };
            text.push_str(&style.paint(run, screen.colour));
        }
        text.push('\n');
    }
    text
}

/// Lines under construction.
struct Flow {
    lines: Vec<Vec<(Style, String)>>,
    /// The current column.
    at: usize,
    /// The indentation of all lines after the first.
    rest: usize,
    width: usize,
}

impl Flow {
    fn item(&mut self, item: &Item) {
        let whole: usize = item.iter().map(|piece| piece.width() + 1).sum::<usize>().saturating_sub(1);
        let is_short = self.rest + whole <= self.width;
        let is_tight = self.at + GAP + NARROWEST > self.width;
        if !self.lines.is_empty() && self.at + GAP + whole > self.width && (is_short || is_tight) {
            self.begin_line();
        }
        let mut gap = GAP;
        for piece in item {
            if piece.unbroken == Unbroken::All || self.at + gap + piece.width() <= self.width {
                self.word(&piece.text, piece.style, gap);
                gap = 1;
                continue;
            }
            let room = self.width.saturating_sub(self.rest).max(1);
            let (before, kept, after) = around(piece);
            let broken = |text| words(text).flat_map(|word| wrap(word, room));
            for word in broken(before).chain(kept.map(str::to_owned)).chain(broken(after)) {
                self.word(&word, piece.style, gap);
                gap = 1;
            }
        }
    }

    fn begin_line(&mut self) {
        self.lines.push(Vec::new());
        self.at = self.rest;
    }

    /// Adds a word to this line, or to the next one if it does not fit.
    fn word(&mut self, word: &str, style: Style, gap: usize) {
        let is_empty = self.lines.last().is_none_or(Vec::is_empty);
        if !is_empty && self.at + gap + word.width() > self.width {
            self.begin_line();
        }
        if self.lines.is_empty() {
            self.lines.push(Vec::new());
        }
        let Some(line) = self.lines.last_mut() else { return };
        match line.last_mut() {
            // One pair of escape sequences for each run of words.
            Some((before, run)) if gap == 1 && *before == style => {
                run.push(' ');
                run.push_str(word);
                self.at += 1 + word.width();
            }
            Some(_) => {
                line.push((Style::Plain, " ".repeat(gap)));
                line.push((style, word.to_owned()));
                self.at += gap + word.width();
            }
            None => {
                line.push((style, word.to_owned()));
                self.at += word.width();
            }
        }
    }
}

/// The unbroken part, with the characters that touch it, and the texts before and after it.
fn around(piece: &ShownCell) -> (&str, Option<&str>, &str) {
    let Unbroken::Part(range) = &piece.unbroken else { return (&piece.text, None, "") };
    let begin = piece.text[..range.start].rfind(' ').map_or(0, |blank| blank + 1);
    let end = piece.text[range.end..].find(' ').map_or(piece.text.len(), |blank| range.end + blank);
    (&piece.text[..begin], Some(&piece.text[begin..end]), &piece.text[end..])
}

/// A name and its value; a long value wraps, or moves below its name if the space beside it is too narrow for its
/// words.
pub fn detail(label: &ShownCell, value: &ShownCell, beside: usize, screen: &Screen) -> String {
    let mut text = label.style.paint(&label.text, screen.colour);
    let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(beside + GAP));
    let least = if value.unbroken == Unbroken::All { value.width() } else { longest_word(&value.text) };
    let fits = value.width() <= room || (least <= room && room >= NARROWEST);
    let (lines, column) = match screen.width {
        Some(width) if !fits => {
            text.push('\n');
            indent(&mut text, INDENT);
            let room = width.saturating_sub(INDENT).max(1);
            (if value.unbroken == Unbroken::All { vec![value.text.clone()] } else { wrap(&value.text, room) }, INDENT)
        }
        _ => {
            indent(&mut text, beside.saturating_sub(label.width()) + GAP);
            (wrap(&value.text, room), beside + GAP)
        }
    };
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            text.push('\n');
            indent(&mut text, column);
        }
        text.push_str(&value.style.paint(line, screen.colour));
    }
    text.push('\n');
    text
}

fn indent(text: &mut String, by: usize) {
    text.extend(std::iter::repeat_n(' ', by));
}
