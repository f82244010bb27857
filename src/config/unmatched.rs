//! Finds configured reader names that match no connected reader: a mistyped name, or one of a reader that was replaced,
//! has no effect, and nobody would notice.

use super::Settings;
use crate::reader::select::Selection;

/// A name in the configuration that matches no reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedName {
    /// The key: `alias`, `presence`, `feedback`, `resume`, `distance`, `ignore`.
    pub key: &'static str,
    /// The name as written.
    pub name: String,
}

impl std::fmt::Display for UnmatchedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.key, self.name)
    }
}

impl Settings {
    /// Every name that matches none of these readers, which are all that are connected. Without any reader, none is
    /// reported.
    pub fn unmatched(&self, readers: &[&str]) -> Vec<UnmatchedName> {
        if readers.is_empty() {
            return Vec::new();
        }
        let select = |names: &[String]| Selection::new(names, &self.aliases);
        let aliases: Vec<_> = self.aliases.keys().cloned().collect();
        // A rule for an ignored reader has no effect either, but its name may be what ignores the reader.
        let used: Vec<_> = readers.iter().copied().filter(|reader| !self.readers.ignores(reader)).collect();
        let used = if used.is_empty() { readers } else { &used };
        let presence = self.presence.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(used));
        let presence: Vec<_> = presence.map(str::to_owned).collect();
        let feedback = self.feedback.fits_nothing(used);
        let resume = self.resume.fits_nothing(used);
        let distance = self.distance.fits_nothing(used);
        let named = [
            ("alias", &aliases, readers),
            ("presence", &presence, used),
            ("feedback", &feedback, used),
            ("resume", &resume, used),
            ("distance", &distance, used),
            ("ignore", &self.ignore, readers),
        ];
        let mut found = Vec::new();
        for (key, names, readers) in named {
            let selection = select(names);
            let idle = selection.fits_nothing(readers);
            found.extend(idle.into_iter().map(|name| UnmatchedName { key, name: name.to_owned() }));
        }
        found
    }
}
