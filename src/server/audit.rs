//! The audit log: every decision is a record that is chained to the one before by a hash.
//!
//! Whoever changes or removes a record breaks the chain, and whoever cuts its end contradicts a head that a terminal
//! was given with the revocation feed, signed.

use jiff::Timestamp;

use crate::{api::v1::AuditHead, crypto::sha256};

/// The hash of a record, SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first record.
pub const BEGINNING: Hash = [0; 32];
/// What every hash begins with, so that it is a hash of nothing else.
const DOMAIN: &[u8] = b"rollcall audit 1";

/// The actor of what nobody asked for over the network.
pub const SERVER: &str = "server";

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// 1 for the first, then one more each time.
    pub seq: i64,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// The terminal that caused it; [`SERVER`] for the server itself.
    pub actor: String,
    /// What was decided, as `token.status`.
    pub action: String,
    /// About what or whom.
    pub subject: String,
    /// More of it, as JSON.
    pub detail: String,
    /// The hash of all this and of the record before.
    pub hash: Hash,
}

impl AuditRecord {
    /// The record with its hash after this one.
    #[must_use]
    pub fn sealed(self, previous: &Hash) -> Self {
        Self { hash: self.digest(previous), ..self }
    }

    /// Every field with its length, so that no two records have one encoding.
    fn digest(&self, previous: &Hash) -> Hash {
        let mut parts: Vec<u8> = Vec::with_capacity(256);
        parts.extend(self.seq.to_be_bytes());
        parts.extend(self.at.as_millisecond().to_be_bytes());
        for text in [&self.actor, &self.action, &self.subject, &self.detail] {
            parts.extend((text.len() as u64).to_be_bytes());
            parts.extend(text.as_bytes());
        }
        sha256(&[DOMAIN, &parts, previous])
    }
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A number is missing: records were removed.
    #[error("record {expected} is missing: record {found} stands in its place")]
    Missing {
        /// The number that should come.
        expected: i64,
        /// The number that comes.
        found: i64,
    },
    /// A record does not have the hash that it must have.
    #[error("record {0} was changed, or one before it was put in its place")]
    Changed(i64),
    /// The log ends before the head that the store keeps.
    #[error("the log ends at record {found}, and its head is record {head}: its end was cut off")]
    Cut {
        /// The last record.
        found: i64,
        /// The head.
        head: u64,
    },
    /// The log is not the one that a terminal was told of.
    #[error("a terminal has record {0} with another hash: the log was rewritten")]
    Rewritten(u64),
}

impl AuditError {
    /// The number of the first record that is bad or missing.
    pub const fn first_bad(&self) -> u64 {
        match *self {
            Self::Missing { expected: seq, .. } | Self::Changed(seq) => seq.cast_unsigned(),
            Self::Cut { found, .. } => found.cast_unsigned() + 1,
            Self::Rewritten(seq) => seq,
        }
    }
}

/// Follows a log from its beginning.
#[derive(Debug, Clone)]
pub struct Verifier {
    seq: i64,
    hash: Hash,
    told: Vec<AuditHead>,
}

impl Verifier {
    /// Begins before the first record; `told` are heads that terminals were given.
    pub fn new(told: Vec<AuditHead>) -> Self {
        Self { seq: 0, hash: BEGINNING, told }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`AuditError::Missing`], [`AuditError::Changed`], or [`AuditError::Rewritten`] when a terminal was told of
    /// another one.
    pub fn next(&mut self, record: &AuditRecord) -> Result<(), AuditError> {
        let expected = self.seq + 1;
        if record.seq != expected {
            return Err(AuditError::Missing { expected, found: record.seq });
        }
        if record.digest(&self.hash) != record.hash {
            return Err(AuditError::Changed(record.seq));
        }
        (self.seq, self.hash) = (record.seq, record.hash);
        let hash = hex::encode(record.hash);
        let contradicts = |told: &AuditHead| told.seq == record.seq.cast_unsigned() && told.hash != hash;
        if self.told.iter().any(contradicts) {
            return Err(AuditError::Rewritten(record.seq.cast_unsigned()));
        }
        Ok(())
    }

    /// Ends: nothing may be missing before the head of the store, or before one that a terminal was given.
    ///
    /// # Errors
    /// [`AuditError::Cut`] when records are missing at the end; [`AuditError::Changed`] for another head.
    pub fn end(self, head: &AuditHead) -> Result<u64, AuditError> {
        let furthest = self.told.iter().map(|told| told.seq).chain([head.seq]).max().unwrap_or_default();
        if furthest > self.seq.cast_unsigned() {
            return Err(AuditError::Cut { found: self.seq, head: furthest });
        }
        if head.seq != self.seq.cast_unsigned() || head.hash != hex::encode(self.hash) {
            return Err(AuditError::Changed(self.seq));
        }
        Ok(head.seq)
    }
}

/// What is wrong when a terminal was told of a record that the log does not have.
pub fn missing_record(terminal: &str, seq: u64) -> String {
    format!(
        "the terminal {terminal} was told of record {seq} of the audit log, and this log does not have it: the store was \
         restored from a backup, or its end was cut off; look, and then: rollcall server audit reconcile"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(length: i64) -> Vec<AuditRecord> {
        let mut previous = BEGINNING;
        (1..=length)
            .map(|seq| {
                let record = AuditRecord {
                    seq,
                    at: "2026-11-23T07:00:00.123Z".parse().unwrap(),
                    actor: "door".into(),
                    action: "lookup".into(),
                    subject: format!("token {seq}"),
                    detail: "{}".into(),
                    hash: BEGINNING,
                }
                .sealed(&previous);
                previous = record.hash;
                record
            })
            .collect()
    }

    fn head(record: &AuditRecord) -> AuditHead {
        AuditHead { seq: record.seq.cast_unsigned(), hash: hex::encode(record.hash) }
    }

    fn verify(records: &[AuditRecord], head: &AuditHead, told: Vec<AuditHead>) -> Result<u64, AuditError> {
        let mut verifier = Verifier::new(told);
        records.iter().try_for_each(|record| verifier.next(record))?;
        verifier.end(head)
    }

    #[test]
    fn a_log_that_nobody_touched() {
        let log = log(5);
        assert_eq!(verify(&log, &head(&log[4]), vec![head(&log[2])]), Ok(5));
        let empty = AuditHead { seq: 0, hash: hex::encode(BEGINNING) };
        assert_eq!(verify(&[], &empty, Vec::new()), Ok(0));
    }

    #[test]
    fn each_changed_field_is_seen_at_its_record() {
        let changes: [fn(&mut AuditRecord); 6] = [
            |r| r.at += jiff::SignedDuration::from_millis(1),
            |r| r.actor.push('x'),
            |r| r.action = "token.status".into(),
            |r| r.subject.clear(),
            |r| r.detail = r#"{"status":"active"}"#.into(),
            |r| r.hash[31] ^= 1,
        ];
        for change in changes {
            let mut log = log(5);
            let head = head(&log[4]);
            change(&mut log[2]);
            assert_eq!(verify(&log, &head, Vec::new()).unwrap_err().first_bad(), 3);
        }
    }

    /// A text that moves from one field to the next is another record.
    #[test]
    fn fields_do_not_run_into_each_other() {
        let mut log = log(1);
        let head = head(&log[0]);
        (log[0].actor, log[0].action) = ("doorl".into(), "ookup".into());
        assert_eq!(verify(&log, &head, Vec::new()), Err(AuditError::Changed(1)));
    }

    #[test]
    fn removed_swapped_and_cut_records_are_seen() {
        let whole = log(5);
        let end = head(&whole[4]);
        let mut log = whole.clone();
        log.remove(1);
        assert_eq!(verify(&log, &end, Vec::new()), Err(AuditError::Missing { expected: 2, found: 3 }));
        let mut log = whole.clone();
        log.swap(1, 2);
        assert_eq!(verify(&log, &end, Vec::new()).unwrap_err().first_bad(), 2);
        assert_eq!(verify(&whole[..3], &end, Vec::new()), Err(AuditError::Cut { found: 3, head: 5 }));
        // Whoever cuts the log and puts its head back has not asked the terminals.
        let cut = verify(&whole[..3], &head(&whole[2]), vec![end]);
        assert_eq!(cut, Err(AuditError::Cut { found: 3, head: 5 }));
    }

    /// A log that was written anew from the beginning is a good chain, and not the one that terminals were told of.
    #[test]
    fn a_log_written_anew_contradicts_what_terminals_were_told() {
        let told = head(&log(5)[2]);
        let mut anew = Vec::new();
        let mut previous = BEGINNING;
        for record in log(5) {
            let record = AuditRecord { actor: "nobody".into(), ..record }.sealed(&previous);
            previous = record.hash;
            anew.push(record);
        }
        let end = head(&anew[4]);
        assert_eq!(verify(&anew, &end, Vec::new()), Ok(5));
        assert_eq!(verify(&anew, &end, vec![told]), Err(AuditError::Rewritten(3)));
    }
}
