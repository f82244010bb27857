//! The server: it knows the users, tokens and terminals, and answers terminals over HTTP/JSON in TLS 1.3.
//!
//! A request goes through `listen` (connection, TLS, limits) → `auth` (which registered terminal is this, and may it do
//! this?) → one handler of `api` → `store` (one transaction, with its decision in the `audit` log). Several processes
//! may share one PostgreSQL, so nothing that must last is kept in memory only.
//!
//! Deliberately absent: cards, readers, printing, and any access without a certificate.

mod api;
pub mod audit;
mod auth;
mod behind_proxy;
mod body;
pub mod equipment;
mod exposition;
mod failure;
pub mod follow;
mod heard;
mod identity_batcher;
pub mod init;
mod listen;
mod lookup_batcher;
mod metrics;
pub mod openapi;
mod openapi_examples;
mod own_certificates;
mod past_presence;
pub mod presence;
mod problem;
mod proofs;
mod readiness;
mod router;
pub mod routes;
mod signer;
mod state;
pub mod store;
pub mod store_recertification;
mod tls;
mod verified_certificates;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{net::TcpListener, sync::watch};

use self::store::{Absence, Availability};
use crate::{
    crypto::ec::Point,
    pki::{ClockCheck, PkiDir, PkiError},
    proxies::Network,
};

pub use init::Initialised;
pub use store::{ServerStore, ServerStoreError, StoreUrl};

/// How often a server checks whether its CA is being rotated.
const CA_EVERY: Duration = Duration::from_secs(1);

/// The options of a server.
#[derive(Clone)]
pub struct ServerOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder of keys and certificates; the CA key must be there.
    pub pki: PathBuf,
    /// Where its data is kept.
    pub store: StoreUrl,
    /// Whether a jump of the clock stops the CA.
    pub clock_check: ClockCheck,
    /// Most requests of one terminal per second, on average; `None` for no limit.
    pub rate: Option<u32>,
    /// Most connections at one time.
    pub connections: usize,
    /// The time limit for a TLS handshake, for the head and the body of a request, and for its answer.
    pub patience: Duration,
    /// The proxies in front of it, which send the client's address in a PROXY header.
    pub proxies: Vec<Network>,
    /// How long after its proof a channel of a token may be resumed at that terminal; `None` for never.
    pub resume_max_age: Option<Duration>,
    /// How long events, proofs and nonces are kept; with `None`, events and proofs are kept for ever.
    pub retention: Option<Duration>,
    /// Who shows the people present while it runs.
    pub audience: Option<follow::Audience>,
}

/// Why a server does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its keys or certificates are unusable.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its store is unusable.
    #[error(transparent)]
    Store(#[from] ServerStoreError),
    /// The address is in use, or not one of this machine.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The TLS library rejects the keys.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The system cannot start threads.
    #[error("the server cannot start: {0}")]
    Start(std::io::Error),
}

/// Receives what a running server reports, to print or log it.
pub trait ServerLog: Send + Sync {
    /// The server listens at this address.
    fn listening(&self, at: SocketAddr);
    /// A request was answered.
    fn request(&self, line: &RequestLine<'_>);
    /// The certificates of this machine were renewed; the first one ends then.
    fn renewed(&self, until: Timestamp);
    /// Something failed; clients learn only that it did.
    fn fault(&self, what: &str);
}

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// When it was sent.
    pub at: Timestamp,
    /// The client's address, also behind a proxy; `None` when there was no connection.
    pub from: Option<IpAddr>,
    /// The terminal; `None` when it is not registered.
    pub terminal: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// Runs until `stop` ends, then finishes requests under way. Blocks.
///
/// # Errors
/// [`RunError`]: the system cannot start threads, the address is in use, or keys, TLS or the store cannot be used, also
/// after a rotation of the CA. An unavailable store is no error: the server waits for it.
pub fn run(
    options: &ServerOptions,
    log: &Arc<dyn ServerLog>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Start)?;
    runtime.block_on(async {
        let home = PkiDir::new(&options.pki);
        let listener = listen::bind(options.listen).await?;
        let mut stop = std::pin::pin!(stop);
        let mut first = true;
        // Once for each CA: when a rotation begins or ends, everything is reloaded without giving up the address.
        loop {
            // After a long pause they may have expired, and could not be loaded.
            let tried = own_certificates::renew_if_due(&home, options.clock_check, log.as_ref());
            let tried = tried.then(std::time::Instant::now);
            let (now, trusted) = (Timestamp::now(), home.load_trusted()?);
            let files = home.server_certificates()?;
            let (renewed, acceptor) = watch::channel(tls::acceptor(&home.load_server_tls(now)?)?);
            let Some(state) = open(&home, options, log, &listener, &mut stop).await? else { return Ok(()) };
            if std::mem::take(&mut first) {
                log.listening(listener.local_addr().map_err(|error| RunError::Listen(options.listen, error))?);
            }
            let (mut stopped, kept) = (false, Arc::clone(&state));
            let end = async {
                tokio::select! {
                    () = &mut stop => stopped = true,
                    () = another_ca(&home, &trusted) => {}
                    never = own_certificates::keep(&home, options.clock_check, files, tried, &kept, &renewed) => match never {},
                }
            };
            listen::serve(options, &listener, acceptor, state, end).await;
            if stopped {
                return Ok(());
            }
        }
    })
}

/// Opens what requests share; `None` once `stop` has ended. It waits for an unavailable store, as the running server
/// does.
async fn open(
    home: &PkiDir,
    options: &ServerOptions,
    log: &Arc<dyn ServerLog>,
    listener: &TcpListener,
    mut stop: &mut (impl Future<Output = ()> + Unpin),
) -> Result<Option<Arc<state::AppState>>, RunError> {
    let (availability, told) = (Availability::default(), Arc::clone(log));
    availability.listen(Box::new(move |what| told.fault(what)));
    let mut waits = false;
    loop {
        let attempt = async {
            if waits {
                tokio::time::sleep(state::AWAY).await;
            }
            state::AppState::open(home, options, Arc::clone(log), Timestamp::now()).await
        };
        let opened = tokio::select! {
            opened = attempt => opened,
            // An attempt may take long, too, and clients that connect meanwhile would wait for its end.
            never = listen::turn_away(listener), if waits => match never {},
            () = &mut stop => return Ok(None),
        };
        match opened {
            Err(RunError::Store(error)) if error.absence().is_some_and(Absence::passes) => {
                availability.failed(error.absence(), &error);
                waits = true;
            }
            opened => {
                let state = opened?;
                availability.worked();
                return Ok(Some(state));
            }
        }
    }
}

/// Ends when the folder holds other trusted CAs than these. Another process replaces its contents, so it is polled;
/// what cannot be read is tried again.
async fn another_ca(home: &PkiDir, trusted: &[Point]) {
    let mut every = tokio::time::interval(CA_EVERY);
    loop {
        every.tick().await;
        if home.load_trusted().is_ok_and(|now| now != trusted) {
            return;
        }
    }
}

/// Runs a future to completion, for commands that open the store themselves.
///
/// # Errors
/// [`RunError::Start`] when the system cannot start a runtime. The future's own result is the value.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Start)?;
    Ok(runtime.block_on(future))
}
