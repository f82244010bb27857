//! A pool of connections to one file; a turn is the right to one transaction on one of them.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use rusqlite::Connection;
use sqlx::{Error, Result};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{super::ServerStoreError, error::failed};

/// How long to wait for a turn; a turn itself is not ended, even if the disk stalls.
const PATIENCE: Duration = Duration::from_secs(30);

/// A limited number of connections, each for one transaction at a time, opened when needed.
#[derive(Debug, Clone)]
pub struct FilePool(Arc<FileConnections>);

#[derive(Debug)]
struct FileConnections {
    path: Box<Path>,
    open: fn(&Path) -> rusqlite::Result<Connection>,
    /// The statement that begins a transaction.
    begin: &'static str,
    connections: u32,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl FilePool {
    /// A pool of at most so many connections.
    pub fn new(
        path: &Path,
        connections: u32,
        begin: &'static str,
        open: fn(&Path) -> rusqlite::Result<Connection>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(connections as usize));
        Self(Arc::new(FileConnections { path: path.into(), open, begin, connections, turns, idle: Mutex::default() }))
    }

    /// Waits in line until a connection is free, but not for ever.
    pub async fn turn(&self) -> Result<FileTurn> {
        let waited = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.turns).acquire_owned()).await;
        let permit = waited.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        Ok(FileTurn { pool: Arc::clone(&self.0), _permit: permit })
    }

    /// Closes all connections once what is under way has finished; there are no more turns.
    pub async fn close(&self) {
        let _all = self.0.turns.acquire_many(self.0.connections).await;
        self.0.turns.close();
        self.0.idle().clear();
    }
}

impl FileConnections {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one transaction.
#[derive(Debug)]
pub struct FileTurn {
    pool: Arc<FileConnections>,
    _permit: OwnedSemaphorePermit,
}

impl FileTurn {
    /// Begins the transaction. This may wait for another process.
    pub fn begin(self) -> Result<FileTransaction> {
        let idle = self.pool.idle().pop();
        let connection = idle.map_or_else(|| (self.pool.open)(&self.pool.path), Ok).map_err(failed)?;
        connection.execute_batch(self.pool.begin).map_err(failed)?;
        Ok(FileTransaction { connection, turn: self })
    }
}

/// A transaction. Unless it is committed, its connection is closed, which rolls it back: SQLite itself ends a
/// transaction when the disk is full or fails, and a connection that may or may not have one open cannot be used again.
#[derive(Debug)]
pub struct FileTransaction {
    // Declared first, so that it is closed before the next turn begins.
    connection: Connection,
    turn: FileTurn,
}

impl FileTransaction {
    /// Commits: the changes are then on the disk.
    ///
    /// # Errors
    /// The error of SQLite. Nothing was changed, unless the disk failed at the very end.
    pub fn commit(self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(failed)?;
        self.turn.pool.idle().push(self.connection);
        Ok(())
    }
}

impl Deref for FileTransaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for FileTransaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Runs work that waits for nothing but the file, on this thread.
pub fn at_once<T>(work: impl Future<Output = Result<T, ServerStoreError>>) -> Result<T, ServerStoreError> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(Error::Protocol("a transaction on a file waits for something else".into()).into()),
    }
}

/// The same for work that may take long: other tasks of this thread continue on another one, if there is one.
pub fn in_place<T>(work: impl Future<Output = Result<T, ServerStoreError>>) -> Result<T, ServerStoreError> {
    let is_one_of_many =
        Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_one_of_many { tokio::task::block_in_place(|| at_once(work)) } else { at_once(work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::block_on;

    fn pool(folder: &Path, connections: u32) -> FilePool {
        let path = folder.join("file.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE IF NOT EXISTS t (n)").unwrap();
        FilePool::new(&path, connections, "BEGIN IMMEDIATE", |path| Connection::open(path))
    }

    fn count(c: &Connection) -> i64 {
        c.query_row("SELECT count(*) FROM t", (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_is_not_committed_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        block_on(async {
            let pool = pool(folder.path(), 1);
            for (is_kept, rows) in [(false, 0), (true, 1), (false, 1), (true, 2)] {
                let held = pool.turn().await.unwrap().begin().unwrap();
                held.execute("INSERT INTO t VALUES (1)", ()).unwrap();
                if is_kept {
                    held.commit().unwrap();
                } else {
                    drop(held);
                }
                let held = pool.turn().await.unwrap().begin().unwrap();
                assert_eq!(count(&held), rows);
            }
        })
        .unwrap();
    }

    /// The same if a transaction ended by itself: the next one uses another connection.
    #[test]
    fn a_transaction_that_ended_is_no_longer_committed() {
        let folder = tempfile::tempdir().unwrap();
        block_on(async {
            let pool = pool(folder.path(), 1);
            let held = pool.turn().await.unwrap().begin().unwrap();
            held.execute_batch("ROLLBACK").unwrap();
            held.commit().unwrap_err();
            pool.turn().await.unwrap().begin().unwrap().commit().unwrap();
        })
        .unwrap();
    }

    #[test]
    fn one_turn_after_the_other_and_none_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        block_on(async {
            let pool = pool(folder.path(), 2);
            let (one, two) = (pool.turn().await.unwrap(), pool.turn().await.unwrap());
            let mut third = pin!(pool.turn());
            let mut close = pin!(pool.close());
            let mut context = Context::from_waker(Waker::noop());
            assert!(third.as_mut().poll(&mut context).is_pending() && close.as_mut().poll(&mut context).is_pending());
            drop(one);
            let third = third.await.unwrap().begin().unwrap();
            assert!(close.as_mut().poll(&mut context).is_pending(), "it waits for what is under way");
            third.commit().unwrap();
            drop(two);
            close.await;
            assert!(matches!(pool.turn().await.map(drop), Err(Error::PoolClosed)));
            assert!(pool.0.idle().is_empty());
        })
        .unwrap();
    }

    #[test]
    fn whoever_waits_for_something_else_is_refused() {
        assert_eq!(at_once(async { Ok(7) }).unwrap(), 7);
        let error = at_once(std::future::pending::<Result<(), ServerStoreError>>()).unwrap_err();
        assert!(error.to_string().contains("waits for something else"), "{error}");
    }
}
