//! Parses the table `[distance]`: at which readers a tap is refused that answers more slowly than the same token
//! before.

use std::time::Duration;

use super::{entry::ConfigEntry, error::ConfigError};
use crate::reader::select::{Aliases, Selection, may_hold};

/// Clocks and readers are no finer.
const LEAST: Duration = Duration::from_millis(1);

/// A bound above this one bounds nothing.
const MOST: Duration = Duration::from_secs(5);

/// What stands in the file; none: no bound.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DistanceTable {
    /// In the order of the file.
    rules: Vec<(String, Option<Duration>)>,
    default: Option<Duration>,
}

impl DistanceTable {
    /// Takes one key.
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

/// How much longer than its least time a token may take for a heartbeat, per reader.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistanceRules {
    /// The first that matches holds, in the order of the file.
    rules: Vec<(Selection, Option<Duration>)>,
    default: Option<Duration>,
}

impl DistanceRules {
    /// From names, patterns or aliases.
    pub(super) fn new(table: DistanceTable, aliases: &Aliases) -> Self {
        let rule = |(name, max_extra)| (Selection::new(&[name], aliases), max_extra);
        Self { rules: table.rules.into_iter().map(rule).collect(), default: table.default }
    }

    /// The bound at this reader; none: there certainly is none. Of rules that may hold, because the driver cannot be asked
    /// which reader this is, and the one that holds without them, the smallest bound counts.
    pub fn at(&self, reader: &str) -> Option<Duration> {
        may_hold(&self.rules, self.default, reader).into_iter().flatten().min()
    }

    /// The names that fit none of these readers.
    pub fn fits_nothing(&self, readers: &[&str]) -> Vec<String> {
        self.rules.iter().flat_map(|(rule, _)| rule.fits_nothing(readers)).map(str::to_owned).collect()
    }
}
