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

/// Why a cell, as it is in the file, is no id: a spreadsheet put it in the place of what somebody typed. An id that is so
/// on purpose is written as a text: `="1E+05"`.
///
/// # Errors
/// In words, for the mark of a failed formula, and for a number that lost its last digits.
pub fn typed_id(cell: &str) -> Result<(), String> {
    if is_shortened(cell) {
        return Err(format!(
            "{cell:?} is a number that a spreadsheet shortened: format the column as text there, enter the id once more, \
             and export it again; one that is meant so is written ={cell:?}"
        ));
    }
    typed(cell)
}

/// The same for a name.
///
/// # Errors
/// In words, for the mark of a failed formula.
pub fn typed(cell: &str) -> Result<(), String> {
    if is_failed_formula(cell) {
        return Err(format!(
            "{cell:?} marks a formula of the spreadsheet that failed: correct it there, and export it again; \
             one that is meant so is written ={cell:?}"
        ));
    }
    Ok(())
}

/// What spreadsheets save where a formula failed, in any language: `#REF!`, `#DIV/0!`, `#NOM?`, `#¡VALOR!`, `#N/A`, and
/// `Err:502` of `LibreOffice`.
fn is_failed_formula(cell: &str) -> bool {
    let is_letter = |letter: char| letter.is_uppercase() || matches!(letter, '/' | '0');
    if let Some(number) = cell.strip_prefix("Err:") {
        return number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    }
    let Some(mark) = cell.strip_prefix('#') else { return false };
    if let Some(word) = mark.strip_suffix(['!', '?']) {
        let word = word.trim_start_matches(['¡', '¿']);
        return word.chars().count() > 1 && word.chars().all(is_letter);
    }
    // "Not available", which has no mark at its end: #N/A, #N/D, #Н/Д.
    let mut letters = mark.chars();
    let initials = [letters.next(), letters.next(), letters.next(), letters.next()];
    mark == "NV" || matches!(initials, [Some(n), Some('/'), Some(a), None] if n.is_uppercase() && a.is_uppercase())
}

/// A large number as spreadsheets show it, `1E+05` or `1,23457E+15`: so many digits at most, and zeros for the rest.
fn is_shortened(cell: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((number, exponent)) = cell.split_once(['E', 'e']) else { return false };
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let exponent = exponent.strip_prefix('+').unwrap_or_default();
    whole.len() == 1
        && is_digits(whole)
        && is_digits(fraction)
        && (2..=3).contains(&exponent.len())
        && is_digits(exponent)
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
    fn what_a_spreadsheet_put_in_the_place_of_an_id_is_none() {
        for cell in [
            "#REF!",
            "#N/A",
            "#VALUE!",
            "#NAME?",
            "#DIV/0!",
            "#NULL!",
            "#NUM!",
            "#SPILL!",
            "#BEZUG!",
            "#NOM?",
            "#¡VALOR!",
            "#¿NOMBRE?",
            "#ССЫЛКА!",
            "#Н/Д",
            "#NV",
            "Err:502",
        ] {
            assert!(typed(cell).unwrap_err().contains("failed"), "{cell}");
            assert!(typed_id(cell).unwrap_err().contains(cell), "{cell}");
        }
        for cell in ["1E+05", "1.23457E+15", "1,23457E+15", "-1E+100", "1e+15"] {
            assert!(typed_id(cell).unwrap_err().contains("shortened"), "{cell}");
            assert_eq!(typed(cell), Ok(()), "{cell}");
        }
        for cell in [
            "#7", "#A!", "#ref!", "#Tag!", "#N/AB", "#", "#!", "Err:x", "Err:5020", "1e5", "1E5", "1E-05", "E+05",
            "12E+05", "1.E+05", "1E+5", "1E+05x", "A1E+05", "0042", "C3-E+12", "Ann",
        ] {
            assert_eq!(typed_id(cell), Ok(()), "{cell}");
        }
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
