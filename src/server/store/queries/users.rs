//! Creates, changes and lists users.

use jiff::Timestamp;
use serde_json::json;

use super::{Connection, Result, Row, audit::Ledger, from_json, query, to_json};
use crate::api::{User, v1::Imported};

/// The result of a change of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The id was new.
    Created,
    /// The user was different before.
    Changed,
    /// The user was the same before.
    Unchanged,
}

/// One user.
pub async fn one(c: &mut Connection, id: &str) -> Result<Option<User>> {
    let row = query("SELECT name, fields FROM users WHERE id = $1").bind(id).fetch_optional(c).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(User { id: id.to_owned(), name: row.try_get("name")?, fields: from_json(row.try_get("fields")?)? }))
}

/// Users after an id.
pub async fn page(c: &mut Connection, after: &str, limit: u32) -> Result<Vec<User>> {
    let found = query("SELECT id, name, fields FROM users WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(c)
        .await?;
    found
        .iter()
        .map(|row| {
            Ok(User { id: row.try_get("id")?, name: row.try_get("name")?, fields: from_json(row.try_get("fields")?)? })
        })
        .collect()
}

/// Creates and changes users.
pub async fn put(c: &mut Connection, users: &[User], actor: &str, now: Timestamp) -> Result<Imported> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let mut done = Imported { created: 0, changed: 0, unchanged: 0 };
    for user in users {
        match put_one(c, &mut ledger, user, now).await? {
            Put::Created => done.created += 1,
            Put::Changed => done.changed += 1,
            Put::Unchanged => done.unchanged += 1,
        }
    }
    ledger.close(c).await?;
    Ok(done)
}

/// Creates or changes one user, within the caller's transaction.
pub async fn put_one(c: &mut Connection, ledger: &mut Ledger, user: &User, now: Timestamp) -> Result<Put> {
    let before = one(c, &user.id).await?;
    let put = match &before {
        None => Put::Created,
        Some(before) if before == user => return Ok(Put::Unchanged),
        Some(_) => Put::Changed,
    };
    query(
        "INSERT INTO users (id, name, fields, changed) VALUES ($1, $2, $3, $4) ON CONFLICT (id)
         DO UPDATE SET name = excluded.name, fields = excluded.fields, changed = excluded.changed",
    )
    .bind(&user.id)
    .bind(&user.name)
    .bind(to_json(&user.fields)?)
    .bind(now.as_millisecond())
    .execute(&mut *c)
    .await?;
    let action = if put == Put::Created { "user.create" } else { "user.change" };
    ledger.add_personal(action, &user.id, &json!({ "name": user.name, "fields": user.fields }))?;
    Ok(put)
}
