//! Deletes personal data: after the retention time, and on request.
//!
//! Events keep their numbers. An event of a forgotten person keeps what happened, when and where, but not who it was;
//! events that are too old are deleted from the beginning, so that the rest has no gaps.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{NEVER_READ, Sync, TerminalStore, TerminalStoreError, rows, wakeup, watch_lock};
use crate::terminal::presence::{Hand, Input, Policy};

/// The data that this store holds about a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonalData {
    /// Their tokens.
    pub tokens: Vec<Uuid>,
    /// Entries on the list.
    pub entries: usize,
    /// Events that name them or one of their tokens.
    pub events: usize,
    /// Cards in the register.
    pub cards: usize,
    /// Certificates of their tokens.
    pub certificates: usize,
    /// Heartbeat times of their tokens.
    pub heartbeats: usize,
    /// Use counters of their tokens. These stay: without them a copy of a card would not be noticed.
    pub counters: usize,
    /// Denied ids. These stay, without name and reason.
    pub denials: usize,
}

const TOKENS: &str = "SELECT token_id FROM entries WHERE user ->> 'id' = ?1 UNION \
    SELECT token_id FROM events WHERE user ->> 'id' = ?1 AND token_id IS NOT NULL AND event <> 'refused' UNION \
    SELECT token_id FROM cards WHERE user_id = ?1";

const HOLDERS: &str = "SELECT DISTINCT user ->> 'id' AS id, user ->> 'name' FROM entries UNION \
    SELECT DISTINCT user ->> 'id', user ->> 'name' FROM events WHERE user IS NOT NULL UNION \
    SELECT DISTINCT user_id, user ->> 'name' FROM cards";

impl TerminalStore {
    /// The data held about the user with this id.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn personal_data(&self, id: &str) -> Result<PersonalData, TerminalStoreError> {
        self.query(|db| {
            let tokens: Vec<[u8; 16]> =
                db.prepare_cached(TOKENS)?.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let count = |sql: &str| db.query_row(sql, [id], number);
            let of_tokens = |sql: &str| -> rusqlite::Result<usize> {
                let mut statement = db.prepare(sql)?;
                let mut sum = 0;
                for token in &tokens {
                    sum += statement.query_row([token], number)?;
                }
                Ok(sum)
            };
            let mut denials = count("SELECT count(*) FROM denied WHERE id = ?1")?;
            for token in &tokens {
                let id = Uuid::from_bytes(*token).to_string();
                denials += db.query_row("SELECT count(*) FROM denied WHERE id = ?1", [id], number)?;
            }
            Ok(PersonalData {
                entries: count("SELECT count(*) FROM entries WHERE user ->> 'id' = ?1")?,
                events: count("SELECT count(*) FROM events WHERE user ->> 'id' = ?1")?
                    + of_tokens("SELECT count(*) FROM events WHERE user IS NULL AND token_id = ?1")?,
                cards: count("SELECT count(*) FROM cards WHERE user_id = ?1")?,
                certificates: of_tokens("SELECT count(*) FROM certificates WHERE owner = ?1")?,
                heartbeats: of_tokens("SELECT count(*) FROM heartbeats WHERE token_id = ?1")?,
                counters: of_tokens("SELECT count(*) FROM counters WHERE token_id = ?1")?,
                denials,
                tokens: tokens.into_iter().map(Uuid::from_bytes).collect(),
            })
        })
    }

    /// The ids and names of everybody whose data are held, to resolve a user id or name.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn people(&self) -> Result<Vec<(String, String)>, TerminalStoreError> {
        let sql = format!("{HOLDERS} UNION SELECT id, ifnull(name, '') FROM denied ORDER BY id");
        self.query(|db| db.prepare_cached(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
    }

    /// The ids and names of everybody on the list, in the history or in the register.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn holders(&self) -> Result<Vec<(String, String)>, TerminalStoreError> {
        self.query(|db| db.prepare_cached(HOLDERS)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
    }

    /// Deletes the data held about a user, and returns what they were. Their entries are removed from the list first;
    /// if there is a server, these events keep their token ids until [`Self::departures_delivered`], because it must
    /// learn who left.
    ///
    /// # Errors
    /// As [`Self::apply`]: everything is deleted, or nothing.
    pub fn forget(
        &mut self,
        id: &str,
        hand: &Hand,
        now: Timestamp,
        policy: &dyn Policy,
        has_server: bool,
    ) -> Result<PersonalData, TerminalStoreError> {
        let held = self.personal_data(id)?;
        let home = self.home.clone();
        self.transact(Sync::Full, |work| {
            let last = if has_server { work.list.seq() } else { u64::MAX };
            for token_id in &held.tokens {
                let hand = hand.clone();
                work.apply(&Input::Remove { token_id: *token_id, hand }, now, policy)?;
            }
            work.wrap(erase(work.db, id, &held.tokens, last))?;
            if watch_lock::is_running(&home)? {
                work.hand_over_forgotten(now)?;
            }
            Ok(Some(()))
        })?;
        // The slots were changed in the file only, so the cached list is outdated.
        if let Some(memory) = &mut self.memory {
            memory.version = NEVER_READ;
        }
        // Also erases what earlier releases left in free pages, and old pages of the log that nobody is reading.
        self.query(|db| db.execute_batch("VACUUM"))?;
        self.query(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))?;
        wakeup::call(&self.home);
        Ok(held)
    }

    /// The server has the events between these numbers, both included: departures of forgotten users lose their token
    /// ids.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn departures_delivered(&self, first: u64, last: u64) -> Result<(), TerminalStoreError> {
        let until = i64::try_from(last).unwrap_or(i64::MAX);
        let departures = "seq BETWEEN ?1 AND ?2 AND event = 'removed' AND user IS NULL AND token_id IS NOT NULL";
        let span = params![first.cast_signed(), until];
        self.query(|db| {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM events WHERE {departures})");
            if db.prepare_cached(&sql)?.query_row(span, |row| row.get(0))? {
                db.execute(&format!("UPDATE events SET token_id = NULL WHERE {departures}"), span)?;
            }
            Ok(())
        })
    }

    /// Deletes events before this time, and heartbeat times; the last event stays, because of its number. Returns the
    /// number of deleted events.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn prune(&mut self, before: Timestamp) -> Result<usize, TerminalStoreError> {
        if self.outage.is_some() {
            return Ok(0);
        }
        self.synchronise(Sync::Lazy)?;
        let pruned = self.query(|db| {
            // Up to the first event that is recent enough: one entered by hand may have an earlier time.
            let sql = "DELETE FROM events WHERE seq < min(ifnull((SELECT min(seq) FROM events WHERE at >= ?1), \
                (SELECT max(seq) FROM events)), (SELECT max(seq) FROM events))";
            db.execute("DELETE FROM heartbeats WHERE at < ?1", [before.as_millisecond()])?;
            db.execute(sql, [before.as_millisecond()])
        });
        pruned.or_else(|error| self.endure(error).map(|()| 0))
    }
}

/// Reads a count.
fn number(row: &Row<'_>) -> rusqlite::Result<usize> {
    row.get::<_, u32>(0).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Erases a user's data. Events after number `last` keep their token ids.
fn erase(db: &Connection, id: &str, tokens: &[Uuid], last: u64) -> rusqlite::Result<()> {
    let nobody = "UPDATE events SET user = NULL, token_id = NULL, note = NULL";
    for token in tokens {
        let token = token.as_bytes();
        db.execute(&format!("{nobody} WHERE user IS NULL AND token_id = ?1"), [token])?;
        db.execute("DELETE FROM certificates WHERE owner = ?1", [token])?;
        db.execute("DELETE FROM taps WHERE token_id = ?1", [token])?;
        db.execute("DELETE FROM heartbeats WHERE token_id = ?1", [token])?;
        let denied = Uuid::from_bytes(*token).to_string();
        db.execute("UPDATE denied SET name = NULL, reason = NULL WHERE id = ?1", [denied])?;
    }
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    db.execute(&format!("{nobody} WHERE user ->> 'id' = ?1 AND seq <= ?2"), params![id, last])?;
    db.execute("UPDATE events SET user = NULL, note = NULL WHERE user ->> 'id' = ?1", [id])?;
    db.execute("DELETE FROM cards WHERE user_id = ?1", [id])?;
    db.execute("UPDATE denied SET name = NULL, reason = NULL WHERE id = ?1", [id])?;
    let held = rows::all(db, "SELECT reader, held ->> '$.user.id' FROM slots WHERE held IS NOT NULL", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    for (reader, _) in held.iter().filter(|(_, user)| user.as_deref() == Some(id)) {
        db.execute("UPDATE slots SET held = NULL WHERE reader = ?1", params![reader])?;
    }
    Ok(())
}
