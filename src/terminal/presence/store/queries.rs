//! Read access to the store beyond the list itself: its id, its history, and the denials.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::{Denial, TerminalStore, TerminalStoreError, ceil_ms, rows};
use crate::terminal::presence::{Entry, EntryState, Event, Source};

impl TerminalStore {
    /// Everybody who was ever on the list, as far as events are kept: one entry per token for its last stay, which
    /// ended at `last_seen`; latest first.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn known(&self) -> Result<Vec<Entry>, TerminalStoreError> {
        self.query(|db| {
            let sql = "SELECT *, max(seq) FROM events WHERE token_id IS NOT NULL AND user IS NOT NULL AND reader IS NOT NULL \
                AND event <> 'refused' GROUP BY token_id ORDER BY seq DESC";
            let events: Vec<Event> = db.prepare_cached(sql)?.query_map([], rows::event)?.collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT source FROM events WHERE token_id = ?1 AND source IS NOT NULL ORDER BY seq DESC LIMIT 1";
            let mut source = db.prepare_cached(sql)?;
            let mut entry = |event: Event| {
                let (Some(token_id), Some(user), Some(reader)) = (event.token_id, event.user, event.reader) else {
                    return Ok(None);
                };
                let word: Option<String> = source.query_row([token_id.as_bytes()], |row| row.get(0)).optional()?;
                let source = if word.as_deref() == Some("server") { Source::Server } else { Source::Card };
                let (since, last_seen, state) = (event.at, event.at, EntryState::Unconfirmed);
                let (authenticated, resumed) = (false, false);
                Ok(Some(Entry { token_id, user, reader, since, last_seen, state, source, authenticated, resumed }))
            };
            events.into_iter().filter_map(|event| entry(event).transpose()).collect()
        })
    }

    /// The denials, by id.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn denials(&self) -> Result<Vec<Denial>, TerminalStoreError> {
        self.query(rows::denials)
    }

    /// The denied ids, sorted.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn denied(&mut self) -> Result<Vec<String>, TerminalStoreError> {
        self.query(|db| {
            db.prepare_cached("SELECT id FROM denied ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// The id of this list: random, created with the store.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list_id(&self) -> Result<Uuid, TerminalStoreError> {
        let bytes: [u8; 16] = self.query(|db| db.query_row("SELECT id FROM list", [], |row| row.get(0)))?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// From now on, numbers events in a new list: under the old id, others already have these numbers, because this
    /// store was restored from a backup.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn new_list_id(&self) -> Result<Uuid, TerminalStoreError> {
        self.query(|db| db.execute("UPDATE list SET id = randomblob(16)", []))?;
        self.list_id()
    }

    /// At most `most` events after the one with this number, in order.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn events_after(&self, seq: u64, most: usize) -> Result<Vec<Event>, TerminalStoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.query(|db| {
            let sql = "SELECT * FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
            db.prepare_cached(sql)?.query_map(params![seq.cast_signed(), most], rows::event)?.collect()
        })
    }

    /// Visits the events at or after `since` and before `until`, in order, until the visitor breaks.
    ///
    /// # Errors
    /// As [`Self::list`]; the events before the error were visited.
    pub fn history(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        mut visit: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), TerminalStoreError> {
        let since = since.map_or(i64::MIN, ceil_ms);
        let until = until.map_or(i64::MAX, ceil_ms);
        self.query(|db| {
            let mut statement = db.prepare_cached("SELECT * FROM events WHERE at >= ?1 AND at < ?2 ORDER BY seq")?;
            let mut found = statement.query(params![since, until])?;
            while let Some(row) = found.next()? {
                if visit(rows::event(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}
