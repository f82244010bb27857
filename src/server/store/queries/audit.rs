//! Appends to the audit log, reads it, and blanks records about a forgotten person.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{Connection, DatabaseRow, HOLD_HEAD, Result, Row, moment, query, to_json, write};
use crate::{
    api::v1::AuditHead,
    crypto::random::{self, SystemRandom},
    server::{
        audit::{self, AuditRecord, Hash, RecordSeal},
        store::{
            migrations::PRIVACY,
            rows::{BoundColumn, BoundRows},
        },
    },
};

/// The end of the log, locked for appending.
pub struct Ledger {
    seq: i64,
    hash: Hash,
    actor: String,
    at: Timestamp,
    /// Records not written yet.
    unwritten: Vec<AuditRecord>,
}

impl Ledger {
    /// Locks the end of the log; others that need it wait for the end of this transaction.
    pub async fn open(c: &mut Connection, actor: &str, at: Timestamp) -> Result<Self> {
        Self::open_at(c, actor, || at).await
    }

    /// Like [`Self::open`], but takes the time once the lock is held.
    pub async fn open_at(c: &mut Connection, actor: &str, at: impl FnOnce() -> Timestamp) -> Result<Self> {
        let row = hold(c).await?;
        let hash: Vec<u8> = row.try_get("hash")?;
        let hash = hash.try_into().map_err(|_| sqlx::Error::Decode("the head of the audit log is damaged".into()))?;
        // It is stored in milliseconds, so it is hashed in milliseconds.
        let at = at();
        let at = at.round(jiff::Unit::Millisecond).unwrap_or(at);
        Ok(Self { seq: row.try_get("seq")?, hash, actor: actor.to_owned(), at, unwritten: Vec::new() })
    }

    /// Sets the actor of the following records.
    pub fn actor(&mut self, actor: &str) {
        actor.clone_into(&mut self.actor);
    }

    /// Adds a decision.
    pub fn add(&mut self, action: &str, subject: &str, detail: &Value) -> Result<()> {
        self.append(action, subject, detail, false)
    }

    /// Adds a decision about a person, in a form that can be forgotten.
    pub fn add_personal(&mut self, action: &str, subject: &str, detail: &Value) -> Result<()> {
        self.append(action, subject, detail, true)
    }

    fn append(&mut self, action: &str, subject: &str, detail: &Value, is_personal: bool) -> Result<()> {
        let record = AuditRecord {
            seq: self.seq + 1,
            at: self.at,
            actor: self.actor.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: to_json(detail)?,
            seal: RecordSeal::Open,
            hash: [0; 32],
        };
        let record = if is_personal {
            let salt = random::bytes::<32>(&mut SystemRandom).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
            record.sealed_by(salt.to_vec())
        } else {
            record
        };
        let record = record.sealed(&self.hash);
        (self.seq, self.hash) = (record.seq, record.hash);
        self.unwritten.push(record);
        Ok(())
    }

    /// Writes the records added so far, many per statement.
    pub async fn write(&mut self, c: &mut Connection) -> Result<()> {
        let records = std::mem::take(&mut self.unwritten);
        write(c, &[records_to_write(&records)]).await
    }

    /// Writes the remaining records and the new head.
    pub async fn close(self, c: &mut Connection) -> Result<()> {
        self.close_with(c, Vec::new()).await
    }

    /// Like [`Self::close`], together with other rows that depend neither on each other nor on the log.
    pub async fn close_with(self, c: &mut Connection, mut rows: Vec<BoundRows<'_>>) -> Result<()> {
        rows.push(records_to_write(&self.unwritten));
        rows.push(BoundRows {
            columns: vec![BoundColumn::Int(vec![self.seq]), BoundColumn::Bytes(vec![&self.hash])],
            statement: |rows| {
                format!("UPDATE audit_head SET seq = newest.column1, hash = newest.column2 FROM ({rows}) AS newest")
            },
        });
        write(c, &rows).await
    }
}

/// Locks the end of the log, for whoever changes rows that decisions change too; others wait for the end of this
/// transaction.
pub async fn hold(c: &mut Connection) -> Result<DatabaseRow> {
    query(HOLD_HEAD).fetch_one(c).await
}

fn records_to_write(records: &[AuditRecord]) -> BoundRows<'_> {
    let seals = records.iter().map(|record| match &record.seal {
        RecordSeal::Sealed { salt, seal } => (Some(salt.as_slice()), Some(seal.as_slice())),
        _ => (None, None),
    });
    let (salts, seals) = seals.unzip();
    let text = |of: fn(&AuditRecord) -> &str| BoundColumn::Text(records.iter().map(of).collect());
    let columns = vec![
        BoundColumn::Int(records.iter().map(|record| record.seq).collect()),
        BoundColumn::Int(records.iter().map(|record| record.at.as_millisecond()).collect()),
        text(|record| &record.actor),
        text(|record| &record.action),
        text(|record| &record.subject),
        text(|record| &record.detail),
        BoundColumn::Bytes(records.iter().map(|record| record.hash.as_slice()).collect()),
        BoundColumn::SomeBytes(salts),
        BoundColumn::SomeBytes(seals),
    ];
    let statement =
        |rows: &str| format!("INSERT INTO audit (seq, at, actor, action, subject, detail, hash, salt, sealed) {rows}");
    BoundRows { columns, statement }
}

/// The newest record; no other transaction can add one before the end of this one.
pub async fn head_for_update(c: &mut Connection) -> Result<AuditHead> {
    query("UPDATE audit_head SET seq = seq").execute(&mut *c).await?;
    head(c).await
}

/// Records a restore, so that another log which continued from the same end can never be mistaken for this one.
pub async fn restored(c: &mut Connection, now: Timestamp) -> Result<()> {
    let mut ledger = Ledger::open(c, audit::SERVER, now).await?;
    let last = ledger.seq;
    ledger.add("store.restore", &last.to_string(), &json!({}))?;
    ledger.close(c).await
}

/// The newest record.
pub async fn head(c: &mut Connection) -> Result<AuditHead> {
    let row = query("SELECT seq, hash FROM audit_head").fetch_one(c).await?;
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(AuditHead { seq: row.try_get::<i64, _>("seq")?.cast_unsigned(), hash: hex::encode(hash) })
}

/// Blanks the records about a person: those of the user, and those that say whose their tokens are or were. Returns
/// their numbers, and how many of them an earlier release wrote without a seal.
pub async fn blank(c: &mut Connection, user: &str, tokens: &[String]) -> Result<(Vec<i64>, u64)> {
    // The first condition is that of the index, word for word.
    let personal = "subject = $1 AND action IN ('user.create', 'user.change', 'token.register', 'token.status')";
    let of_user = format!("{personal} AND action IN ('user.create', 'user.change')");
    let of_token = format!("{personal} AND action IN ('token.register', 'token.status')");
    let (mut blanked, mut unsealed) = (Vec::new(), 0);
    let tokens = tokens.iter().map(|token| (token.as_str(), &of_token));
    let subjects = std::iter::once((user, &of_user)).chain(tokens);
    for (subject, which) in subjects {
        let found = query(AssertSqlSafe(format!("SELECT seq, sealed FROM audit WHERE {which} ORDER BY seq")));
        for row in &found.bind(subject).fetch_all(&mut *c).await? {
            blanked.push(row.try_get::<i64, _>("seq")?);
            unsealed += u64::from(row.try_get::<Option<Vec<u8>>, _>("sealed")?.is_none());
        }
        // An empty seal stands for none.
        query(AssertSqlSafe(format!(
            "UPDATE audit SET subject = '', detail = '', salt = NULL, sealed = coalesce(sealed, $2) WHERE {which}"
        )))
        .bind(subject)
        .bind(Vec::<u8>::new())
        .execute(&mut *c)
        .await?;
    }
    blanked.sort_unstable();
    Ok((blanked, unsealed))
}

/// How many records in this range, inclusive, name a token and no person; the others are blanked. The index begins with
/// parts of the log, so it is queried for each part; the sum `seq + 0` keeps a database from reading all records in the
/// range instead.
pub async fn count_of(c: &mut Connection, token: &str, first: i64, last: i64) -> Result<u64> {
    const COUNT: &str = "WITH RECURSIVE parts (part) AS (
            SELECT min(seq) / 512 FROM audit WHERE seq >= $2
            UNION ALL SELECT part + 1 FROM parts WHERE part < (SELECT max(seq) / 512 FROM audit WHERE seq <= $3)
        )
        SELECT count(*) FROM parts CROSS JOIN audit
        WHERE audit.seq / 512 = parts.part AND audit.subject = $1 AND audit.seq + 0 BETWEEN $2 AND $3
        AND audit.action NOT IN ('token.register', 'token.status')";
    let row = query(COUNT).bind(token).bind(first).bind(last).fetch_one(c).await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Records after a number. A store of an earlier release, which can be opened for reading, has no seals.
pub async fn page(c: &mut Connection, after: i64, limit: u32) -> Result<Vec<AuditRecord>> {
    let format: i64 = query("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *c).await?.try_get(0)?;
    let seals = if format < PRIVACY { "" } else { ", salt, sealed" };
    let found = query(AssertSqlSafe(format!(
        "SELECT seq, at, actor, action, subject, detail, hash{seals} FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2"
    )))
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(c)
    .await?;
    let mut records = Vec::with_capacity(found.len());
    for row in &found {
        let hash: Vec<u8> = row.try_get("hash")?;
        let (salt, sealed): (Option<Vec<u8>>, Option<Vec<u8>>) =
            if seals.is_empty() { (None, None) } else { (row.try_get("salt")?, row.try_get("sealed")?) };
        records.push(AuditRecord {
            seq: row.try_get("seq")?,
            at: moment(row.try_get("at")?)?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            detail: row.try_get("detail")?,
            seal: match (salt, sealed) {
                (None, None) => RecordSeal::Open,
                (None, Some(none)) if none.is_empty() => RecordSeal::BlankOpen,
                // Another length means a damaged record, which the hash chain reveals.
                (None, Some(seal)) => RecordSeal::Blank(seal.try_into().unwrap_or_default()),
                (Some(salt), seal) => {
                    RecordSeal::Sealed { salt, seal: seal.unwrap_or_default().try_into().unwrap_or_default() }
                }
            },
            // As above.
            hash: hash.try_into().unwrap_or_default(),
        });
    }
    Ok(records)
}
