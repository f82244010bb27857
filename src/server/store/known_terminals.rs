//! Caches the terminals of recent requests, so that not every request has to query the store to authenticate one.
//!
//! A change by this process takes effect at the next request, because it empties the cache; a change by another process
//! on the same store takes effect once the entries are as old as [`HOLDS`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::TerminalRow;

/// How long an answer of the store is valid, counted from the query, not from its answer.
pub const HOLDS: Duration = Duration::from_millis(500);
/// Most terminals in the cache.
const TERMINALS: usize = 4096;

/// SHA-256 of the point of a TLS key.
type TlsKey = [u8; 32];

/// The cache.
#[derive(Debug, Default)]
pub struct KnownTerminals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How often the cache was emptied.
    changes: u64,
    terminals: HashMap<TlsKey, (Instant, Arc<TerminalRow>)>,
}

/// A query to the store that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Enquiry {
    changes: u64,
    at: Instant,
}

impl KnownTerminals {
    /// The cached terminal of this key.
    ///
    /// # Errors
    /// The store has to be asked; pass its answer to [`Self::keep`], with this.
    pub fn get(&self, key: &TlsKey, now: Instant) -> Result<Arc<TerminalRow>, Enquiry> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.terminals.get(key) {
            Some((at, terminal)) if now.saturating_duration_since(*at) < HOLDS => Ok(Arc::clone(terminal)),
            _ => Err(Enquiry { changes: known.changes, at: now }),
        }
    }

    /// The terminal of this key as last read, however long ago; `None` if it was revoked or removed since.
    pub fn last(&self, key: &TlsKey) -> Option<Arc<TerminalRow>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.terminals.get(key).map(|(_, terminal)| Arc::clone(terminal))
    }

    /// Caches an answer of the store, unless something was changed meanwhile. A revoked terminal is never cached.
    pub fn keep(&self, enquiry: Enquiry, key: &TlsKey, terminal: Option<&Arc<TerminalRow>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(terminal) = terminal.filter(|terminal| !terminal.revoked) else {
            known.terminals.remove(key);
            return;
        };
        if enquiry.changes != known.changes {
            return;
        }
        if known.terminals.len() >= TERMINALS && !known.terminals.contains_key(key) {
            known.terminals.retain(|_, (at, _)| enquiry.at.saturating_duration_since(*at) < HOLDS);
            if known.terminals.len() >= TERMINALS {
                return;
            }
        }
        known.terminals.insert(*key, (enquiry.at, Arc::clone(terminal)));
    }

    /// Announces a change. When the guard is dropped, even because the change was given up, the cache is emptied.
    pub fn changing(&self) -> Changing<'_> {
        Changing(self)
    }

    fn forget(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Answers under way may be outdated.
        known.changes += 1;
        known.terminals.clear();
    }
}

/// A change under way.
#[must_use]
pub struct Changing<'a>(&'a KnownTerminals);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::Role,
        server::{ServerStore, StoreUrl, block_on, store::Subjects},
    };

    fn terminal(revoked: bool) -> Arc<TerminalRow> {
        let subjects = Subjects { tls: "door".into(), ecka: "door".into() };
        let (name, role, until) = ("door".into(), Role::Read, jiff::Timestamp::MAX);
        Arc::new(TerminalRow { name, role, revoked, ecka_keys: Vec::new(), subjects, until })
    }

    #[test]
    fn a_terminal_is_known_for_a_moment_from_the_enquiry() {
        let (known, start) = (KnownTerminals::default(), Instant::now());
        let enquiry = known.get(&[1; 32], start).unwrap_err();
        known.keep(enquiry, &[1; 32], Some(&terminal(false)));
        assert!(known.get(&[1; 32], start + HOLDS / 2).is_ok());
        assert!(known.get(&[2; 32], start).is_err());
        assert!(known.get(&[1; 32], start + HOLDS).is_err());
    }

    #[test]
    fn what_was_known_last_is_there_until_the_terminal_is_gone_or_something_changes() {
        let (known, start) = (KnownTerminals::default(), Instant::now());
        let enquiry = known.get(&[1; 32], start).unwrap_err();
        let keep = |terminal: Option<&Arc<TerminalRow>>| {
            known.keep(enquiry, &[1; 32], terminal);
            known.last(&[1; 32]).is_some()
        };
        let good = terminal(false);
        assert!(!keep(None) && keep(Some(&good)) && !keep(Some(&terminal(true))));
        assert!(keep(Some(&good)) && !keep(None));
        assert!(keep(Some(&good)));
        drop(known.changing());
        assert!(known.last(&[1; 32]).is_none() && !keep(Some(&good)));
    }

    #[test]
    fn a_change_makes_answers_that_are_under_way_worthless() {
        let (known, start) = (KnownTerminals::default(), Instant::now());
        let enquiry = known.get(&[1; 32], start).unwrap_err();
        known.keep(enquiry, &[1; 32], Some(&terminal(false)));
        let under_way = known.get(&[2; 32], start).unwrap_err();
        drop(known.changing());
        known.keep(under_way, &[2; 32], Some(&terminal(false)));
        assert!(known.get(&[1; 32], start).is_err());
        assert!(known.get(&[2; 32], start).is_err());
    }

    /// Every request reserves memory for this query from its beginning to its end.
    #[test]
    fn an_enquiry_that_is_not_made_takes_little_room() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let store = block_on(ServerStore::open(&url, &[0; 20], None)).unwrap().unwrap();
        let room = size_of_val(&store.asking_terminal(&[1; 32]));
        assert!(room < 1024, "{room} bytes");
    }

    #[test]
    fn who_was_revoked_is_never_known() {
        let (known, start) = (KnownTerminals::default(), Instant::now());
        let enquiry = known.get(&[1; 32], start).unwrap_err();
        known.keep(enquiry, &[1; 32], Some(&terminal(true)));
        assert!(known.get(&[1; 32], start).is_err());
    }

    #[test]
    fn more_terminals_than_there_is_room_for_are_asked_for_each_time() {
        let (known, start) = (KnownTerminals::default(), Instant::now());
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            key
        };
        for n in 0..=TERMINALS {
            let enquiry = known.get(&key(n), start).unwrap_err();
            known.keep(enquiry, &key(n), Some(&terminal(false)));
        }
        assert!(known.get(&key(0), start).is_ok());
        assert!(known.get(&key(TERMINALS), start).is_err());
        // Those that have sent no request since make room.
        let enquiry = known.get(&key(TERMINALS), start + HOLDS).unwrap_err();
        known.keep(enquiry, &key(TERMINALS), Some(&terminal(false)));
        assert!(known.get(&key(TERMINALS), start + HOLDS).is_ok());
    }
}
