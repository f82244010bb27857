//! What outlives a session: the state with its store, and the answer type of every handler.

use super::{
    state::PersistentState,
    store::{StateStore, StateStoreError},
};
use crate::{
    card::status::Status,
    crypto::{CryptoError, random::Random},
};

/// The data of the answer with 9000, or an error status.
pub(super) type Reply = Result<Vec<u8>, Status>;

/// Everything that outlives a session.
pub(super) struct PersistentCard {
    pub(super) state: PersistentState,
    store: Box<dyn StateStore + Send>,
    pub(super) random: Box<dyn Random + Send>,
    fault: Option<StateStoreError>,
}

impl PersistentCard {
    pub(super) fn new(
        state: PersistentState,
        store: Box<dyn StateStore + Send>,
        random: Box<dyn Random + Send>,
    ) -> Self {
        Self { state, store, random, fault: None }
    }

    /// Why the last change could not be stored, once.
    pub(super) fn take_fault(&mut self) -> Option<StateStoreError> {
        self.fault.take()
    }

    /// Changes the persistent state: stored first, and only then active. If it cannot be stored, nothing changes.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut PersistentState)) -> Result<(), Status> {
        let mut next = self.state.clone();
        change(&mut next);
        if let Err(fault) = self.store.save(&next) {
            self.fault = Some(fault);
            return Err(Status::UNKNOWN);
        }
        self.state = next;
        Ok(())
    }
}

/// A failure of the library: no precise diagnosis.
pub(super) fn failed(_: &CryptoError) -> Status {
    Status::UNKNOWN
}

/// Refuses data that are not of this length.
pub(super) fn require_length(data: &[u8], length: usize) -> Result<(), Status> {
    if data.len() == length { Ok(()) } else { Err(Status::WRONG_LENGTH) }
}
