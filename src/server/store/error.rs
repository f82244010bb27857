//! The errors of the store.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;

use super::absence::Absence;

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum ServerStoreError {
    /// The text is not the address of a store.
    #[error("not a store such as sqlite:///var/lib/rollcall/server.db or postgres://host/database")]
    Url,
    /// The store belongs to another CA.
    #[error("the store belongs to another CA ({0})")]
    OtherAuthority(String),
    /// The file of the store cannot be created.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// A parameter in the address is unknown, or has a value that it cannot have.
    #[error("the address of the store is not understood: {0}")]
    Parameter(String),
    /// The database is not in UTF-8, so that it cannot keep every name.
    #[error("the database {database} has the encoding {encoding}, which cannot hold every name: it has to be UTF8")]
    Encoding {
        /// Its name.
        database: String,
        /// Its encoding, as PostgreSQL names it.
        encoding: String,
    },
    /// It was made by a newer release.
    #[error("the store is of a newer release: it has format {0}")]
    Newer(i64),
    /// Its scripts are not those of this release: it is not one of ours, or damaged.
    #[error("the store's format {0} is not one of this release")]
    Changed(i64),
    /// It was found to be unavailable.
    #[error("{1}")]
    Away(Absence, String),
    /// It failed while a change was committed, so whether that was made is unknown.
    #[error("the store failed at the end of a change: {}", wording(.0))]
    Commit(#[source] sqlx::Error),
    /// A file is not a backup of a store, or a damaged one.
    #[error("not a backup of a store: {0}")]
    Backup(String),
    /// A restore would overwrite what is there.
    #[error("the store is not empty")]
    NotEmpty,
    /// The database failed.
    #[error("the store failed: {}", wording(.0))]
    Database(#[from] sqlx::Error),
}

/// What PostgreSQL says, without the line of its source; of any other error all.
pub fn wording(error: &sqlx::Error) -> String {
    let answer = error.as_database_error().and_then(|answer| answer.try_downcast_ref::<PgDatabaseError>());
    answer.map_or_else(|| error.to_string(), |answer| answer.message().to_owned())
}

impl ServerStoreError {
    /// Whether the database refuses its user a right that the store needs.
    pub fn is_lack_of_rights(&self) -> bool {
        let Self::Database(sqlx::Error::Database(answer)) = self else { return false };
        // SQLSTATE insufficient_privilege.
        answer.code().is_some_and(|code| code == "42501")
    }

    /// Why the store is unavailable at the moment, if that is the reason.
    pub fn absence(&self) -> Option<Absence> {
        match self {
            Self::Database(error) | Self::Commit(error) => Absence::of(error),
            Self::Away(absence, _) => Some(*absence),
            _ => None,
        }
    }
}
