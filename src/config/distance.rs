//! Parses the table `[distance]`: at which readers a tap is refused that answers more slowly than the same token
//! before.

use std::time::Duration;

use super::{entry::ConfigEntry, error::ConfigError};
use crate::reader::select::{Aliases, Selection, may_hold};

/// Clocks and readers are no more precise.
const LEAST: Duration = Duration::from_millis(1);

/// A larger bound is useless.
const MOST: Duration = Duration::from_secs(5);

/// The content of the table; none: no bound.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DistanceTable {
    /// In the order of the file.
    rules: Vec<(String, Option<Duration>)>,
    default: Option<Duration>,
}

impl DistanceTable {
    /// Reads one key.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`].
    pub(super) fn take(&mut self, entry: &ConfigEntry<'_>) -> Result<(), ConfigError> {
        let max_extra = max_extra(entry)?;
        match entry.key() {
            "default" => self.default = max_extra,
            reader => self.rules.push((reader.to_owned(), max_extra)),
        }
        Ok(())
    }
}

fn max_extra(entry: &ConfigEntry<'_>) -> Result<Option<Duration>, ConfigError> {
    let refuse = || entry.bad("expected 1ms to 5s, or false");
    match entry.truth() {
        Ok(false) => Ok(None),
        Ok(true) => Err(refuse()),
        Err(_) => {
            let time = entry.duration().map_err(|_| refuse())?;
            (LEAST..=MOST).contains(&time).then_some(Some(time)).ok_or_else(refuse)
        }
    }
}

/// How much longer than its shortest time a token may take for a heartbeat, by reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistanceRules {
    /// In the order of the file: the first that matches applies.
    rules: Vec<(Selection, Option<Duration>)>,
    default: Option<Duration>,
}

impl DistanceRules {
    /// Resolves names, patterns and aliases.
    pub(super) fn new(table: DistanceTable, aliases: &Aliases) -> Self {
        let rule = |(name, max_extra)| (Selection::new(&[name], aliases), max_extra);
        Self { rules: table.rules.into_iter().map(rule).collect(), default: table.default }
    }

    /// The bound at this reader; `None` only if there certainly is none. If the driver cannot be asked for the reader's
    /// identity, the smallest bound of all rules that may apply counts.
    pub fn at(&self, reader: &str) -> Option<Duration> {
        may_hold(&self.rules, self.default, reader).into_iter().flatten().min()
    }

    /// The names that match none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
