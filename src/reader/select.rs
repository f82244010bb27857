//! Selects the readers that a command is about: by part of the name, a pattern, a stable identity, or an alias from the
//! configuration.

use std::collections::BTreeMap;

use super::{
    ReaderState,
    pattern::{NamePattern, fold},
};
use crate::failure::{ExitClass, Failure};

/// What is said where [`Selection::ignores_all`].
pub const ALL_IGNORED: &str = "`ignore` in config.toml leaves out every reader that is here now";

/// Aliases from the configuration: alias → the pattern that it stands for.
pub type Aliases = BTreeMap<String, String>;

/// The readers that a command is about. Without any name all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    wanted: Vec<WantedReader>,
    /// Excluded, even if wanted.
    ignored: Vec<WantedReader>,
}

/// Whether a reader is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderChoice {
    /// It is selected.
    Meant,
    /// It is not selected.
    Other,
    /// Its driver would have to be asked for its stable identity, and cannot be at the moment. It is left out until
    /// then.
    Undecided,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct WantedReader {
    /// As it was typed.
    typed: String,
    pattern: NamePattern,
}

/// No connected reader has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no reader matches \"{wanted}\"")]
pub struct NoSuchReader {
    /// What was asked for.
    pub wanted: String,
    /// The connected readers.
    pub there: Vec<String>,
    /// The one that has that name is ignored by the configuration.
    pub is_ignored: bool,
    /// Readers that are undecided at the moment.
    pub undecided: Vec<String>,
}

impl From<NoSuchReader> for Failure {
    fn from(error: NoSuchReader) -> Self {
        let hint = match error.there.as_slice() {
            _ if error.is_ignored => "the configuration leaves it out: see `ignore` in config.toml".to_owned(),
            [] => "no reader is connected".to_owned(),
            _ if !error.undecided.is_empty() => format!(
                "{} cannot be asked for its serial number or port now: another program holds it, or its driver does \
                 not answer",
                error.undecided.join(", ")
            ),
            there => format!("connected: {}", there.join(", ")),
        };
        Self::new(ExitClass::Usage, "reader.unknown", error.to_string()).hint(hint)
    }
}

/// The values of the rules that apply to this reader, or may apply because its identity is unknown: up to the first
/// that certainly applies, or else followed by `default`. Never empty.
pub fn may_hold<T: Copy>(rules: &[(Selection, T)], default: T, reader: &str) -> Vec<T> {
    let mut values = Vec::new();
    for (readers, value) in rules {
        let choice = readers.choice(reader);
        if choice != ReaderChoice::Other {
            values.push(*value);
        }
        if choice == ReaderChoice::Meant {
            return values;
        }
    }
    values.push(default);
    values
}

impl Selection {
    /// From what was typed. An alias stands for its pattern; everything else is itself a pattern.
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

    /// Excludes these readers, whatever was typed.
    #[must_use]
    pub fn without(self, ignored: &[String], aliases: &Aliases) -> Self {
        Self { ignored: Self::new(ignored, aliases).wanted, ..self }
    }

    /// Whether this reader is selected.
    pub fn choice(&self, reader: &str) -> ReaderChoice {
        let is_wanted = if self.wanted.is_empty() { Some(true) } else { fits_any(&self.wanted, reader) };
        match (fits_any(&self.ignored, reader), is_wanted) {
            (Some(true), _) | (_, Some(false)) => ReaderChoice::Other,
            (Some(false), Some(true)) => ReaderChoice::Meant,
            (None, _) | (_, None) => ReaderChoice::Undecided,
        }
    }

    /// Whether this reader is certainly selected.
    pub fn matches(&self, reader: &str) -> bool {
        self.choice(reader) == ReaderChoice::Meant
    }

    /// Whether this reader is ignored, or may have to be.
    pub fn ignores(&self, reader: &str) -> bool {
        self.ignored.iter().any(|w| w.pattern.fits(reader) != Some(false))
    }

    /// Whether there are readers, and all of them are certainly ignored.
    pub fn ignores_all(&self, readers: &[ReaderState]) -> bool {
        !readers.is_empty() && readers.iter().all(|reader| fits_any(&self.ignored, &reader.name) == Some(true))
    }

    /// What was typed but certainly matches none of these readers.
    pub fn fits_nothing<'a>(&'a self, readers: &[&str]) -> Vec<&'a str> {
        let idle = |w: &&WantedReader| readers.iter().all(|reader| w.pattern.fits(reader) == Some(false));
        self.wanted.iter().filter(idle).map(|w| w.typed.as_str()).collect()
    }

    /// The selected readers, in the order of the listing. It is an error if anything typed matches none.
    ///
    /// # Errors
    /// [`NoSuchReader`] says what was typed, and which readers are connected.
    pub fn pick<'a>(&self, readers: &'a [ReaderState]) -> Result<Vec<&'a ReaderState>, NoSuchReader> {
        let fits = |w: &WantedReader, r: &ReaderState| w.pattern.matches(&r.name);
        let unmatched = |w: &&WantedReader| !readers.iter().any(|r| fits(w, r) && !self.ignores(&r.name));
        match self.wanted.iter().find(unmatched) {
            None => Ok(readers.iter().filter(|r| self.matches(&r.name)).collect()),
            Some(wanted) => Err(self.no_such(wanted, readers)),
        }
    }

    /// What was typed that selects none of these readers: each certainly matches none of them, or only ignored ones. A
    /// command that waits goes on, because such a reader may be plugged in later.
    pub fn without_reader(&self, readers: &[ReaderState]) -> Vec<NoSuchReader> {
        let is_out = |w: &WantedReader, r: &ReaderState| {
            w.pattern.fits(&r.name) == Some(false) || fits_any(&self.ignored, &r.name) == Some(true)
        };
        let idle = self.wanted.iter().filter(|w| readers.iter().all(|r| is_out(w, r)));
        idle.map(|w| self.no_such(w, readers)).collect()
    }

    fn no_such(&self, wanted: &WantedReader, readers: &[ReaderState]) -> NoSuchReader {
        let names = |which: &dyn Fn(&ReaderState) -> bool| {
            readers.iter().filter(|r| which(r)).map(|r| r.name.clone()).collect()
        };
        NoSuchReader {
            wanted: wanted.typed.clone(),
            there: names(&|_| true),
            is_ignored: readers.iter().any(|r| wanted.pattern.matches(&r.name)),
            undecided: names(&|r| self.choice(&r.name) == ReaderChoice::Undecided),
        }
    }
}

/// Whether any of them matches; `None` if none certainly does, and one may.
fn fits_any(patterns: &[WantedReader], reader: &str) -> Option<bool> {
    let mut none = Some(false);
    for wanted in patterns {
        match wanted.pattern.fits(reader) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => none = None,
        }
    }
    none
}

/// The configuration's alias for this reader: the first whose pattern matches.
pub fn alias_of<'a>(reader: &str, aliases: &'a Aliases) -> Option<&'a str> {
    aliases.iter().find(|(_, pattern)| NamePattern::new(pattern).matches(reader)).map(|(alias, _)| alias.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Insertion, Slot};

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
            Failure::from(NoSuchReader { wanted: "x".into(), there, is_ignored: false, undecided: Vec::new() })
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

    /// These readers do not exist, so that no driver can be asked.
    #[test]
    fn who_cannot_be_asked_is_left_out_until_then() {
        let wants = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|w| (*w).to_owned()).collect();
            Selection::new(&wanted, &Aliases::new())
        };
        let ignoring = |ignored: &[&str]| {
            let ignored: Vec<_> = ignored.iter().map(|w| (*w).to_owned()).collect();
            Selection::default().without(&ignored, &Aliases::new())
        };
        for undecided in [wants(&["serial:A1"]), ignoring(&["usb:1-4"]), ignoring(&["gone", "serial:A1"])] {
            assert_eq!(undecided.choice(NAMES[0]), ReaderChoice::Undecided);
            assert!(!undecided.matches(NAMES[0]));
        }
        assert!(ignoring(&["usb:1-4"]).ignores(NAMES[0]));
        // One certain match decides.
        assert_eq!(wants(&["serial:A1", "picc"]).choice(NAMES[0]), ReaderChoice::Meant);
        assert_eq!(ignoring(&["usb:1-4", "picc"]).choice(NAMES[0]), ReaderChoice::Other);
        assert_eq!(wants(&["sam"]).without(&["usb:1-4".into()], &Aliases::new()).choice(NAMES[0]), ReaderChoice::Other);
        let refused = wants(&["serial:A1"]).pick(&readers()).unwrap_err();
        assert_eq!(refused.undecided, NAMES[..2]);
        assert!(Failure::from(refused).hint.unwrap().contains("cannot be asked"));
    }

    #[test]
    fn that_nothing_is_left_is_known() {
        let ignoring = |ignored: &str| Selection::default().without(&[ignored.to_owned()], &Aliases::new());
        assert!(ignoring("*").ignores_all(&readers()));
        assert!(!ignoring("acr").ignores_all(&readers()));
        assert!(!ignoring("*").ignores_all(&[]));
        // No driver can be asked for the port.
        assert!(!ignoring("usb:1-4").ignores_all(&readers()));
    }

    #[test]
    fn what_fits_nothing_is_told() {
        let selection = Selection::new(&["picc".into(), "Gone".into(), "*SAM*".into()], &Aliases::new());
        assert_eq!(selection.fits_nothing(&NAMES), ["Gone"]);
        assert_eq!(selection.fits_nothing(&[NAMES[2]]), ["picc", "Gone", "*SAM*"]);
    }

    #[test]
    fn what_selects_no_reader_is_told_unless_it_cannot_be_known() {
        let told = |wanted: &[&str], ignored: &[&str]| {
            let [wanted, ignored] = [wanted, ignored].map(|w| w.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
            let selection = Selection::new(&wanted, &Aliases::new()).without(&ignored, &Aliases::new());
            let found = selection.without_reader(&readers());
            found.into_iter().map(|one| (one.wanted, one.is_ignored)).collect::<Vec<_>>()
        };
        assert_eq!(told(&["picc", "Gone", "*lost"], &[]), [("Gone".to_owned(), false), ("*lost".to_owned(), false)]);
        assert_eq!(told(&["picc", "[sam]"], &["*SAM*"]), [("[sam]".to_owned(), true)]);
        for (wanted, ignored) in
            [(&["picc", "süd"][..], &["*SAM*"][..]), (&["serial:A1"], &[]), (&["picc"], &["usb:1-4"]), (&[], &["*"])]
        {
            assert_eq!(told(wanted, ignored), [], "{wanted:?} without {ignored:?}");
        }
        let selection = Selection::new(&["Gone".into()], &Aliases::new());
        assert_eq!(selection.without_reader(&readers())[0].there, NAMES);
    }

    #[test]
    fn an_alias_is_found_from_the_name() {
        let aliases = Aliases::from([("a".into(), "picc".into()), ("z".into(), "*PICC*".into())]);
        assert_eq!(alias_of(NAMES[0], &aliases), Some("a"));
        assert_eq!(alias_of(NAMES[2], &aliases), None);
    }
}
