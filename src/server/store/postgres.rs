//! The PostgreSQL backend: one pool per process, and the row of the audit head as the lock that orders all decisions.
//!
//! The database may move, to another host of the URL or behind the same name. A connection to one that no longer takes
//! changes is closed, and the next one looks for one that does.

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
    error::wording,
    migrations,
    rows::{BoundColumn, BoundRows},
    url::PostgresUrl,
};

// The same source is compiled once for each driver: see the parent.
#[path = "queries/mod.rs"]
#[allow(clippy::duplicate_mod)]
pub mod queries;

pub use sqlx::Row;

/// The connection on which queries run.
pub type Connection = sqlx::PgConnection;
/// A row of a result.
pub type DatabaseRow = sqlx::postgres::PgRow;
/// A statement with its bound values.
pub type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

/// A statement, which the database may keep prepared if the connection stays the same.
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

/// How many rows one statement asks for by bound values: many, since each statement costs a round trip.
pub const ROWS_AT_ONCE: usize = 100;

/// Most connections of one process.
const CONNECTIONS: u32 = 8;
/// How long a request waits for a connection; shorter than its whole time limit.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one host may take to show whether it is usable.
const HOST: Duration = Duration::from_secs(2);
/// How long an idle connection may take to show that it is alive.
const PING: Duration = Duration::from_secs(1);
/// The longest duration of a transaction, as measured on this side.
const WHOLE: Duration = Duration::from_secs(9);
/// Makes the planner look rows up by their keys, however few a table had when the statement was planned: otherwise a
/// plan that reads a whole table is kept until the table is analysed, and reads more of it each day. A statement is
/// planned with the settings of its first run, so such a statement must not run in other transactions. JIT compilation
/// is off, because the estimated cost of a table without a suitable index is now so high that PostgreSQL would use it.
macro_rules! by_keys {
    () => {
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off"
    };
}
/// For reading whole tables in a transaction that otherwise looks rows up by their keys.
pub const WHOLE_TABLES: &str = "SET LOCAL enable_seqscan = on";
/// Begins a transaction that looks for a few rows.
const FIND: &str = concat!("BEGIN; ", by_keys!());
/// Begins a transaction that writes. The timeouts keep a hanging statement from holding a row for which others wait;
/// they are set in each transaction, because a pooler in between keeps no session.
const BEGIN: &str = concat!(
    "BEGIN; SET LOCAL statement_timeout = 8000; SET LOCAL idle_in_transaction_session_timeout = 8000; ",
    by_keys!()
);
/// Begins a migration, one process at a time: the lock lasts until the end of the transaction, not of the session,
/// which others may share.
const MIGRATE: &str = "BEGIN; SET LOCAL lock_timeout = 10000; SELECT pg_advisory_xact_lock(5927390042531)";

/// Whether statements are kept prepared: not behind a pooler that gives each transaction another connection.
static KEEP_STATEMENTS: AtomicBool = AtomicBool::new(true);

/// Locks the end of the log: others that need it wait for the end of this transaction.
pub const HOLD_HEAD: &str = "SELECT seq, hash FROM audit_head FOR UPDATE";
/// Appended to a SELECT of tokens that are about to be given to another user: waits for holders of [`HOLD_AS_GIVEN`].
pub const HOLD_TO_GIVE: &str = " FOR UPDATE";
/// Appended to a SELECT of tokens that must not be given to another user meanwhile; lookups, which change other
/// columns, continue.
pub const HOLD_AS_GIVEN: &str = " FOR KEY SHARE";
/// Appended to a SELECT of rows that are about to be changed: leaves out those that another transaction holds.
pub const SKIP_HELD: &str = " FOR UPDATE SKIP LOCKED";

/// The statement that takes these rows: one, since each costs a round trip, and with the same text for any number of
/// rows, since a column is an array. Several sets of rows are only for writing: their parts see the same state and have
/// no order, so no row may be in two of them.
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

/// A SELECT of rows with these columns, whose values are bound from place `first` on.
fn selected(columns: &[BoundColumn<'_>], first: usize) -> String {
    let arrays: Vec<_> = (first..).zip(columns).map(|(place, column)| array(column, place)).collect();
    let names: Vec<_> = (1..=columns.len()).map(|place| format!("column{place}")).collect();
    format!("SELECT * FROM unnest({}) AS r ({})", arrays.join(", "), names.join(", "))
}

/// The statement that looks for these keys: `text` receives what follows the column.
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
    /// Connections older than this are closed.
    renewed: Arc<Mutex<Instant>>,
    /// Whether the database may have moved and must be looked for.
    elsewhere: Arc<AtomicBool>,
}

impl Pool {
    /// Connects, and brings the database to the newest format, one process at a time.
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
        require_encoding(&mut held).await?;
        queries::format::bring_up(&mut held, FORMATS, &migrations::POSTGRES).await?;
        Ok(held.commit().await?)
    }

    /// Connects, for reading.
    pub async fn inspect(url: &PostgresUrl) -> Result<Self, ServerStoreError> {
        let pool = Self::connect(url, false).await?;
        require_encoding(&mut *pool.read().await?).await?;
        Ok(pool)
    }

    /// Connects; if `writable`, to a database that takes changes.
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

    /// A transaction for reading; without one, a pooler could give the next statement another connection.
    pub async fn read(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin("BEGIN").await
    }

    /// A transaction that reads a few rows by their keys.
    pub async fn find(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin(FIND).await
    }

    /// A transaction for writing.
    pub async fn write(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin(BEGIN).await
    }

    /// A transaction that reads everything in one consistent state.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    async fn begin(&self, how: &'static str) -> Result<Transaction<'static, Postgres>, ServerStoreError> {
        if !self.elsewhere.load(Ordering::Relaxed) {
            match self.connections.begin_with(how).await {
                Ok(held) => return Ok(held),
                // A timeout because all connections are in use does not mean that the database is unavailable.
                Err(sqlx::Error::PoolTimedOut) if self.is_full() => {
                    let message = format!("all {CONNECTIONS} connections to the database are in use");
                    return Err(ServerStoreError::Away(Absence::Busy, message));
                }
                Err(error) if Absence::of(&error).is_none() => return Err(error.into()),
                Err(_) => self.renew(),
            }
        }
        // The pool would only report a timeout; here it is found out which host is usable, or what is wrong with them.
        self.connections.set_connect_options(find(&self.hosts, self.writable).await?);
        self.elsewhere.store(false, Ordering::Relaxed);
        Ok(self.connections.begin_with(how).await?)
    }

    /// Whether every connection is in use, which is no outage.
    fn is_full(&self) -> bool {
        self.connections.size() >= CONNECTIONS && self.connections.num_idle() == 0
    }

    /// Closes every connection open now, once it is unused, and looks for the database before the next one.
    fn renew(&self) {
        self.elsewhere.store(true, Ordering::Relaxed);
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether another attempt on a new connection is worthwhile: nothing was done, because this database no longer
    /// takes changes, or is gone.
    pub fn retries(&self, error: &ServerStoreError) -> bool {
        if is_other_session(error) {
            // A pooler that was not detected when connecting, because it was busy.
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

/// Limits the duration of a transaction, whatever happens to the network.
pub async fn bounded<T>(work: impl Future<Output = Result<T, ServerStoreError>>) -> Result<T, ServerStoreError> {
    tokio::time::timeout(WHOLE, work).await.unwrap_or_else(|_| Err(overdue()))
}

/// The error of a transaction that took too long: its connection may hang.
fn overdue() -> ServerStoreError {
    let text = format!("a transaction took longer than {} s", WHOLE.as_secs());
    ServerStoreError::Database(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
}

/// The first usable host; otherwise the error of the last one, or that one of them takes no changes.
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
                Some(absence) => ServerStoreError::Away(absence, format!("the database at {at}: {}", wording(&error))),
                None => error.into(),
            },
            Err(_) => ServerStoreError::Away(Absence::Unreachable, format!("the database at {at} does not answer")),
        };
        // A host that takes no changes tells more than one that is gone.
        if !matches!(wrong, Some(ServerStoreError::Away(Absence::ReadOnly, _))) {
            wrong = Some(error);
        }
    }
    Err(wrong.unwrap_or(ServerStoreError::Url))
}

/// Whether a prepared statement belongs to another session or is gone: duplicate or invalid statement name.
fn is_other_session(error: &ServerStoreError) -> bool {
    let ServerStoreError::Database(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("42P05" | "26000"))
}

/// Refuses a database that cannot keep every name: it would take some, and fail at the first that it has no letters for.
async fn require_encoding(c: &mut Connection) -> Result<(), ServerStoreError> {
    let asked = sqlx::raw_sql("SELECT current_setting('server_encoding'), current_database()::text");
    let row = c.fetch_one(asked).await?;
    let encoding: String = row.try_get(0)?;
    // SQL_ASCII keeps the bytes as they are.
    if matches!(encoding.as_str(), "UTF8" | "SQL_ASCII") {
        return Ok(());
    }
    Err(ServerStoreError::Encoding { database: row.try_get(1)?, encoding })
}

async fn is_read_only(c: &mut Connection) -> Result<bool, sqlx::Error> {
    let row = c.fetch_one(sqlx::raw_sql("SHOW transaction_read_only")).await?;
    Ok(row.try_get::<&str, _>(0)? == "on")
}

/// Whether a pooler gives each transaction another connection to the database: then two open connections of ours have
/// the same server process, or one of ours changes its process.
async fn is_pooled(host: &PgConnectOptions) -> Result<bool, ServerStoreError> {
    let mut one = sqlx::PgConnection::connect_with(host).await?;
    let mut other = sqlx::PgConnection::connect_with(host).await?;
    let first = process(&mut one).await?;
    other.execute(sqlx::raw_sql("BEGIN")).await?;
    let second = process(&mut other).await?;
    // While the other connection holds its process, this one must keep its own.
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
    fn a_transaction_that_takes_too_long_says_so() {
        let error = overdue();
        assert_eq!(error.absence(), Some(Absence::Unreachable));
        assert!(error.to_string().ends_with("a transaction took longer than 9 s"), "{error}");
    }

    #[test]
    fn a_host_that_says_nothing_is_away_and_not_busy() {
        // The system accepts its connections, but nobody answers.
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
