//! Deletes personal data: of one user on demand, and everybody's events and proofs after a time.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{
    Connection, HOLD_AS_GIVEN, HOLD_TO_GIVE, Result, Row, SKIP_HELD, Statement, audit, audit::Ledger, query, tokens,
    with_keys,
};
use crate::{
    api::v1::{ForgottenUser, TokenStatus},
    server::{
        audit::FORGET,
        presence::EventIndex,
        store::{CountedRecords, NewEvent, STAND_IN, rows::BoundColumn},
    },
};

/// The name of the user that takes the place of a forgotten one.
const NAMELESS: &str = "(forgotten)";
/// Why the tokens of a forgotten user are revoked.
const REASON: &str = "its user was forgotten";

/// Run before these proofs are deleted: raises the floor of their tokens to the highest counter ever deleted, up to
/// which no proof is accepted again.
fn keep_floor(proofs: &str) -> Statement {
    query(AssertSqlSafe(format!(
        "UPDATE tokens SET floor = forgotten.highest FROM (
             SELECT token_id, max(counter) AS highest FROM proofs WHERE {proofs} GROUP BY token_id
         ) AS forgotten
         WHERE tokens.token_id = forgotten.token_id AND (tokens.floor IS NULL OR tokens.floor < forgotten.highest)"
    )))
}

/// Counts the records of the log so far that name the tokens of a user. It runs before [`forget`], without a lock,
/// because it takes longer the longer the log is. Records do not change, so only later ones are left to count.
pub async fn count(c: &mut Connection, id: &str) -> Result<CountedRecords> {
    let upto = audit::head(c).await?.seq.cast_signed();
    let mut counted = CountedRecords { upto, ..CountedRecords::default() };
    for token in tokens_of(c, id, "").await? {
        let count = audit::count_of(c, &token, i64::MIN, upto).await?;
        counted.by_token.insert(token, count);
    }
    Ok(counted)
}

/// The tokens of a user, locked as `hold` says; always in the same order, so that no two transactions deadlock.
async fn tokens_of(c: &mut Connection, id: &str, hold: &'static str) -> Result<Vec<String>> {
    let text = format!("SELECT token_id FROM tokens WHERE user_id = $1 ORDER BY token_id{hold}");
    let found = query(AssertSqlSafe(text)).bind(id).fetch_all(c).await?;
    found.iter().map(|row| row.try_get(0)).collect()
}

/// Forgets a user; `None` if nothing is known of them. Their tokens stay, revoked, and belong from now on to
/// `stand_in`, a user without a name.
pub async fn forget(
    c: &mut Connection,
    id: &str,
    stand_in: &str,
    counted: &CountedRecords,
    actor: &str,
    now: Timestamp,
) -> Result<Option<ForgottenUser>> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let ids = tokens_of(c, id, HOLD_TO_GIVE).await?;
    let mut done = ForgottenUser { id: id.to_owned(), tokens: ids.len() as u64, ..ForgottenUser::default() };
    if !ids.is_empty() {
        query("INSERT INTO users (id, name, fields, changed) VALUES ($1, $2, '{}', $3)")
            .bind(stand_in)
            .bind(NAMELESS)
            .bind(now.as_millisecond())
            .execute(&mut *c)
            .await?;
    }
    for token in &ids {
        let token_id = super::parsed(token)?;
        tokens::change(c, &mut ledger, token_id, TokenStatus::Revoked, Some(REASON), now).await?;
        query("UPDATE tokens SET user_id = $1 WHERE token_id = $2").bind(stand_in).bind(token).execute(&mut *c).await?;
        query("UPDATE witnessed SET reason = NULL WHERE token_id = $1").bind(token).execute(&mut *c).await?;
        keep_floor("token_id = $1").bind(token).execute(&mut *c).await?;
        done.proofs += deleted(c, "DELETE FROM proofs WHERE token_id = $1", token).await?;
        done.events += deleted(c, "DELETE FROM events WHERE subject = $1", token).await?;
        deleted(c, "DELETE FROM stays WHERE subject = $1", token).await?;
    }
    done.events += deleted(c, "DELETE FROM events WHERE user_id = $1", id).await?;
    deleted(c, "DELETE FROM stays WHERE person = $1", &format!("u:{id}")).await?;
    let known = deleted(c, "DELETE FROM users WHERE id = $1", id).await?;
    // The records just added are blanked too.
    ledger.write(c).await?;
    let (blanked, unsealed) = audit::blank(c, id, &ids).await?;
    if known == 0 && done.events == 0 && blanked.is_empty() {
        return Ok(None);
    }
    (done.records, done.unsealed_records) = (blanked.len() as u64, unsealed);
    for token in &ids {
        // A token that was registered after the count is searched for in all records.
        let before = counted.by_token.get(token).copied();
        let from = if before.is_some() { counted.upto + 1 } else { i64::MIN };
        done.token_records += before.unwrap_or(0) + audit::count_of(c, token, from, i64::MAX).await?;
    }
    ledger.add(FORGET, "", &json!({ "blanked": blanked, "tokens": ids.len() }))?;
    ledger.close(c).await?;
    Ok(Some(done))
}

/// The events that name a token of a forgotten user, by their numbers and without the person. A terminal still names
/// the user until it learns that the token is revoked, and in whatever it sends later. Until the end of this
/// transaction no user can be forgotten whose token is among them.
pub async fn nameless(c: &mut Connection, events: &[NewEvent]) -> Result<HashMap<i64, NewEvent>> {
    let subjects: BTreeSet<_> = events.iter().filter_map(|event| event.index.subject.as_deref()).collect();
    let subjects = BoundColumn::Text(subjects.into_iter().collect());
    // Not joined with users: after waiting for a row, the join would return the token's previous user.
    let selects = with_keys(&subjects, |keys| {
        format!("SELECT token_id, user_id FROM tokens WHERE token_id {keys} ORDER BY token_id{HOLD_AS_GIVEN}")
    });
    let mut owners = HashMap::<String, String>::new();
    for select in selects {
        for row in &select.fetch_all(&mut *c).await? {
            let owner: String = row.try_get(1)?;
            if owner.starts_with(STAND_IN) {
                owners.insert(row.try_get(0)?, owner);
            }
        }
    }
    let ids: BTreeSet<_> = owners.values().map(String::as_str).collect();
    let ids = BoundColumn::Text(ids.into_iter().collect());
    let mut forgotten = BTreeSet::<String>::new();
    for select in with_keys(&ids, |keys| format!("SELECT id FROM users WHERE id {keys} AND name = '{NAMELESS}'")) {
        for row in &select.fetch_all(&mut *c).await? {
            forgotten.insert(row.try_get(0)?);
        }
    }
    let owner = |event: &NewEvent| owners.get(event.index.subject.as_ref()?);
    let of_them = |event: &&NewEvent| owner(event).is_some_and(|owner| forgotten.contains(owner));
    Ok(events.iter().filter(of_them).map(|event| (event.seq, without_person(event))).collect())
}

fn without_person(event: &NewEvent) -> NewEvent {
    let mut body: Value = serde_json::from_str(&event.body).unwrap_or_default();
    if let Some(body) = body.as_object_mut() {
        body.retain(|field, _| !["user", "note"].contains(&field.as_str()));
    }
    NewEvent { body: body.to_string(), index: EventIndex { user_id: None, ..event.index.clone() }, ..*event }
}

async fn deleted(c: &mut Connection, statement: &'static str, of: &str) -> Result<u64> {
    Ok(query(statement).bind(of).execute(c).await?.rows_affected())
}

/// Forgets the oldest proofs, a limited number and all that came in the same millisecond as the last of them. It holds
/// the end of the log, so that lookups wait: two transactions that change the same tokens in different orders could
/// otherwise wait for each other.
pub async fn purge_proofs(c: &mut Connection, before: i64, limit: i64) -> Result<u64> {
    audit::hold(c).await?;
    let oldest = "SELECT max(at) FROM (SELECT at FROM proofs WHERE at < $1 ORDER BY at LIMIT $2) AS oldest";
    let last = query(oldest).bind(before).bind(limit).fetch_one(&mut *c).await?;
    let Some(last) = last.try_get::<Option<i64>, _>(0)? else { return Ok(0) };
    let before = last.saturating_add(1);
    keep_floor("at < $1").bind(before).execute(&mut *c).await?;
    Ok(query("DELETE FROM proofs WHERE at < $1").bind(before).execute(c).await?.rows_affected())
}

/// Deletes a limited number of old events. Stays that they named are left to [`super::presence::rebuild_orphans`].
pub async fn purge_events(c: &mut Connection, before: i64, limit: i64) -> Result<u64> {
    let part = part_of("events", "terminal, list, seq", "received < $1 OR at < $1");
    Ok(part.bind(before).bind(limit).execute(c).await?.rows_affected())
}

/// Deletes a limited number of old stays.
pub async fn purge_stays(c: &mut Connection, before: i64, limit: i64) -> Result<u64> {
    let part = part_of("stays", "terminal, subject", "seen < $1 AND since < $1");
    Ok(part.bind(before).bind(limit).execute(c).await?.rows_affected())
}

/// Deletes a limited number of old nonces.
pub async fn purge_nonces(c: &mut Connection, before: i64, limit: i64) -> Result<u64> {
    let part = part_of("nonces", "nonce", "issued < $1");
    Ok(part.bind(before).bind(limit).execute(c).await?.rows_affected())
}

/// The statement that deletes at most `$2` of these rows. It leaves out rows that another transaction is changing, so
/// that it waits for nobody, and no two transactions can wait for each other.
fn part_of(table: &str, key: &str, is_old: &str) -> Statement {
    query(AssertSqlSafe(format!(
        "WITH old AS MATERIALIZED (SELECT {key} FROM {table} WHERE {is_old} LIMIT $2{SKIP_HELD})
         DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM old)"
    )))
}
