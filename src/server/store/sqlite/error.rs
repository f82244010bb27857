//! Turns errors of SQLite into errors of sqlx, so that both databases report them alike.

use std::{borrow::Cow, error::Error as StdError, fmt};

use sqlx::{
    Error,
    error::{DatabaseError, ErrorKind},
};

/// A result code of SQLite (<https://sqlite.org/rescode.html>) and its message.
#[derive(Debug)]
struct SqliteError {
    code: i32,
    message: String,
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With the code, because the messages for a locked file and a locked table differ little.
        write!(f, "(code: {}) {}", self.code, self.message)
    }
}

impl StdError for SqliteError {}

impl DatabaseError for SqliteError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// The sqlx error for an error of the driver.
pub fn failed(error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(found, message) => Error::Database(Box::new(SqliteError {
            code: found.extended_code,
            message: message.unwrap_or_else(|| rusqlite::ffi::code_to_str(found.extended_code).to_owned()),
        })),
        rusqlite::Error::SqlInputError { error: found, msg: message, .. } => {
            Error::Database(Box::new(SqliteError { code: found.extended_code, message }))
        }
        other => Error::Protocol(other.to_string()),
    }
}
