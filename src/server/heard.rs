//! Notes when each terminal last sent a request, and until when its certificate is valid: in memory at each request,
//! and in the store every few seconds.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::store::{ServerStore, ShownCertificate};
use crate::api::v1::AHEAD_SECONDS;

/// What is not in the store yet. It holds names of registered terminals only.
#[derive(Debug, Default)]
pub struct HeardTerminals {
    words: Mutex<HashMap<String, Timestamp>>,
    /// By the hash of the TLS key.
    certificates: Mutex<HashMap<[u8; 32], ShownCertificate>>,
    /// Held while they are written to the store.
    storing: tokio::sync::Mutex<()>,
}

impl HeardTerminals {
    /// A terminal sent a request.
    pub fn note(&self, terminal: &str, at: Timestamp) {
        let mut all = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(terminal) {
            // A time far ahead was noted before the clock was set back.
            Some(last) if last.duration_since(at).as_secs() <= AHEAD_SECONDS => *last = at.max(*last),
            Some(last) => *last = at,
            None => drop(all.insert(terminal.to_owned(), at)),
        }
    }

    /// A terminal presented a certificate that ends later than the store knows.
    pub fn note_certificate(&self, shown: ShownCertificate) {
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&shown.tls_key).is_none_or(|known| known.until < shown.until) {
            all.insert(shown.tls_key, shown);
        }
    }

    /// Writes it to the store, after any such write under way; what cannot be written now waits for the next time.
    pub async fn store(&self, store: &ServerStore) {
        let _storing = self.storing.lock().await;
        let all: Vec<_> = self.words.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        // The store itself reports that it is unavailable.
        if !all.is_empty() && store.note_heard(&all).await.is_err() {
            for (terminal, at) in &all {
                self.note(terminal, *at);
            }
        }
        let shown: Vec<_> = self.certificates.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        let shown: Vec<_> = shown.into_iter().map(|(_, shown)| shown).collect();
        if !shown.is_empty() && store.note_certificates(&shown, Timestamp::now()).await.is_err() {
            for one in shown {
                self.note_certificate(one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        api::v1::Role,
        server::{
            StoreUrl, block_on,
            store::{NewTerminal, RegisteredKeys, Subjects},
        },
    };

    #[test]
    fn the_store_keeps_the_later_word_and_writes_a_certificate_down_once() {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let start: Timestamp = "2026-11-29T08:00:00Z".parse().unwrap();
        let at = |seconds| start + SignedDuration::from_secs(seconds);
        let kept = async {
            let store = ServerStore::open(&url, &[7; 20], None).await.unwrap();
            let subjects = Subjects { tls: "door".into(), ecka: "door".into() };
            let keys = RegisteredKeys { tls_key: [1; 32], ecka_key: [1; 32], subjects, not_after: start };
            let new = NewTerminal { name: "door".into(), role: Role::Read, keys };
            store.add_terminal(&new, "server", start).await.unwrap();
            let door = async || store.terminals("", 9).await.unwrap().remove(0);

            let (before, mut ends) = (store.audit_head().await.unwrap().seq, Vec::new());
            for seconds in [20, 20, 10, 30] {
                let shown = ShownCertificate { terminal: "door".into(), tls_key: [1; 32], until: at(seconds) };
                store.note_certificates(&[shown], start).await.unwrap();
                let records = store.audit_head().await.unwrap().seq - before;
                ends.push((door().await.certificate_until.unwrap(), records));
            }
            assert_eq!(ends, [(at(20), 1), (at(20), 1), (at(20), 1), (at(30), 2)]);

            let mut words = Vec::new();
            for seconds in [0, -AHEAD_SECONDS, -AHEAD_SECONDS - 1, 0] {
                store.note_heard(&[("door".into(), at(seconds))]).await.unwrap();
                words.push(door().await.last_seen.unwrap());
            }
            words
        };
        // A time further ahead than that was noted before a clock was set back.
        assert_eq!(block_on(kept).unwrap(), [start, start, at(-AHEAD_SECONDS - 1), start]);
    }

    /// A process that has not loaded the renewed certificate yet still presents the old one.
    #[test]
    fn the_later_certificate_of_a_key_counts() {
        let (heard, now) = (HeardTerminals::default(), Timestamp::now());
        let kept = |seconds| {
            let until = now + SignedDuration::from_secs(seconds);
            heard.note_certificate(ShownCertificate { terminal: "door".into(), tls_key: [7; 32], until });
            heard.certificates.lock().unwrap()[&[7; 32]].until.duration_since(now).as_secs()
        };
        assert_eq!([kept(1), kept(3), kept(2)], [1, 3, 3]);
    }

    #[test]
    fn the_last_word_counts_also_after_a_clock_was_set_back() {
        let (heard, now) = (HeardTerminals::default(), Timestamp::now());
        let last = |at| {
            heard.note("door", at);
            heard.words.lock().unwrap()["door"]
        };
        let a_little = now + SignedDuration::from_secs(AHEAD_SECONDS);
        assert_eq!([last(now), last(a_little), last(now)], [now, a_little, a_little]);
        let much = now + SignedDuration::from_hours(3);
        assert_eq!([last(much), last(now)], [much, now]);
    }
}
