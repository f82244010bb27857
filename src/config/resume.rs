//! Parses the table `[resume]`: at which readers a token seen shortly before is admitted without public-key operations.

use std::time::Duration;

use super::{entry::ConfigEntry, error::ConfigError};
use crate::{
    reader::select::{Aliases, Selection, may_hold},
    token::resume::ResumeRule,
};

/// The default for how long a key may be used.
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);

/// A full tap must not admit anybody for longer than this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The content of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ResumeTable {
    /// In the order of the file.
    rules: Vec<(String, ResumeRule)>,
    default: ResumeRule,
    max_age: Option<Duration>,
}

impl ResumeTable {
    /// Reads one key.
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

/// At which readers fast taps are allowed, and for how long after a full tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRules {
    /// In the order of the file: the first that matches applies.
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
    /// Resolves names, patterns and aliases.
    pub(super) fn new(table: ResumeTable, aliases: &Aliases) -> Self {
        let rule = |(name, rule)| (Selection::new(&[name], aliases), rule);
        Self {
            rules: table.rules.into_iter().map(rule).collect(),
            default: table.default,
            max_age: table.max_age.unwrap_or(MAX_AGE),
        }
    }

    /// The rule at this reader. If the driver cannot be asked for the reader's identity, the strictest of all rules
    /// that may apply counts.
    pub fn at(&self, reader: &str) -> ResumeRule {
        may_hold(&self.rules, self.default, reader).into_iter().min().unwrap_or_default()
    }

    /// Whether fast taps are allowed at any reader.
    pub fn is_on(&self) -> bool {
        self.default != ResumeRule::Never || self.rules.iter().any(|(_, rule)| *rule != ResumeRule::Never)
    }

    /// The maximum age of the full tap.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// The names that match none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
