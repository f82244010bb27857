//! The text of a CSV cell, without the escapes that keep spreadsheets and terminals from interpreting it.

use std::borrow::Cow;

/// Characters with which spreadsheets recognise a formula.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n'];

/// The text of a cell written by this program or a spreadsheet: resolves a formula that is only a text (`="0042"`),
/// removes the apostrophe before what looks like a formula, and decodes `\u{…}`.
pub fn said(cell: &str) -> Cow<'_, str> {
    match text_of_formula(cell) {
        Some(text) => Cow::Owned(plain(&text).into_owned()),
        None => plain(cell),
    }
}

/// The text of a formula that only concatenates texts: `="0042"`, `="a"&"b"`; two quotation marks stand for one.
fn text_of_formula(cell: &str) -> Option<String> {
    let mut rest = cell.strip_prefix("=\"")?;
    let mut text = String::new();
    loop {
        let (piece, after) = rest.split_once('"')?;
        text.push_str(piece);
        rest = match (after, after.strip_prefix('"'), after.strip_prefix("&\"")) {
            ("", ..) => return Some(text),
            (_, Some(more), _) => {
                text.push('"');
                more
            }
            (_, _, Some(more)) => more,
            _ => return None,
        };
    }
}

fn plain(cell: &str) -> Cow<'_, str> {
    let text = match cell.strip_prefix('\'') {
        Some(rest) if rest.trim_start_matches('\'').starts_with(FORMULA) => rest,
        _ => cell,
    };
    if text.contains("\\u{") { Cow::Owned(unescaped(text)) } else { Cow::Borrowed(text) }
}

fn unescaped(text: &str) -> String {
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("\\u{") {
        said.push_str(before);
        let escape = after.split_once('}').filter(|(digits, _)| (1..=6).contains(&digits.len()));
        let escape = escape.and_then(|(digits, behind)| Some((u32::from_str_radix(digits, 16).ok()?, behind)));
        if let Some((character, behind)) = escape.and_then(|(code, behind)| Some((char::from_u32(code)?, behind))) {
            said.push(character);
            rest = behind;
        } else {
            said.push_str("\\u{");
            rest = after;
        }
    }
    said + rest
}

/// A cell without surrounding blanks: they are invisible in a spreadsheet, and `7 ` would be another user than `7`.
/// Blanks that are intended are written as `\\u{20}`.
///
/// # Errors
/// In words, for a quotation mark that counts as text only because a blank precedes it.
pub fn within_blanks(cell: &str) -> Result<&str, &'static str> {
    let is_blank = |c: char| c.is_whitespace() && !c.is_control();
    let text = cell.trim_matches(is_blank);
    if cell.starts_with(is_blank) && text.starts_with('"') {
        return Err("there is a blank before its quotation mark, which has to come first");
    }
    Ok(text)
}

/// Whether a row, as it is in the file, ends inside quotation marks: only the last row of a file can.
pub fn ends_in_quotes(row: &[u8], separator: u8) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Begin,
        Plain,
        Quoted,
        /// After a quotation mark, which ends the cell or is the first of two.
        Mark,
    }
    let end = row.iter().fold(At::Begin, |at, byte| match (at, byte) {
        (At::Quoted, b'"') => At::Mark,
        (At::Begin | At::Mark, b'"') | (At::Quoted, _) => At::Quoted,
        (_, b'\r' | b'\n') => At::Begin,
        (_, byte) if *byte == separator => At::Begin,
        _ => At::Plain,
    });
    end == At::Quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_a_text_do_not_count() {
        for (cell, text) in
            [("7", Ok("7")), (" 7\u{a0}", Ok("7")), ("\\u{20}7", Ok("\\u{20}7")), ("7\t", Ok("7\t")), ("  ", Ok(""))]
        {
            assert_eq!(within_blanks(cell), text, "{cell:?}");
        }
        assert!(within_blanks(" \"Eva\"").is_err());
        assert_eq!(within_blanks("\"Eva\" "), Ok("\"Eva\""));
    }

    #[test]
    fn an_open_quotation_mark_is_found() {
        for (row, open) in [
            ("7,\"Eva\n8,Bob\n", true),
            ("7,\"E\"\"va", true),
            ("\"", true),
            ("7,\"Eva\"\n", false),
            ("7,\"E\"\"va\"", false),
            ("7,5\" pipe\n", false),
            ("\n7,Eva", false),
        ] {
            assert_eq!(ends_in_quotes(row.as_bytes(), b','), open, "{row:?}");
        }
    }

    #[test]
    fn what_was_added_is_taken_away_and_nothing_else() {
        for (cell, text) in [
            ("'=A", "=A"),
            ("''=A", "'=A"),
            ("'tHart", "'tHart"),
            ("''", "''"),
            ("'+49 170", "+49 170"),
            ("=A", "=A"),
            ("a\\u{202e}b", "a\u{202e}b"),
            ("\\u{5c}u{41}", "\\u{41}"),
            ("\\u{zz}\\u{110000}\\u{", "\\u{zz}\\u{110000}\\u{"),
            ("=\"0042\"", "0042"),
            ("=\"\"", ""),
            ("=\"5\"\" \"\"\"", "5\" \""),
            ("=\"a\"&\"b\"", "ab"),
            ("=\"'=\"\"0042\"\"\"", "=\"0042\""),
            ("'=\"0042\"", "=\"0042\""),
            ("=\"0042", "=\"0042"),
            ("=\"a\"&B1", "=\"a\"&B1"),
            ("=\"a\"+\"b\"", "=\"a\"+\"b\""),
            ("=\"a\" ", "=\"a\" "),
        ] {
            assert_eq!(said(cell), text, "{cell}");
        }
    }
}
