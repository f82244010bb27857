//! Events that terminals bring.

use jiff::Timestamp;
use sqlx::{Row, query};
use uuid::Uuid;

use super::{Connection, Result};

/// Keeps events; one that is there already stays as it is.
pub async fn keep(
    c: &mut Connection,
    terminal: &str,
    list: Uuid,
    events: &[(i64, String)],
    now: Timestamp,
) -> Result<u32> {
    let mut stored = 0;
    for (seq, body) in events {
        let done = query(
            "INSERT INTO events (terminal, list, seq, received, body) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(terminal)
        .bind(list.to_string())
        .bind(seq)
        .bind(now.as_millisecond())
        .bind(body)
        .execute(&mut *c)
        .await?;
        stored += u32::try_from(done.rows_affected()).unwrap_or(u32::MAX);
    }
    Ok(stored)
}

/// Events after a number.
pub async fn page(c: &mut Connection, terminal: &str, list: Uuid, after: i64, limit: u32) -> Result<Vec<String>> {
    let found = query("SELECT body FROM events WHERE terminal = $1 AND list = $2 AND seq > $3 ORDER BY seq LIMIT $4")
        .bind(terminal)
        .bind(list.to_string())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(c)
        .await?;
    found.iter().map(|row| row.try_get(0)).collect()
}
