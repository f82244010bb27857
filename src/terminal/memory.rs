//! What this terminal remembers of tokens, so that a tap need not read it again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use super::presence::store::{CertificateOf, TerminalStore, TerminalStoreError};
use crate::token::{
    open::{RememberedItem, TokenMemory},
    select::TokenMode,
};

/// Where the store keeps this.
pub const fn certificate_of(item: RememberedItem) -> CertificateOf {
    match item {
        RememberedItem::Identity(token_id) => CertificateOf::Identity(token_id),
        RememberedItem::Ecka(TokenMode::Open(token_id), kvn) => CertificateOf::Own { token_id, kvn },
        RememberedItem::Ecka(TokenMode::Private(set_id), kvn) => CertificateOf::Set { set_id, kvn },
    }
}

/// Keeps certificates that were just read: the first tap at this terminal need not read them again.
///
/// # Errors
/// [`TerminalStoreError`] when the store cannot be written: those before are kept.
pub fn remember(
    store: &mut TerminalStore,
    learned: &[(RememberedItem, Option<Vec<u8>>)],
) -> Result<(), TerminalStoreError> {
    for (item, der) in learned {
        if let Some(der) = der {
            store.keep_certificate(&certificate_of(*item), der)?;
        }
    }
    Ok(())
}

/// The memory of a terminal: its store, opened once more for the threads of the readers.
#[derive(Debug)]
pub struct StoreMemory(pub Mutex<TerminalStore>);

impl TokenMemory for StoreMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        // A store that cannot be read costs an exchange, not the tap.
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.certificate(&certificate_of(*item)).ok().flatten()
    }

    fn least_heartbeat(&self, token_id: Uuid, reader: &str) -> Option<Duration> {
        // Without it more heartbeats are timed; whoever decides reads the store anew.
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.least_heartbeat(token_id, reader).ok().flatten()
    }
}
