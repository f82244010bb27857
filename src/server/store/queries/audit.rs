//! The audit log.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row;

use super::{Connection, Result, moment, query, to_json};
use crate::{
    api::v1::AuditHead,
    server::audit::{self, AuditRecord, Hash},
};

/// The open end of the log.
pub struct Ledger {
    seq: i64,
    hash: Hash,
    actor: String,
    at: Timestamp,
}

impl Ledger {
    /// Takes the end of the log; whoever else wants it waits for the end of this transaction.
    pub async fn open(c: &mut Connection, actor: &str, at: Timestamp) -> Result<Self> {
        let row = query("UPDATE audit_head SET seq = seq RETURNING seq, hash").fetch_one(c).await?;
        let hash: Vec<u8> = row.try_get("hash")?;
        let hash = hash.try_into().map_err(|_| sqlx::Error::Decode("the head of the audit log is damaged".into()))?;
        // Kept in milliseconds, so that is what is hashed.
        let at = at.round(jiff::Unit::Millisecond).unwrap_or(at);
        Ok(Self { seq: row.try_get("seq")?, hash, actor: actor.to_owned(), at })
    }

    /// Whose decisions come next.
    pub fn actor(&mut self, actor: &str) {
        actor.clone_into(&mut self.actor);
    }

    /// Adds a decision.
    pub async fn add(&mut self, c: &mut Connection, action: &str, subject: &str, detail: &Value) -> Result<()> {
        let record = AuditRecord {
            seq: self.seq + 1,
            at: self.at,
            actor: self.actor.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: to_json(detail)?,
            hash: [0; 32],
        };
        let record = record.sealed(&self.hash);
        query("INSERT INTO audit (seq, at, actor, action, subject, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(record.seq)
            .bind(record.at.as_millisecond())
            .bind(&record.actor)
            .bind(&record.action)
            .bind(&record.subject)
            .bind(&record.detail)
            .bind(record.hash.as_slice())
            .execute(c)
            .await?;
        (self.seq, self.hash) = (record.seq, record.hash);
        Ok(())
    }

    /// Puts the end of the log back.
    pub async fn close(self, c: &mut Connection) -> Result<()> {
        query("UPDATE audit_head SET seq = $1, hash = $2").bind(self.seq).bind(self.hash.as_slice()).execute(c).await?;
        Ok(())
    }
}

/// The newest record, and nobody adds another one before the end of this transaction.
pub async fn head_for_update(c: &mut Connection) -> Result<AuditHead> {
    query("UPDATE audit_head SET seq = seq").execute(&mut *c).await?;
    head(c).await
}

/// This log was restored: no other that goes on from its end is ever taken for it.
pub async fn restored(c: &mut Connection, now: Timestamp) -> Result<()> {
    let mut ledger = Ledger::open(c, audit::SERVER, now).await?;
    let last = ledger.seq;
    ledger.add(c, "store.restore", &last.to_string(), &json!({})).await?;
    ledger.close(c).await
}

/// The newest record.
pub async fn head(c: &mut Connection) -> Result<AuditHead> {
    let row = query("SELECT seq, hash FROM audit_head").fetch_one(c).await?;
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(AuditHead { seq: row.try_get::<i64, _>("seq")?.cast_unsigned(), hash: hex::encode(hash) })
}

/// Records after a number.
pub async fn page(c: &mut Connection, after: i64, limit: u32) -> Result<Vec<AuditRecord>> {
    let found =
        query("SELECT seq, at, actor, action, subject, detail, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(c)
            .await?;
    let mut records = Vec::with_capacity(found.len());
    for row in &found {
        let hash: Vec<u8> = row.try_get("hash")?;
        records.push(AuditRecord {
            seq: row.try_get("seq")?,
            at: moment(row.try_get("at")?)?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            detail: row.try_get("detail")?,
            // Another length is a damaged record, which the chain tells.
            hash: hash.try_into().unwrap_or_default(),
        });
    }
    Ok(records)
}
