//! Stores the events that terminals send, and searches them.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Connection, Result, Row, from_json, moment, parsed, presence, privacy, query};
use crate::{
    api::v1::StoredEvent,
    server::{
        presence::PresenceWord,
        store::{EventMark, EventQuery, EventsKept, NewEvent},
    },
};

/// Stores events; one that is already there stays as it is. A terminal restored from a backup uses numbers a second
/// time: this shows as another time, kind or token under the same number. Nothing is stored about a user who was
/// forgotten.
pub async fn keep(
    c: &mut Connection,
    terminal: &str,
    list: Uuid,
    events: &[NewEvent],
    now: Timestamp,
) -> Result<EventsKept> {
    let nameless = privacy::nameless(c, events).await?;
    let mut stored = Vec::with_capacity(events.len());
    for event in events {
        let event = nameless.get(&event.seq).unwrap_or(event);
        let done = query(
            "INSERT INTO events (terminal, list, seq, received, body, at, user_id, subject, word, sighting)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(terminal)
        .bind(list.to_string())
        .bind(event.seq)
        .bind(now.as_millisecond())
        .bind(&event.body)
        .bind(event.index.at)
        .bind(&event.index.user_id)
        .bind(&event.index.subject)
        .bind(event.index.word.map(PresenceWord::as_str))
        .bind(i64::from(event.index.sighting))
        .execute(&mut *c)
        .await?;
        if done.rows_affected() == 0 {
            let row = query("SELECT body FROM events WHERE terminal = $1 AND list = $2 AND seq = $3")
                .bind(terminal)
                .bind(list.to_string())
                .bind(event.seq)
                .fetch_one(&mut *c)
                .await?;
            if !is_same(row.try_get(0)?, &event.body) {
                forget(c, terminal, list, &stored).await?;
                return Ok(EventsKept::Conflict(event.seq));
            }
        } else {
            stored.push(event);
        }
    }
    presence::take(c, terminal, &list.to_string(), &stored).await?;
    Ok(EventsKept::Stored(u32::try_from(stored.len()).unwrap_or(u32::MAX)))
}

async fn forget(c: &mut Connection, terminal: &str, list: Uuid, events: &[&NewEvent]) -> Result<()> {
    for event in events {
        query("DELETE FROM events WHERE terminal = $1 AND list = $2 AND seq = $3")
            .bind(terminal)
            .bind(list.to_string())
            .bind(event.seq)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

/// Whether two bodies are the same event: a later release may add fields.
fn is_same(known: &str, told: &str) -> bool {
    let read = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let (known, told) = (read(known), read(told));
    known == told || ["at", "event", "token_id"].iter().all(|field| known[*field] == told[*field])
}

/// Events of all terminals in the order in which they happened, each with its mark.
pub async fn search(c: &mut Connection, asked: &EventQuery, limit: u32) -> Result<Vec<(EventMark, StoredEvent)>> {
    let by_user = if asked.user.is_some() { "user_id = $8 AND " } else { "" };
    let statement = format!(
        "SELECT terminal, list, seq, received, body, at FROM events WHERE {by_user}at >= $1 AND at < $2
         AND (at, terminal, list, seq) > ($3, $4, $5, $6) ORDER BY at, terminal, list, seq LIMIT $7"
    );
    let ms = |at: Option<Timestamp>, otherwise| at.map_or(otherwise, ceil_ms);
    let start = EventMark { at: i64::MIN, terminal: String::new(), list: Uuid::nil(), seq: 0 };
    let after = asked.after.as_ref().unwrap_or(&start);
    let mut all = query(AssertSqlSafe(statement))
        .bind(ms(asked.since, i64::MIN).max(after.at))
        .bind(ms(asked.until, i64::MAX))
        .bind(after.at)
        .bind(&after.terminal)
        .bind(after.list.to_string())
        .bind(after.seq)
        .bind(i64::from(limit));
    if let Some(user) = &asked.user {
        all = all.bind(user);
    }
    let found = all.fetch_all(c).await?;
    let mut events = Vec::with_capacity(found.len());
    for row in &found {
        let (terminal, list): (String, Uuid) = (row.try_get("terminal")?, parsed(row.try_get("list")?)?);
        let mark = EventMark { at: row.try_get("at")?, terminal: terminal.clone(), list, seq: row.try_get("seq")? };
        let received = moment(row.try_get("received")?)?;
        events.push((mark, StoredEvent { terminal, list, received, event: from_json(row.try_get("body")?)? }));
    }
    Ok(events)
}

/// Rounds up, because events are stored in whole milliseconds.
fn ceil_ms(at: Timestamp) -> i64 {
    let ms = at.as_millisecond();
    if at.as_nanosecond() > i128::from(ms) * 1_000_000 { ms + 1 } else { ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_is_the_next_one() {
        let of = |nanoseconds| ceil_ms(Timestamp::from_nanosecond(nanoseconds).unwrap());
        assert_eq!([0, 1, 999_999, 1_000_000, 1_000_001].map(of), [0, 1, 1, 1, 2]);
        assert_eq!(
            [1_764_403_200_123_000_000, 1_764_403_200_123_000_001].map(of),
            [1_764_403_200_123, 1_764_403_200_124]
        );
    }
}
