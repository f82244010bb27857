//! The statements, in SQL that both SQLite and PostgreSQL understand; compiled once for each driver.
//!
//! Every decision that is recorded in the audit log begins with [`audit::Ledger::open`], which locks the head of the
//! log until the end of the transaction, so that decisions have one order across all processes. Other changes (events,
//! nonces, when a terminal was heard) take no such lock on PostgreSQL; on SQLite every transaction that writes locks the
//! whole file.

use super::{
    Connection, DatabaseRow, HOLD_AS_GIVEN, HOLD_HEAD, HOLD_TO_GIVE, ROWS_AT_ONCE, Row, SKIP_HELD, Statement, query,
    run, with_keys, with_rows,
};

pub mod audit;
pub mod copy;
pub mod equipment;
pub mod events;
pub mod format;
pub mod known_lists;
pub mod lookups;
pub mod presence;
pub mod privacy;
pub mod proofs;
pub mod terminals;
pub mod tokens;
pub mod users;
pub mod witnesses;

use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned, de::IntoDeserializer};

use crate::{
    api::v1::{AuditHead, Feed, FeedEntry},
    server::store::rows::BoundRows,
};

type Result<T> = sqlx::Result<T>;

/// Writes rows.
async fn write(c: &mut Connection, rows: &[BoundRows<'_>]) -> Result<()> {
    for statement in with_rows(rows) {
        statement.execute(&mut *c).await?;
    }
    Ok(())
}

/// The CA that this store belongs to; if it belonged to none, it is now this one's.
pub async fn owner(c: &mut Connection, authority: &[u8; 20]) -> Result<Vec<u8>> {
    query("INSERT INTO meta (name, value) VALUES ('authority', $1) ON CONFLICT DO NOTHING")
        .bind(authority.as_slice())
        .execute(&mut *c)
        .await?;
    query("SELECT value FROM meta WHERE name = 'authority'").fetch_one(c).await?.try_get(0)
}

/// Assigns the store to another CA.
pub async fn hand_over(c: &mut Connection, from: &[u8; 20], to: &[u8; 20]) -> Result<()> {
    let mut ledger = audit::Ledger::open(c, crate::server::audit::SERVER, Timestamp::now()).await?;
    let done = query("UPDATE meta SET value = $1 WHERE name = 'authority' AND value = $2")
        .bind(to.as_slice())
        .bind(from.as_slice())
        .execute(&mut *c)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    ledger.add("authority.rotate", &hex::encode(to), &serde_json::json!({ "from": hex::encode(from) }))?;
    ledger.close(c).await
}

/// A page of the revocation feed. The version is read before the entries, so that a change in between is reported twice
/// rather than never.
pub async fn feed(
    c: &mut Connection,
    since: u64,
    held: Option<&AuditHead>,
    limit: u32,
    now: Timestamp,
) -> Result<Feed> {
    let held = match held {
        Some(held) => Some(witnesses::held(c, held).await?),
        None => None,
    };
    let newest: i64 = query("SELECT version FROM feed").fetch_one(&mut *c).await?.try_get(0)?;
    // A version that this store never issued comes from an earlier store: the terminal gets everything again.
    let since = i64::try_from(since).ok().filter(|since| *since <= newest).unwrap_or(0);
    let found = query(
        "SELECT token_id, status, reason, version FROM tokens WHERE version > $1 AND version > 0
         ORDER BY version LIMIT $2",
    )
    .bind(since)
    .bind(i64::from(limit) + 1)
    .fetch_all(&mut *c)
    .await?;
    let more = found.len() > limit as usize;
    let mut entries = Vec::new();
    for row in found.iter().take(limit as usize) {
        entries.push(FeedEntry {
            token_id: parsed(row.try_get("token_id")?)?,
            status: worded(row.try_get("status")?)?,
            reason: row.try_get("reason")?,
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
        });
    }
    let last = entries.last().map(|entry| entry.version).filter(|_| more);
    let version = last.unwrap_or(newest.cast_unsigned());
    Ok(Feed { since: since.cast_unsigned(), version, at: now, more, entries, audit: audit::head(c).await?, held })
}

/// Reads a time in milliseconds.
fn moment(ms: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(unreadable)
}

/// Reads a value stored as text.
fn parsed<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(text: &str) -> Result<T> {
    text.parse().map_err(unreadable)
}

/// Reads a value stored as its word in JSON.
fn worded<T: for<'a> Deserialize<'a>>(word: &str) -> Result<T> {
    T::deserialize(word.into_deserializer()).map_err(|error: serde::de::value::Error| unreadable(error))
}

/// Reads a value stored as JSON.
fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(unreadable)
}

/// Writes a value as JSON.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
