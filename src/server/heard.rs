//! When terminals asked last: noted in memory with each request, and in the store every few seconds.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use super::store::ServerStore;

/// What the store does not know yet. It holds names of registered terminals only.
#[derive(Debug, Default)]
pub struct HeardTerminals {
    words: Mutex<HashMap<String, Timestamp>>,
    /// Held while they are handed over.
    storing: tokio::sync::Mutex<()>,
}

impl HeardTerminals {
    /// A terminal asks.
    pub fn note(&self, terminal: &str, at: Timestamp) {
        let mut all = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(terminal) {
            Some(last) => *last = at.max(*last),
            None => drop(all.insert(terminal.to_owned(), at)),
        }
    }

    /// Hands it to the store, also what somebody else is handing over; what it does not take now waits for the next time.
    pub async fn store(&self, store: &ServerStore) {
        let _storing = self.storing.lock().await;
        let all: Vec<_> = self.words.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        // That the store is away it says by itself.
        if !all.is_empty() && store.note_heard(&all).await.is_err() {
            for (terminal, at) in &all {
                self.note(terminal, *at);
            }
        }
    }
}
