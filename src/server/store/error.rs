//! Why the store does not do what it is asked.

use std::path::PathBuf;

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ServerStoreError {
    /// The text names no store.
    #[error("it is no store such as sqlite:///var/lib/rollcall/server.db or postgres://host/database")]
    Url,
    /// The store belongs to another CA.
    #[error("the store belongs to another CA ({0})")]
    OtherAuthority(String),
    /// The file of the store cannot be made.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// A newer release made it, or it is damaged, or it is none of ours.
    #[error("the store cannot be brought to this release's format: {0}")]
    Format(#[from] sqlx::migrate::MigrateError),
    /// A file is no backup of a store, or a damaged one.
    #[error("this is no backup of a store: {0}")]
    Backup(String),
    /// A backup is to be restored over what is there.
    #[error("the store holds something already")]
    NotEmpty,
    /// The database failed.
    #[error("the store failed: {0}")]
    Database(#[from] sqlx::Error),
}
