//! Keeps what terminals hold of another audit log than this one, until an administrator reconciles the two.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Connection, Result, Row, audit::Ledger, moment, parsed, query, tokens, worded};
use crate::{
    api::v1::{AuditHead, HeldRecord, TokenStatus, WitnessedStatus},
    server::store::{LostStatus, MissingRecord, status_word},
};

/// Most statuses kept per terminal.
const MOST: i64 = 10_000;

/// The record of this log at the number of one whose head a terminal was given.
pub async fn held(c: &mut Connection, told: &AuditHead) -> Result<HeldRecord> {
    let seq = i64::try_from(told.seq).unwrap_or(i64::MAX);
    let row = query("SELECT hash FROM audit WHERE seq = $1").bind(seq).fetch_optional(&mut *c).await?;
    let hash = row.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose()?.map(hex::encode);
    let lost = query("SELECT seq FROM reconciled WHERE seq = $1 AND hash = $2")
        .bind(seq)
        .bind(hex::decode(&told.hash).unwrap_or_default())
        .fetch_optional(c)
        .await?;
    Ok(HeldRecord { seq: told.seq, hash, reconciled: lost.is_some() })
}

/// Stores what a terminal holds of another log; `true` when it had not reported that record before.
pub async fn keep(
    c: &mut Connection,
    terminal: &str,
    told: &AuditHead,
    statuses: &[WitnessedStatus],
    now: Timestamp,
) -> Result<bool> {
    let seq = i64::try_from(told.seq).unwrap_or(i64::MAX);
    let hash = hex::decode(&told.hash).unwrap_or_default();
    let known = query("SELECT terminal FROM witnesses WHERE terminal = $1 AND seq = $2 AND hash = $3")
        .bind(terminal)
        .bind(seq)
        .bind(&hash)
        .fetch_optional(&mut *c)
        .await?;
    query(
        "INSERT INTO witnesses (terminal, seq, hash, at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (terminal) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, at = excluded.at",
    )
    .bind(terminal)
    .bind(seq)
    .bind(&hash)
    .bind(now.as_millisecond())
    .execute(&mut *c)
    .await?;
    let row = query("SELECT count(*) FROM witnessed WHERE terminal = $1").bind(terminal).fetch_one(&mut *c).await?;
    let room = usize::try_from(MOST - row.try_get::<i64, _>(0)?).unwrap_or_default();
    for told in statuses.iter().take(room) {
        query(
            "INSERT INTO witnessed (terminal, token_id, status, reason) VALUES ($1, $2, $3, $4)
             ON CONFLICT (terminal, token_id) DO UPDATE SET status = excluded.status, reason = excluded.reason",
        )
        .bind(terminal)
        .bind(told.token_id.to_string())
        .bind(status_word(told.status))
        .bind(told.reason.as_deref())
        .execute(&mut *c)
        .await?;
    }
    Ok(known.is_none())
}

/// The records whose heads terminals were given, but that this log does not have.
pub async fn missing(c: &mut Connection) -> Result<Vec<MissingRecord>> {
    let found = query("SELECT terminal, seq, hash, at FROM witnesses ORDER BY terminal").fetch_all(c).await?;
    found
        .iter()
        .map(|row| {
            let head = AuditHead {
                seq: row.try_get::<i64, _>("seq")?.cast_unsigned(),
                hash: hex::encode(row.try_get::<Vec<u8>, _>("hash")?),
            };
            Ok(MissingRecord { terminal: row.try_get("terminal")?, head, at: moment(row.try_get("at")?)? })
        })
        .collect()
}

/// Tokens that terminals refuse, but that this store lets in, has with a less strict status, or does not know; with the
/// strictest status of each.
pub async fn lost(c: &mut Connection) -> Result<Vec<LostStatus>> {
    let found = query(
        "SELECT w.terminal, w.token_id, w.status, w.reason, t.status AS known, t.user_id FROM witnessed w
         LEFT JOIN tokens t ON t.token_id = w.token_id ORDER BY w.token_id, w.terminal",
    )
    .fetch_all(c)
    .await?;
    let mut all = BTreeMap::<Uuid, LostStatus>::new();
    for row in &found {
        let status: TokenStatus = worded(row.try_get("status")?)?;
        let known: Option<TokenStatus> = row.try_get::<Option<&str>, _>("known")?.map(worded).transpose()?;
        if known.is_some_and(|known| strictness(known) >= strictness(status)) {
            continue;
        }
        let token_id = parsed(row.try_get("token_id")?)?;
        let lost = all.entry(token_id).or_insert_with(|| LostStatus {
            token_id,
            user_id: row.try_get("user_id").ok().flatten(),
            known,
            status: TokenStatus::Active,
            reason: None,
            terminals: Vec::new(),
        });
        if strictness(status) > strictness(lost.status) {
            (lost.status, lost.reason) = (status, row.try_get("reason")?);
        }
        lost.terminals.push(row.try_get("terminal")?);
    }
    Ok(all.into_values().collect())
}

/// Restores the lost statuses, and lets terminals follow this log from now on.
pub async fn reconcile(c: &mut Connection, actor: &str, now: Timestamp) -> Result<Vec<LostStatus>> {
    let mut ledger = Ledger::open(c, actor, now).await?;
    let (lost, missing) = (lost(c).await?, missing(c).await?);
    for one in lost.iter().filter(|one| one.known.is_some()) {
        tokens::change(c, &mut ledger, one.token_id, one.status, one.reason.as_deref(), now).await?;
    }
    for MissingRecord { terminal, head, .. } in &missing {
        query("INSERT INTO reconciled (seq, hash) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(i64::try_from(head.seq).unwrap_or(i64::MAX))
            .bind(hex::decode(&head.hash).unwrap_or_default())
            .execute(&mut *c)
            .await?;
        ledger.add("audit.reconcile", terminal, &json!({ "seq": head.seq, "hash": head.hash }))?;
    }
    query("DELETE FROM witnesses").execute(&mut *c).await?;
    query("DELETE FROM witnessed").execute(&mut *c).await?;
    ledger.close(c).await?;
    Ok(lost)
}

const fn strictness(status: TokenStatus) -> u8 {
    match status {
        TokenStatus::Active => 0,
        TokenStatus::Suspended => 1,
        TokenStatus::Lost => 2,
        TokenStatus::Revoked => 3,
    }
}
