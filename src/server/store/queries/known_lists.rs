//! Reads the lists of terminals.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::{Connection, DatabaseRow, Result, Row, query};
use crate::server::presence::KnownList;

/// The lists of one terminal, or of all, by terminal.
pub async fn known_lists(c: &mut Connection, terminal: Option<&str>) -> Result<BTreeMap<String, Vec<KnownList>>> {
    let only = if terminal.is_some() { "terminal = $1" } else { "terminal >= $1" };
    let found = query(AssertSqlSafe(format!(
        "SELECT terminal, list, epoch, first_seq, first_at, last_at FROM lists WHERE {only}"
    )));
    let mut lists = BTreeMap::<String, Vec<KnownList>>::new();
    for row in &found.bind(terminal.unwrap_or_default()).fetch_all(c).await? {
        lists.entry(row.try_get("terminal")?).or_default().push(known_list(row)?);
    }
    Ok(lists)
}

fn known_list(row: &DatabaseRow) -> Result<KnownList> {
    Ok(KnownList {
        list: row.try_get("list")?,
        epoch: row.try_get("epoch")?,
        first_seq: row.try_get("first_seq")?,
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
    })
}
