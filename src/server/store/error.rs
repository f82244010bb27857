//! Why the store does not do what it is asked.

use std::path::PathBuf;

use super::absence::Absence;

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ServerStoreError {
    /// The text names no store.
    #[error("not a store such as sqlite:///var/lib/rollcall/server.db or postgres://host/database")]
    Url,
    /// The store belongs to another CA.
    #[error("the store belongs to another CA ({0})")]
    OtherAuthority(String),
    /// The file of the store cannot be made.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// A parameter in the text is not one, or has a value that it cannot have.
    #[error("the address of the store is not understood: {0}")]
    Parameter(String),
    /// A newer release made it.
    #[error("the store is of a newer release: it has format {0}")]
    Newer(i64),
    /// What made it is not what this release has: it is none of ours, or damaged.
    #[error("the store's format {0} is not one of this release")]
    Changed(i64),
    /// It is away, as was found when it was looked for.
    #[error("{1}")]
    Away(Absence, String),
    /// Whether a change was made is not known: the store was gone at its end.
    #[error("the store failed at the end of a change: {0}")]
    Commit(#[source] sqlx::Error),
    /// A file is no backup of a store, or a damaged one.
    #[error("not a backup of a store: {0}")]
    Backup(String),
    /// A backup is to be restored over what is there.
    #[error("the store is not empty")]
    NotEmpty,
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl ServerStoreError {
    /// Why the store does nothing just now, where that passes.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Database(error) | Self::Commit(error) => Absence::of(error),
            Self::Away(absence, _) => Some(*absence),
            _ => None,
        }
    }
}
