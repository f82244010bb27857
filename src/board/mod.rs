//! The board: a page of present users, served to browsers by a terminal that watches, or by a server for all terminals.
//!
//! The feeding code ([`BoardHub`]) never waits for a browser: changes go into a ring of bounded length, and each page
//! reads from it at its own pace. A page that slept names the last message that it has (`Last-Event-ID`) and gets what
//! followed, or the whole state if the ring does not reach back that far.
//!
//! A request passes `listen` (connections, TLS) → `gate` (rate, Host, Origin, method) → `answers` (files for everybody;
//! people on a loopback address for any logged-in user, elsewhere for holders of a link of [`links`]).
//!
//! Deliberately absent: a log of requests, and any way to change something other than redeeming a link.
//!
//! Specification: docs/board.md.

mod answers;
mod gate;
mod hub;
pub mod links;
mod listen;
mod page;
mod picture;
mod portraits;
mod roll;
pub mod served;
mod site;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

pub use hub::BoardHub;
pub use roll::{BoardFields, ReaderFault, ReaderNames, ReportedFault, RollSnapshot};
pub use site::{DoorNames, SiteBoard};

use crate::{
    crypto::CryptoError,
    failure::{ExitClass, Failure, Remedy},
    files,
};
use answers::Answers;
use gate::Gate;
use links::BoardLinkError;
use served::ServedAddress;

/// Most bytes of a file of texts.
const TEXTS_MAX: u64 = 256 * 1024;

/// The options of a board.
pub struct BoardOptions {
    /// The address that it listens on.
    pub listen: SocketAddr,
    /// The names under which browsers reach it, besides the address.
    pub hosts: Vec<String>,
    /// The certificate chain and its key, PEM; required unless the address is a loopback address.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The folder of the links.
    pub state_folder: PathBuf,
    /// The name of the site.
    pub title: Option<String>,
    /// Texts in another language: a JSON file.
    pub texts: Option<PathBuf>,
}

/// Why a board does not start.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The address can be reached over a network, and there is no certificate.
    #[error("the board shows who is here, and {0} would be open to the network without TLS")]
    NeedsTls(SocketAddr),
    /// Certificate or key cannot be used.
    #[error("the board's certificate {} cannot be used: {what}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The texts cannot be used.
    #[error("the board's texts {} cannot be used: {what}", path.display())]
    Texts {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The address is in use, or not of this machine.
    #[error("the board cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The file of links.
    #[error(transparent)]
    Links(#[from] BoardLinkError),
    /// No randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The system provides no thread.
    #[error("the board cannot start: {0}")]
    Start(io::Error),
}

impl From<BoardError> for Failure {
    fn from(error: BoardError) -> Self {
        let told = error.to_string();
        match error {
            BoardError::NeedsTls(at) => Self::new(ExitClass::Config, "board.needs-tls", told).hint(format!(
                "name certificate and key under [board] in config.toml, or stay on this machine: 127.0.0.1:{}",
                at.port()
            )),
            BoardError::Tls { .. } => Self::new(ExitClass::Config, "board.tls", told)
                .hint("certificate is a PEM file with the chain, key the PEM file of its private key"),
            BoardError::Texts { .. } => {
                Self::new(ExitClass::Config, "board.texts", told).hint("docs/board.md describes such a file")
            }
            BoardError::Listen(at, error) => {
                Self::new(ExitClass::Unavailable, "board.listen", told).hint(Remedy::for_listening(at, &error))
            }
            BoardError::Links(error) => error.into(),
            BoardError::Crypto(error) => Self::new(ExitClass::Bug, "crypto.failed", error.to_string()),
            BoardError::Start(_) => Self::new(ExitClass::Busy, "board.start", told).hint("see: ulimit -a"),
        }
    }
}

/// A running board; dropping it stops it.
pub struct Board {
    hub: Arc<BoardHub>,
    address: SocketAddr,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _served: Option<ServedAddress>,
}

impl Board {
    /// Binds the address, and serves the hub's messages from a thread of its own.
    ///
    /// # Errors
    /// [`BoardError`].
    pub fn start(options: &BoardOptions, hub: Arc<BoardHub>) -> Result<Self, BoardError> {
        let is_local = options.listen.ip().is_loopback();
        let tls = match &options.tls {
            _ if is_local => None,
            Some((certificate, key)) => Some(tls::BoardTls::load(certificate, key)?),
            None => return Err(BoardError::NeedsTls(options.listen)),
        };
        let texts = options.texts.as_deref().map(texts_of).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BoardError::Start)?;
        let bound = |error| BoardError::Listen(options.listen, error);
        let listener = runtime.block_on(tokio::net::TcpListener::bind(options.listen)).map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let gate = Gate::new(address, &options.hosts, tls.is_some());
        let url = gate.url().unwrap_or_else(|| address.to_string());
        let links = (!is_local).then(|| links::Links::at(&options.state_folder));
        let answers = Arc::new(Answers::new(gate, Arc::clone(&hub), links, options.title.as_deref(), texts.as_deref()));
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = listen::serve(&listener, tls, answers) => {}
                    // A dropped sender means the same.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("board".to_owned()).spawn(serve).map_err(BoardError::Start)?;
        let served = (!is_local).then(|| ServedAddress::announce(&options.state_folder, address)).flatten();
        Ok(Self { hub, address, url, stop: Some(stop), thread: Some(thread), _served: served })
    }

    /// The hub that feeds the board.
    pub fn hub(&self) -> &BoardHub {
        &self.hub
    }

    /// The address that it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a browser.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic in there.
            let _ = thread.join();
        }
    }
}

/// The URL of a board at this address; `None` if it listens on all addresses and has no name.
pub fn url_of(listen: SocketAddr, hosts: &[String], is_tls: bool) -> Option<String> {
    Gate::new(listen, hosts, is_tls).url()
}

/// A file of texts, as served: a JSON object `{"lang": …, "name": …, "texts": {…}}` that holds only texts.
fn texts_of(path: &Path) -> Result<String, BoardError> {
    let wrong = |what: String| BoardError::Texts { path: path.to_owned(), what };
    let read = std::fs::File::open(path).and_then(|file| files::read_text(file, TEXTS_MAX));
    let text = read.map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => wrong("it is longer than 256 KiB".to_owned()),
        _ => wrong(error.to_string()),
    })?;
    let file: page::TextFile = serde_json::from_str(&text).map_err(|error| {
        let what =
            if error.is_data() { "expected lang, name and texts, all of them strings" } else { "not valid JSON" };
        wrong(format!("line {}, column {}: {what}", error.line(), error.column()))
    })?;
    file.checked().map_err(wrong)
}
