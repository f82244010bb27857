//! Opens the database file: created once, with the right permissions, and migrated to the current format.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::fs_std::FileExt;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::TerminalStoreError;
use crate::files;

/// Each script migrates from one format to the next; `user_version` is the number of the format.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("001.sql"),
    include_str!("002.sql"),
    include_str!("003.sql"),
    include_str!("004.sql"),
    include_str!("005.sql"),
    include_str!("006.sql"),
    include_str!("007.sql"),
    include_str!("008.sql"),
    include_str!("009.sql"),
];

/// `application_id` of our files, which distinguishes them from those of other programs: `RCl1`.
const APPLICATION_ID: i64 = 0x5243_6c31;

/// How much of the file SQLite caches, in KiB. Its default of 2 MiB would fill with pages of old events, which a watch
/// never reads again.
const CACHE_KIB: i64 = 256;

/// How long to wait for another process that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the file is open for reading only, as determined when it was opened: SQLite cannot create its files beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Makeshift {
    /// The disk is full.
    Full,
    /// The disk is read-only.
    ReadOnly,
}

impl Makeshift {
    pub(super) fn error(self, path: &Path) -> TerminalStoreError {
        let path = path.to_owned();
        match self {
            Self::Full => TerminalStoreError::Full { path },
            Self::ReadOnly => TerminalStoreError::ReadOnly { path },
        }
    }

    fn of(error: &TerminalStoreError, path: &Path) -> Option<Self> {
        match error {
            TerminalStoreError::Full { .. } => Some(Self::Full),
            TerminalStoreError::ReadOnly { .. } if is_read_only_disk(path) => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

/// Opens the database in `home`; creates both when missing (folder 0700, file 0600). If the disk is full or read-only,
/// the file is opened for reading.
pub(super) fn open(home: &Path, path: &Path) -> Result<(Connection, Option<Makeshift>), TerminalStoreError> {
    if !is_there(path)? {
        make_folder(home)?;
        return Ok((migrate(home, path)?, None));
    }
    let (found, db, makeshift) = match read(path, &Place::Beside) {
        Ok((found, db)) => (found, db, None),
        Err(error) => {
            let Some(why) = Makeshift::of(&error, path) else { return Err(error) };
            // Without a log the database file is complete by itself.
            if take_in_log(path).is_err() {
                return Err(error);
            }
            let (found, db) = read(path, &Place::Alone)?;
            (found, db, Some(why))
        }
    };
    match found {
        found if found == newest() => Ok((db, makeshift)),
        found if found > newest() => Err(TerminalStoreError::Newer { path: path.to_owned(), found, known: newest() }),
        _ => {
            drop(db);
            Ok((migrate(home, path)?, None))
        }
    }
}

fn read(path: &Path, place: &Place) -> Result<(i64, Connection), TerminalStoreError> {
    let db = connect(path, place)?;
    Ok((format(&db, path)?, db))
}

/// The file as opened on a full or read-only disk.
#[cfg(test)]
pub(super) fn open_alone(path: &Path) -> Connection {
    connect(path, &Place::Alone).unwrap() // invariant: a test has created it
}

/// Has SQLite merge the log of a killed process into the file, which needs hardly any space, and remove the log: then
/// the file is complete by itself.
///
/// # Errors
/// When that is impossible: another process uses the file, or the disk is read-only or completely full.
pub fn take_in_log(path: &Path) -> Result<(), TerminalStoreError> {
    if is_there(&log_of(path))? {
        let db = connect(path, &Place::ByUsAlone)?;
        let looked = db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        looked.map_err(|error| TerminalStoreError::database(path, &error))?;
    }
    if is_there(&log_of(path))? { Err(Makeshift::Full.error(path)) } else { Ok(()) }
}

/// Whether the file exists and is not empty. Anything else in its place could block, or pass for an empty database.
pub(super) fn is_there(path: &Path) -> Result<bool, TerminalStoreError> {
    match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(TerminalStoreError::damaged(path, &"not a regular file")),
        Ok(about) => Ok(about.len() > 0),
        Err(_) => Ok(false),
    }
}

/// Opens or creates a file of ours with mode 0600.
pub(super) fn private_file(path: &Path) -> Result<File, TerminalStoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|error| TerminalStoreError::file(path, &error))
}

fn make_folder(home: &Path) -> Result<(), TerminalStoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(home);
    made.map_err(|error| TerminalStoreError::file(home, &error))
}

/// Creates the file. An existing one is not even opened: closing it would release locks that SQLite holds in this
/// process.
fn make_file(path: &Path) -> Result<(), TerminalStoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(TerminalStoreError::file(path, &error)),
        _ => Ok(()),
    }
}

/// Creates the file or migrates it, one process at a time; a kill in between leaves it as it was.
fn migrate(home: &Path, path: &Path) -> Result<Connection, TerminalStoreError> {
    let lock_path = home.join("terminal.lock");
    let lock = private_file(&lock_path)?;
    lock.lock_exclusive().map_err(|error| TerminalStoreError::file(&lock_path, &error))?;
    make_file(path)?;
    let mut db = connect(path, &Place::Beside)?;
    let found = format(&db, path)?;
    if found < newest() {
        run_migrations(&mut db, found).map_err(|error| TerminalStoreError::database(path, &error))?;
    }
    Ok(db)
}

fn run_migrations(db: &mut Connection, found: i64) -> rusqlite::Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(found).unwrap_or(0);
    for script in MIGRATIONS.iter().skip(done) {
        tx.execute_batch(script)?;
    }
    tx.pragma_update(None, "user_version", newest())?;
    tx.commit()
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The surroundings in which SQLite opens a file.
enum Place {
    /// With the companion files that it creates beside it.
    Beside,
    /// By itself; nobody changes it.
    Alone,
    /// With the companion files, except the one through which several processes share the log.
    ByUsAlone,
}

/// Whether the file is on a disk that nobody can write.
fn is_read_only_disk(path: &Path) -> bool {
    files::try_beside(path).is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem)
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// The file as a URI (<https://sqlite.org/uri.html>) that promises SQLite that it does not change.
pub fn unchanging(path: &Path) -> String {
    let encoded = path.as_os_str().as_bytes().iter().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    format!("file:{}?immutable=1", encoded.collect::<String>())
}

fn connect(path: &Path, place: &Place) -> Result<Connection, TerminalStoreError> {
    let open = || {
        let db = match place {
            Place::Beside | Place::ByUsAlone => {
                Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
            }
            Place::Alone => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(unchanging(path), flags | OpenFlags::SQLITE_OPEN_URI)?
            }
        };
        db.busy_timeout(PATIENCE)?;
        if matches!(place, Place::ByUsAlone) {
            db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        }
        db.set_prepared_statement_cache_capacity(64);
        // Overwrite deleted content.
        db.pragma_update(None, "secure_delete", true)?;
        // A negative number is KiB, a positive one pages.
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(db)
    };
    open().map_err(|error| TerminalStoreError::database(path, &error))
}

/// The format of the file: 0 when it is empty. A file of another program is an error.
fn format(db: &Connection, path: &Path) -> Result<i64, TerminalStoreError> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || Ok((pragma("application_id")?, pragma("user_version")?));
    let (application, version) = read().map_err(|error| TerminalStoreError::database(path, &error))?;
    if application == APPLICATION_ID && version > 0 {
        return Ok(version);
    }
    let tables = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    match tables.map_err(|error| TerminalStoreError::database(path, &error))? {
        0 if application == 0 && version == 0 => Ok(0),
        _ => Err(TerminalStoreError::damaged(path, &"it belongs to another program")),
    }
}
