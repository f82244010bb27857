//! The lists of terminals, as rows.

use sqlx::Row;

use super::Result;
use crate::server::presence::KnownList;

/// A row of this driver.
pub type DatabaseRow = <super::Database as sqlx::Database>::Row;

/// A list, of a row with its columns.
pub fn known_list(row: &DatabaseRow) -> Result<KnownList> {
    Ok(KnownList {
        list: row.try_get("list")?,
        epoch: row.try_get("epoch")?,
        first_seq: row.try_get("first_seq")?,
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}
