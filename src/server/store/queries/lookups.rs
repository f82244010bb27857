//! Stores nonces and decides lookups, with one statement each for whatever many lookups need.

use std::collections::HashMap;

use super::{
    Connection, Result, Row,
    audit::Ledger,
    from_json, moment,
    proofs::{Highest, Presented},
    query, with_keys, worded, write,
};
use crate::{
    api::{
        User,
        problem::ProblemCode,
        v1::{Freshness, TokenStatus},
    },
    server::store::{
        JoiningLookups, LookupResult, LookupTask, PresentedProof, ProofRefusal,
        rows::{BoundColumn, BoundRows},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// How long a nonce is kept, so that a proof with it is called expired rather than unverified. Deleting nonces needs no
/// lock on the end of the log: they are older than any whose proofs are accepted.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 90);

/// Stores nonces that are given to terminals.
pub async fn issue(c: &mut Connection, nonces: &[([u8; 32], &str)], now: Timestamp) -> Result<()> {
    write(c, &[nonces_to_write(nonces, now)]).await
}

fn nonces_to_write<'a>(nonces: &'a [([u8; 32], &'a str)], now: Timestamp) -> BoundRows<'a> {
    let columns = vec![
        BoundColumn::Bytes(nonces.iter().map(|(nonce, _)| nonce.as_slice()).collect()),
        BoundColumn::Text(nonces.iter().map(|(_, terminal)| *terminal).collect()),
        BoundColumn::Int(vec![now.as_millisecond(); nonces.len()]),
    ];
    BoundRows { columns, statement: |rows| format!("INSERT INTO nonces (nonce, terminal, issued) {rows}") }
}

/// Deletes nonces too old to be used.
pub async fn forget(c: &mut Connection, now: Timestamp) -> Result<u64> {
    let before = now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN);
    let gone = query("DELETE FROM nonces WHERE issued < $1").bind(before.as_millisecond()).execute(c).await?;
    Ok(gone.rows_affected())
}

/// Decides lookups in their order, each with its record in the log. Those that arrive while this transaction waits for
/// the lock join once it has it.
pub async fn decide(
    c: &mut Connection,
    tasks: &mut Vec<LookupTask>,
    join: &mut JoiningLookups<'_>,
) -> Result<Vec<LookupResult>> {
    let mut now = Timestamp::UNIX_EPOCH;
    let joined = || {
        now = join(tasks);
        now
    };
    let mut ledger = Ledger::open_at(c, "", joined).await?;
    let tasks = tasks.as_slice();
    let subjects: Vec<_> = tasks.iter().map(|task| task.token_id.to_string()).collect();
    // Proofs before their tokens: a server of an earlier release may purge in between, and then the floor shows it.
    let mut proofs = Presented::read(c, tasks, &subjects, now).await?;
    let tokens = tokens(c, &subjects).await?;
    proofs.rise_from(tokens.iter().map(|(id, token)| (id.as_str(), token.highest)).collect());
    let mut all = Vec::with_capacity(tasks.len());
    for (task, subject) in tasks.iter().zip(&subjects) {
        ledger.actor(&task.terminal);
        let found = match tokens.get(subject) {
            None => LookupResult::Unknown,
            Some(token) => match shown(&mut proofs, &mut ledger, (task, subject), token, now)? {
                Err(refusal) => LookupResult::Refused(refusal),
                Ok(LookupProof { freshness, proved }) => LookupResult::Token {
                    status: token.status,
                    reason: token.reason.clone(),
                    user: token.user.clone(),
                    freshness,
                    proved,
                },
            },
        };
        match &found {
            LookupResult::Unknown => {
                ledger.add("lookup.refuse", subject, &json!({ "code": ProblemCode::TokenUnknown.as_str() }))?;
            }
            LookupResult::Refused(refusal) => {
                ledger.add("lookup.refuse", subject, &json!({ "code": refusal.code().as_str() }))?;
            }
            LookupResult::Token { status, freshness, .. } => {
                let action = if *status == TokenStatus::Active { "lookup" } else { "lookup.refuse" };
                let mut found = json!({ "status": status, "proof": freshness });
                if let PresentedProof::Resumed { counter, .. } = task.proof {
                    found["resumed"] = counter.into();
                }
                ledger.add(action, subject, &found)?;
            }
        }
        all.push(found);
    }
    let nonces: Vec<_> =
        tasks.iter().flat_map(|task| task.nonces.iter().map(|nonce| (*nonce, task.terminal.as_str()))).collect();
    let mut rows = proofs.to_write(now);
    rows.push(nonces_to_write(&nonces, now));
    ledger.close_with(c, rows).await?;
    Ok(all)
}

/// The outcome of the proof of a lookup.
#[derive(Default)]
struct LookupProof {
    freshness: Option<Freshness>,
    /// When the fresh proof came: this one, or the one on which the resumed channel rests.
    proved: Option<Timestamp>,
}

/// Checks the proof of a lookup; a proof that reveals a copy is recorded in the log.
fn shown(
    proofs: &mut Presented,
    ledger: &mut Ledger,
    (task, subject): (&LookupTask, &str),
    token: &KnownToken,
    now: Timestamp,
) -> Result<std::result::Result<LookupProof, ProofRefusal>> {
    let (nonce, counter, claims) = match &task.proof {
        PresentedProof::Nothing => return Ok(Ok(LookupProof::default())),
        PresentedProof::Resumed { counter, since } => {
            // A token that was suspended meanwhile needs a full tap.
            let since = (*since).max(token.active_since.unwrap_or(*since));
            let proved = proofs.resumable(&task.terminal, subject, *counter, since);
            let shown = LookupProof { freshness: None, proved };
            return Ok(if proved.is_some() { Ok(shown) } else { Err(ProofRefusal::Required) });
        }
        PresentedProof::Refused(refusal) => return Ok(Err(*refusal)),
        PresentedProof::Claims { nonce, counter, claims } => (nonce, *counter, claims),
    };
    let highest = proofs.highest(subject);
    let verdict = proofs.take(&task.terminal, subject, nonce, counter, claims, now);
    if verdict == Err(ProofRefusal::Clone) {
        ledger.add("token.clone", subject, &json!({ "counter": counter, "highest": highest }))?;
    }
    Ok(verdict.map(|freshness| {
        let proved = (freshness == Freshness::Fresh).then_some(now);
        LookupProof { freshness: Some(freshness), proved }
    }))
}

/// A token that is looked up.
struct KnownToken {
    status: TokenStatus,
    reason: Option<String>,
    user: User,
    highest: Highest,
    /// When it became active or was registered; `None` if it is not active.
    active_since: Option<Timestamp>,
}

/// The tokens with these ids, by id.
async fn tokens(c: &mut Connection, ids: &[String]) -> Result<HashMap<String, KnownToken>> {
    let ids = BoundColumn::Text(ids.iter().map(String::as_str).collect());
    let selects = with_keys(&ids, |keys| {
        format!(
            "SELECT t.token_id, t.status, t.reason, t.changed, t.counter, t.counter_at, t.floor, u.id, u.name, u.fields
             FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.token_id {keys}"
        )
    });
    let mut all = HashMap::with_capacity(ids.len());
    for select in selects {
        for row in select.fetch_all(&mut *c).await? {
            let highest = Highest {
                counter: row.try_get("counter")?,
                at: row.try_get("counter_at")?,
                floor: row.try_get("floor")?,
            };
            let user =
                User { id: row.try_get("id")?, name: row.try_get("name")?, fields: from_json(row.try_get("fields")?)? };
            let status = worded(row.try_get("status")?)?;
            let changed = moment(row.try_get("changed")?)?;
            let active_since = (status == TokenStatus::Active).then_some(changed);
            let token = KnownToken { status, reason: row.try_get("reason")?, user, highest, active_since };
            all.insert(row.try_get("token_id")?, token);
        }
    }
    Ok(all)
}
