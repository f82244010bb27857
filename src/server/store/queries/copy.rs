//! Copies rows unchanged, for backups and restores.

use sqlx::AssertSqlSafe;

use super::{Connection, Result, Row, query};
use crate::server::store::tables::{Kind, StoredTable, StoredValue};

/// Rows of a table after a key.
pub async fn page(
    c: &mut Connection,
    table: &StoredTable,
    after: Option<&[StoredValue]>,
    limit: u32,
) -> Result<Vec<Vec<StoredValue>>> {
    let mut asked = query(AssertSqlSafe(table.select(after.is_some(), limit)));
    for cell in after.unwrap_or_default() {
        asked = match cell {
            StoredValue::Text(text) => asked.bind(text.clone()),
            StoredValue::Int(number) => asked.bind(*number),
            StoredValue::Bytes(bytes) => asked.bind(bytes.clone()),
        };
    }
    let found = asked.fetch_all(c).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let mut cells = Vec::with_capacity(table.columns.len());
        for (at, (_, kind)) in table.columns.iter().enumerate() {
            cells.push(match kind {
                Kind::Text => StoredValue::Text(row.try_get(at)?),
                Kind::Int => StoredValue::Int(row.try_get(at)?),
                Kind::Bytes => StoredValue::Bytes(row.try_get(at)?),
            });
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// Inserts rows.
pub async fn insert(c: &mut Connection, table: &StoredTable, rows: &[Vec<StoredValue>]) -> Result<()> {
    let mut told = query(AssertSqlSafe(table.insert(rows.len())));
    for cell in rows.iter().flatten() {
        told = match cell {
            StoredValue::Text(text) => told.bind(text.clone()),
            StoredValue::Int(number) => told.bind(*number),
            StoredValue::Bytes(bytes) => told.bind(bytes.clone()),
        };
    }
    told.execute(c).await?;
    Ok(())
}

/// Deletes every row of a table.
pub async fn clear(c: &mut Connection, table: &StoredTable) -> Result<()> {
    if let Some(statement) = table.clear() {
        query(AssertSqlSafe(statement)).execute(c).await?;
    }
    Ok(())
}

/// How many rows a table has.
pub async fn count(c: &mut Connection, table: &StoredTable) -> Result<i64> {
    query(AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name))).fetch_one(c).await?.try_get(0)
}

/// Deletes unused nonces after a restore: one may have been used since the backup, and must not be fresh a second time.
pub async fn forget_unused_nonces(c: &mut Connection) -> Result<()> {
    query("DELETE FROM nonces WHERE used IS NULL").execute(c).await?;
    Ok(())
}
