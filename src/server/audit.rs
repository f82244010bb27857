//! The audit log: a hash chain with a record of every decision, so that tampering is noticed.
//!
//! Changing or removing a record breaks the chain. Cutting off its end contradicts a head that a terminal received,
//! signed, with the revocation feed.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{api::v1::AuditHead, crypto::sha256};

/// The hash of a record, SHA-256.
pub type Hash = [u8; 32];

/// The previous hash of the first record.
pub const BEGINNING: Hash = [0; 32];
/// The prefix of what is hashed for a record, so that the hash cannot be that of anything else.
const DOMAIN: &[u8] = b"rollcall audit 1";

/// The actor of actions that nobody requested over the network.
pub const SERVER: &str = "server";

/// The prefix of what is hashed for a seal.
const SEAL_DOMAIN: &[u8] = b"rollcall audit seal 1";
/// The prefix of what is hashed for a sealed record.
const SEALED_DOMAIN: &[u8] = b"rollcall audit 2";
/// The action of a record whose detail lists the records that were blanked when a user was forgotten.
pub const FORGET: &str = "user.forget";

/// How a record about a person is kept, so that it can be forgotten without breaking the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RecordSeal {
    /// Not about a person, or written by an earlier release: subject and detail are hashed as they are.
    #[default]
    Open,
    /// Subject and detail are hashed with a salt, and that hash stands for them in the chain.
    Sealed {
        /// 32 random bytes.
        salt: Vec<u8>,
        /// The hash.
        seal: Hash,
    },
    /// The person was forgotten and the salt deleted: only the hash is left.
    Blank(Hash),
    /// A blanked open record of an earlier release: its hash can no longer be computed, and only the record that
    /// follows it protects it.
    BlankOpen,
}

impl RecordSeal {
    /// Whether subject and detail are gone.
    pub const fn is_blank(&self) -> bool {
        matches!(self, Self::Blank(_) | Self::BlankOpen)
    }
}

/// The hash that stands for a subject and a detail in the chain.
fn seal_of(salt: &[u8], subject: &str, detail: &str) -> Hash {
    sha256(&[SEAL_DOMAIN, salt, &(subject.len() as u64).to_be_bytes(), subject.as_bytes(), detail.as_bytes()])
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// 1 for the first record, then one more each time.
    pub seq: i64,
    /// When, to the millisecond.
    pub at: Timestamp,
    /// The terminal that caused it; [`SERVER`] for the server itself.
    pub actor: String,
    /// What was decided, such as `token.status`.
    pub action: String,
    /// The object or person it is about.
    pub subject: String,
    /// Further details, as JSON.
    pub detail: String,
    /// How subject and detail are kept.
    pub seal: RecordSeal,
    /// The hash over all fields and the previous record's hash.
    pub hash: Hash,
}

impl AuditRecord {
    /// Returns the record with the hash that it has after the record of hash `previous`.
    #[must_use]
    pub fn sealed(self, previous: &Hash) -> Self {
        let hash = self.digest(previous).unwrap_or(self.hash);
        Self { hash, ..self }
    }

    /// Returns the record with subject and detail sealed by this salt of 32 random bytes.
    #[must_use]
    pub fn sealed_by(self, salt: Vec<u8>) -> Self {
        let seal = seal_of(&salt, &self.subject, &self.detail);
        Self { seal: RecordSeal::Sealed { salt, seal }, ..self }
    }

    /// Hashes every field with its length, so that no two records share an encoding; `None` for
    /// [`RecordSeal::BlankOpen`].
    fn digest(&self, previous: &Hash) -> Option<Hash> {
        let mut parts: Vec<u8> = Vec::with_capacity(256);
        parts.extend(self.seq.to_be_bytes());
        parts.extend(self.at.as_millisecond().to_be_bytes());
        let (domain, texts) = match &self.seal {
            RecordSeal::Open => (DOMAIN, &[&self.actor, &self.action, &self.subject, &self.detail][..]),
            RecordSeal::Sealed { .. } | RecordSeal::Blank(_) => (SEALED_DOMAIN, &[&self.actor, &self.action][..]),
            RecordSeal::BlankOpen => return None,
        };
        for text in texts {
            parts.extend((text.len() as u64).to_be_bytes());
            parts.extend(text.as_bytes());
        }
        if let RecordSeal::Sealed { seal, .. } | RecordSeal::Blank(seal) = &self.seal {
            parts.extend(seal);
        }
        Some(sha256(&[domain, &parts, previous]))
    }

    /// Whether the content matches its seal, or is blank as it should be, and the hash is correct.
    fn holds(&self, previous: &Hash) -> bool {
        let content = match &self.seal {
            RecordSeal::Open => true,
            RecordSeal::Sealed { salt, seal } => seal_of(salt, &self.subject, &self.detail) == *seal,
            RecordSeal::Blank(_) | RecordSeal::BlankOpen => self.subject.is_empty() && self.detail.is_empty(),
        };
        content && self.digest(previous).is_none_or(|hash| hash == self.hash)
    }
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A number is missing: records were removed.
    #[error("record {expected} is missing: record {found} stands in its place")]
    Missing {
        /// The expected number.
        expected: i64,
        /// The number found instead.
        found: i64,
    },
    /// A record has the wrong hash.
    #[error("record {0} was changed, or one before it was put in its place")]
    Changed(i64),
    /// The log ends before the head that the store keeps, or before one that a terminal was given.
    #[error("the log ends at record {found}, and its head is record {head}: its end was cut off")]
    Cut {
        /// The last record.
        found: i64,
        /// The head.
        head: u64,
    },
    /// A record was blanked, but no later record says so.
    #[error("record {0} was blanked, and no record after it says that its user was forgotten")]
    Blanked(i64),
    /// The log is not the one whose head a terminal was given.
    #[error("a terminal has record {0} with another hash: the log was rewritten")]
    Rewritten(u64),
}

impl AuditError {
    /// The number of the first record that is bad or missing.
    pub const fn first_bad(&self) -> u64 {
        match *self {
            Self::Missing { expected: seq, .. } | Self::Changed(seq) | Self::Blanked(seq) => seq.cast_unsigned(),
            Self::Cut { found, .. } => found.cast_unsigned() + 1,
            Self::Rewritten(seq) => seq,
        }
    }
}

/// Verifies a log, record by record from its beginning.
#[derive(Debug, Clone)]
pub struct Verifier {
    seq: i64,
    hash: Hash,
    told: Vec<AuditHead>,
    /// Blank records that no later record has named yet.
    blank: BTreeSet<i64>,
}

impl Verifier {
    /// Starts before the first record; `told` are heads that terminals were given.
    pub fn new(told: Vec<AuditHead>) -> Self {
        Self { seq: 0, hash: BEGINNING, told, blank: BTreeSet::new() }
    }

    /// Checks the next record.
    ///
    /// # Errors
    /// [`AuditError::Missing`], [`AuditError::Changed`], or [`AuditError::Rewritten`] when a terminal was given another
    /// hash for it.
    pub fn next(&mut self, record: &AuditRecord) -> Result<(), AuditError> {
        let expected = self.seq + 1;
        if record.seq != expected {
            return Err(AuditError::Missing { expected, found: record.seq });
        }
        if !record.holds(&self.hash) {
            return Err(AuditError::Changed(record.seq));
        }
        if record.seal.is_blank() {
            self.blank.insert(record.seq);
        } else if record.action == FORGET {
            let detail: serde_json::Value = serde_json::from_str(&record.detail).unwrap_or_default();
            for seq in detail["blanked"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_i64) {
                self.blank.remove(&seq);
            }
        }
        (self.seq, self.hash) = (record.seq, record.hash);
        let hash = hex::encode(record.hash);
        let contradicts = |told: &AuditHead| told.seq == record.seq.cast_unsigned() && told.hash != hash;
        if self.told.iter().any(contradicts) {
            return Err(AuditError::Rewritten(record.seq.cast_unsigned()));
        }
        Ok(())
    }

    /// Finishes: nothing may be missing before the store's head, or before one that a terminal was given.
    ///
    /// # Errors
    /// [`AuditError::Cut`] when records are missing at the end; [`AuditError::Changed`] when the head is not the last
    /// record; [`AuditError::Blanked`] for a record that was blanked without a record of it.
    pub fn end(self, head: &AuditHead) -> Result<u64, AuditError> {
        let furthest = self.told.iter().map(|told| told.seq).chain([head.seq]).max().unwrap_or_default();
        if furthest > self.seq.cast_unsigned() {
            return Err(AuditError::Cut { found: self.seq, head: furthest });
        }
        if head.seq != self.seq.cast_unsigned() || head.hash != hex::encode(self.hash) {
            return Err(AuditError::Changed(self.seq));
        }
        match self.blank.first() {
            Some(seq) => Err(AuditError::Blanked(*seq)),
            None => Ok(head.seq),
        }
    }
}

/// The message for a terminal that was given a head which the log does not have.
pub fn missing_record(terminal: &str, seq: u64) -> String {
    format!(
        "the terminal {terminal} has seen record {seq} of the audit log, and this log does not have it: the store was \
         restored from a backup, or its end was cut off; check, then run: rollcall server audit reconcile"
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
                    seal: RecordSeal::Open,
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

    /// Text that moves from one field to the next makes a different record.
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
        // The head names the last record by its number and its hash.
        for other in [AuditHead { seq: 4, ..end.clone() }, AuditHead { seq: 5, ..head(&whole[3]) }] {
            assert_eq!(verify(&whole, &other, Vec::new()), Err(AuditError::Changed(5)));
        }
        // Cutting the log and setting its head back does not change the heads that terminals hold.
        let cut = verify(&whole[..3], &head(&whole[2]), vec![end]);
        assert_eq!(cut, Err(AuditError::Cut { found: 3, head: 5 }));
    }

    /// A log rewritten from the beginning is a valid chain, but not the one whose heads terminals were given.
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

    /// A log whose second record names a person, sealed as now or open as in an earlier release.
    fn log_with_person(is_sealed: bool, forgotten: &str) -> Vec<AuditRecord> {
        let mut previous = BEGINNING;
        log(4)
            .into_iter()
            .map(|record| {
                let record = match record.seq {
                    2 if is_sealed => record.sealed_by(vec![7; 32]),
                    4 => AuditRecord { action: FORGET.into(), detail: forgotten.into(), ..record },
                    _ => record,
                };
                let record = record.sealed(&previous);
                previous = record.hash;
                record
            })
            .collect()
    }

    fn blank(record: &mut AuditRecord) {
        record.seal = match &record.seal {
            RecordSeal::Sealed { seal, .. } => RecordSeal::Blank(*seal),
            _ => RecordSeal::BlankOpen,
        };
        (record.subject, record.detail) = (String::new(), String::new());
    }

    #[test]
    fn a_person_is_forgotten_and_the_chain_holds() {
        for is_sealed in [true, false] {
            let mut log = log_with_person(is_sealed, r#"{"blanked":[2]}"#);
            let end = head(&log[3]);
            assert_eq!(verify(&log, &end, vec![head(&log[1])]), Ok(4));
            blank(&mut log[1]);
            assert_eq!(verify(&log, &end, vec![head(&log[1])]), Ok(4));
            // Nothing else in it can be changed, and nothing put in its place.
            let changes: [fn(&mut AuditRecord); 3] =
                [|r| r.subject = "x".into(), |r| r.detail = "{}".into(), |r| r.hash[0] ^= 1];
            for change in changes {
                let mut log = log.clone();
                change(&mut log[1]);
                assert!(verify(&log, &end, Vec::new()).unwrap_err().first_bad() <= 3);
            }
        }
    }

    #[test]
    fn what_is_sealed_cannot_be_changed() {
        let log = log_with_person(true, "{}");
        let end = head(&log[3]);
        let changes: [fn(&mut AuditRecord); 6] = [
            |r| r.subject.push('x'),
            |r| r.detail.push('x'),
            |r| r.action.push('x'),
            |r| r.seal = RecordSeal::Open,
            |r| {
                let RecordSeal::Sealed { salt, .. } = &mut r.seal else { return };
                salt[31] ^= 1;
            },
            |r| {
                let RecordSeal::Sealed { seal, .. } = &mut r.seal else { return };
                seal[0] ^= 1;
            },
        ];
        for change in changes {
            let mut log = log.clone();
            change(&mut log[1]);
            assert_eq!(verify(&log, &end, Vec::new()), Err(AuditError::Changed(2)));
        }
    }

    #[test]
    fn nobody_blanks_a_record_unseen() {
        for (is_sealed, said) in [(true, "{}"), (false, "{}"), (true, r#"{"blanked":[3]}"#), (true, "no JSON")] {
            let mut log = log_with_person(is_sealed, said);
            let end = head(&log[3]);
            blank(&mut log[1]);
            assert_eq!(verify(&log, &end, Vec::new()), Err(AuditError::Blanked(2)), "{said}");
        }
        // A blank record cannot vouch for itself.
        let mut log = log_with_person(true, r#"{"blanked":[4]}"#);
        let end = head(&log[3]);
        blank(&mut log[3]);
        assert_eq!(verify(&log, &end, Vec::new()), Err(AuditError::Blanked(4)));
    }
}
