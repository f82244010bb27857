//! The terminal's memory of certificates and least times of tokens, so that a tap need not read or measure them again.

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

/// The key of this item in the store.
pub const fn certificate_of(item: RememberedItem) -> CertificateOf {
    match item {
        RememberedItem::Identity(token_id) => CertificateOf::Identity(token_id),
        RememberedItem::Ecka(TokenMode::Open(token_id), kvn) => CertificateOf::Own { token_id, kvn },
        RememberedItem::Ecka(TokenMode::Private(set_id), kvn) => CertificateOf::Set { set_id, kvn },
    }
}

/// Stores certificates that were just read, so that the first tap at this terminal need not read them again.
///
/// # Errors
/// [`TerminalStoreError`] when the store cannot be written: the previous certificates are kept.
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

/// The memory of a terminal: its store, opened a second time for the threads of the readers.
#[derive(Debug)]
pub struct StoreMemory(pub Mutex<TerminalStore>);

impl TokenMemory for StoreMemory {
    fn recall(&self, item: &RememberedItem) -> Option<Vec<u8>> {
        // If the store cannot be read, that costs an exchange, not the tap.
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.certificate(&certificate_of(*item)).ok().flatten()
    }

    fn least_heartbeat(&self, token_id: Uuid, reader: &str) -> Option<Duration> {
        // Without it more heartbeats are timed; the decision itself reads the store again.
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.least_heartbeat(token_id, reader).ok().flatten()
    }
}
