//! `directory.db`: the tables behind the lookup cache, in a separate file from the terminal's store.
//!
//! The data can be fetched from the server again if the file is lost, so nothing here waits for the disk; but each
//! change is one transaction, and several processes may use the file at once. A power cut can bring back a nonce that
//! was used: the server refuses it, and the next tap uses another.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fs4::fs_std::FileExt;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use crate::{
    api::v1::{AuditHead, Feed, FeedEntry, TokenStatus, WitnessedStatus},
    files,
    server_client::{CacheCause, CacheFault, ServerError},
    terminal::presence::store::{TerminalStoreError, take_in_log, unchanging},
};

/// `application_id` of the file: `RCd1`.
const APPLICATION_ID: i64 = 0x5243_6431;
/// How long to wait for another process that is writing, when the file is opened or a person is forgotten.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same once the file is open: a person at a reader is waiting too.
const BRIEF: Duration = Duration::from_millis(500);
/// The maximum number of signed users that are kept; the oldest are dropped first.
const USERS_KEPT: i64 = 10_000;

/// The open file, or its content in memory.
#[derive(Debug, Clone)]
pub(super) struct CacheStore {
    db: Arc<Mutex<Connection>>,
    path: PathBuf,
    /// Why it is in memory only, in which case all clones share it.
    unwritable: Option<CacheFault>,
}

/// The terminal's position in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPosition {
    /// The version of the newest entry.
    pub version: u64,
    /// When the server signed the newest feed that was received completely.
    pub at: Option<Timestamp>,
    /// The newest known head of the audit log.
    pub audit: AuditHead,
}

impl CacheStore {
    /// Opens the file in the state folder (0700), or creates it (0600). Data signed by none of these CAs are dropped,
    /// and the first CA is recorded. If the disk is full or read-only, the content is kept in memory from then on.
    pub(super) fn open(home: &Path, cas: &[&[u8]]) -> Result<Self, ServerError> {
        let path = home.join("directory.db");
        let (db, unwritable) = match open_file(home, &path, cas) {
            Ok(db) => (db, None),
            Err(error @ (TerminalStoreError::Full { .. } | TerminalStoreError::ReadOnly { .. })) => {
                let fault = fault(&error);
                let db = in_memory(&path, cas).map_err(|_| ServerError::Cache(fault.clone()))?;
                (db, Some(fault))
            }
            Err(error) => return Err(ServerError::Cache(fault(&error))),
        };
        Ok(Self { db: Arc::new(Mutex::new(db)), path, unwritable })
    }

    /// Why it is in memory only.
    pub(super) const fn unwritable(&self) -> Option<&CacheFault> {
        self.unwritable.as_ref()
    }

    fn wrap(&self, error: &rusqlite::Error) -> ServerError {
        ServerError::Cache(fault(&TerminalStoreError::database(&self.path, error)))
    }

    fn query<T>(&self, run: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ServerError> {
        run(&self.db.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|error| self.wrap(&error))
    }

    fn transact<T>(&self, run: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, ServerError> {
        self.query(|db| {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            let value = run(&tx)?;
            tx.commit()?;
            Ok(value)
        })
    }

    /// Removes one usable nonce from the store and returns it with its expiry.
    pub(super) fn take_nonce(&self, now: Timestamp) -> Result<Option<([u8; 32], Timestamp)>, ServerError> {
        let taken = self.transact(|tx| {
            tx.execute("DELETE FROM nonces WHERE use_by <= ?1", [now.as_millisecond()])?;
            let one = "DELETE FROM nonces WHERE nonce = (SELECT nonce FROM nonces ORDER BY use_by LIMIT 1)
                       RETURNING nonce, use_by";
            tx.query_row(one, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })?;
        Ok(taken.map(|(nonce, use_by)| (nonce, Timestamp::from_millisecond(use_by).unwrap_or(now))))
    }

    /// The number of nonces that are still usable.
    pub(super) fn count_nonces(&self, now: Timestamp) -> Result<u16, ServerError> {
        let sql = "SELECT count(*) FROM nonces WHERE use_by > ?1";
        self.query(|db| db.query_row(sql, [now.as_millisecond()], |row| row.get(0)))
    }

    /// Stores nonces, up to a total of `most`.
    pub(super) fn keep_nonces(&self, nonces: &[([u8; 32], Timestamp)], most: u16) -> Result<(), ServerError> {
        self.transact(|tx| {
            for (nonce, use_by) in nonces {
                let sql = "INSERT OR IGNORE INTO nonces SELECT ?1, ?2 WHERE (SELECT count(*) FROM nonces) < ?3";
                tx.execute(sql, params![nonce, use_by.as_millisecond(), most])?;
            }
            Ok(())
        })
    }

    /// The current position in the feed.
    pub(super) fn mark(&self) -> Result<FeedPosition, ServerError> {
        self.query(mark)
    }

    /// Applies a feed requested at this position, with its signature. `false` when another process was faster.
    pub(super) fn take_feed(
        &self,
        asked: &FeedPosition,
        feed: &Feed,
        jws: &str,
        now: Timestamp,
    ) -> Result<bool, ServerError> {
        self.transact(|tx| {
            if mark(tx)? != *asked {
                return Ok(false);
            }
            for entry in &feed.entries {
                note(tx, entry)?;
            }
            if !feed.more {
                tx.execute("DELETE FROM statuses WHERE heard = 1", [])?;
            }
            // A server clock that is ahead must not make the feed look younger than it is.
            let at = if feed.more { asked.at } else { Some(feed.at.min(now)) };
            tx.execute(
                "UPDATE feed SET version = ?1, at = ?2, audit_seq = ?3, audit_hash = ?4, jws = ?5, rolled_back = 0",
                params![
                    feed.version.cast_signed(),
                    at.map(Timestamp::as_millisecond),
                    feed.audit.seq.cast_signed(),
                    feed.audit.hash,
                    jws
                ],
            )?;
            Ok(true)
        })
    }

    /// Records that the server has a log with this head and has lost the one known here: cached data stay, and all
    /// events are sent again.
    pub(super) fn roll_back(&self, head: &AuditHead) -> Result<(), ServerError> {
        self.transact(|tx| {
            let sql = "UPDATE feed SET rolled_back = 1, other_seq = ?1, other_hash = ?2 WHERE rolled_back = 0";
            match tx.execute(sql, params![head.seq.cast_signed(), head.hash])? {
                0 => Ok(()),
                _ => send_all_again(tx),
            }
        })
    }

    /// The newest known head of the server's other log, while that is not followed.
    pub(super) fn other_log(&self) -> Result<Option<AuditHead>, ServerError> {
        let sql = "SELECT other_seq, other_hash FROM feed WHERE rolled_back = 1";
        let head = |row: &Row<'_>| Ok(AuditHead { seq: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? });
        self.query(|db| db.query_row(sql, [], head).optional())
    }

    /// Replaces the known head of the other log; `is_exchanged` when it belongs to yet another log.
    pub(super) fn set_other(&self, known: &AuditHead, head: &AuditHead, is_exchanged: bool) -> Result<(), ServerError> {
        self.transact(|tx| {
            let sql = "UPDATE feed SET other_seq = ?1, other_hash = ?2
                       WHERE rolled_back = 1 AND other_seq = ?3 AND other_hash = ?4";
            let (seq, known_seq) = (head.seq.cast_signed(), known.seq.cast_signed());
            let news = tx.execute(sql, params![seq, head.hash, known_seq, known.hash])? > 0;
            if news && is_exchanged { send_all_again(tx) } else { Ok(()) }
        })
    }

    /// How often the server's log was replaced by another.
    pub(super) fn exchanges(&self) -> Result<u64, ServerError> {
        self.query(|db| db.query_row("SELECT exchanges FROM feed", [], |row| row.get::<_, i64>(0)))
            .map(i64::cast_unsigned)
    }

    /// Follows another log from its beginning. Refused tokens stay refused until its whole feed was received.
    pub(super) fn start_over(&self, asked: &FeedPosition, audit: &AuditHead, jws: &str) -> Result<(), ServerError> {
        self.transact(|tx| {
            if mark(tx)? != *asked {
                return Ok(());
            }
            // A terminal that was offline until the logs were reconciled learns of the other log only now.
            if tx.query_row("SELECT rolled_back FROM feed", [], |row| row.get::<_, i64>(0))? == 0 {
                send_all_again(tx)?;
            }
            tx.execute("UPDATE statuses SET heard = 1", [])?;
            let sql = "UPDATE feed SET version = 0, audit_seq = ?1, audit_hash = ?2, jws = ?3, rolled_back = 0";
            tx.execute(sql, params![audit.seq.cast_signed(), audit.hash, jws]).map(drop)
        })
    }

    /// The newest feed as it was signed, and every refused token.
    pub(super) fn witness(&self) -> Result<(String, Vec<WitnessedStatus>), ServerError> {
        self.query(|db| {
            let jws = db.query_row("SELECT jws FROM feed", [], |row| row.get(0))?;
            let mut rows = db.prepare("SELECT token_id, status, reason FROM statuses ORDER BY token_id")?;
            let found = rows.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
            })?;
            let mut statuses = Vec::new();
            for row in found {
                let (token_id, status, reason) = row?;
                if let (Ok(token_id), Some(status)) = (token_id.parse(), named(&status)) {
                    statuses.push(WitnessedStatus { token_id, status, reason });
                }
            }
            Ok((jws, statuses))
        })
    }

    /// Drops all nonces.
    pub(super) fn drop_nonces(&self) -> Result<(), ServerError> {
        self.transact(|tx| tx.execute("DELETE FROM nonces", []).map(drop))
    }

    /// Stores what a lookup said about a refused token, until the feed says it too.
    pub(super) fn apply_lookup(&self, id: Uuid, status: TokenStatus, reason: Option<&str>) -> Result<(), ServerError> {
        let sql = "INSERT INTO statuses VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET status = ?2, reason = ?3";
        self.transact(|tx| tx.execute(sql, params![id.to_string(), word(status), reason]).map(drop))
    }

    /// The status of a token, unless it is active or unknown.
    pub(super) fn status(&self, id: Uuid) -> Result<Option<(TokenStatus, Option<String>)>, ServerError> {
        let sql = "SELECT status, reason FROM statuses WHERE token_id = ?1";
        let row = self.query(|db| {
            db.query_row(sql, [id.to_string()], |row| Ok((row.get::<_, String>(0)?, row.get(1)?))).optional()
        })?;
        // An unknown status must not admit a token.
        Ok(row.map(|(status, reason)| (named(&status).unwrap_or(TokenStatus::Suspended), reason)))
    }

    /// The tokens that are not active.
    pub(super) fn not_active(&self) -> Result<Vec<Uuid>, ServerError> {
        let ids: Vec<String> = self.query(|db| {
            db.prepare_cached("SELECT token_id FROM statuses")?.query_map([], |row| row.get(0))?.collect()
        })?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// Stores the signed user of a token.
    pub(super) fn keep_user(&self, id: Uuid, jws: &str, at: Timestamp) -> Result<(), ServerError> {
        self.transact(|tx| {
            let sql = "INSERT INTO users VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET jws = ?2, at = ?3";
            tx.execute(sql, params![id.to_string(), jws, at.as_millisecond()])?;
            let sql =
                "DELETE FROM users WHERE token_id IN (SELECT token_id FROM users ORDER BY at DESC LIMIT -1 OFFSET ?1)";
            tx.execute(sql, [USERS_KEPT]).map(drop)
        })
    }

    /// The signed user of a token.
    pub(super) fn user(&self, id: Uuid) -> Result<Option<String>, ServerError> {
        let sql = "SELECT jws FROM users WHERE token_id = ?1";
        self.query(|db| db.query_row(sql, [id.to_string()], |row| row.get(0)).optional())
    }

    /// The signed users of all tokens, latest first.
    pub(super) fn users(&self) -> Result<Vec<(Uuid, String)>, ServerError> {
        let sql = "SELECT token_id, jws FROM users ORDER BY at DESC";
        let all: Vec<(String, String)> =
            self.query(|db| db.prepare_cached(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())?;
        Ok(all.into_iter().filter_map(|(id, jws)| Some((id.parse().ok()?, jws))).collect())
    }

    /// Drops users that the server named before this time, and expired nonces.
    pub(super) fn prune(&self, before: Timestamp, now: Timestamp) -> Result<(), ServerError> {
        self.transact(|tx| {
            tx.execute("DELETE FROM users WHERE at < ?1", [before.as_millisecond()])?;
            tx.execute("DELETE FROM nonces WHERE use_by <= ?1", [now.as_millisecond()]).map(drop)
        })
    }

    /// The last event of a list up to which the server has everything.
    pub(super) fn uploaded(&self, list: Uuid) -> Result<u64, ServerError> {
        let sql = "SELECT seq FROM uploads WHERE list = ?1";
        let seq = self.query(|db| db.query_row(sql, [list.to_string()], |row| row.get::<_, i64>(0)).optional())?;
        Ok(seq.unwrap_or(0).cast_unsigned())
    }

    /// Records that the server has everything up to this event.
    pub(super) fn set_uploaded(&self, list: Uuid, seq: u64) -> Result<(), ServerError> {
        let sql = "INSERT INTO uploads VALUES (?1, ?2) ON CONFLICT DO UPDATE SET seq = max(seq, ?2)";
        self.transact(|tx| tx.execute(sql, params![list.to_string(), seq.cast_signed()]).map(drop))
    }
}

/// The error in the form shown to users.
fn fault(error: &TerminalStoreError) -> CacheFault {
    let cause = match error {
        TerminalStoreError::Full { .. } => CacheCause::Full,
        TerminalStoreError::ReadOnly { .. } => CacheCause::ReadOnly,
        TerminalStoreError::Locked { .. } => CacheCause::Locked,
        TerminalStoreError::Denied { .. } => CacheCause::Denied,
        TerminalStoreError::Damaged { .. } | TerminalStoreError::Newer { .. } => CacheCause::Damaged,
        TerminalStoreError::File { .. } | TerminalStoreError::WatchRunning { .. } => CacheCause::Other,
    };
    CacheFault { text: error.to_string(), cause }
}

fn open_file(home: &Path, path: &Path, cas: &[&[u8]]) -> Result<Connection, TerminalStoreError> {
    let broken = |error: std::io::Error| TerminalStoreError::file(path, &error);
    files::create_private_folder(home).map_err(broken)?;
    // Only one process at a time creates the file or checks whether it exists.
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(home.join("directory.lock"));
    let lock = lock.map_err(broken)?;
    lock.lock_exclusive().map_err(broken)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(broken(error)),
        _ => {}
    }
    connect(path, cas).map_err(|error| TerminalStoreError::database(path, &error))
}

/// A copy of the file in memory, without the nonces, which other processes may take from the file.
fn in_memory(path: &Path, cas: &[&[u8]]) -> Result<Connection, TerminalStoreError> {
    let wrap = |error: rusqlite::Error| TerminalStoreError::database(path, &error);
    let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_in_memory_with_flags(flags).map_err(wrap)?;
    prepare(&db, cas).map_err(wrap)?;
    if !std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(db);
    }
    take_in_log(path)?;
    let copy = || {
        db.execute("ATTACH ?1 AS disk", [unchanging(path)])?;
        let format = |of| db.pragma_query_value::<i64, _>(Some(of), "user_version", |row| row.get(0));
        // A file from an earlier release has other columns, and cannot be migrated here.
        if format("disk")? != format("main")? {
            return db.execute_batch("DETACH disk");
        }
        let known: Vec<u8> = db.query_row("SELECT ca FROM disk.feed", [], |row| row.get(0))?;
        if cas.contains(&known.as_slice()) {
            db.execute_batch(
                "DELETE FROM main.feed; INSERT INTO main.feed SELECT * FROM disk.feed; \
                 INSERT INTO main.statuses SELECT * FROM disk.statuses; \
                 INSERT INTO main.users SELECT * FROM disk.users; INSERT INTO main.uploads SELECT * FROM disk.uploads;",
            )?;
            db.execute("UPDATE main.feed SET ca = ?1", [cas.first().copied().unwrap_or_default()])?;
        }
        db.execute_batch("DETACH disk")
    };
    copy().map_err(wrap)?;
    Ok(db)
}

/// Drops the users of these tokens, if the file exists; returns how many.
pub(super) fn forget_users(home: &Path, tokens: &[Uuid]) -> Result<usize, ServerError> {
    let path = home.join("directory.db");
    if !path.is_file() {
        return Ok(0);
    }
    let forget = || {
        let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "secure_delete", true)?;
        let mut delete = db.prepare("DELETE FROM users WHERE token_id = ?1")?;
        let mut forgotten = 0;
        for id in tokens {
            forgotten += delete.execute([id.to_string()])?;
        }
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(forgotten)
    };
    let forgotten: rusqlite::Result<usize> = forget();
    forgotten.map_err(|error| ServerError::Cache(fault(&TerminalStoreError::database(&path, &error))))
}

fn connect(path: &Path, cas: &[&[u8]]) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    is_empty(&db)?; // leaves another program's file untouched
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    prepare(&db, cas)?;
    db.busy_timeout(BRIEF)?;
    Ok(db)
}

/// Migrates the tables to the newest format, and drops what none of these CAs signed.
fn prepare(db: &Connection, cas: &[&[u8]]) -> rusqlite::Result<()> {
    let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    if is_empty(&tx)? {
        tx.execute_batch(include_str!("store/001.sql"))?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", 1)?;
    }
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 1 {
        tx.execute_batch(include_str!("store/002.sql"))?;
    }
    if version <= 2 {
        tx.execute_batch(include_str!("store/003.sql"))?;
        tx.pragma_update(None, "user_version", 3)?;
    }
    let known: Option<Vec<u8>> = tx.query_row("SELECT ca FROM feed", [], |row| row.get(0)).optional()?;
    let ca = cas.first().copied().unwrap_or_default();
    if known.as_deref().is_some_and(|known| cas.contains(&known)) {
        tx.execute("UPDATE feed SET ca = ?1", [ca])?;
    } else {
        tx.execute_batch("DELETE FROM feed; DELETE FROM nonces; DELETE FROM statuses; DELETE FROM users;")?;
        tx.execute("INSERT INTO feed (one, ca) VALUES (1, ?1)", [ca])?;
    }
    tx.commit()
}

/// Whether the file is still empty; an error when it belongs to another program.
fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    let id: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (id, tables) {
        (APPLICATION_ID, 1..) => Ok(false),
        (0, 0) => Ok(true),
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}

fn mark(db: &Connection) -> rusqlite::Result<FeedPosition> {
    db.query_row("SELECT version, at, audit_seq, audit_hash FROM feed", [], |row| {
        let at = row.get::<_, Option<i64>>(1)?;
        Ok(FeedPosition {
            version: row.get::<_, i64>(0)?.cast_unsigned(),
            at: at.and_then(|at| Timestamp::from_millisecond(at).ok()),
            audit: AuditHead { seq: row.get::<_, i64>(2)?.cast_unsigned(), hash: row.get(3)? },
        })
    })
}

/// All events are sent again, to another log.
fn send_all_again(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("DELETE FROM uploads; UPDATE feed SET exchanges = exchanges + 1")
}

fn note(db: &Connection, entry: &FeedEntry) -> rusqlite::Result<()> {
    let id = entry.token_id.to_string();
    if entry.status == TokenStatus::Active {
        return db.execute("DELETE FROM statuses WHERE token_id = ?1", [id]).map(drop);
    }
    let sql =
        "INSERT INTO statuses VALUES (?1, ?2, ?3, 0) ON CONFLICT DO UPDATE SET status = ?2, reason = ?3, heard = 0";
    db.execute(sql, params![id, word(entry.status), entry.reason]).map(drop)
}

const WORDS: [(TokenStatus, &str); 4] = [
    (TokenStatus::Active, "active"),
    (TokenStatus::Suspended, "suspended"),
    (TokenStatus::Lost, "lost"),
    (TokenStatus::Revoked, "revoked"),
];

fn word(status: TokenStatus) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == status).map_or("suspended", |(_, word)| word)
}

fn named(text: &str) -> Option<TokenStatus> {
    WORDS.iter().find(|(_, word)| *word == text).map(|(status, _)| *status)
}
