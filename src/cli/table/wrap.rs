//! Wraps text to a width in terminal cells: a wide letter takes two, a combining one none.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// The text in lines of at most `width` cells: broken between words, and inside a word longer than a line, but never
/// inside a character. A character wider than a line has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        let gap = usize::from(!line.is_empty());
        if line.width() + gap + word.width() <= width {
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for letter in word.graphemes(true) {
            if !line.is_empty() && line.width() + letter.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(letter);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The width of the longest word.
pub fn longest_word(text: &str) -> usize {
    words(text).map(UnicodeWidthStr::width).max().unwrap_or(0)
}

/// The parts between blanks; a non-breaking blank is part of a word.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_break_between_words_and_never_inside_a_letter() {
        assert_eq!(wrap("Ada King Lovelace", 8), ["Ada King", "Lovelace"]);
        assert_eq!(wrap("山田太郎", 5), ["山田", "太郎"]);
        assert_eq!(wrap("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
        assert_eq!(wrap("👩‍🚀👩‍🚀", 3), ["👩‍🚀", "👩‍🚀"]);
        assert_eq!(wrap("नमस्ते", 1).concat(), "नमस्ते");
        assert_eq!(wrap("山", 1), ["山"]);
        assert_eq!(wrap("", 1), [""]);
    }

    proptest! {
        /// Whatever the text: no line is too wide, and every character is there, in order.
        #[test]
        fn nothing_is_lost_and_no_line_is_too_wide(text in "[a-zé山\u{301}אع👩🚀 \u{200d}]{0,40}", width in 2..30_usize) {
            let lines = wrap(&text, width);
            let bare = |text: &str| text.replace(' ', "");
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
            for line in &lines {
                prop_assert!(line.width() <= width || line.graphemes(true).count() == 1, "{line:?} at {width}");
            }
        }
    }
}
