//! Operations on the list within one database transaction.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{TerminalStoreError, rows};
use crate::terminal::presence::{Change, Input, Policy, PresenceList};

/// An open transaction, and the list as it will be after the commit.
pub(super) struct ListTransaction<'a> {
    pub(super) db: &'a Connection,
    pub(super) path: &'a Path,
    pub(super) list: PresenceList,
    /// Whether it produced an event.
    pub(super) told: bool,
    /// Whether a person was forgotten whom the caller may still be showing.
    pub(super) forgotten: bool,
}

/// What is handed over when a person is forgotten; an earlier release ignores it.
const FORGOTTEN: &str = "\"forgotten\"";

impl<'a> ListTransaction<'a> {
    pub(super) const fn new(db: &'a Connection, path: &'a Path, list: PresenceList) -> Self {
        Self { db, path, list, told: false, forgotten: false }
    }
}

impl ListTransaction<'_> {
    pub(super) fn apply(
        &mut self,
        input: &Input,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<(), TerminalStoreError> {
        let changes = self.list.apply(input, now, policy);
        self.told |= changes.iter().any(|change| matches!(change, Change::Event(_)));
        self.wrap(rows::save(self.db, &self.list, &changes))
    }

    pub(super) fn hand_over(&mut self, input: &Input, now: Timestamp) -> Result<(), TerminalStoreError> {
        self.wrap(rows::json(input).and_then(|input| self.hand_over_text(&input, now)))
    }

    /// Tells the watch that a person was forgotten whom its events have named.
    pub(super) fn hand_over_forgotten(&mut self, now: Timestamp) -> Result<(), TerminalStoreError> {
        self.wrap(self.hand_over_text(FORGOTTEN, now))
    }

    fn hand_over_text(&self, input: &str, now: Timestamp) -> rusqlite::Result<()> {
        let sql = "INSERT INTO handover (at, input) VALUES (?1, ?2)";
        self.db.prepare_cached(sql)?.execute(params![now.as_millisecond(), input]).map(drop)
    }

    /// Applies what was handed over, each at its own time, and deletes it in the same transaction: exactly once. What
    /// another release wrote and this one cannot read is dropped.
    pub(super) fn drain(&mut self, now: Timestamp, policy: &dyn Policy) -> Result<(), TerminalStoreError> {
        for (at, text) in self.wrap(self.handed_over())? {
            self.forgotten |= text == FORGOTTEN;
            if let Ok(input) = serde_json::from_str(&text) {
                self.apply(&input, self.wrap(rows::time(at))?.min(now), policy)?;
            }
        }
        self.wrap(self.db.prepare_cached("DELETE FROM handover").and_then(|mut delete| delete.execute([]).map(drop)))
    }

    fn handed_over(&self) -> rusqlite::Result<Vec<(i64, String)>> {
        let mut statement = self.db.prepare_cached("SELECT at, input FROM handover ORDER BY id")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Completes what the last watch left undone, when none is running.
    pub(super) fn recover(&mut self, now: Timestamp, policy: &dyn Policy) -> Result<(), TerminalStoreError> {
        self.drain(now, policy)?;
        if self.wrap(rows::flag(self.db, "watching"))? {
            self.watching(false)?;
            self.apply(&Input::Startup, now, policy)?;
        }
        Ok(())
    }

    pub(super) fn watching(&mut self, watching: bool) -> Result<(), TerminalStoreError> {
        self.wrap(rows::set_flag(self.db, "watching", watching))
    }

    pub(super) fn wrap<T>(&self, result: rusqlite::Result<T>) -> Result<T, TerminalStoreError> {
        result.map_err(|error| TerminalStoreError::database(self.path, &error))
    }
}
