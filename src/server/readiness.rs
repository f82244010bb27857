//! Whether the store takes changes, remembered for a moment so that frequent health checks cost it little.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{problem::ApiError, store::ServerStore};

/// How long an answer of the store is reused.
const HOLDS: Duration = Duration::from_secs(1);

/// The last answer of the store, and when it was given.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<(Instant, Result<(), ApiError>)>>,
    /// Held while the store is asked.
    asking: tokio::sync::Mutex<()>,
}

impl Readiness {
    /// Whether the store takes changes, as it answered within the last second: however many ask, it is asked once.
    ///
    /// # Errors
    /// Why it takes none.
    pub async fn check(&self, store: &ServerStore) -> Result<(), ApiError> {
        if let Some(said) = self.known(store) {
            return said;
        }
        let _asking = self.asking.lock().await;
        // Whoever waited for the lock finds the answer that another request got.
        if let Some(said) = self.known(store) {
            return said;
        }
        let said = store.ready().await.map_err(ApiError::from);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), said.clone()));
        said
    }

    fn known(&self, store: &ServerStore) -> Option<Result<(), ApiError>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A change that worked or failed meanwhile outdates the answer.
        let holds = |said: &Result<(), ApiError>| said.is_ok() != store.availability().is_away();
        last.as_ref().filter(|(at, said)| at.elapsed() < HOLDS && holds(said)).map(|(_, said)| said.clone())
    }
}
