//! Backs a store up into one file and restores it. The file is a SQLite store, whatever the store is, so a backup can
//! be restored into the other kind, too, and read with the tools of SQLite.
//!
//! It is read in one transaction: a change that a running server makes meanwhile is in it either whole or not at all.

use std::path::Path;

use jiff::Timestamp;
use sqlx::{Postgres, Transaction};

use super::{
    Backend, Result, ServerStore, ServerStoreError, postgres, sqlite,
    tables::{StoredTable, StoredValue, TABLES},
};

/// Rows copied at a time: with 12 columns they stay below the most parameters of a statement.
const ROWS: u32 = 200;

/// The numbers of entries in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Tokens.
    pub tokens: u64,
    /// Terminals.
    pub terminals: u64,
    /// Events of terminals.
    pub events: u64,
}

/// A transaction on either kind of store.
enum StoreTransaction {
    Sqlite(sqlite::FileTransaction),
    Postgres(Transaction<'static, Postgres>),
}

macro_rules! in_it {
    ($held:expr, $queries:ident, |$connection:ident| $query:expr) => {
        match $held {
            StoreTransaction::Sqlite(held) => {
                use sqlite::queries as $queries;
                let $connection = &mut *held;
                $query.await?
            }
            StoreTransaction::Postgres(held) => {
                use postgres::queries as $queries;
                let $connection = &mut **held;
                $query.await?
            }
        }
    };
}

impl StoreTransaction {
    async fn page(&mut self, table: &StoredTable, after: Option<&[StoredValue]>) -> Result<Vec<Vec<StoredValue>>> {
        Ok(in_it!(self, queries, |c| queries::copy::page(c, table, after, ROWS)))
    }

    async fn count(&mut self, table: &str) -> Result<u64> {
        let Some(table) = TABLES.iter().find(|one| one.name == table) else { return Ok(0) };
        Ok(in_it!(self, queries, |c| queries::copy::count(c, table)).unsigned_abs())
    }

    async fn counts(&mut self) -> Result<Counts> {
        if let Self::Postgres(held) = self {
            postgres::run(held, postgres::WHOLE_TABLES).await?;
        }
        Ok(Counts {
            users: self.count("users").await?,
            tokens: self.count("tokens").await?,
            terminals: self.count("terminals").await?,
            events: self.count("events").await?,
        })
    }

    async fn insert(&mut self, table: &StoredTable, rows: &[Vec<StoredValue>]) -> Result<()> {
        in_it!(self, queries, |c| queries::copy::insert(c, table, rows));
        Ok(())
    }

    async fn clear(&mut self) -> Result<()> {
        for table in TABLES.iter().rev() {
            in_it!(self, queries, |c| queries::copy::clear(c, table));
        }
        Ok(())
    }

    async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(held) => held.commit()?,
            Self::Postgres(held) => held.commit().await?,
        }
        Ok(())
    }
}

impl ServerStore {
    /// Copies everything into a new SQLite store at this path. `told` is called with the number of rows copied so far.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when either of the two fails; the file at the path is then not a complete backup.
    pub async fn back_up(&self, file: &Path, told: &mut (dyn FnMut(u64) + Send)) -> Result<Counts> {
        let target = sqlite::Pools::open(file).await?;
        let mut from = match &self.backend {
            Backend::Sqlite(pools) => StoreTransaction::Sqlite(pools.read().await?.begin()?),
            Backend::Postgres(pool) => StoreTransaction::Postgres(pool.snapshot().await?),
        };
        let mut to = StoreTransaction::Sqlite(target.write().await?.begin()?);
        copy(&mut from, &mut to, told).await?;
        let counts = from.counts().await?;
        to.commit().await?;
        target.close().await;
        sqlite::settle(file)?;
        Ok(counts)
    }

    /// Replaces everything here with a backup, all of it or nothing. A store that is not empty is refused unless
    /// `replace`.
    ///
    /// # Errors
    /// [`ServerStoreError::Backup`] when the other store is not a file; [`ServerStoreError::NotEmpty`];
    /// [`ServerStoreError::Database`] when either of the two fails. This store is then unchanged.
    pub async fn restore(
        &self,
        backup: &Self,
        replace: bool,
        now: Timestamp,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Counts> {
        let Backend::Sqlite(backup) = &backup.backend else {
            return Err(ServerStoreError::Backup("not a file".into()));
        };
        let mut from = StoreTransaction::Sqlite(backup.read().await?.begin()?);
        let mut to = match &self.backend {
            Backend::Sqlite(pools) => StoreTransaction::Sqlite(pools.write().await?.begin()?),
            Backend::Postgres(pool) => StoreTransaction::Postgres(pool.write().await?),
        };
        // Every other change waits until this transaction ends.
        let ledger = in_it!(&mut to, queries, |c| queries::audit::head_for_update(c));
        if !replace && (ledger.seq > 0 || to.counts().await? != Counts::default()) {
            return Err(ServerStoreError::NotEmpty);
        }
        to.clear().await?;
        copy(&mut from, &mut to, told).await?;
        in_it!(&mut to, queries, |c| queries::copy::forget_unused_nonces(c));
        in_it!(&mut to, queries, |c| queries::audit::restored(c, now));
        let counts = to.counts().await?;
        to.commit().await?;
        Ok(counts)
    }

    /// Opens a copy of a backup for reading; a copy, because it is first brought to the newest format.
    ///
    /// # Errors
    /// [`ServerStoreError::Backup`] for a file that is not a store of ours; [`ServerStoreError::OtherAuthority`];
    /// [`ServerStoreError::Database`].
    pub async fn open_backup(copy: &Path, authority: &[u8; 20], previous: Option<&[u8; 20]>) -> Result<Self> {
        sqlite::require_ours(copy)?;
        let store = Self::of(Backend::Sqlite(sqlite::Pools::open(copy).await?));
        let owner = store.owner(authority).await?;
        if owner == authority || previous.is_some_and(|previous| owner == previous) {
            return Ok(store);
        }
        store.close().await;
        Err(ServerStoreError::OtherAuthority(hex::encode(owner)))
    }
}

async fn copy(
    from: &mut StoreTransaction,
    to: &mut StoreTransaction,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<()> {
    let mut copied = 0;
    for table in &TABLES {
        let mut after: Option<Vec<StoredValue>> = None;
        loop {
            let rows = from.page(table, after.as_deref()).await?;
            let Some(last) = rows.last() else { break };
            to.insert(table, &rows).await?;
            after = Some(last[..table.key].to_vec());
            copied += rows.len() as u64;
            told(copied);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
