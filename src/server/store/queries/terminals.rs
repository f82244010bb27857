//! Registers, renews and revokes terminals and their keys.

use jiff::Timestamp;
use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{Connection, Result, Row, audit::Ledger, moment, query, worded};
use crate::{
    api::v1::{AHEAD_SECONDS, RegisteredTerminal},
    server::store::{Added, NewTerminal, RegisteredKeys, ShownCertificate, Subjects, TerminalRow, role_word},
};

/// The terminal with this TLS key.
pub async fn of_key(c: &mut Connection, tls_key: &[u8; 32]) -> Result<Option<TerminalRow>> {
    let row = query(
        "SELECT t.name, t.role, t.revoked, k.tls_subject, k.ecka_subject, k.not_after
         FROM terminal_keys k JOIN terminals t ON t.name = k.terminal WHERE k.tls_key = $1",
    )
    .bind(tls_key.as_slice())
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let name: String = row.try_get("name")?;
    let found = query("SELECT ecka_key FROM terminal_keys WHERE terminal = $1").bind(&name).fetch_all(c).await?;
    let ecka_keys = found.iter().map(|row| row.try_get(0)).collect::<Result<_>>()?;
    Ok(Some(TerminalRow {
        role: worded(row.try_get("role")?)?,
        revoked: row.try_get::<Option<i64>, _>("revoked")?.is_some(),
        subjects: Subjects { tls: row.try_get("tls_subject")?, ecka: row.try_get("ecka_subject")? },
        until: moment(row.try_get("not_after")?)?,
        name,
        ecka_keys,
    }))
}

/// Registers a terminal.
pub async fn add(c: &mut Connection, new: &NewTerminal, actor: &str, now: Timestamp) -> Result<Added> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let owner = of_key(c, &new.keys.tls_key).await?;
    let owner_is_another = owner.as_ref().is_some_and(|owner| owner.name != new.name);
    if let Some(known) = one(c, &new.name).await? {
        let ours = owner
            .is_some_and(|owner| owner.name == new.name && owner.ecka_keys.iter().any(|key| *key == new.keys.ecka_key));
        if ours && known.role == new.role && !known.revoked {
            return Ok(Added::Unchanged);
        }
        let may_be_used = !known.revoked && is_in_time(c, &new.name, now).await?;
        if may_be_used {
            return Ok(Added::NameTaken);
        }
        if owner_is_another {
            return Ok(Added::KeyTaken);
        }
        reissue(c, &mut ledger, new).await?;
        ledger.close(c).await?;
        return Ok(Added::New);
    }
    if owner.is_some() {
        return Ok(Added::KeyTaken);
    }
    query("INSERT INTO terminals (name, role, added) VALUES ($1, $2, $3)")
        .bind(&new.name)
        .bind(role_word(new.role))
        .bind(now.as_millisecond())
        .execute(&mut *c)
        .await?;
    keep_keys(c, &new.name, &new.keys).await?;
    ledger.add("terminal.add", &new.name, &json!({ "role": new.role }))?;
    ledger.close(c).await?;
    Ok(Added::New)
}

/// Whether any certificate of a terminal has not expired.
async fn is_in_time(c: &mut Connection, name: &str, now: Timestamp) -> Result<bool> {
    let row = query("SELECT tls_key FROM terminal_keys WHERE terminal = $1 AND not_after >= $2")
        .bind(name)
        .bind(now.as_millisecond())
        .fetch_optional(c)
        .await?;
    Ok(row.is_some())
}

/// Registers a terminal again that was revoked, or whose certificates have all expired, under its name: with these keys
/// only.
async fn reissue(c: &mut Connection, ledger: &mut Ledger, new: &NewTerminal) -> Result<()> {
    query("DELETE FROM terminal_keys WHERE terminal = $1").bind(&new.name).execute(&mut *c).await?;
    query("UPDATE terminals SET role = $1, revoked = NULL WHERE name = $2")
        .bind(role_word(new.role))
        .bind(&new.name)
        .execute(&mut *c)
        .await?;
    keep_keys(c, &new.name, &new.keys).await?;
    ledger.add("terminal.reissue", &new.name, &json!({ "role": new.role }))
}

/// Adds the keys of a renewal. The old ones stay valid until their certificates expire, since the answer may be lost.
pub async fn renew(c: &mut Connection, name: &str, keys: &RegisteredKeys, now: Timestamp) -> Result<()> {
    let mut ledger = Ledger::open(c, name, now).await?;
    query("DELETE FROM terminal_keys WHERE terminal = $1 AND not_after < $2")
        .bind(name)
        .bind(now.as_millisecond())
        .execute(&mut *c)
        .await?;
    keep_keys(c, name, keys).await?;
    ledger.add("terminal.renew", name, &json!({ "not_after": keys.not_after.to_string() }))?;
    ledger.close(c).await
}

/// Stores later certificates that terminals presented for known keys: they were renewed where the CA key is.
pub async fn shown(c: &mut Connection, all: &[ShownCertificate], now: Timestamp) -> Result<()> {
    let mut ledger = Ledger::open(c, "", now).await?;
    for ShownCertificate { terminal, tls_key, until } in all {
        let done =
            query("UPDATE terminal_keys SET not_after = $1 WHERE tls_key = $2 AND terminal = $3 AND not_after < $1")
                .bind(until.as_millisecond())
                .bind(tls_key.as_slice())
                .bind(terminal)
                .execute(&mut *c)
                .await?;
        if done.rows_affected() > 0 {
            ledger.actor(terminal);
            ledger.add("terminal.renew", terminal, &json!({ "not_after": until.to_string() }))?;
        }
    }
    ledger.close(c).await
}

async fn keep_keys(c: &mut Connection, name: &str, keys: &RegisteredKeys) -> Result<()> {
    query(
        "INSERT INTO terminal_keys (tls_key, terminal, tls_subject, ecka_key, ecka_subject, not_after)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tls_key) DO UPDATE SET ecka_key = excluded.ecka_key,
         not_after = excluded.not_after WHERE terminal_keys.terminal = excluded.terminal",
    )
    .bind(keys.tls_key.as_slice())
    .bind(name)
    .bind(&keys.subjects.tls)
    .bind(keys.ecka_key.as_slice())
    .bind(&keys.subjects.ecka)
    .bind(keys.not_after.as_millisecond())
    .execute(c)
    .await?;
    Ok(())
}

/// Revokes a terminal.
pub async fn revoke(c: &mut Connection, name: &str, actor: &str, now: Timestamp) -> Result<Option<RegisteredTerminal>> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let Some(terminal) = one(c, name).await? else { return Ok(None) };
    if terminal.revoked {
        return Ok(Some(terminal));
    }
    query("UPDATE terminals SET revoked = $1 WHERE name = $2")
        .bind(now.as_millisecond())
        .bind(name)
        .execute(&mut *c)
        .await?;
    ledger.add("terminal.revoke", name, &json!({}))?;
    ledger.close(c).await?;
    Ok(Some(RegisteredTerminal { revoked: true, ..terminal }))
}

macro_rules! terminal_of {
    ($row:expr) => {
        RegisteredTerminal {
            name: $row.try_get("name")?,
            role: worded($row.try_get("role")?)?,
            revoked: $row.try_get::<Option<i64>, _>("revoked")?.is_some(),
            added: moment($row.try_get("added")?)?,
            last_seen: $row.try_get::<Option<i64>, _>("heard")?.map(moment).transpose()?,
            certificate_until: $row.try_get::<Option<i64>, _>("until")?.map(moment).transpose()?,
        }
    };
}

/// Selects the state of terminals.
const TERMINALS: &str = "SELECT t.name, t.role, t.added, t.revoked, t.heard,
    (SELECT max(k.not_after) FROM terminal_keys k WHERE k.terminal = t.name) AS until FROM terminals t";

async fn one(c: &mut Connection, name: &str) -> Result<Option<RegisteredTerminal>> {
    let row = query(AssertSqlSafe(format!("{TERMINALS} WHERE t.name = $1"))).bind(name).fetch_optional(c).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(terminal_of!(row)))
}

/// Terminals after a name.
pub async fn page(c: &mut Connection, after: &str, limit: u32) -> Result<Vec<RegisteredTerminal>> {
    let found = query(AssertSqlSafe(format!("{TERMINALS} WHERE t.name > $1 ORDER BY t.name LIMIT $2")))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(c)
        .await?;
    found.iter().map(|row| Ok(terminal_of!(row))).collect()
}

/// Stores when terminals last sent a request. A stored time far ahead of that was noted before the clock was set back.
pub async fn heard(c: &mut Connection, all: &[(String, Timestamp)]) -> Result<()> {
    for (name, at) in all {
        query("UPDATE terminals SET heard = $1 WHERE name = $2 AND (heard IS NULL OR heard < $1 OR heard > $3)")
            .bind(at.as_millisecond())
            .bind(name)
            .bind(at.as_millisecond() + AHEAD_SECONDS * 1000)
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}
