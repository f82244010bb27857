//! Sanitizes text from cards, readers and files, which must not control the terminal that displays it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character has an effect instead of being shown: control characters (C1 too, which some terminals obey),
/// line and paragraph separators, and the marks that change the text direction.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// On one line, with all such characters made visible: `\n`, `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same, but line ends are kept.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| steers(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) && !keep(c) {
            // `\n`, `\t` or `\u{..}`; writing to a String cannot fail.
            let _ = match c {
                '\n' | '\r' | '\t' => write!(shown, "{}", c.escape_default()),
                _ => write!(shown, "{}", c.escape_unicode()),
            };
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A csv cell that no spreadsheet takes for a formula: one that begins like a formula gets a leading apostrophe
/// (OWASP). Line ends stay, since they are quoted; other control characters are made visible. Reading it back
/// (`terminal::user_csv::said`) gives the original text: so existing leading apostrophes, `\u{`, and leading and
/// trailing blanks are marked as well.
pub fn cell(text: &str) -> Cow<'_, str> {
    let marked = if text.contains("\\u{") { Cow::Owned(text.replace("\\u{", "\\u{5c}u{")) } else { text.into() };
    let shown = match escaped(&marked, |c| matches!(c, '\n' | '\r' | '\t')) {
        Cow::Owned(shown) => Cow::Owned(shown),
        Cow::Borrowed(_) => marked,
    };
    let shown = with_blanks(shown);
    let formula = ['=', '+', '-', '@', '\t', '\r', '\n'];
    if shown.trim_start_matches('\'').starts_with(formula) { Cow::Owned(format!("'{shown}")) } else { shown }
}

/// Leading and trailing blanks as `\u{20}`, because readers of tables drop them.
fn with_blanks(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_blank = |c: char| c.is_whitespace() && !c.is_control();
    let (before, rest) = text.split_at(text.len() - text.trim_start_matches(is_blank).len());
    let (inner, after) = rest.split_at(rest.trim_end_matches(is_blank).len());
    if inner.len() == text.len() {
        return text;
    }
    format!("{}{inner}{}", before.escape_unicode(), after.escape_unicode()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(line("\u{1b}[2J\u{9b}31m\nx\ty"), "\\u{1b}[2J\\u{9b}31m\\nx\\ty");
        assert_eq!(line("\u{202E}gnp.exe"), "\\u{202e}gnp.exe");
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
        assert!(matches!(line("Zoë 山田 👩‍🚀"), Cow::Borrowed(_)));
    }

    #[test]
    fn formulas_are_texts() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        assert_eq!(cell("'=1"), "''=1");
        assert_eq!(cell("'tHart"), "'tHart");
        assert_eq!(cell("\\u{41}"), "\\u{5c}u{41}");
        assert_eq!(cell("1-1"), "1-1");
        assert_eq!(cell(" 7 8\u{a0}"), "\\u{20}7 8\\u{a0}");
        assert_eq!(cell("a\nb\u{7}"), "a\nb\\u{7}");
    }

    proptest! {
        #[test]
        fn a_cell_is_read_back(text in "(['=+@-]{0,3}|(\\\\u\\{[0-9a-f]{0,4}\\}?){0,2})\\PC{0,8}[\u{202E}\u{FEFF}]?.{0,4}") {
            let written = cell(&text);
            prop_assert_eq!(crate::terminal::user_csv::said(&written), text.as_str());
        }

        #[test]
        fn nothing_that_steers_is_left(text in any::<String>()) {
            prop_assert!(!line(&text).chars().any(steers));
            prop_assert!(!lines(&text).chars().any(|c| steers(c) && c != '\n'));
            prop_assert!(!cell(&text).starts_with(['=', '+', '-', '@', '\t', '\r']));
        }
    }
}
