//! The names of readers as text: the service gives bytes, and cuts long names where it likes.

use std::{borrow::Cow, ffi::CStr, fmt::Write};

/// Each name as it is shown. What is not UTF-8 is replaced; where two names would be one by that, its bytes are written out
/// in both.
pub(super) fn shown<'a>(names: impl Iterator<Item = &'a CStr>) -> Vec<String> {
    let all: Vec<(&CStr, Cow<'_, str>)> = names.map(|name| (name, name.to_string_lossy())).collect();
    let is_like_another = |name: &CStr, text: &str| all.iter().any(|(other, shown)| shown == text && *other != name);
    all.iter().map(|(name, text)| if is_like_another(name, text) { spelt(name) } else { text.to_string() }).collect()
}

fn spelt(name: &CStr) -> String {
    let mut text = String::new();
    for chunk in name.to_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_any_byte_are_different_names() {
        let of = |names: &[&'static CStr]| shown(names.iter().copied());
        assert_eq!(of(&[c"Door", c"Le\xC3", c"S\u{fc}d"]), ["Door", "Le\u{FFFD}", "S\u{fc}d"]);
        assert_eq!(of(&[c"Le\xC3", c"Door", c"Le\xE9"]), ["Le\\xC3", "Door", "Le\\xE9"]);
        // The order does not matter: it is another in each list.
        assert_eq!(of(&[c"Le\xE9", c"Le\xC3"]), ["Le\\xE9", "Le\\xC3"]);
        assert_eq!(of(&[c"Le\xC3", c"Le\u{FFFD}"]), ["Le\\xC3", "Le\u{FFFD}"]);
        assert_eq!(of(&[c"One", c"One"]), ["One", "One"]);
    }
}
