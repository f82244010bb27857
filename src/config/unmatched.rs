//! What the configuration says of readers that are not there: a name that was mistyped, or belongs to a reader that was
//! exchanged, does nothing, and nobody would notice.

use super::Settings;
use crate::reader::select::Selection;

/// A name in the configuration that fits no reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedName {
    /// The key: `alias`, `presence`, `feedback`, `resume`, `ignore`.
    pub key: &'static str,
    /// The name, as it stands there.
    pub name: String,
}

impl std::fmt::Display for UnmatchedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.key, self.name)
    }
}

impl Settings {
    /// Every name that fits none of these readers, which are all that there are. Where there is none, nothing is told.
    pub fn unmatched(&self, readers: &[&str]) -> Vec<UnmatchedName> {
        if readers.is_empty() {
            return Vec::new();
        }
        let select = |names: &[String]| Selection::new(names, &self.aliases);
        let aliases: Vec<_> = self.aliases.keys().cloned().collect();
        let presence = self.presence.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers));
        let presence: Vec<_> = presence.map(str::to_owned).collect();
        let feedback = self.feedback.fits_nothing(readers);
        let resume = self.resume.fits_nothing(readers);
        let named = [
            ("alias", &aliases),
            ("presence", &presence),
            ("feedback", &feedback),
            ("resume", &resume),
            ("ignore", &self.ignore),
        ];
        let mut found = Vec::new();
        for (key, names) in named {
            let selection = select(names);
            let idle = selection.fits_nothing(readers);
            found.extend(idle.into_iter().map(|name| UnmatchedName { key, name: name.to_owned() }));
        }
        found
    }
}
