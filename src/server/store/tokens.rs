//! Registers tokens, and reads and changes them.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Backend, NewToken, RegisteredIdentity, Registration, Result, ServerStore, ServerStoreError, StatusChange,
    TokenKeys, fallible, postgres, sqlite,
};
use crate::api::v1::{RegisteredToken, TokenStatus};

impl ServerStore {
    /// One token.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn token(&self, id: Uuid) -> Result<Option<RegisteredToken>> {
        on!(self, finding, queries, |c| queries::tokens::one(c, id))
    }

    /// At most `limit` tokens after an id, in the order of their ids.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn tokens(&self, after: &str, limit: u32) -> Result<Vec<RegisteredToken>> {
        on!(self, reading, queries, |c| queries::tokens::page(c, after, limit))
    }

    /// At most `limit` tokens of a user after an id, in the order of their ids.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn tokens_of(&self, user: &str, after: &str, limit: u32) -> Result<Vec<RegisteredToken>> {
        on!(self, reading, queries, |c| queries::tokens::of_user(c, user, after, limit))
    }

    /// The keys and certificates of a token.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn token_keys(&self, id: Uuid) -> Result<Option<TokenKeys>> {
        on!(self, finding, queries, |c| queries::tokens::keys(c, id))
    }

    /// The identities of these tokens, in the same order; `None` for an unknown token.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn identities(&self, ids: &[Uuid]) -> Result<Vec<Option<RegisteredIdentity>>> {
        on!(self, finding, queries, |c| queries::tokens::identities(c, ids))
    }

    /// The keys and certificates of at most `limit` tokens after an id, in the order of their ids.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn token_keys_after(&self, after: &str, limit: u32) -> Result<Vec<(Uuid, TokenKeys)>> {
        on!(self, reading, queries, |c| queries::tokens::keys_after(c, after, limit))
    }

    /// Replaces the certificates of a token's keys.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]. If there is no such token, or it has other keys, nothing is done.
    pub async fn recertify_token(&self, id: Uuid, keys: &TokenKeys) -> Result<()> {
        on!(self, writing, queries, |c| queries::tokens::recertify(c, id, keys))
    }

    /// Registers a token, updates its user, and revokes the token that it replaces.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]. A refusal is reported in the result.
    pub async fn register(&self, new: &NewToken, actor: &str, now: Timestamp) -> Result<Registration> {
        on!(self, writing, queries, |c| queries::tokens::register(c, new, actor, now))
    }

    /// Changes the status of a token.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]. A refusal is reported in the result.
    pub async fn set_status(
        &self,
        id: Uuid,
        status: TokenStatus,
        reason: Option<&str>,
        actor: &str,
        now: Timestamp,
    ) -> Result<StatusChange> {
        on!(self, writing, queries, |c| queries::tokens::set_status(c, id, status, reason, actor, now))
    }
}
