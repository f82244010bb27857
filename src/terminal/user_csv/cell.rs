//! The text of a cell, apart from what keeps spreadsheets and terminals from obeying it.

use std::borrow::Cow;

/// What spreadsheets take for the beginning of a formula.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n'];

/// What a cell says that this program or a spreadsheet wrote: what a formula says that is nothing but a text (`="0042"`),
/// without the apostrophe before what looks like a formula, and with the characters that `\u{…}` stands for.
pub fn said(cell: &str) -> Cow<'_, str> {
    match text_of_formula(cell) {
        Some(text) => Cow::Owned(plain(&text).into_owned()),
        None => plain(cell),
    }
}

/// What a formula says that puts texts together and does nothing else: `="0042"`, `="a"&"b"`, with two quotation marks for one.
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

#[cfg(test)]
mod tests {
    use super::*;

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
