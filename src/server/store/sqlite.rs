//! The SQLite backend: a file with one connection that writes and some that read (WAL).

mod error;
mod pool;
mod statement;

use std::{fs::OpenOptions, io::ErrorKind, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use rusqlite::OpenFlags;
use sqlx::AssertSqlSafe;

use self::{
    error::failed,
    pool::{FilePool, FileTurn},
};
use super::{
    ServerStoreError,
    absence::Absence,
    migrations,
    rows::{self, BoundColumn, BoundRows},
};
use crate::files;

// The same source is compiled once for each driver: see the parent.
#[path = "queries/mod.rs"]
#[allow(clippy::duplicate_mod)]
pub mod queries;

pub use self::{
    pool::{FileTransaction, at_once, in_place},
    statement::{ReadCells as Row, SqliteRow as DatabaseRow, SqliteStatement as Statement, query, run},
};

/// The connection on which queries run.
pub type Connection = rusqlite::Connection;

/// The table of the scripts that have run.
const FORMATS: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Reads the end of the log; a transaction that writes has locked the whole file since its beginning.
pub const HOLD_HEAD: &str = "SELECT seq, hash FROM audit_head";
/// Appended to a SELECT of tokens that are about to be given to another user; empty for the reason at [`HOLD_HEAD`].
pub const HOLD_TO_GIVE: &str = "";
/// Appended to a SELECT of tokens that must not be given to another user meanwhile; empty for the reason at
/// [`HOLD_HEAD`].
pub const HOLD_AS_GIVEN: &str = "";
/// Appended to a SELECT of rows that are about to be changed; empty for the reason at [`HOLD_HEAD`].
pub const SKIP_HELD: &str = "";
/// How many rows one statement asks for by bound values: a statement costs no round trip here, but looking up many values
/// by their numbers is costly.
pub const ROWS_AT_ONCE: usize = 1;

/// Statements that take these rows; the first value of a row is never null. The places are not numbered, because SQLite
/// would search for the name of each of hundreds among all of them.
pub fn with_rows(all: &[BoundRows<'_>]) -> Vec<Statement> {
    all.iter().flat_map(with_parts).collect()
}

fn with_parts(all: &BoundRows<'_>) -> impl Iterator<Item = Statement> {
    let row = format!("({})", rows::joined("?", all.columns.len()));
    rows::parts(all.columns.first().map_or(0, BoundColumn::len)).map(move |(part, places)| {
        let values = rows::joined(&row, places);
        let text = (all.statement)(&format!("SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"));
        part.fold(query(AssertSqlSafe(text)), |statement, row| {
            all.columns.iter().fold(statement, |statement, column| bind(statement, column, row))
        })
    })
}

/// Statements that look for these keys: `text` receives what follows the column.
pub fn with_keys(keys: &BoundColumn<'_>, text: impl Fn(&str) -> String) -> Vec<Statement> {
    let all = rows::parts(keys.len()).map(|(part, places)| {
        let text = text(&format!("IN ({})", rows::joined("?", places)));
        part.fold(query(AssertSqlSafe(text)), |statement, row| bind(statement, keys, row))
    });
    all.collect()
}

fn bind(statement: Statement, column: &BoundColumn<'_>, row: usize) -> Statement {
    match column {
        BoundColumn::Text(all) => statement.bind(all[row]),
        BoundColumn::Int(all) => statement.bind(all[row]),
        BoundColumn::Bytes(all) => statement.bind(all[row]),
        BoundColumn::SomeBytes(all) => statement.bind(all[row]),
    }
}

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long emptying the WAL may wait for its readers, while others wait to write.
const BRIEF: Duration = Duration::from_millis(500);
/// Connections for reading.
const READERS: u32 = 4;

/// The cache of the writing connection in KiB, as a negative number: it also reads for lookups.
const CACHE: i64 = -8192;
/// The pages in the WAL at which it is copied into the file: rarely enough that few lookups wait for it.
const WAL_PAGES: i64 = 4096;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 100;

/// The connections to a file.
#[derive(Debug, Clone)]
pub struct Pools {
    write: FilePool,
    read: FilePool,
    file: Arc<OpenFile>,
}

/// Identifies the file that the connections have open: its name may refer to another one meanwhile.
#[derive(Debug)]
struct OpenFile {
    path: Box<Path>,
    identity: (u64, u64),
}

/// The space that the changes of a request need, in bytes. The readiness check needs this limit because its own write
/// is so small that it fits when no other does.
const ROOM: u64 = 64 << 10;

impl OpenFile {
    fn at(path: &Path) -> Result<Self, ServerStoreError> {
        let identity = files::identity(path).map_err(|error| ServerStoreError::File(path.to_owned(), error))?;
        Ok(Self { path: path.into(), identity })
    }

    /// Fails if the file was removed or replaced: what is written to it then is lost with the last connection.
    fn check(&self) -> Result<(), ServerStoreError> {
        if matches!(files::identity(&self.path), Ok(found) if found == self.identity) {
            return Ok(());
        }
        let message = format!("{} is no longer the file that was opened", self.path.display());
        Err(ServerStoreError::Away(Absence::Replaced, message))
    }

    /// Refuses a disk that is full except for a few pages.
    fn require_room(&self) -> Result<(), ServerStoreError> {
        // A file system that reports no blocks says nothing about its free space.
        let Some(disk) = rustix::fs::statvfs(&*self.path).ok().filter(|disk| disk.f_blocks > 0) else { return Ok(()) };
        let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        let left = blocks.saturating_mul(disk.f_frsize);
        if left >= ROOM {
            return Ok(());
        }
        Err(ServerStoreError::Away(Absence::Full, format!("{left} bytes are left for {}", self.path.display())))
    }
}

impl Pools {
    /// Opens the file, creates it privately if it does not exist, and brings it to the newest format.
    pub async fn open(path: &Path) -> Result<Self, ServerStoreError> {
        private_file(path)?;
        let file = Arc::new(OpenFile::at(path)?);
        let write = FilePool::new(path, 1, "BEGIN IMMEDIATE", |path| {
            let c = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, PATIENCE)?;
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.pragma_update(None, "cache_size", CACHE)?;
            c.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
            Ok(c)
        });
        let turn = write.turn().await?;
        // On a blocking thread: it may take long, and the caller does other things meanwhile.
        let opened = tokio::task::spawn_blocking(|| {
            at_once(async {
                // Only one process at a time gets past this.
                let mut held = turn.begin()?;
                queries::format::bring_up(&mut held, FORMATS, &migrations::SQLITE).await?;
                Ok(held.commit()?)
            })
        });
        opened.await.map_err(|error| sqlx::Error::Protocol(error.to_string()))??;
        Ok(Self { write, read: readers(path, READERS), file })
    }

    /// Opens an existing file for reading.
    pub async fn inspect(path: &Path) -> Result<Self, ServerStoreError> {
        let file = Arc::new(OpenFile::at(path)?);
        let read = readers(path, 1);
        // An unusable file is reported now.
        read.turn().await?.begin()?.commit()?;
        Ok(Self { write: read.clone(), read, file })
    }

    /// Refuses a disk that is full except for a few pages.
    pub fn require_room(&self) -> Result<(), ServerStoreError> {
        self.file.require_room()
    }

    /// A turn for a transaction that reads everything in one consistent state.
    pub async fn read(&self) -> Result<FileTurn, ServerStoreError> {
        self.file.check()?;
        Ok(self.read.turn().await?)
    }

    /// The same for a transaction that reads a few rows by their keys.
    pub async fn find(&self) -> Result<FileTurn, ServerStoreError> {
        self.read().await
    }

    /// A turn for a transaction that locks the file for writing from its beginning, so that it cannot lose the lock
    /// half-way.
    pub async fn write(&self) -> Result<FileTurn, ServerStoreError> {
        self.file.check()?;
        Ok(self.write.turn().await?)
    }

    /// Copies the WAL into the file and empties it, unless a reader needs it for longer than `BRIEF`.
    pub fn empty_wal(&self) -> Result<(), ServerStoreError> {
        self.file.check()?;
        // On a separate connection with a short timeout: writers wait as long as this may take, and no longer.
        in_place(async {
            let c = connect(&self.file.path, OpenFlags::SQLITE_OPEN_READ_WRITE, BRIEF).map_err(failed)?;
            Ok(c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(failed)?)
        })
    }

    /// Closes all connections, once what is under way has finished.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn readers(path: &Path, connections: u32) -> FilePool {
    FilePool::new(path, connections, "BEGIN", |path| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, PATIENCE))
}

/// Makes a file complete without a WAL, and syncs it to the disk.
pub fn settle(path: &Path) -> Result<(), ServerStoreError> {
    let c = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, PATIENCE).map_err(failed)?;
    c.pragma_update(None, "journal_mode", "DELETE").map_err(failed)?;
    drop(c);
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| ServerStoreError::File(path.to_owned(), error))
}

/// Refuses a file that is damaged or not a store of ours; opening it otherwise would make it one.
pub fn require_ours(path: &Path) -> Result<(), ServerStoreError> {
    let no_backup = |error: rusqlite::Error| ServerStoreError::Backup(failed(error).to_string());
    let c = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY)).map_err(no_backup)?;
    let asked = "SELECT count(*) FROM meta, _sqlx_migrations WHERE name = 'authority'";
    let found: i64 = c.query_row(asked, (), |row| row.get(0)).map_err(no_backup)?;
    let whole: String = c.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0)).map_err(no_backup)?;
    if found == 0 {
        return Err(ServerStoreError::Backup("it belongs to no CA".into()));
    }
    if whole != "ok" {
        return Err(ServerStoreError::Backup(format!("it is damaged: {whole}")));
    }
    Ok(())
}

/// A connection is never used by two threads at a time.
fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn connect(path: &Path, access: OpenFlags, patience: Duration) -> rusqlite::Result<Connection> {
    let c = Connection::open_with_flags(path, flags(access))?;
    c.busy_timeout(patience)?;
    c.set_prepared_statement_cache_capacity(STATEMENTS);
    c.pragma_update(None, "synchronous", "FULL")?;
    c.pragma_update(None, "foreign_keys", true)?;
    // Deleted data is overwritten.
    c.pragma_update(None, "secure_delete", true)?;
    Ok(c)
}

/// Creates the file and its folder, for this user only, before SQLite would create the file with other permissions.
fn private_file(path: &Path) -> Result<(), ServerStoreError> {
    let failed = |error| ServerStoreError::File(path.to_owned(), error);
    files::create_private_folder(files::folder_of(path)).map_err(failed)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store in a new folder.
    async fn opened() -> (tempfile::TempDir, Pools) {
        let home = tempfile::tempdir().unwrap();
        let pools = Pools::open(&home.path().join("server.db")).await.unwrap();
        (home, pools)
    }

    async fn put(pools: &Pools, name: &str, length: u32) -> Result<(), ServerStoreError> {
        let mut held = pools.write().await?.begin()?;
        let text = "INSERT INTO meta (name, value) VALUES ($1, zeroblob($2))";
        query(text).bind(name).bind(length).execute(&mut held).await?;
        Ok(held.commit()?)
    }

    /// A full disk is reported each time, and what fits is accepted again at once.
    #[test]
    fn a_disk_that_was_full_is_written_to_again() {
        let done = crate::server::block_on(async {
            let (_home, pools) = opened().await;
            for round in 0..3 {
                let mut held = pools.write().await.unwrap().begin().unwrap();
                // As long as this connection lives, the file cannot grow.
                query("PRAGMA max_page_count = 1").execute(&mut held).await.unwrap();
                held.commit().unwrap();
                let error = put(&pools, &format!("big {round}"), 100_000).await.unwrap_err();
                assert_eq!(error.absence(), Some(Absence::Full), "{error}");
                put(&pools, &format!("small {round}"), 100_000).await.unwrap();
            }
            let mut held = pools.read().await.unwrap().begin().unwrap();
            let names = "SELECT count(*) FROM meta WHERE name LIKE 'small%' OR name LIKE 'big%'";
            query(names).fetch_one(&mut held).await.unwrap().try_get::<i64, _>(0).unwrap()
        });
        assert_eq!(done.unwrap(), 3);
    }

    /// A file that was removed or replaced takes no changes, which would be lost. Back in its place, it is the store
    /// again.
    #[test]
    fn a_file_that_was_taken_away_takes_no_changes() {
        let done = crate::server::block_on(async {
            let (home, pools) = opened().await;
            let (path, aside) = (home.path().join("server.db"), home.path().join("aside"));
            std::fs::rename(&path, &aside).unwrap();
            let is_gone = |error: ServerStoreError| error.absence() == Some(Absence::Replaced);
            assert!(is_gone(put(&pools, "a", 1).await.unwrap_err()));
            assert!(is_gone(pools.read().await.map(drop).unwrap_err()));
            std::fs::copy(&aside, &path).unwrap();
            assert!(is_gone(put(&pools, "a", 1).await.unwrap_err()));
            std::fs::rename(&aside, &path).unwrap();
            put(&pools, "a", 1).await.unwrap();
        });
        done.unwrap();
    }

    /// What is committed is on the disk, and not only in the system's cache.
    #[test]
    fn a_commit_waits_for_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let found = crate::server::block_on(async {
            let pools = Pools::open(&home.path().join("server.db")).await.unwrap();
            let mut held = pools.write().await.unwrap().begin().unwrap();
            let synchronous = query("PRAGMA synchronous").fetch_one(&mut held).await.unwrap();
            let journal = query("PRAGMA journal_mode").fetch_one(&mut held).await.unwrap();
            (synchronous.try_get::<i64, _>(0).unwrap(), journal.try_get::<String, _>(0).unwrap())
        });
        assert_eq!(found.unwrap(), (2, "wal".to_owned()));
    }

    /// SQLite reports its compile-time options, except how it waits for the disk; both are set in `.cargo/config.toml`.
    #[test]
    fn sqlite_is_compiled_as_the_project_says() {
        let c = Connection::open_in_memory().unwrap();
        let mut options = c.prepare("PRAGMA compile_options").unwrap();
        let options = options.query_map((), |row| row.get::<_, String>(0)).unwrap();
        let options: Vec<_> = options.map(Result::unwrap).collect();
        assert!(options.iter().any(|option| option.starts_with("THREADSAFE")), "{options:?}");
        let left_out = ["ENABLE_FTS3", "ENABLE_FTS5", "ENABLE_RTREE"];
        assert!(!options.iter().any(|option| left_out.contains(&option.as_str())), "{options:?}");
    }
}
