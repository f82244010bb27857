//! The errors of the store, and how each is shown to a user.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::failure::{ExitClass, Failure, Remedy, number_of};
use crate::files::{self, word};

/// Why the terminal's store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalStoreError {
    /// The file is not a database, is corrupt, belongs to another program, or holds data that no version of ours wrote.
    #[error("{} is damaged, or is not a rollcall database: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A newer version of rollcall created the file.
    #[error("{} was written by a newer rollcall (format {found}, this one knows {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format number.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Another process held the lock for longer than we wait.
    #[error("{} is locked by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk is full: {} could not be written", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// It is read-only.
    #[error("{} cannot be written: it is read-only here", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// This user may not use the file, as after one run as root.
    #[error("this user may not read and write {}{}", path.display(), why_denied(*owner))]
    Denied {
        /// The file.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
    },
    /// Opening, reading or writing a file failed for another reason.
    #[error("{}: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        detail: String,
    },
    /// A second watch.
    #[error("another rollcall watch is running here{}", pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    WatchRunning {
        /// Its process id.
        pid: Option<u32>,
    },
}

impl TerminalStoreError {
    pub(super) fn damaged(path: &Path, detail: &impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.to_string() }
    }

    pub(in crate::terminal) fn file(path: &Path, error: &std::io::Error) -> Self {
        if let Some(denied) = Self::denied(path).filter(|_| error.kind() == ErrorKind::PermissionDenied) {
            return denied;
        }
        let path = path.to_owned();
        match error.kind() {
            _ if files::is_full(error) => Self::Full { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::File { path, detail: error.to_string() },
        }
    }

    /// If the permissions of the file are what keeps this user from it.
    fn denied(path: &Path) -> Option<Self> {
        let refused = access(path, Access::READ_OK | Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS);
        let owner = refused.then(|| std::fs::metadata(path).ok()).flatten()?.uid();
        Some(Self::Denied { path: path.to_owned(), owner })
    }

    pub(in crate::terminal) fn database(path: &Path, error: &rusqlite::Error) -> Self {
        let owned = path.to_owned();
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            // Our queries are fixed, so if one fails the file is wrong.
            return Self::damaged(path, error);
        };
        let denied = match failure.code {
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => Self::denied(path),
            _ => None,
        };
        if let Some(denied) = denied {
            return denied;
        }
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked { path: owned },
            ErrorCode::DiskFull => Self::Full { path: owned },
            ErrorCode::ReadOnly => Self::ReadOnly { path: owned },
            // When SQLite cannot create its files on a full disk, it only reports an I/O error.
            ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => match files::try_beside(path) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Self::ReadOnly { path: owned },
                Err(error) => Self::file(path, &error),
                Ok(()) => Self::File { path: owned, detail: error.to_string() },
            },
            ErrorCode::NotADatabase
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::Unknown => Self::damaged(path, error),
            _ => Self::File { path: owned, detail: error.to_string() },
        }
    }
}

/// Why this user may not use a file of this owner.
fn why_denied(owner: u32) -> String {
    if owner == geteuid().as_raw() {
        return ": its permissions forbid it".to_owned();
    }
    format!(", which belongs to {}", account(owner))
}

/// The name of an account, as far as it is sure without asking a directory of users.
fn account(id: u32) -> String {
    if id == 0 { "root".to_owned() } else { format!("the user with id {id}") }
}

/// What gives this user a file of the state folder back.
fn give_back(path: &Path, owner: u32) -> Remedy {
    if owner == geteuid().as_raw() {
        return Remedy::with("permit it", format!("chmod u+rw {}", word(path)));
    }
    let folder = files::folder_of(path);
    if std::fs::metadata(folder).is_ok_and(|about| about.uid() == geteuid().as_raw()) {
        return Remedy::with("give it back to this user", format!("sudo chown -R \"$USER\" {}", word(folder)));
    }
    "run this as the user to whom the state folder belongs, or set another ROLLCALL_HOME".into()
}

impl From<TerminalStoreError> for Failure {
    fn from(error: TerminalStoreError) -> Self {
        error.to_failure()
    }
}

impl TerminalStoreError {
    /// The failure shown when a watch ends with this many events unwritten.
    pub fn with_lost(&self, events: usize) -> Failure {
        let failure = self.to_failure();
        if events == 0 {
            return failure;
        }
        let message = format!("{}; lost: {} that waited to be written", failure.message, number_of(events, "event"));
        Failure { message, ..failure }
    }

    /// The failure as shown to a user.
    pub fn to_failure(&self) -> Failure {
        let message = self.to_string();
        let (class, code, hint): (_, _, Remedy) = match self {
            Self::Damaged { path, .. } => (
                ExitClass::Io,
                "store.damaged",
                format!("move {} away (with its -wal and -shm files); rollcall then starts a new list", path.display())
                    .into(),
            ),
            Self::Newer { .. } => {
                (ExitClass::Io, "store.newer", "use the newer rollcall, or another ROLLCALL_HOME".into())
            }
            Self::Locked { .. } => (
                ExitClass::Busy,
                "store.locked",
                "try again; if that does not help, find the process that holds it".into(),
            ),
            Self::Full { .. } => (ExitClass::Io, "store.full", "make room, then try again".into()),
            Self::ReadOnly { .. } => {
                (ExitClass::Io, "store.read-only", "set ROLLCALL_HOME to a folder that can be written".into())
            }
            Self::Denied { path, owner } => (ExitClass::Io, "store.denied", give_back(path, *owner)),
            Self::File { .. } => {
                (ExitClass::Io, "store.io", "check the folder that ROLLCALL_HOME names, and its permissions".into())
            }
            Self::WatchRunning { .. } => {
                (ExitClass::Busy, "watch.already-running", "end that one first, or set another ROLLCALL_HOME".into())
            }
        };
        Failure::new(class, code, message).hint(hint)
    }
}
