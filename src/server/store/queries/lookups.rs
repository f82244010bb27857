//! Nonces, proofs and lookups.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::Row;
use uuid::Uuid;

use super::{Connection, Result, audit::Ledger, from_json, moment, query, worded};
use crate::{
    api::{
        User,
        problem::ProblemCode,
        v1::{Freshness, LATE_DAYS, NONCE_HOURS, TokenStatus},
    },
    server::store::{LookupResult, LookupTask, PresentedProof, ProofRefusal},
};

/// How long after its issue a nonce is good for a fresh proof.
const FRESH: SignedDuration = SignedDuration::from_hours(NONCE_HOURS);
/// How long after its issue a proof over it is taken at all.
const TAKEN: SignedDuration = SignedDuration::from_hours(NONCE_HOURS + 24 * LATE_DAYS);
/// How long a nonce is kept, so that a proof over it is called expired rather than unverified.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Keeps nonces that are given to a terminal.
pub async fn issue(c: &mut Connection, nonces: &[[u8; 32]], terminal: &str, now: Timestamp) -> Result<()> {
    for nonce in nonces {
        query("INSERT INTO nonces (nonce, terminal, issued) VALUES ($1, $2, $3)")
            .bind(nonce.as_slice())
            .bind(terminal)
            .bind(now.as_millisecond())
            .execute(&mut *c)
            .await?;
    }
    Ok(())
}

/// Forgets nonces that are so old that nobody can use them any more.
pub async fn forget(c: &mut Connection, now: Timestamp) -> Result<u64> {
    let before = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
    let gone = query("DELETE FROM nonces WHERE issued < $1").bind(before.as_millisecond()).execute(c).await?;
    Ok(gone.rows_affected())
}

/// Decides lookups, each with its record in the log.
pub async fn decide(c: &mut Connection, tasks: &[LookupTask], now: Timestamp) -> Result<Vec<LookupResult>> {
    let mut ledger = Ledger::open(c, "", now).await?;
    let mut all = Vec::with_capacity(tasks.len());
    for task in tasks {
        ledger.actor(&task.terminal);
        let found = one(c, &mut ledger, task, now).await?;
        let subject = task.token_id.to_string();
        match &found {
            LookupResult::Unknown => {
                ledger
                    .add(c, "lookup.refuse", &subject, &json!({ "code": ProblemCode::TokenUnknown.as_str() }))
                    .await?;
            }
            LookupResult::Refused(refusal) => {
                ledger.add(c, "lookup.refuse", &subject, &json!({ "code": refusal.code().as_str() })).await?;
            }
            LookupResult::Token { status, freshness, .. } => {
                let action = if *status == TokenStatus::Active { "lookup" } else { "lookup.refuse" };
                ledger.add(c, action, &subject, &json!({ "status": status, "proof": freshness })).await?;
            }
        }
        issue(c, &task.nonces, &task.terminal, now).await?;
        all.push(found);
    }
    ledger.close(c).await?;
    Ok(all)
}

async fn one(c: &mut Connection, ledger: &mut Ledger, task: &LookupTask, now: Timestamp) -> Result<LookupResult> {
    let row = query(
        "SELECT t.status, t.reason, t.counter, t.counter_at, t.floor, u.id, u.name, u.fields
         FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.token_id = $1",
    )
    .bind(task.token_id.to_string())
    .fetch_optional(&mut *c)
    .await?;
    let Some(row) = row else { return Ok(LookupResult::Unknown) };
    let freshness = match &task.proof {
        PresentedProof::Nothing => None,
        PresentedProof::Refused(refusal) => return Ok(LookupResult::Refused(*refusal)),
        PresentedProof::Claims { nonce, counter, claims } => {
            let highest = Highest {
                counter: row.try_get("counter")?,
                at: row.try_get("counter_at")?,
                floor: row.try_get("floor")?,
            };
            let proof = SignedProof { token_id: task.token_id, nonce, counter: i64::from(*counter), claims };
            match proof.take(c, &task.terminal, highest, now).await? {
                Ok(freshness) => Some(freshness),
                Err(refusal) => {
                    if refusal == ProofRefusal::Clone {
                        let detail = json!({ "counter": counter, "highest": highest.counter });
                        ledger.add(c, "token.clone", &task.token_id.to_string(), &detail).await?;
                    }
                    return Ok(LookupResult::Refused(refusal));
                }
            }
        }
    };
    Ok(LookupResult::Token {
        status: worded(row.try_get("status")?)?,
        reason: row.try_get("reason")?,
        user: User { id: row.try_get("id")?, name: row.try_get("name")?, fields: from_json(row.try_get("fields")?)? },
        freshness,
    })
}

/// The highest counter that a token has shown, and when that proof came.
#[derive(Clone, Copy)]
struct Highest {
    counter: Option<i64>,
    at: Option<i64>,
    /// Proofs up to this counter were forgotten.
    floor: Option<i64>,
}

/// A proof whose signature is right.
struct SignedProof<'a> {
    token_id: Uuid,
    nonce: &'a [u8; 32],
    counter: i64,
    claims: &'a [u8; 32],
}

impl SignedProof<'_> {
    /// Takes the proof, once. Its nonce is used up also when its counter then tells of a copy.
    async fn take(
        &self,
        c: &mut Connection,
        terminal: &str,
        highest: Highest,
        now: Timestamp,
    ) -> Result<std::result::Result<Freshness, ProofRefusal>> {
        let (freshness, issued) = match self.use_nonce(c, terminal, now).await? {
            Ok(used) => used,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Whether it was taken before nobody knows any more.
        if highest.floor.is_some_and(|floor| self.counter <= floor) {
            return Ok(Err(ProofRefusal::Expired));
        }
        let seen = query("SELECT claims FROM proofs WHERE token_id = $1 AND counter = $2")
            .bind(self.token_id.to_string())
            .bind(self.counter)
            .fetch_optional(&mut *c)
            .await?;
        if let Some(seen) = seen {
            // What a proof says is compared and not its signature, which anybody can turn into another one.
            let same = seen.try_get::<Vec<u8>, _>(0)? == self.claims;
            return Ok(Err(if same { ProofRefusal::Replayed } else { ProofRefusal::Clone }));
        }
        // A lower counter is a proof that came late, unless its nonce did not exist yet when the higher one came.
        let rises = highest.counter.is_none_or(|highest| self.counter > highest);
        if !rises && issued.zip(highest.at).is_some_and(|(issued, at)| issued > at) {
            return Ok(Err(ProofRefusal::Clone));
        }
        self.remember(c, rises, now).await?;
        Ok(Ok(freshness))
    }

    /// What the nonce says of the time of the proof, and when it was issued. A nonce that the terminal made says nothing.
    async fn use_nonce(
        &self,
        c: &mut Connection,
        terminal: &str,
        now: Timestamp,
    ) -> Result<std::result::Result<(Freshness, Option<i64>), ProofRefusal>> {
        let row = query("SELECT terminal, issued, used FROM nonces WHERE nonce = $1")
            .bind(self.nonce.as_slice())
            .fetch_optional(&mut *c)
            .await?;
        let Some(row) = row else { return Ok(Ok((Freshness::Unverified, None))) };
        if row.try_get::<&str, _>("terminal")? != terminal {
            return Ok(Err(ProofRefusal::ForeignNonce));
        }
        let issued: i64 = row.try_get("issued")?;
        let age = now.duration_since(moment(issued)?);
        if age > TAKEN {
            return Ok(Err(ProofRefusal::Expired));
        }
        // The row itself is what makes it once: no look before, and no lock beside.
        let used = query("UPDATE nonces SET used = $1 WHERE nonce = $2 AND used IS NULL")
            .bind(now.as_millisecond())
            .bind(self.nonce.as_slice())
            .execute(c)
            .await?;
        if used.rows_affected() == 0 {
            return Ok(Err(ProofRefusal::Replayed));
        }
        let freshness = if age > FRESH { Freshness::Late } else { Freshness::Fresh };
        Ok(Ok((freshness, Some(issued))))
    }

    async fn remember(&self, c: &mut Connection, rises: bool, now: Timestamp) -> Result<()> {
        query("INSERT INTO proofs (token_id, counter, claims, at) VALUES ($1, $2, $3, $4)")
            .bind(self.token_id.to_string())
            .bind(self.counter)
            .bind(self.claims.as_slice())
            .bind(now.as_millisecond())
            .execute(&mut *c)
            .await?;
        if rises {
            query("UPDATE tokens SET counter = $1, counter_at = $2 WHERE token_id = $3")
                .bind(self.counter)
                .bind(now.as_millisecond())
                .bind(self.token_id.to_string())
                .execute(c)
                .await?;
        }
        Ok(())
    }
}
