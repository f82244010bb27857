//! The server's store, on SQLite or PostgreSQL.
//!
//! There are two concrete pools. The statements are written once, in `queries/`, in the SQL that both understand; they
//! are compiled once for each driver, and one suite of tests runs on both. Every change is one transaction, together
//! with its record in the audit log if it has one; only retention, which has none, deletes in several.

mod absence;
mod backup;
mod error;
mod known_terminals;
mod migrations;
mod postgres;
mod rows;
mod sqlite;
mod tables;
#[cfg(test)]
mod tests;
mod types;
mod url;

pub use absence::{Absence, Availability};
pub use backup::Counts;
pub use error::ServerStoreError;
pub use types::*;
pub use url::StoreUrl;

use std::{sync::Arc, time::Instant};

use jiff::Timestamp;

use self::known_terminals::KnownTerminals;
use super::audit;
use crate::api::{
    User,
    v1::{AuditHead, Feed, HeldRecord, Imported, RegisteredTerminal, Role, TokenStatus, WitnessedStatus},
};

/// The open store.
#[derive(Debug, Clone)]
pub struct ServerStore {
    backend: Backend,
    availability: Arc<Availability>,
    terminals: Arc<KnownTerminals>,
}

#[derive(Debug, Clone)]
enum Backend {
    Sqlite(sqlite::Pools),
    Postgres(postgres::Pool),
}

/// Runs one query of `queries/` on whichever store this is: `reading` on any connection; `writing` in a transaction
/// for changes, which in a file holds the one lock for writing from its beginning, and on PostgreSQL only the locks that
/// the query takes; `finding` for a few rows by their keys, which in a file is done before another thread could have
/// taken over this one's other work; `searching` for many rows by their keys. If PostgreSQL has moved, or the connection
/// was lost, it runs once more: nothing was done before the commit.
macro_rules! on {
    ($store:expr, reading, $queries:ident, |$connection:ident| $query:expr) => {
        on!($store, read, in_place, false, $queries, |$connection| $query)
    };
    ($store:expr, finding, $queries:ident, |$connection:ident| $query:expr) => {
        on!($store, find, at_once, false, $queries, |$connection| $query)
    };
    ($store:expr, searching, $queries:ident, |$connection:ident| $query:expr) => {
        on!($store, find, in_place, false, $queries, |$connection| $query)
    };
    ($store:expr, writing, $queries:ident, |$connection:ident| $query:expr) => {
        on!($store, write, in_place, true, $queries, |$connection| $query)
    };
    ($store:expr, $begin:ident, $run:ident, $changes:literal, $queries:ident, |$connection:ident| $query:expr) => {{
        let done = match &$store.backend {
            Backend::Sqlite(pools) => {
                use sqlite::queries as $queries;
                fallible(async {
                    let turn = pools.$begin().await?;
                    sqlite::$run(async {
                        let mut held = turn.begin()?;
                        let $connection = &mut *held;
                        let done = $query.await?;
                        held.commit()?;
                        Ok(done)
                    })
                })
                .await
            }
            Backend::Postgres(pool) => {
                use postgres::queries as $queries;
                let mut again = true;
                loop {
                    let done = postgres::bounded(async {
                        let mut held = pool.$begin().await?;
                        let $connection = &mut *held;
                        let done = $query.await?;
                        held.commit().await.map_err(ServerStoreError::Commit)?;
                        Ok(done)
                    });
                    match done.await {
                        Err(error) if again && pool.retries(&error) => again = false,
                        done => break done,
                    }
                }
            }
        };
        match &done {
            Ok(_) if $changes => $store.availability.worked(),
            Ok(_) => {}
            Err(error) => $store.availability.failed(error.absence(), error),
        }
        done
    }};
}

/// Only helps the compiler to infer the type of the error.
async fn fallible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    work.await
}

type Result<T> = std::result::Result<T, ServerStoreError>;

// After the macro, because they use it.
mod events;
mod privacy;
mod tokens;

impl ServerStore {
    fn of(backend: Backend) -> Self {
        Self { backend, availability: Arc::default(), terminals: Arc::default() }
    }

    /// Tells whether it is available, and who is told of changes.
    pub fn availability(&self) -> &Availability {
        &self.availability
    }

    /// Checks that it takes changes, by making one that changes nothing.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when it takes none at the moment.
    pub async fn ready(&self) -> Result<()> {
        if let Backend::Sqlite(pools) = &self.backend {
            pools.require_room()?;
        }
        on!(self, writing, queries, |c| queries::format::touch(c))
    }

    /// Checks, for a command that only looks, that the store at this address takes changes, like [`Self::ready`]; of a
    /// file only the free space is checked, so that no files of another user are created.
    ///
    /// # Errors
    /// As [`Self::ready`] and [`Self::inspect`].
    pub async fn check_ready(url: &StoreUrl) -> Result<()> {
        let store = match url {
            StoreUrl::Sqlite(path) => return sqlite::Pools::inspect(path).await?.require_room(),
            StoreUrl::Postgres(url) => Self::of(Backend::Postgres(postgres::Pool::connect(url, url.writable).await?)),
        };
        let done = store.ready().await;
        store.close().await;
        done
    }

    /// Opens the store and brings it to the newest format. It belongs to one CA, whose identifier is `authority`; the
    /// store of another CA is refused, unless that is the `previous` one, which is being rotated out: then it belongs
    /// to this one from now on.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when it cannot be opened or brought to the newest format;
    /// [`ServerStoreError::OtherAuthority`].
    pub async fn open(url: &StoreUrl, authority: &[u8; 20], previous: Option<&[u8; 20]>) -> Result<Self> {
        let store = Self::of(match url {
            StoreUrl::Sqlite(path) => Backend::Sqlite(sqlite::Pools::open(path).await?),
            StoreUrl::Postgres(url) => Backend::Postgres(postgres::Pool::open(url).await?),
        });
        let mut owner = store.owner(authority).await?;
        if previous.is_some_and(|previous| owner == previous) {
            store.hand_over(previous.unwrap_or(authority), authority).await?;
            owner = store.owner(authority).await?;
        }
        if owner == authority { Ok(store) } else { Err(ServerStoreError::OtherAuthority(hex::encode(owner))) }
    }

    /// Like [`Self::open`], but creates nothing: the store must exist.
    ///
    /// # Errors
    /// As [`Self::open`]; [`ServerStoreError::File`] when there is no file, [`ServerStoreError::Database`] for a
    /// database without a store.
    pub async fn open_existing(url: &StoreUrl, authority: &[u8; 20], previous: Option<&[u8; 20]>) -> Result<Self> {
        let there = Self::inspect(url).await?;
        let head = there.audit_head().await;
        there.close().await;
        head?;
        Self::open(url, authority, previous).await
    }

    async fn owner(&self, authority: &[u8; 20]) -> Result<Vec<u8>> {
        on!(self, writing, queries, |c| queries::owner(c, authority))
    }

    async fn hand_over(&self, from: &[u8; 20], to: &[u8; 20]) -> Result<()> {
        on!(self, writing, queries, |c| queries::hand_over(c, from, to))
    }

    /// Opens an existing store for reading only, whichever CA it belongs to.
    ///
    /// # Errors
    /// [`ServerStoreError::File`] when there is none; [`ServerStoreError::Database`].
    pub async fn inspect(url: &StoreUrl) -> Result<Self> {
        Ok(Self::of(match url {
            StoreUrl::Sqlite(path) => Backend::Sqlite(sqlite::Pools::inspect(path).await?),
            StoreUrl::Postgres(url) => Backend::Postgres(postgres::Pool::inspect(url).await?),
        }))
    }

    /// Runs a task that keeps changing the store until there is nothing left to do: for a file on a dedicated thread,
    /// which waits for the disk while all others continue.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn keep_at_work(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        match &self.backend {
            Backend::Sqlite(_) => {
                let runtime = tokio::runtime::Handle::current();
                std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work))?;
            }
            Backend::Postgres(_) => drop(tokio::spawn(work)),
        }
        Ok(())
    }

    /// Closes every connection, once what is under way has finished.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(pools) => pools.close().await,
            Backend::Postgres(pool) => pool.close().await,
        }
    }

    /// The terminal with this TLS key, given as SHA-256 of its point.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn terminal_of_key(&self, tls_key: &[u8; 32]) -> Result<Option<TerminalRow>> {
        on!(self, finding, queries, |c| queries::terminals::of_key(c, tls_key))
    }

    /// The same for a request: the answer is at most half a second old, and newer than the last change by this process.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn asking_terminal(&self, tls_key: &[u8; 32]) -> Result<Option<Arc<TerminalRow>>> {
        let question = match self.terminals.get(tls_key, Instant::now()) {
            Ok(terminal) => return Ok(Some(terminal)),
            Err(question) => question,
        };
        // Boxed: every request would reserve the memory for this query, and few make it.
        let terminal = Box::pin(self.terminal_of_key(tls_key)).await?.map(Arc::new);
        self.terminals.keep(question, tls_key, terminal.as_ref());
        Ok(terminal)
    }

    /// The same as last read, however long ago: only for what does no harm while the store is unavailable.
    pub fn last_known_terminal(&self, tls_key: &[u8; 32]) -> Option<Arc<TerminalRow>> {
        self.terminals.last(tls_key)
    }

    /// Registers a terminal with its keys. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]. A name or key that is taken is reported in the result.
    pub async fn add_terminal(&self, new: &NewTerminal, actor: &str, now: Timestamp) -> Result<Added> {
        let _changing = self.terminals.changing();
        on!(self, writing, queries, |c| queries::terminals::add(c, new, actor, now))
    }

    /// Adds the keys of a renewal, and drops those whose certificates have expired.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn renew_terminal(&self, name: &str, keys: &RegisteredKeys, now: Timestamp) -> Result<()> {
        let _changing = self.terminals.changing();
        on!(self, writing, queries, |c| queries::terminals::renew(c, name, keys, now))
    }

    /// Revokes a terminal; `None` when there is none of this name.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn revoke_terminal(&self, name: &str, actor: &str, now: Timestamp) -> Result<Option<RegisteredTerminal>> {
        let _changing = self.terminals.changing();
        on!(self, writing, queries, |c| queries::terminals::revoke(c, name, actor, now))
    }

    /// At most `limit` terminals after a name, in the order of their names.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn terminals(&self, after: &str, limit: u32) -> Result<Vec<RegisteredTerminal>> {
        on!(self, reading, queries, |c| queries::terminals::page(c, after, limit))
    }

    /// One user.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn user(&self, id: &str) -> Result<Option<User>> {
        on!(self, finding, queries, |c| queries::users::one(c, id))
    }

    /// At most `limit` users after an id, in the order of their ids.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn users(&self, after: &str, limit: u32) -> Result<Vec<User>> {
        on!(self, reading, queries, |c| queries::users::page(c, after, limit))
    }

    /// Creates and changes users, all or none.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn put_users(&self, users: &[User], actor: &str, now: Timestamp) -> Result<Imported> {
        on!(self, writing, queries, |c| queries::users::put(c, users, actor, now))
    }

    /// The changes in the status of tokens since a version.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn feed(&self, since: u64, held: Option<&AuditHead>, limit: u32, now: Timestamp) -> Result<Feed> {
        on!(self, writing, queries, |c| queries::feed(c, since, held, limit, now))
    }

    /// The record of this log at the number of one whose head a terminal was given.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn held_record(&self, told: &AuditHead) -> Result<HeldRecord> {
        on!(self, finding, queries, |c| queries::witnesses::held(c, told))
    }

    /// Stores what a terminal holds of another log than this one; `true` when it had not reported that record before.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn keep_witness(
        &self,
        terminal: &str,
        told: &AuditHead,
        statuses: &[WitnessedStatus],
        now: Timestamp,
    ) -> Result<bool> {
        on!(self, writing, queries, |c| queries::witnesses::keep(c, terminal, told, statuses, now))
    }

    /// The records whose heads terminals were given, but that this log does not have.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn missing_records(&self) -> Result<Vec<MissingRecord>> {
        on!(self, reading, queries, |c| queries::witnesses::missing(c))
    }

    /// Tokens with a stricter status at terminals than in this store.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn lost_statuses(&self) -> Result<Vec<LostStatus>> {
        on!(self, reading, queries, |c| queries::witnesses::lost(c))
    }

    /// Restores those statuses, and lets terminals follow this log from now on; returns what was restored.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails: then nothing is changed.
    pub async fn reconcile(&self, actor: &str, now: Timestamp) -> Result<Vec<LostStatus>> {
        on!(self, writing, queries, |c| queries::witnesses::reconcile(c, actor, now))
    }

    /// Stores nonces that are given to a terminal.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is stored.
    pub async fn issue_nonces(&self, nonces: &[[u8; 32]], terminal: &str, now: Timestamp) -> Result<()> {
        let nonces: Vec<_> = nonces.iter().map(|nonce| (*nonce, terminal)).collect();
        on!(self, writing, queries, |c| queries::lookups::issue(c, &nonces, now))
    }

    /// Deletes nonces whose proofs would no longer be accepted; returns how many.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn forget_nonces(&self, now: Timestamp) -> Result<u64> {
        on!(self, writing, queries, |c| queries::lookups::forget(c, now))
    }

    /// Decides several lookups in one transaction, in order: these, and those that `join` adds once the write lock is
    /// held. After a failure all of them are in `tasks`, and `join` may have been called more than once.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is decided.
    pub async fn lookups(
        &self,
        tasks: &mut Vec<LookupTask>,
        join: &mut JoiningLookups<'_>,
    ) -> Result<Vec<LookupResult>> {
        on!(self, writing, queries, |c| queries::lookups::decide(c, tasks, join))
    }

    /// The head of the audit log.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn audit_head(&self) -> Result<AuditHead> {
        on!(self, reading, queries, |c| queries::audit::head(c))
    }

    /// Records of the audit log after a number, in order.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn audit(&self, after: i64, limit: u32) -> Result<Vec<audit::AuditRecord>> {
        on!(self, reading, queries, |c| queries::audit::page(c, after, limit))
    }
}

/// The word that stands for a role in the store.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Read => "read",
        Role::Enroll => "enroll",
        Role::Admin => "admin",
    }
}

/// The word that stands for a status in the store.
pub(super) fn status_word(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Active => "active",
        TokenStatus::Suspended => "suspended",
        TokenStatus::Lost => "lost",
        TokenStatus::Revoked => "revoked",
    }
}
