//! Registers tokens and changes their status.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Connection, Result, Row, audit::Ledger, moment, parsed, query, users, with_keys, worded};
use crate::{
    api::v1::{RegisteredToken, TokenStatus},
    server::store::{
        NewToken, RegisteredIdentity, Registration, StatusChange, TokenKeys, rows::BoundColumn, status_word,
    },
};

macro_rules! token_of {
    ($row:expr) => {
        RegisteredToken {
            token_id: parsed($row.try_get("token_id")?)?,
            user_id: $row.try_get("user_id")?,
            status: worded($row.try_get("status")?)?,
            reason: $row.try_get("reason")?,
            changed: moment($row.try_get("changed")?)?,
            counter: $row.try_get::<Option<i64>, _>("counter")?.and_then(|counter| u32::try_from(counter).ok()),
        }
    };
}

/// One token.
pub async fn one(c: &mut Connection, id: Uuid) -> Result<Option<RegisteredToken>> {
    let row = query("SELECT token_id, user_id, status, reason, changed, counter FROM tokens WHERE token_id = $1")
        .bind(id.to_string())
        .fetch_optional(c)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(token_of!(row)))
}

/// Tokens after an id.
pub async fn page(c: &mut Connection, after: &str, limit: u32) -> Result<Vec<RegisteredToken>> {
    let found = query(
        "SELECT token_id, user_id, status, reason, changed, counter FROM tokens WHERE token_id > $1
         ORDER BY token_id LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    found.iter().map(|row| Ok(token_of!(row))).collect()
}

/// Tokens of one user after an id.
pub async fn of_user(c: &mut Connection, user: &str, after: &str, limit: u32) -> Result<Vec<RegisteredToken>> {
    let found = query(
        "SELECT token_id, user_id, status, reason, changed, counter FROM tokens WHERE user_id = $1 AND token_id > $2
         ORDER BY token_id LIMIT $3",
    )
    .bind(user)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    found.iter().map(|row| Ok(token_of!(row))).collect()
}

/// The keys and certificates of a token.
pub async fn keys(c: &mut Connection, id: Uuid) -> Result<Option<TokenKeys>> {
    let row =
        query("SELECT identity_key, ecka_key, identity_certificate, ecka_certificate FROM tokens WHERE token_id = $1")
            .bind(id.to_string())
            .fetch_optional(c)
            .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(TokenKeys {
        identity_key: row.try_get(0)?,
        ecka_key: row.try_get(1)?,
        identity_certificate: row.try_get(2)?,
        ecka_certificate: row.try_get(3)?,
    }))
}

/// The identities of these tokens, in the same order.
pub async fn identities(c: &mut Connection, ids: &[Uuid]) -> Result<Vec<Option<RegisteredIdentity>>> {
    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    let keys = BoundColumn::Text(ids.iter().map(String::as_str).collect());
    let selects = with_keys(&keys, |keys| {
        format!("SELECT token_id, identity_key, identity_certificate FROM tokens WHERE token_id {keys}")
    });
    let mut found: HashMap<String, RegisteredIdentity> = HashMap::with_capacity(ids.len());
    for select in selects {
        for row in select.fetch_all(&mut *c).await? {
            let identity = RegisteredIdentity { key: row.try_get(1)?, certificate: row.try_get(2)? };
            found.insert(row.try_get(0)?, identity);
        }
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// The keys of tokens after an id.
pub async fn keys_after(c: &mut Connection, after: &str, limit: u32) -> Result<Vec<(Uuid, TokenKeys)>> {
    let found = query(
        "SELECT token_id, identity_key, ecka_key, identity_certificate, ecka_certificate FROM tokens WHERE token_id > $1
         ORDER BY token_id LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    let mut all = Vec::with_capacity(found.len());
    for row in &found {
        let keys = TokenKeys {
            identity_key: row.try_get(1)?,
            ecka_key: row.try_get(2)?,
            identity_certificate: row.try_get(3)?,
            ecka_certificate: row.try_get(4)?,
        };
        all.push((parsed(row.try_get("token_id")?)?, keys));
    }
    Ok(all)
}

/// Replaces the certificates of a token; the keys must be the same.
pub async fn recertify(c: &mut Connection, id: Uuid, keys: &TokenKeys) -> Result<()> {
    query(
        "UPDATE tokens SET identity_certificate = $1, ecka_certificate = $2
         WHERE token_id = $3 AND identity_key = $4 AND ecka_key = $5",
    )
    .bind(&keys.identity_certificate)
    .bind(&keys.ecka_certificate)
    .bind(id.to_string())
    .bind(&keys.identity_key)
    .bind(&keys.ecka_key)
    .execute(c)
    .await?;
    Ok(())
}

/// Registers a token.
pub async fn register(c: &mut Connection, new: &NewToken, actor: &str, now: Timestamp) -> Result<Registration> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    if let Some(known) = keys(c, new.token_id).await? {
        let user_id = one(c, new.token_id).await?.map(|token| token.user_id);
        let same = known.identity_key == new.keys.identity_key
            && known.ecka_key == new.keys.ecka_key
            && user_id.as_deref() == Some(&new.user.id);
        return Ok(if same { Registration::Registered(known) } else { Registration::Conflict });
    }
    if let Some(old) = new.replaces {
        let Some(known) = one(c, old).await? else { return Ok(Registration::NothingToReplace) };
        if known.user_id != new.user.id {
            return Ok(Registration::NotTheirs);
        }
        let reason = format!("replaced by {}", new.token_id);
        change(c, &mut ledger, old, TokenStatus::Revoked, Some(&reason), now).await?;
    }
    users::put_one(c, &mut ledger, &new.user, now).await?;
    query(
        "INSERT INTO tokens (token_id, user_id, status, changed, version, identity_key, ecka_key, identity_certificate,
         ecka_certificate) VALUES ($1, $2, 'active', $3, 0, $4, $5, $6, $7)",
    )
    .bind(new.token_id.to_string())
    .bind(&new.user.id)
    .bind(now.as_millisecond())
    .bind(&new.keys.identity_key)
    .bind(&new.keys.ecka_key)
    .bind(&new.keys.identity_certificate)
    .bind(&new.keys.ecka_certificate)
    .execute(&mut *c)
    .await?;
    let detail = json!({ "user": new.user.id, "replaces": new.replaces });
    ledger.add_personal("token.register", &new.token_id.to_string(), &detail)?;
    ledger.close(c).await?;
    Ok(Registration::Registered(new.keys.clone()))
}

/// Changes the status of a token.
pub async fn set_status(
    c: &mut Connection,
    id: Uuid,
    status: TokenStatus,
    reason: Option<&str>,
    actor: &str,
    now: Timestamp,
) -> Result<StatusChange> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let Some(token) = one(c, id).await? else { return Ok(StatusChange::Unknown) };
    if token.status == status && token.reason.as_deref() == reason {
        return Ok(StatusChange::Done(token));
    }
    if token.status == TokenStatus::Revoked {
        return Ok(StatusChange::Final);
    }
    change(c, &mut ledger, id, status, reason, now).await?;
    ledger.close(c).await?;
    // Read again, because it is stored in whole milliseconds.
    Ok(one(c, id).await?.map_or(StatusChange::Unknown, StatusChange::Done))
}

/// Makes one change, with the next version of the feed.
pub async fn change(
    c: &mut Connection,
    ledger: &mut Ledger,
    id: Uuid,
    status: TokenStatus,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    let row = query("UPDATE feed SET version = version + 1 RETURNING version").fetch_one(&mut *c).await?;
    query("UPDATE tokens SET status = $1, reason = $2, changed = $3, version = $4 WHERE token_id = $5")
        .bind(status_word(status))
        .bind(reason)
        .bind(now.as_millisecond())
        .bind(row.try_get::<i64, _>(0)?)
        .bind(id.to_string())
        .execute(&mut *c)
        .await?;
    ledger.add_personal("token.status", &id.to_string(), &json!({ "status": status, "reason": reason }))
}
