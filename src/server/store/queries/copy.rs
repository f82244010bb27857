//! Rows as they are, for backups.

use sqlx::{AssertSqlSafe, Row};

use super::{Connection, Result, query};
use crate::server::store::tables::{Cell, Kind, Table};

/// Rows of a table after a key.
pub async fn page(c: &mut Connection, table: &Table, after: Option<&[Cell]>, limit: u32) -> Result<Vec<Vec<Cell>>> {
    let mut asked = query(AssertSqlSafe(table.select(after.is_some(), limit)));
    for cell in after.unwrap_or_default() {
        asked = match cell {
            Cell::Text(text) => asked.bind(text.clone()),
            Cell::Int(number) => asked.bind(*number),
            Cell::Bytes(bytes) => asked.bind(bytes.clone()),
        };
    }
    let found = asked.fetch_all(c).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let mut cells = Vec::with_capacity(table.columns.len());
        for (at, (_, kind)) in table.columns.iter().enumerate() {
            cells.push(match kind {
                Kind::Text => Cell::Text(row.try_get(at)?),
                Kind::Int => Cell::Int(row.try_get(at)?),
                Kind::Bytes => Cell::Bytes(row.try_get(at)?),
            });
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// Takes rows.
pub async fn insert(c: &mut Connection, table: &Table, rows: &[Vec<Cell>]) -> Result<()> {
    let mut told = query(AssertSqlSafe(table.insert(rows.len())));
    for cell in rows.iter().flatten() {
        told = match cell {
            Cell::Text(text) => told.bind(text.clone()),
            Cell::Int(number) => told.bind(*number),
            Cell::Bytes(bytes) => told.bind(bytes.clone()),
        };
    }
    told.execute(c).await?;
    Ok(())
}

/// Takes every row of a table away.
pub async fn clear(c: &mut Connection, table: &Table) -> Result<()> {
    if let Some(statement) = table.clear() {
        query(AssertSqlSafe(statement)).execute(c).await?;
    }
    Ok(())
}

/// How many rows a table has.
pub async fn count(c: &mut Connection, table: &Table) -> Result<i64> {
    query(AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name))).fetch_one(c).await?.try_get(0)
}

/// After a restore: a nonce that was not used in the backup may have been used since, and a second time it must not be fresh.
pub async fn forget_unused_nonces(c: &mut Connection) -> Result<()> {
    query("DELETE FROM nonces WHERE used IS NULL").execute(c).await?;
    Ok(())
}
