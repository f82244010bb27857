//! Which readers are meant: by a part of the name, a pattern, what is stable about them, or an alias from the
//! configuration.

use std::collections::BTreeMap;

use super::{
    ReaderState,
    identity::{ReaderIdentity, serial_in},
};
use crate::failure::{ExitClass, Failure};

/// Names that the configuration gives to readers: alias → what is looked for in the reader's name.
pub type Aliases = BTreeMap<String, String>;

/// The readers that a command is about. Without any name: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    wanted: Vec<WantedReader>,
    /// Left out whatever is wanted.
    ignored: Vec<WantedReader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct WantedReader {
    /// As it was typed.
    typed: String,
    pattern: NamePattern,
}

/// No reader that is there has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no reader matches \"{wanted}\"")]
pub struct NoSuchReader {
    /// What was asked for.
    pub wanted: String,
    /// The readers that are there.
    pub there: Vec<String>,
    /// The configuration leaves out the one that has that name.
    pub is_ignored: bool,
}

impl From<NoSuchReader> for Failure {
    fn from(error: NoSuchReader) -> Self {
        let hint = match error.there.as_slice() {
            _ if error.is_ignored => "the configuration leaves it out: see `ignore` in config.toml".to_owned(),
            [] => "no reader is connected".to_owned(),
            there => format!("connected: {}", there.join(", ")),
        };
        Self::new(ExitClass::Usage, "reader.unknown", error.to_string()).hint(hint)
    }
}

impl Selection {
    /// From what was typed. An alias is taken for its pattern; everything else is a pattern itself.
    pub fn new(wanted: &[String], aliases: &Aliases) -> Self {
        let resolve = |typed: &String| {
            let alias = aliases.iter().find(|(alias, _)| fold(alias) == fold(typed));
            WantedReader {
                typed: typed.clone(),
                pattern: NamePattern::new(alias.map_or(typed, |(_, pattern)| pattern)),
            }
        };
        Self { wanted: wanted.iter().map(resolve).collect(), ignored: Vec::new() }
    }

    /// Without these, whatever was typed.
    #[must_use]
    pub fn without(self, ignored: &[String], aliases: &Aliases) -> Self {
        Self { ignored: Self::new(ignored, aliases).wanted, ..self }
    }

    /// Whether this reader is meant.
    pub fn matches(&self, reader: &str) -> bool {
        (self.wanted.is_empty() || self.wanted.iter().any(|w| w.pattern.matches(reader))) && !self.ignores(reader)
    }

    /// Whether this reader is left out.
    pub fn ignores(&self, reader: &str) -> bool {
        self.ignored.iter().any(|w| w.pattern.matches(reader))
    }

    /// What was typed and fits none of these readers.
    pub fn fits_nothing<'a>(&'a self, readers: &[&str]) -> Vec<&'a str> {
        let idle = |w: &&WantedReader| !readers.iter().any(|reader| w.pattern.matches(reader));
        self.wanted.iter().filter(idle).map(|w| w.typed.as_str()).collect()
    }

    /// The readers that are meant, in the order of the listing. Something that was typed and matches none is an error.
    ///
    /// # Errors
    /// [`NoSuchReader`] says what was typed, and which readers are there.
    pub fn pick<'a>(&self, readers: &'a [ReaderState]) -> Result<Vec<&'a ReaderState>, NoSuchReader> {
        let fits = |w: &WantedReader, r: &ReaderState| w.pattern.matches(&r.name);
        let unmatched = |w: &&WantedReader| !readers.iter().any(|r| fits(w, r) && !self.ignores(&r.name));
        match self.wanted.iter().find(unmatched) {
            None => Ok(readers.iter().filter(|r| self.matches(&r.name)).collect()),
            Some(wanted) => Err(NoSuchReader {
                wanted: wanted.typed.clone(),
                there: readers.iter().map(|r| r.name.clone()).collect(),
                is_ignored: readers.iter().any(|r| fits(wanted, r)),
            }),
        }
    }
}

/// The alias under which the configuration knows this reader: the first whose pattern matches.
pub fn alias_of<'a>(reader: &str, aliases: &'a Aliases) -> Option<&'a str> {
    aliases.iter().find(|(_, pattern)| NamePattern::new(pattern).matches(reader)).map(|(alias, _)| alias.as_str())
}

/// A part of a name or, with `*` (anything) or `?` (one character), the form of the whole name; `serial:` and `usb:` with
/// what is stable about a reader. Case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePattern {
    Part(String),
    Glob(Vec<char>),
    Serial(String),
    Port(String),
}

impl NamePattern {
    fn new(text: &str) -> Self {
        let text = fold(text);
        match text.split_once(':') {
            Some(("serial", serial)) => Self::Serial(serial.to_owned()),
            Some(("usb", port)) => Self::Port(port.to_owned()),
            _ if text.contains(['*', '?']) => Self::Glob(text.chars().collect()),
            _ => Self::Part(text),
        }
    }

    fn matches(&self, name: &str) -> bool {
        let is = |wanted: &str, told: Option<&str>| told.is_some_and(|told| fold(told) == wanted);
        match self {
            Self::Part(part) => fold(name).contains(part.as_str()),
            Self::Glob(pattern) => glob(pattern, &fold(name).chars().collect::<Vec<_>>()),
            // The driver is asked only where the name says nothing.
            Self::Serial(serial) => match serial_in(name) {
                Some(told) => is(serial, Some(told)),
                None => is(serial, ReaderIdentity::of(name).serial.as_deref()),
            },
            Self::Port(port) => is(port, ReaderIdentity::of(name).port.as_deref()),
        }
    }
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Goes back to the last star only, so that no pattern takes long.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Insertion, Slot};
    use proptest::prelude::*;

    const NAMES: [&str; 3] =
        ["ACS ACR1252 Dual Reader [PICC] 00 00", "ACS ACR1252 Dual Reader [SAM] 00 01", "Door (Süd) 01 00"];

    fn readers() -> Vec<ReaderState> {
        let state = |name: &str| ReaderState {
            name: name.to_owned(),
            slot: Slot::Empty,
            exclusive: false,
            in_use: false,
            insertion: Insertion::default(),
        };
        NAMES.into_iter().map(state).collect()
    }

    fn picked(wanted: &[&str]) -> Result<Vec<usize>, String> {
        let aliases = Aliases::from([("north door".into(), "*[PICC]*".into()), ("gone".into(), "Omnikey".into())]);
        let wanted: Vec<_> = wanted.iter().map(|w| (*w).to_owned()).collect();
        let readers = readers();
        let found = Selection::new(&wanted, &aliases).pick(&readers).map_err(|e| e.wanted)?;
        Ok(found.iter().map(|r| NAMES.iter().position(|n| *n == r.name).unwrap()).collect())
    }

    #[test]
    fn parts_globs_and_aliases() {
        assert_eq!(picked(&[]), Ok(vec![0, 1, 2]));
        assert_eq!(picked(&["acr1252"]), Ok(vec![0, 1]));
        assert_eq!(picked(&["[picc]"]), Ok(vec![0]));
        assert_eq!(picked(&["*0?"]), Ok(vec![0, 1, 2]));
        assert_eq!(picked(&["acs*1"]), Ok(vec![1]));
        assert_eq!(picked(&["acs*sam"]), Err("acs*sam".into()));
        assert_eq!(picked(&["SÜD"]), Ok(vec![2]));
        assert_eq!(picked(&["North Door", "süd"]), Ok(vec![0, 2]));
        assert_eq!(picked(&["acr", "gone"]), Err("gone".into()));
    }

    #[test]
    fn an_unknown_name_lists_what_is_there() {
        let failure = |there: &[&str]| {
            let there = there.iter().map(|n| (*n).to_owned()).collect();
            Failure::from(NoSuchReader { wanted: "x".into(), there, is_ignored: false })
        };
        assert_eq!(failure(&["a", "b"]).hint.unwrap().text, "connected: a, b");
        assert_eq!(failure(&[]).hint.unwrap().text, "no reader is connected");
        assert_eq!(failure(&[]).class, ExitClass::Usage);
    }

    #[test]
    fn what_is_ignored_is_left_out_whatever_is_wanted() {
        let readers = readers();
        let aliases = Aliases::from([("vault".into(), "*[SAM]*".into())]);
        let pick = |wanted: &[&str], ignored: &str| {
            let wanted: Vec<_> = wanted.iter().map(|w| (*w).to_owned()).collect();
            let selection = Selection::new(&wanted, &aliases).without(&[ignored.to_owned()], &aliases);
            selection.pick(&readers).map(|found| found.iter().map(|r| r.name.clone()).collect::<Vec<_>>())
        };
        for ignored in ["*SAM*", "[sam]", "Vault"] {
            assert_eq!(pick(&[], ignored).unwrap(), [NAMES[0], NAMES[2]]);
            assert_eq!(pick(&["acr"], ignored).unwrap(), [NAMES[0]]);
            let refused = pick(&["vault"], ignored).unwrap_err();
            assert!(refused.is_ignored);
            assert!(Failure::from(refused).hint.unwrap().contains("`ignore`"));
        }
        assert!(!pick(&["gone"], "*SAM*").unwrap_err().is_ignored);
    }

    #[test]
    fn a_serial_number_names_one_reader_whatever_its_number() {
        let selection = Selection::new(&["serial:rr554-012".into()], &Aliases::new());
        assert!(selection.matches("ACS ACR1252 [PICC] (RR554-012) 00 00"));
        assert!(selection.matches("ACS ACR1252 [PICC] (RR554-012) 01 00"));
        assert!(!selection.matches("ACS ACR1252 [PICC] (RR554-013) 00 00"));
    }

    #[test]
    fn what_fits_nothing_is_told() {
        let selection = Selection::new(&["picc".into(), "Gone".into(), "*SAM*".into()], &Aliases::new());
        assert_eq!(selection.fits_nothing(&NAMES), ["Gone"]);
        assert_eq!(selection.fits_nothing(&[NAMES[2]]), ["picc", "Gone", "*SAM*"]);
    }

    #[test]
    fn an_alias_is_found_from_the_name() {
        let aliases = Aliases::from([("a".into(), "picc".into()), ("z".into(), "*PICC*".into())]);
        assert_eq!(alias_of(NAMES[0], &aliases), Some("a"));
        assert_eq!(alias_of(NAMES[2], &aliases), None);
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
