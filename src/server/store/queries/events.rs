//! Events that terminals bring.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Connection, Result, query};
use crate::server::store::EventsKept;

/// Keeps events; one that is there already stays as it is. A terminal that was restored gives numbers away a second time: it
/// is told by another moment, kind or token under a number.
pub async fn keep(
    c: &mut Connection,
    terminal: &str,
    list: Uuid,
    events: &[(i64, String)],
    now: Timestamp,
) -> Result<EventsKept> {
    let mut stored = Vec::with_capacity(events.len());
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
        if done.rows_affected() == 0 {
            let row = query("SELECT body FROM events WHERE terminal = $1 AND list = $2 AND seq = $3")
                .bind(terminal)
                .bind(list.to_string())
                .bind(seq)
                .fetch_one(&mut *c)
                .await?;
            if !is_same(row.try_get(0)?, body) {
                forget(c, terminal, list, &stored).await?;
                return Ok(EventsKept::Conflict(*seq));
            }
        } else {
            stored.push(*seq);
        }
    }
    Ok(EventsKept::Stored(u32::try_from(stored.len()).unwrap_or(u32::MAX)))
}

async fn forget(c: &mut Connection, terminal: &str, list: Uuid, numbers: &[i64]) -> Result<()> {
    for seq in numbers {
        query("DELETE FROM events WHERE terminal = $1 AND list = $2 AND seq = $3")
            .bind(terminal)
            .bind(list.to_string())
            .bind(seq)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

/// Whether two bodies are one event: a later release may tell more of the same.
fn is_same(known: &str, told: &str) -> bool {
    let read = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let (known, told) = (read(known), read(told));
    known == told || ["at", "event", "token_id"].iter().all(|field| known[*field] == told[*field])
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
