//! The store in PostgreSQL: one pool in each process, and the row of the audit head as what orders all changes.
//!
//! The database may move: to another host of the URL, or behind the same name. A connection to one that takes no changes
//! any more is closed, and the next one looks for one that does.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection as _, Executor, PgPool, Postgres, SqlSafeStr, Transaction,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions},
};

use super::{
    ServerStoreError,
    absence::Absence,
    migrations,
    rows::{BoundColumn, BoundRows},
    url::PostgresUrl,
};

// The same text once for each driver: see the parent.
#[path = "queries/mod.rs"]
#[allow(clippy::duplicate_mod)]
pub mod queries;

pub use sqlx::Row;

/// What the queries run on.
pub type Connection = sqlx::PgConnection;
/// A row that was found.
pub type DatabaseRow = sqlx::postgres::PgRow;
/// A statement and what goes into it.
pub type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A statement, which the database may keep for the next time where that is the same one.
pub fn query(statement: impl SqlSafeStr) -> Statement {
    sqlx::query(statement).persistent(KEEP_STATEMENTS.load(Ordering::Relaxed))
}

/// Runs the statements of a script.
pub async fn run(c: &mut Connection, script: &'static str) -> sqlx::Result<()> {
    c.execute(sqlx::raw_sql(script)).await.map(drop)
}

/// The table of the scripts that have run.
const FORMATS: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Rows that one statement asks for by values of their own: each statement is a way there and back.
pub const ROWS_AT_ONCE: usize = 100;

/// Connections of one process.
const CONNECTIONS: u32 = 8;
/// How long a request waits for a connection: less than it may take as a whole.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one host may take to say whether it is good.
const HOST: Duration = Duration::from_secs(2);
/// How long a connection that lay idle may take to say that it lives.
const PING: Duration = Duration::from_secs(1);
/// The longest that a transaction takes, as this side sees it.
const WHOLE: Duration = Duration::from_secs(9);
/// Rows are looked for by their keys, however few a table had when the statement was planned: a plan that reads a whole table is kept
/// until somebody analyses that, and reads more of it each day. A statement is planned under what it is first run with, so one of
/// these belongs in no other transaction. Nor is one compiled: a table without an index that serves costs so much on paper now that
/// PostgreSQL would.
macro_rules! by_keys {
    () => {
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
    };
}
/// For who reads whole tables in a transaction that looks for rows by their keys.
pub const WHOLE_TABLES: &str = "SET LOCAL enable_seqscan = on";
/// How a transaction begins that looks for a few rows.
const FIND: &str = concat!("BEGIN; ", by_keys!());
/// A statement that hangs must not hold the row that everybody waits for. In each transaction, because a pooler between us
/// and the database knows of no session.
const BEGIN: &str = concat!(
    "BEGIN; SET LOCAL statement_timeout = 8000; SET LOCAL idle_in_transaction_session_timeout = 8000; ",
    by_keys!()
);
/// Who makes the tables, one process at a time: until the end of the transaction, and not of the session, which may be
/// anybody's.
const MIGRATE: &str = "BEGIN; SET LOCAL lock_timeout = 10000; SELECT pg_advisory_xact_lock(5927390042531)";

/// Whether statements are kept in the database: not behind a pooler that gives each transaction another connection.
static KEEP_STATEMENTS: AtomicBool = AtomicBool::new(true);

/// Takes the end of the log: who else wants it waits for the end of this transaction.
pub const HOLD_HEAD: &str = "SELECT seq, hash FROM audit_head FOR UPDATE";
/// Behind a SELECT of tokens that are about to be given to another user: who has [`HOLD_AS_GIVEN`] ends first.
pub const HOLD_TO_GIVE: &str = " FOR UPDATE";
/// Behind a SELECT of tokens that shall not be given to another user meanwhile; lookups, which change other things of them, go on.
pub const HOLD_AS_GIVEN: &str = " FOR KEY SHARE";

/// Statements that take these rows. It is one, since each costs a way there and back, and the same for any number of rows: a column is
/// an array. Where several are given they write: they see one state and have no order, so no row is in two.
pub fn with_rows(all: &[BoundRows<'_>]) -> Vec<Statement> {
    let (mut parts, mut places) = (Vec::new(), 1);
    let all = all.iter().filter(|rows| !rows.is_empty());
    for rows in all.clone() {
        parts.push((rows.statement)(&selected(&rows.columns, places)));
        places += rows.columns.len();
    }
    let Some(last) = parts.pop() else { return Vec::new() };
    let parts: Vec<_> = (1..).zip(parts).map(|(n, part)| format!("part{n} AS ({part})")).collect();
    let text = if parts.is_empty() { last } else { format!("WITH {} {last}", parts.join(", ")) };
    vec![all.flat_map(|rows| &rows.columns).fold(query(AssertSqlSafe(text)), bind)]
}

/// What selects rows of these columns, whose values are in the places from this one on.
fn selected(columns: &[BoundColumn<'_>], first: usize) -> String {
    let arrays: Vec<_> = (first..).zip(columns).map(|(place, column)| array(column, place)).collect();
    let names: Vec<_> = (1..=columns.len()).map(|place| format!("column{place}")).collect();
    format!("SELECT * FROM unnest({}) AS r ({})", arrays.join(", "), names.join(", "))
}

/// Statements that look for these keys: `text` is given what follows the column.
pub fn with_keys(keys: &BoundColumn<'_>, text: impl Fn(&str) -> String) -> Vec<Statement> {
    if keys.len() == 0 {
        return Vec::new();
    }
    vec![bind(query(AssertSqlSafe(text(&format!("= ANY({})", array(keys, 1))))), keys)]
}

fn array(column: &BoundColumn<'_>, place: usize) -> String {
    let kind = match column {
        BoundColumn::Text(_) => "text",
        BoundColumn::Int(_) => "bigint",
        BoundColumn::Bytes(_) | BoundColumn::SomeBytes(_) => "bytea",
    };
    format!("${place}::{kind}[]")
}

fn bind(statement: Statement, column: &BoundColumn<'_>) -> Statement {
    match column {
        BoundColumn::Text(all) => statement.bind(all.as_slice()),
        BoundColumn::Int(all) => statement.bind(all.as_slice()),
        BoundColumn::Bytes(all) => statement.bind(all.as_slice()),
        BoundColumn::SomeBytes(all) => statement.bind(all.as_slice()),
    }
}

/// The connections to a database.
#[derive(Debug, Clone)]
pub struct Pool {
    connections: PgPool,
    hosts: Arc<[PgConnectOptions]>,
    writable: bool,
    /// Connections that are older than this are closed.
    renewed: Arc<Mutex<Instant>>,
    /// Whether the database has to be looked for.
    elsewhere: Arc<AtomicBool>,
}

impl Pool {
    /// Connects, and brings the database to the newest format; one process does so at a time.
    pub async fn open(url: &PostgresUrl) -> Result<Self, ServerStoreError> {
        let pool = Self::connect(url, url.writable).await?;
        match pool.bring_up().await {
            Err(error) if pool.retries(&error) => pool.bring_up().await?,
            done => done?,
        }
        Ok(pool)
    }

    async fn bring_up(&self) -> Result<(), ServerStoreError> {
        let mut held = self.begin(MIGRATE).await?;
        queries::format::bring_up(&mut held, FORMATS, &migrations::POSTGRES).await?;
        Ok(held.commit().await?)
    }

    /// Connects, for reading.
    pub async fn inspect(url: &PostgresUrl) -> Result<Self, ServerStoreError> {
        Self::connect(url, false).await
    }

    /// Connects; `writable`, to one that takes changes.
    pub async fn connect(url: &PostgresUrl, writable: bool) -> Result<Self, ServerStoreError> {
        // A pooler refuses parameters that it cannot keep for a session; nothing here needs this one.
        let ours = |host: &PgConnectOptions| {
            let host = host.clone().extra_float_digits(None);
            if host.get_application_name().is_none() { host.application_name("rollcall") } else { host }
        };
        let hosts: Arc<[_]> = url.hosts.iter().map(ours).collect();
        let first = find(&hosts, writable).await?;
        if url.uncached || is_pooled(&first).await? {
            KEEP_STATEMENTS.store(false, Ordering::Relaxed);
        }
        let renewed = Arc::new(Mutex::new(Instant::now()));
        let since = Arc::clone(&renewed);
        let options = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(move |c, meta| {
                let since = *since.lock().unwrap_or_else(PoisonError::into_inner);
                Box::pin(async move {
                    if meta.age > since.elapsed() {
                        return Ok(false);
                    }
                    let fresh = meta.idle_for < PING;
                    Ok(fresh || tokio::time::timeout(PING, c.ping()).await.is_ok_and(|ping| ping.is_ok()))
                })
            })
            .after_connect(move |c, _| {
                Box::pin(async move {
                    if writable && is_read_only(c).await? { Err(sqlx::Error::WorkerCrashed) } else { Ok(()) }
                })
            });
        let pool = options.connect_lazy_with(first);
        Ok(Self { connections: pool, hosts, writable, renewed, elsewhere: Arc::default() })
    }

    /// A transaction that reads. It is one because a pooler may give the next statement another connection.
    pub async fn read(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin("BEGIN").await
    }

    /// A transaction that reads a few rows by their keys.
    pub async fn find(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin(FIND).await
    }

    /// A transaction that writes.
    pub async fn write(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin(BEGIN).await
    }

    /// A transaction that reads everything as it is at one moment.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin(&self, how: &'static str) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        if !self.elsewhere.load(Ordering::Relaxed) {
            match self.connections.begin_with(how).await {
                Ok(held) => return Ok(held),
                // Nobody is away because all are at work.
                Err(sqlx::Error::PoolTimedOut) if self.is_full() => {
                    let message = format!("all {CONNECTIONS} connections to the database are in use");
                    return Err(ServerStoreError::Away(Absence::Busy, message));
                }
                Err(error) if Absence::of(&error).is_none() => return Err(error.into()),
                Err(_) => self.renew(),
            }
        }
        // The pool would only say that it waited; which host is good, or what is wrong with them, is asked here.
        self.connections.set_connect_options(find(&self.hosts, self.writable).await?);
        self.elsewhere.store(false, Ordering::Relaxed);
        Ok(self.connections.begin_with(how).await?)
    }

    /// Whether every connection is in use: then nobody is away.
    fn is_full(&self) -> bool {
        self.connections.size() >= CONNECTIONS && self.connections.num_idle() == 0
    }

    /// Closes every connection that is open now, once nobody uses it, and looks for the database before the next one.
    fn renew(&self) {
        self.elsewhere.store(true, Ordering::Relaxed);
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the same is worth trying once more, on another connection: nothing was done, because this database takes no
    /// changes any more, or is gone.
    pub fn retries(&self, error: &ServerStoreError) -> bool {
        if is_other_session(error) {
            // A pooler that was not noticed when it was looked for: it was busy.
            KEEP_STATEMENTS.store(false, Ordering::Relaxed);
            self.renew();
            return true;
        }
        let elsewhere =
            matches!(error.absence(), Some(Absence::ReadOnly | Absence::Unreachable | Absence::Stopped | Absence::Tls));
        if elsewhere {
            self.renew();
        }
        elsewhere && matches!(error, ServerStoreError::Database(_))
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

/// No transaction takes for ever, whatever became of the network.
pub async fn bounded<T>(work: impl Future<Output = Result<T, ServerStoreError>>) -> Result<T, ServerStoreError> {
    tokio::time::timeout(WHOLE, work).await.unwrap_or(Err(ServerStoreError::Database(sqlx::Error::PoolTimedOut)))
}

/// The first host that is good; otherwise what is wrong with the last one, or that one of them takes no changes.
async fn find(hosts: &[PgConnectOptions], writable: bool) -> Result<PgConnectOptions, ServerStoreError> {
    let mut wrong = None;
    for host in hosts {
        let asked = tokio::time::timeout(HOST, async {
            let mut c = sqlx::PgConnection::connect_with(host).await?;
            let read_only = writable && is_read_only(&mut c).await?;
            c.close().await?;
            Ok::<_, sqlx::Error>(read_only)
        });
        let at = format!("{}:{}", host.get_host(), host.get_port());
        let error = match asked.await {
            Ok(Ok(false)) => return Ok(host.clone()),
            Ok(Ok(true)) => ServerStoreError::Away(
                Absence::ReadOnly,
                format!("the database at {at} is read-only: a standby, or switched over"),
            ),
            Ok(Err(error)) => match Absence::of(&error) {
                Some(absence) => ServerStoreError::Away(absence, format!("the database at {at}: {error}")),
                None => error.into(),
            },
            Err(_) => ServerStoreError::Away(Absence::Unreachable, format!("the database at {at} does not answer")),
        };
        // One that is there and takes no changes says more than one that is gone.
        if !matches!(wrong, Some(ServerStoreError::Away(Absence::ReadOnly, _))) {
            wrong = Some(error);
        }
    }
    Err(wrong.unwrap_or(ServerStoreError::Url))
}

/// Whether a statement that was kept is somebody else's, or gone: duplicate, and invalid statement name.
fn is_other_session(error: &ServerStoreError) -> bool {
    let ServerStoreError::Database(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("42P05" | "26000"))
}

async fn is_read_only(c: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = c.fetch_one(sqlx::raw_sql("SHOW transaction_read_only")).await?;
    Ok(row.try_get::<&str, _>(0)? == "on")
}

/// Whether something in between gives each transaction another connection to the database: two of ours that are open side by
/// side have one process there, or one of ours has two.
async fn is_pooled(host: &PgConnectOptions) -> Result<bool, ServerStoreError> {
    let mut one = sqlx::PgConnection::connect_with(host).await?;
    let mut other = sqlx::PgConnection::connect_with(host).await?;
    let first = process(&mut one).await?;
    other.execute(sqlx::raw_sql("BEGIN")).await?;
    let second = process(&mut other).await?;
    // While the other one holds its process, this one has to keep its own.
    let third = process(&mut one).await?;
    other.execute(sqlx::raw_sql("ROLLBACK")).await?;
    one.close().await?;
    other.close().await?;
    Ok(first == second || first != third)
}

async fn process(c: &mut Connection) -> Result<String, sqlx::Error> {
    let row = c.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()::text")).await?;
    row.try_get(0)
}

#[cfg(test)]
mod tests {
    use sqlx::Execute;

    use super::{super::StoreUrl, *};
    use crate::server::block_on;

    #[test]
    fn what_is_written_together_has_places_of_its_own() {
        let rows = |count| BoundRows {
            columns: vec![BoundColumn::Int(vec![1; count]), BoundColumn::Text(vec!["x"; count])],
            statement: |rows| format!("INSERT INTO t {rows}"),
        };
        let texts = |counts: &[usize]| {
            let all: Vec<_> = counts.iter().map(|count| rows(*count)).collect();
            with_rows(&all).into_iter().map(|statement| statement.sql().as_str().to_owned()).collect::<Vec<_>>()
        };
        let insert =
            |n, m| format!("INSERT INTO t SELECT * FROM unnest(${n}::bigint[], ${m}::text[]) AS r (column1, column2)");
        assert_eq!([texts(&[]), texts(&[0, 0])], [const { Vec::<String>::new() }; 2]);
        assert_eq!(texts(&[0, 7]), [insert(1, 2)]);
        let (first, last) = (insert(1, 2), insert(3, 4));
        assert_eq!(texts(&[1, 0, 7]), [format!("WITH part1 AS ({first}) {last}")]);
    }

    #[test]
    fn a_host_that_says_nothing_is_away_and_not_busy() {
        // The system takes its connections, and nobody answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://u@{}/d?sslmode=disable", silent.local_addr().unwrap());
        let StoreUrl::Postgres(url) = url.parse().unwrap() else { panic!("{url}") };
        let error = block_on(async {
            let options = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(Duration::from_millis(50));
            let (connections, renewed) = (options.connect_lazy_with(url.hosts[0].clone()), Instant::now());
            let (hosts, renewed) = (url.hosts.into(), Arc::new(Mutex::new(renewed)));
            let pool = Pool { connections, hosts, writable: true, renewed, elsewhere: Arc::default() };
            pool.read().await.map(drop).unwrap_err()
        });
        let error = error.unwrap();
        assert_eq!(error.absence(), Some(Absence::Unreachable), "{error}");
        assert!(error.to_string().ends_with(" does not answer"), "{error}");
    }
}
