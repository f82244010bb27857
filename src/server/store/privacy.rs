//! What is kept of people, and forgotten.

use jiff::{SignedDuration, Timestamp};

use super::{Backend, Purged, Result, ServerStore, ServerStoreError, fallible, postgres, sqlite};
use crate::api::v1::ForgottenUser;

impl ServerStore {
    /// Forgets a user; none where nothing is known of them. Their tokens belong to `stand_in` from now on.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails: then nothing is forgotten.
    pub async fn forget_user(
        &self,
        id: &str,
        stand_in: &str,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<ForgottenUser>> {
        on!(self, writing, queries, |c| queries::privacy::forget(c, id, stand_in, actor, now))
    }

    /// Forgets events, proofs and nonces that are older than this, a part of them at a time.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn purge(&self, retention: SignedDuration, now: Timestamp) -> Result<Purged> {
        on!(self, writing, queries, |c| queries::privacy::purge(c, retention, now))
    }
}
