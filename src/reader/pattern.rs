//! Matches reader names against what a user types: part of a name, a pattern for all of it, or a stable identity.

use super::identity::{ReaderIdentity, serial_in, split_number};

/// Part of a name; with `*` (anything) or `?` (one character) a pattern for the whole name; or `serial:` and `usb:`
/// with a stable identity. Case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NamePattern {
    Part(String),
    Glob(Vec<char>),
    Serial(String),
    Port(String),
}

impl NamePattern {
    pub(super) fn new(text: &str) -> Self {
        let text = fold(text);
        match text.split_once(':') {
            Some(("serial", serial)) => Self::Serial(serial.to_owned()),
            Some(("usb", port)) => Self::Port(port.to_owned()),
            _ if text.contains(['*', '?']) => Self::Glob(text.chars().collect()),
            _ => Self::Part(text),
        }
    }

    /// Whether this reader matches; `None` if the driver would have to be asked and cannot be.
    pub(super) fn fits(&self, name: &str) -> Option<bool> {
        match self {
            Self::Part(part) => Some(fold(name).contains(part.as_str())),
            Self::Glob(pattern) => Some(glob(pattern, &fold(name).chars().collect::<Vec<_>>())),
            // Ask the driver only if the name does not say.
            Self::Serial(serial) => match serial_in(name) {
                Some(told) => Some(fold(told) == *serial),
                None => told(serial, |identity| identity.serial, name),
            },
            Self::Port(port) => told(port, |identity| identity.port, name),
        }
    }

    /// Whether this reader certainly matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.fits(name) == Some(true)
    }
}

fn told(wanted: &str, of: fn(ReaderIdentity) -> Option<String>, reader: &str) -> Option<bool> {
    let identity = ReaderIdentity::of(reader);
    let was_asked = identity.was_asked;
    match of(identity) {
        Some(told) => Some(fold(&told) == wanted),
        None => was_asked.then_some(false),
    }
}

pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Backtracks to the last star only, so that no pattern takes long.
fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// A pattern for this reader alone that remains valid when readers are replugged in another order.
pub fn lasting(reader: &str, all: &[&str]) -> Option<String> {
    let (base, number) = split_number(reader);
    let is_only_this = |pattern: &String| {
        let pattern = NamePattern::new(pattern);
        pattern.matches(reader) && all.iter().all(|other| *other == reader || !pattern.matches(other))
    };
    let by_name = [Some(base.to_owned()), number.map(|(_, slot)| format!("{base} ?? {slot}"))];
    let by_name = by_name.into_iter().flatten().find(is_only_this);
    by_name.or_else(|| ReaderIdentity::of(reader).pattern().filter(is_only_this))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lasting_pattern_has_no_number_and_fits_one_reader() {
        let dual = ["ACS Dual [PICC] 00 00", "ACS Dual [SAM] 00 01", "Two Slots 01 00", "Two Slots 01 01"];
        let of = |name: &str| lasting(name, &dual);
        assert_eq!(of(dual[1]).as_deref(), Some("ACS Dual [SAM]"));
        assert_eq!(of(dual[3]).as_deref(), Some("Two Slots ?? 01"));
        for name in dual {
            let pattern = NamePattern::new(&of(name).unwrap());
            assert_eq!(dual.map(|other| pattern.matches(other)), dual.map(|other| other == name), "{name}");
        }
        // Replugged under another number.
        assert!(NamePattern::new(&of(dual[3]).unwrap()).matches("Two Slots 07 01"));
        assert_eq!(lasting("Door", &["Door", "Gate"]).as_deref(), Some("Door"));
        // Of two names that differ only by the number, no part is both unique and stable.
        assert_eq!(lasting("ACS 00 00", &["ACS 00 00", "ACS 01 00"]), None);
    }

    #[test]
    fn what_cannot_be_asked_is_not_decided() {
        // No service knows this reader.
        assert_eq!(NamePattern::new("serial:A1").fits("A reader that is nowhere 00 00"), None);
        assert_eq!(NamePattern::new("usb:1-4").fits("A reader that is nowhere 00 00"), None);
        assert_eq!(NamePattern::new("serial:A1").fits("Reader (A1) 00 00"), Some(true));
        assert_eq!(NamePattern::new("serial:A1").fits("Reader (B2) 00 00"), Some(false));
    }

    /// The plain definition, which may take exponential time.
    fn slow_glob(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) if slow_glob(rest, name) => true,
            (['*', ..], [_, left @ ..]) => slow_glob(pattern, left),
            ([c, rest @ ..], [d, left @ ..]) => (*c == '?' || c == d) && slow_glob(rest, left),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn globs_match_as_defined(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(glob(&pattern, &name), slow_glob(&pattern, &name));
        }

        #[test]
        fn any_name_matches_itself_and_its_parts(name in "[^*?]{1,20}", at in any::<prop::sample::Index>()) {
            let folded = fold(&name);
            let starts: Vec<_> = folded.char_indices().map(|(i, _)| i).collect();
            prop_assert!(NamePattern::new(&folded[*at.get(&starts)..]).matches(&name));
        }
    }
}
