//! The fixture: a server with its own home, store and process, and its terminals.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rollcall::{
    api::v1::{Role, TerminalRequest},
    crypto::{
        random::SystemRandom,
        x509::{Authority, ServerName, TlsCertificate, TlsUse},
    },
    pki::{CertificateDays, ClockCheck, PkiDir, TerminalKeys},
    server_client::{RequestLimits, ServerClient},
};
use sqlx::{Connection, PgConnection};

use super::{objects, program, raw::Raw, signal};

/// Which store.
#[derive(Debug, Clone)]
pub enum Kind {
    Sqlite,
    /// The address of an empty PostgreSQL.
    Postgres(String),
}

impl Kind {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// The environment of one server, or of several on one store.
pub struct Site {
    pub home: tempfile::TempDir,
    pub store: String,
    kind: Kind,
    /// The administrator, whose keys are in `home`.
    pub admin: Terminal,
}

/// A terminal's keys and certificates.
#[derive(Clone)]
pub struct Terminal {
    pub name: String,
    pub keys: TerminalKeys,
    pub tls: Vec<u8>,
    pub authority: Authority,
}

impl Terminal {
    /// Our own client as this terminal.
    pub fn client(&self, port: u16) -> ServerClient {
        let certificate = TlsCertificate::verify(&self.tls, self.authority.point(), TlsUse::Client).unwrap();
        let url = format!("https://localhost:{port}");
        ServerClient::connect(
            &url,
            &self.keys.tls,
            &certificate,
            std::slice::from_ref(&self.authority),
            RequestLimits::default(),
        )
        .unwrap()
    }

    pub fn raw(&self, port: u16) -> Raw {
        Raw::connect(port, self.authority.der(), Some((&self.keys.tls, &self.tls))).unwrap()
    }
}

/// A server that runs; it is killed when this is dropped.
pub struct Process {
    child: Child,
    pub port: u16,
    pub log: PathBuf,
    /// Present until it has reported where it listens.
    stdout: Option<ChildStdout>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Runs a future to completion.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Site {
    pub fn new(kind: &Kind) -> Self {
        Self::founded(kind, Timestamp::now(), None)
    }

    /// A site whose CA was made at this time, with certificates for so many days.
    pub fn founded(kind: &Kind, at: Timestamp, days: Option<CertificateDays>) -> Self {
        let site = Self::certified(kind, at, days);
        let output = site.rollcall(&["server", "init"]);
        assert!(output.status.success(), "{output:?}");
        site
    }

    /// A site whose store does not exist yet, or is empty.
    pub fn bare(kind: &Kind) -> Self {
        Self::certified(kind, Timestamp::now(), None)
    }

    fn certified(kind: &Kind, at: Timestamp, days: Option<CertificateDays>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let store = match kind {
            Kind::Sqlite => format!("sqlite://{}/server.db", home.path().display()),
            Kind::Postgres(url) => {
                let name = format!("t{}_{number}", std::process::id());
                let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
                block_on(async {
                    let mut c = PgConnection::connect(url).await.unwrap();
                    sqlx::query(create).execute(&mut c).await.unwrap();
                    c.close().await.unwrap();
                });
                url.replace("/postgres?", &format!("/{name}?"))
            }
        };
        let pki = PkiDir::new(home.path().join("pki"));
        let names = [ServerName::parse("localhost").unwrap()];
        pki.init(&names, days, ClockCheck::Enforced, at, &mut SystemRandom).unwrap();
        let (tls, ecka) =
            (pki.load_terminal_tls(Timestamp::now()).unwrap(), pki.load_terminal(Timestamp::now()).unwrap());
        let admin = Terminal {
            name: tls.certificate.subject().to_owned(),
            keys: TerminalKeys { tls: tls.key.clone(), ecka: ecka.key },
            tls: tls.certificate.der().to_vec(),
            authority: tls.authority,
        };
        Self { home, store, kind: kind.clone(), admin }
    }

    pub fn pki(&self) -> PkiDir {
        PkiDir::new(self.home.path().join("pki"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::rollcall(self.home.path(), arguments);
        command.env("ROLLCALL_SERVER_STORE", &self.store);
        command
    }

    /// Runs one of our commands.
    pub fn rollcall(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts one of our commands in the background.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).spawn().unwrap()
    }

    pub fn start(&self) -> Process {
        self.start_on(0, "0")
    }

    /// Starts a server on this port, with this many requests per second for each terminal (0: no limit).
    pub fn start_on(&self, port: u16, rate: &str) -> Process {
        let mut process = self.begin(port, rate);
        process.await_listening();
        process
    }

    /// The same, for a server that may have to wait for its store.
    pub fn begin(&self, port: u16, rate: &str) -> Process {
        let listen = format!("127.0.0.1:{port}");
        self.begun(self.serving(&listen, rate), port)
    }

    /// A server that has one thread for all requests, as on a machine with one processor.
    pub fn start_with_one_thread(&self) -> Process {
        let mut command = self.serving("127.0.0.1:0", "0");
        command.env("TOKIO_WORKER_THREADS", "1");
        let mut process = self.begun(command, 0);
        process.await_listening();
        process
    }

    /// A server that survives the signal sent when a file may not grow.
    pub fn start_limited(&self) -> Process {
        let command = self.serving("127.0.0.1:0", "0");
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let mut process = self.begun(shell, 0);
        process.await_listening();
        process
    }

    fn serving(&self, listen: &str, rate: &str) -> Command {
        let mut command = self.command(&["server", "run", "--listen", listen, "--output", "ndjson"]);
        command.env("ROLLCALL_SERVER_RATE", rate);
        command
    }

    fn begun(&self, mut command: Command, port: u16) -> Process {
        let log = self.home.path().join(format!("log{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let mut child = command.stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let stdout = child.stdout.take();
        Process { child, port, log, stdout }
    }

    /// A terminal that the administrator registers.
    pub fn terminal(&self, port: u16, name: &str, role: Role) -> Terminal {
        let keys = TerminalKeys::generate(&mut SystemRandom).unwrap();
        let requests = keys.requests(name, name).unwrap();
        let answer = self.admin.client(port).add_terminal(&TerminalRequest {
            name: name.to_owned(),
            role,
            tls_request: BASE64_URL_SAFE_NO_PAD.encode(requests.tls),
            ecka_request: BASE64_URL_SAFE_NO_PAD.encode(requests.ecka),
            days: None,
        });
        let tls = BASE64_URL_SAFE_NO_PAD.decode(answer.unwrap().tls).unwrap();
        Terminal { name: name.to_owned(), keys, tls, authority: self.admin.authority.clone() }
    }

    /// What `rollcall status` reports about an area.
    pub fn area(&self, area: &str) -> serde_json::Value {
        let output = self.rollcall(&["status", "-o", "ndjson"]);
        let found = objects::lines(std::str::from_utf8(&output.stdout).unwrap());
        found.into_iter().find(|one| one["area"] == area).unwrap_or_else(|| panic!("{area}: {output:?}"))
    }

    /// Runs a statement on the store that the API does not offer.
    pub fn sql(&self, statement: &'static str) -> u64 {
        match &self.kind {
            Kind::Sqlite => {
                let c = self.file();
                c.execute_batch(statement).unwrap();
                c.changes()
            }
            Kind::Postgres(_) => block_on(async {
                let mut c = PgConnection::connect(&self.store).await.unwrap();
                sqlx::query(statement).execute(&mut c).await.unwrap().rows_affected()
            }),
        }
    }

    /// The store that is a file, opened beside the server.
    pub fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.store.strip_prefix("sqlite://").unwrap()).unwrap()
    }

    /// Creates a store from this SQL text, where there is none.
    pub fn fill(&self, text: String) {
        match &self.kind {
            Kind::Sqlite => self.file().execute_batch(&text).unwrap(),
            Kind::Postgres(_) => block_on(async {
                let mut c = PgConnection::connect(&self.store).await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut c).await.unwrap();
                c.close().await.unwrap();
            }),
        }
    }

    /// What `server audit verify` says.
    pub fn verify(&self, more: &[&str]) -> serde_json::Value {
        let output = self.rollcall(&[&["server", "audit", "verify", "--output", "json"], more].concat());
        let found = objects::document(&output.stdout);
        assert_eq!(output.status.code(), Some(i32::from(found["whole"] != true)));
        found
    }
}

impl Process {
    /// Waits until it listens.
    pub fn await_listening(&mut self) {
        let mut line = String::new();
        BufReader::new(self.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?}: {}", self.said());
        let told = objects::line(&line);
        self.port = told["listening"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and its exit status.
    pub fn terminate(&mut self) -> Option<i32> {
        signal::send(self.child.id(), "TERM");
        self.child.wait().unwrap().code()
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How often it wrote this to stderr.
    pub fn told(&self, what: &str) -> usize {
        self.said().matches(what).count()
    }

    /// Waits until it has written this so many times: the log is written independently of the answers.
    pub fn await_told(&self, what: &str, times: usize) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.told(what) < times {
            assert!(Instant::now() < until, "{what}: {}", self.said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it wrote to stderr.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
