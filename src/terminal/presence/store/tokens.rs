//! What the terminal remembers about tokens beyond the list: use counters, certificates, and response times.
//!
//! Written without waiting for the disk: a kill loses nothing; a power cut may lose the last writes, which costs
//! reading a certificate again, or one counter step; nothing is torn.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Sync, TerminalStore, TerminalStoreError};

/// The maximum age, in milliseconds, of the last tap stored beside a least time: `retention` counts from it.
const REFRESHED_AFTER: i64 = 3_600_000;

/// Identifies a certificate of a token or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateOf {
    /// The identity certificate of a token (`7F 21`).
    Identity(Uuid),
    /// The certificate of a token's own ECKA key.
    Own {
        /// The token.
        token_id: Uuid,
        /// The key version number.
        kvn: u8,
    },
    /// The certificate of a set's ECKA key.
    Set {
        /// The set.
        set_id: [u8; 8],
        /// The key version number.
        kvn: u8,
    },
}

impl CertificateOf {
    fn key(&self) -> (&'static str, &[u8], u8) {
        match self {
            Self::Identity(token_id) => ("identity", token_id.as_bytes(), 0),
            Self::Own { token_id, kvn } => ("ecka", token_id.as_bytes(), *kvn),
            Self::Set { set_id, kvn } => ("ecka", set_id, *kvn),
        }
    }
}

impl TerminalStore {
    /// The last use counter (32 bits) of a token, if it was ever seen here.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be read.
    pub fn counter(&self, token_id: Uuid) -> Result<Option<u32>, TerminalStoreError> {
        let stored: Option<u32> = self.query(|db| {
            let mut statement = db.prepare_cached("SELECT counter FROM counters WHERE token_id = ?1")?;
            statement.query_row([token_id.as_bytes()], |row| row.get(0)).optional()
        })?;
        Ok(stored.max(self.waiting_counter(token_id)))
    }

    /// Stores a use counter if it is greater than the last one, in one step; returns whether it was. A counter that is
    /// not greater belongs to a clone or a replay: refuse it.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written, or in a watch when it cannot be read: then the last
    /// counter is unknown, and nobody is admitted.
    pub fn record_counter(&mut self, token_id: Uuid, counter: u32) -> Result<bool, TerminalStoreError> {
        if self.outage.is_none() {
            self.synchronise(Sync::Lazy)?;
            let recorded = self.query(|db| {
                let sql = "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT DO UPDATE SET counter = excluded.counter \
                    WHERE excluded.counter > counters.counter";
                Ok(db.prepare_cached(sql)?.execute(params![token_id.as_bytes(), counter])? == 1)
            });
            match recorded {
                Ok(risen) => return Ok(risen),
                Err(error) => self.endure(error)?,
            }
        }
        self.record_counter_in_memory(token_id, counter)
    }

    /// A stored certificate, in DER. It was verified when stored; its validity period has to be checked again.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be read.
    pub fn certificate(&self, of: &CertificateOf) -> Result<Option<Vec<u8>>, TerminalStoreError> {
        // Changes by other processes are not visible here, so read the certificate from the token instead.
        if self.makeshift.is_some() {
            return Ok(None);
        }
        let (kind, owner, kvn) = of.key();
        self.query(|db| {
            let sql = "SELECT der FROM certificates WHERE kind = ?1 AND owner = ?2 AND kvn = ?3";
            db.prepare_cached(sql)?.query_row(params![kind, owner, kvn], |row| row.get(0)).optional()
        })
    }

    /// Stores a certificate, in DER, replacing the previous one.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written.
    pub fn keep_certificate(&mut self, of: &CertificateOf, der: &[u8]) -> Result<(), TerminalStoreError> {
        let (kind, owner, kvn) = of.key();
        self.remember(|db| {
            let sql = "REPLACE INTO certificates VALUES (?1, ?2, ?3, ?4)";
            db.prepare_cached(sql)?.execute(params![kind, owner, kvn, der]).map(drop)
        })
    }

    /// Deletes a certificate that no longer verifies.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written.
    pub fn forget_certificate(&mut self, of: &CertificateOf) -> Result<(), TerminalStoreError> {
        let (kind, owner, kvn) = of.key();
        self.remember(|db| {
            let sql = "DELETE FROM certificates WHERE kind = ?1 AND owner = ?2 AND kvn = ?3";
            db.prepare_cached(sql)?.execute(params![kind, owner, kvn]).map(drop)
        })
    }

    /// The least time that this token took for a heartbeat at this reader, if one was ever timed.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be read.
    pub fn least_heartbeat(&self, token_id: Uuid, reader: &str) -> Result<Option<Duration>, TerminalStoreError> {
        let least: Option<i64> = self.query(|db| {
            let sql = "SELECT least FROM heartbeats WHERE token_id = ?1 AND reader = ?2";
            let mut statement = db.prepare_cached(sql)?;
            statement.query_row(params![token_id.as_bytes(), reader], |row| row.get(0)).optional()
        })?;
        let stored = least.and_then(|least| u64::try_from(least).ok()).map(Duration::from_micros);
        Ok(stored.into_iter().chain(self.waiting_heartbeat(token_id, reader)).min())
    }

    /// Stores the time of a heartbeat if it is the least so far, and, to the hour, that the token was here. Call it
    /// only for answers with a valid R-MAC and within the bound. If it cannot be written, it waits in memory.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written.
    pub fn keep_least_heartbeat(
        &mut self,
        token_id: Uuid,
        reader: &str,
        took: Duration,
        now: Timestamp,
    ) -> Result<(), TerminalStoreError> {
        if self.outage.is_none() {
            self.synchronise(Sync::Lazy)?;
            match self.query(|db| write_heartbeat(db, token_id, reader, (took, now))) {
                Ok(()) => return Ok(()),
                Err(error) => self.endure(error)?,
            }
        }
        self.keep_heartbeat_in_memory(token_id, reader, (took, now));
        Ok(())
    }

    /// The readers for which times are stored.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be read.
    pub fn heartbeat_readers(&self) -> Result<Vec<String>, TerminalStoreError> {
        self.query(|db| super::rows::all(db, "SELECT DISTINCT reader FROM heartbeats", |row| row.get(0)))
    }

    /// Deletes the times of these readers, which no longer have a distance bound.
    ///
    /// # Errors
    /// [`TerminalStoreError`] when the store cannot be written.
    pub fn forget_heartbeats(&mut self, readers: &[String]) -> Result<(), TerminalStoreError> {
        self.remember(|db| {
            let forget = |reader: &String| db.execute("DELETE FROM heartbeats WHERE reader = ?1", [reader]).map(drop);
            readers.iter().try_for_each(forget)
        })
    }

    /// Writes something that a watch can do without: if that fails, the certificate is read again with the next tap.
    fn remember(&mut self, write: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), TerminalStoreError> {
        if self.outage.is_some() {
            return Ok(());
        }
        self.synchronise(Sync::Lazy)?;
        let written = self.query(write);
        written.or_else(|error| self.endure(error))
    }
}

/// Writes the least time and when the token was last here. Writes nothing if neither changes, to keep taps fast.
pub(super) fn write_heartbeat(
    db: &Connection,
    token_id: Uuid,
    reader: &str,
    (took, now): (Duration, Timestamp),
) -> rusqlite::Result<()> {
    let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
    let fresh = now.as_millisecond().saturating_sub(REFRESHED_AFTER);
    let sql =
        "SELECT EXISTS (SELECT 1 FROM heartbeats WHERE token_id = ?1 AND reader = ?2 AND least <= ?3 AND at > ?4)";
    if db.prepare_cached(sql)?.query_row(params![token_id.as_bytes(), reader, took, fresh], |row| row.get(0))? {
        return Ok(());
    }
    let sql = "INSERT INTO heartbeats VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE \
        SET least = min(least, excluded.least), at = max(at, excluded.at)";
    db.prepare_cached(sql)?.execute(params![token_id.as_bytes(), reader, took, now.as_millisecond()]).map(drop)
}
