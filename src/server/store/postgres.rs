//! The store in PostgreSQL: one pool in each process, and the row of the audit head as what orders all changes.

use std::time::Duration;

use sqlx::{
    PgPool, Postgres, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{ServerStoreError, migrations};

// The same text once for each driver: see the parent.
#[path = "queries/mod.rs"]
#[allow(clippy::duplicate_mod)]
pub mod queries;

/// What the queries run on.
pub type Connection = sqlx::PgConnection;

/// Connections of one process.
const CONNECTIONS: u32 = 8;
/// How long a request waits for a connection: less than it may take as a whole.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections to a database.
#[derive(Debug, Clone)]
pub struct Pool(PgPool);

impl Pool {
    /// Connects, and brings the database to the newest format; one process does so at a time (an advisory lock).
    pub async fn open(options: &PgConnectOptions) -> Result<Self, ServerStoreError> {
        let pool = Self::inspect(options).await?;
        migrations::migrator(&migrations::POSTGRES).run(&pool.0).await?;
        Ok(pool)
    }

    /// Connects.
    pub async fn inspect(options: &PgConnectOptions) -> Result<Self, ServerStoreError> {
        let options = options.clone().application_name("rollcall");
        // A statement that hangs must not hold the row that everybody waits for.
        let options = options.options([("statement_timeout", "8000"), ("idle_in_transaction_session_timeout", "8000")]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self(pool.connect_with(options).await?))
    }

    /// A connection that reads.
    pub async fn read(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.0.acquire().await
    }

    /// A transaction that writes.
    pub async fn write(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.0.begin().await
    }

    /// A transaction that reads everything as it is at one moment.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.0.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.0.close().await;
    }
}
