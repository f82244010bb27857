//! Parses the table `[resume]`: at which readers a token seen shortly before is admitted without public-key operations.

use std::time::Duration;

use super::{entry::ConfigEntry, error::ConfigError};
use crate::{
    reader::select::{Aliases, Selection, may_hold},
    token::resume::ResumeRule,
};

/// How long a key may be used where nobody says otherwise.
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);

/// Nobody is let in for longer by what was proved once.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What stands in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ResumeTable {
    /// In the order of the file.
    rules: Vec<(String, ResumeRule)>,
    default: ResumeRule,
    max_age: Option<Duration>,
}

impl ResumeTable {
    /// Takes one key.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`].
    pub(super) fn take(&mut self, entry: &ConfigEntry<'_>) -> Result<(), ConfigError> {
        match entry.key() {
            "default" => self.default = rule(entry)?,
            "max_age" => self.max_age = Some(entry.duration_up_to(LONGEST)?),
            reader => self.rules.push((reader.to_owned(), rule(entry)?)),
        }
        Ok(())
    }
}

fn rule(entry: &ConfigEntry<'_>) -> Result<ResumeRule, ConfigError> {
    match (entry.truth(), entry.text()) {
        (Ok(false), _) => Ok(ResumeRule::Never),
        (Ok(true), _) => Ok(ResumeRule::Open),
        (_, Ok("private")) => Ok(ResumeRule::Private),
        _ => Err(entry.bad("expected true, false or \"private\"")),
    }
}

/// What is resumed at which reader, and for how long after a full tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRules {
    /// The first that matches holds, in the order of the file.
    rules: Vec<(Selection, ResumeRule)>,
    default: ResumeRule,
    max_age: Duration,
}

impl Default for ResumeRules {
    fn default() -> Self {
        Self { rules: Vec::new(), default: ResumeRule::Never, max_age: MAX_AGE }
    }
}

impl ResumeRules {
    /// From names, patterns or aliases.
    pub(super) fn new(table: ResumeTable, aliases: &Aliases) -> Self {
        let rule = |(name, rule)| (Selection::new(&[name], aliases), rule);
        Self {
            rules: table.rules.into_iter().map(rule).collect(),
            default: table.default,
            max_age: table.max_age.unwrap_or(MAX_AGE),
        }
    }

    /// What is resumed at this reader. Of rules that may hold, because the driver cannot be asked which reader this is, and
    /// the one that holds without them, the strictest counts.
    pub fn at(&self, reader: &str) -> ResumeRule {
        may_hold(&self.rules, self.default, reader).into_iter().min().unwrap_or_default()
    }

    /// Whether anything is resumed anywhere.
    pub fn is_on(&self) -> bool {
        self.default != ResumeRule::Never || self.rules.iter().any(|(_, rule)| *rule != ResumeRule::Never)
    }

    /// How old the full tap may be.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The names that fit none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
