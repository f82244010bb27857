//! Accepts presence proofs: each only once; one that contradicts another reveals a copied card.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::{Connection, Result, Row, moment, with_keys, with_rows};
use crate::{
    api::v1::{Freshness, LATE_DAYS, NONCE_HOURS},
    server::store::{
        LookupTask, PresentedProof, ProofRefusal,
        rows::{BoundColumn, BoundRows},
    },
};

/// How long after its issue a nonce counts for a fresh proof.
const FRESH: SignedDuration = SignedDuration::from_hours(NONCE_HOURS);
/// How long after its issue a proof with it is accepted at all.
const TAKEN: SignedDuration = SignedDuration::from_hours(NONCE_HOURS + 24 * LATE_DAYS);

/// The highest counter that a token has shown, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Highest {
    /// The counter; `None` before the first proof.
    pub counter: Option<i64>,
    /// When it came, in milliseconds.
    pub at: Option<i64>,
    /// Proofs up to this counter were deleted.
    pub floor: Option<i64>,
}

/// A nonce that was given to a terminal.
struct IssuedNonce {
    terminal: String,
    /// In milliseconds.
    issued: i64,
    age: SignedDuration,
    is_used: bool,
}

/// A proof accepted by this transaction.
struct TakenProof {
    token: String,
    counter: i64,
    claims: [u8; 32],
    /// The terminal, if the nonce was fresh.
    terminal: Option<String>,
}

/// A proof that was accepted before.
struct KnownProof {
    claims: [u8; 32],
    /// In milliseconds.
    at: i64,
    /// The terminal, if the nonce was fresh.
    terminal: Option<String>,
}

/// The proofs of several lookups, and what the store knows of them. The head of the log is locked, so no other
/// transaction accepts a proof meanwhile.
pub struct Presented<'a> {
    nonces: HashMap<[u8; 32], IssuedNonce>,
    /// Nonces that these proofs have used up.
    used: Vec<[u8; 32]>,
    /// The known proofs by token and counter.
    seen: HashMap<(&'a str, i64), KnownProof>,
    highest: HashMap<&'a str, Highest>,
    taken: Vec<TakenProof>,
    /// Counters that have risen.
    risen: BTreeMap<String, i64>,
}

impl<'a> Presented<'a> {
    /// Reads from the store what it knows of them; `subjects` are the tokens of the tasks.
    pub async fn read(
        c: &mut Connection,
        tasks: &[LookupTask],
        subjects: &'a [String],
        now: Timestamp,
    ) -> Result<Self> {
        let mut all = Self {
            nonces: HashMap::new(),
            used: Vec::new(),
            seen: HashMap::new(),
            highest: HashMap::new(),
            taken: Vec::new(),
            risen: BTreeMap::new(),
        };
        let (mut nonces, mut counters) = (Vec::new(), Vec::new());
        for (task, subject) in tasks.iter().zip(subjects) {
            let counter = match &task.proof {
                PresentedProof::Claims { nonce, counter, .. } => {
                    nonces.push(nonce.as_slice());
                    counter
                }
                // The proof on which a resumed channel rests.
                PresentedProof::Resumed { counter, .. } => counter,
                PresentedProof::Nothing | PresentedProof::Refused(_) => continue,
            };
            counters.push((subject.as_str(), i64::from(*counter)));
        }
        all.read_nonces(c, nonces, now).await?;
        all.read_seen(c, &counters).await?;
        Ok(all)
    }

    /// Sets the highest counters of the tokens of the tasks, as far as these tokens exist.
    pub fn rise_from(&mut self, highest: HashMap<&'a str, Highest>) {
        self.highest = highest;
    }

    async fn read_nonces(&mut self, c: &mut Connection, nonces: Vec<&[u8]>, now: Timestamp) -> Result<()> {
        let keys = BoundColumn::Bytes(nonces);
        let selects =
            with_keys(&keys, |keys| format!("SELECT nonce, terminal, issued, used FROM nonces WHERE nonce {keys}"));
        for select in selects {
            for row in select.fetch_all(&mut *c).await? {
                let issued: i64 = row.try_get("issued")?;
                let age = now.duration_since(moment(issued)?);
                let is_used = row.try_get::<Option<i64>, _>("used")?.is_some();
                let known = IssuedNonce { terminal: row.try_get("terminal")?, issued, age, is_used };
                self.nonces.insert(bytes(row.try_get("nonce")?)?, known);
            }
        }
        Ok(())
    }

    async fn read_seen(&mut self, c: &mut Connection, counters: &[(&'a str, i64)]) -> Result<()> {
        let columns = vec![
            BoundColumn::Text(counters.iter().map(|(token, _)| *token).collect()),
            BoundColumn::Int(counters.iter().map(|(_, counter)| *counter).collect()),
        ];
        let statement = |rows: &str| {
            format!(
                "SELECT token_id, counter, claims, at, terminal FROM ({rows}) AS shown
                 CROSS JOIN proofs WHERE token_id = shown.column1 AND counter = shown.column2"
            )
        };
        for select in with_rows(&[BoundRows { columns, statement }]) {
            for row in select.fetch_all(&mut *c).await? {
                let found = (row.try_get::<&str, _>("token_id")?, row.try_get("counter")?);
                let Some(asked) = counters.iter().find(|asked| **asked == found) else { continue };
                let claims = bytes(row.try_get("claims")?)?;
                let proof = KnownProof { claims, at: row.try_get("at")?, terminal: row.try_get("terminal")? };
                self.seen.insert(*asked, proof);
            }
        }
        Ok(())
    }

    /// The highest counter that this token has shown.
    pub fn highest(&self, token: &str) -> Option<i64> {
        self.highest.get(token).and_then(|highest| highest.counter)
    }

    /// Checks a nonce for this terminal; `None` for one that the terminal made itself.
    fn check_nonce(&self, terminal: &str, nonce: &[u8; 32]) -> std::result::Result<Option<&IssuedNonce>, ProofRefusal> {
        let Some(known) = self.nonces.get(nonce) else { return Ok(None) };
        if known.terminal != terminal {
            return Err(ProofRefusal::ForeignNonce);
        }
        if known.age > TAKEN { Err(ProofRefusal::Expired) } else { Ok(Some(known)) }
    }

    /// Accepts a proof of an existing token, once. Its nonce is used up even if the proof reveals a copy.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn take(
        &mut self,
        terminal: &str,
        token: &str,
        nonce: &[u8; 32],
        counter: u32,
        claims: &[u8; 32],
        now: Timestamp,
    ) -> std::result::Result<Freshness, ProofRefusal> {
        let (freshness, issued) = match self.check_nonce(terminal, nonce)? {
            // A nonce that the terminal made does not prove the time.
            None => (Freshness::Unverified, None),
            Some(known) => {
                let freshness = if known.age > FRESH { Freshness::Late } else { Freshness::Fresh };
                (freshness, Some(known.issued))
            }
        };
        let Some((&token, &highest)) = self.highest.get_key_value(token) else { return Err(ProofRefusal::Malformed) };
        if let Some(known) = self.nonces.get_mut(nonce) {
            if std::mem::replace(&mut known.is_used, true) {
                return Err(ProofRefusal::Replayed);
            }
            self.used.push(*nonce);
        }
        let counter = i64::from(counter);
        // Whether it was accepted before is no longer known.
        if highest.floor.is_some_and(|floor| counter <= floor) {
            return Err(ProofRefusal::Expired);
        }
        if let Some(seen) = self.seen.get(&(token, counter)) {
            // The claims are compared rather than the signature, which anybody can turn into another valid one.
            return Err(if seen.claims == *claims { ProofRefusal::Replayed } else { ProofRefusal::Clone });
        }
        // A lower counter means a late proof, unless its nonce was issued after the higher one had come.
        let rises = highest.counter.is_none_or(|highest| counter > highest);
        if !rises && issued.zip(highest.at).is_some_and(|(issued, at)| issued > at) {
            return Err(ProofRefusal::Clone);
        }
        let (claims, terminal) = (*claims, (freshness == Freshness::Fresh).then(|| terminal.to_owned()));
        let known = KnownProof { claims, at: now.as_millisecond(), terminal: terminal.clone() };
        self.seen.insert((token, counter), known);
        self.taken.push(TakenProof { token: token.to_owned(), counter, claims, terminal });
        if rises {
            let after = Highest { counter: Some(counter), at: Some(now.as_millisecond()), ..highest };
            self.highest.insert(token, after);
            self.risen.insert(token.to_owned(), counter);
        }
        Ok(freshness)
    }

    /// When the proof with this counter came, if this terminal may resume the channel that rests on it.
    pub fn resumable(&self, terminal: &str, token: &str, counter: u32, since: Timestamp) -> Option<Timestamp> {
        let proof = self.seen.get(&(token, i64::from(counter)))?;
        let holds = proof.at >= since.as_millisecond() && proof.terminal.as_deref() == Some(terminal);
        holds.then(|| Timestamp::from_millisecond(proof.at).ok()).flatten()
    }

    /// The changes to write: nonces used up, proofs accepted, and counters that rose.
    pub fn to_write(&self, now: Timestamp) -> Vec<BoundRows<'_>> {
        let moments = |count| BoundColumn::Int(vec![now.as_millisecond(); count]);
        let used =
            vec![BoundColumn::Bytes(self.used.iter().map(<[u8; 32]>::as_slice).collect()), moments(self.used.len())];
        let taken = vec![
            BoundColumn::Text(self.taken.iter().map(|proof| proof.token.as_str()).collect()),
            BoundColumn::Int(self.taken.iter().map(|proof| proof.counter).collect()),
            BoundColumn::Bytes(self.taken.iter().map(|proof| proof.claims.as_slice()).collect()),
            moments(self.taken.len()),
            // An empty name stands for none.
            BoundColumn::Text(self.taken.iter().map(|proof| proof.terminal.as_deref().unwrap_or_default()).collect()),
        ];
        let risen = vec![
            BoundColumn::Text(self.risen.keys().map(String::as_str).collect()),
            BoundColumn::Int(self.risen.values().copied().collect()),
            moments(self.risen.len()),
        ];
        vec![
            BoundRows {
                columns: used,
                statement: |rows| {
                    format!("UPDATE nonces SET used = shown.column2 FROM ({rows}) AS shown WHERE nonce = shown.column1")
                },
            },
            BoundRows {
                columns: taken,
                statement: |rows| format!("INSERT INTO proofs (token_id, counter, claims, at, terminal) {rows}"),
            },
            BoundRows {
                columns: risen,
                statement: |rows| {
                    format!(
                        "UPDATE tokens SET counter = risen.column2, counter_at = risen.column3
                         FROM ({rows}) AS risen WHERE tokens.token_id = risen.column1"
                    )
                },
            },
        ]
    }
}

/// Reads a value stored as 32 bytes.
fn bytes(kept: Vec<u8>) -> Result<[u8; 32]> {
    kept.try_into().map_err(|_| sqlx::Error::Decode("a nonce or a digest of another length".into()))
}

#[cfg(test)]
mod tests;
