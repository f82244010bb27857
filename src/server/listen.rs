//! Accepts connections, limits their number and duration, and ends them in order.

mod unread_body;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use self::unread_body::UnreadBody;
use super::{
    RunError, ServerOptions,
    auth::Peer,
    behind_proxy, router,
    state::AppState,
    tls::{Acceptor, TlsConnection},
};
use crate::proxies::Network;

/// How long requests under way may take once the server is told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The pause after a failed accept: descriptors have run out, and some will be freed.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Binds the address.
///
/// # Errors
/// [`RunError::Listen`] when it is in use, or not an address of this machine.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(listen).await.map_err(|error| RunError::Listen(listen, error))
}

/// Closes every connection at once, and never ends: clients that come before the server is ready need not wait.
pub async fn turn_away(listener: &TcpListener) -> Infallible {
    loop {
        if listener.accept().await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Serves until `stop` ends, and then finishes requests under way; new connections wait in the system's queue.
pub async fn serve(
    options: &ServerOptions,
    listener: &TcpListener,
    acceptor: watch::Receiver<Acceptor>,
    state: Arc<AppState>,
    stop: impl Future<Output = ()>,
) {
    let connections = ConnectionServer {
        router: router::router(Arc::clone(&state), options.patience),
        acceptor,
        permits: Arc::new(Semaphore::new(options.connections)),
        patience: options.patience,
        proxies: options.proxies.clone().into(),
        state: Arc::clone(&state),
    };
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // Without a permit, a connection waits in the system's queue and costs us nothing.
        let permit = tokio::select! {
            permit = Arc::clone(&connections.permits).acquire_owned() => permit,
            () = &mut stop => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    state.log.fault(&format!("a connection was not accepted: {error}"));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let (connections, watcher) = (connections.clone(), graceful.watcher());
        tokio::spawn(async move {
            connections.serve(stream, peer, watcher).await;
            drop(permit);
        });
    }
    let _ = timeout(DRAIN_LIMIT, graceful.shutdown()).await;
    state.close().await;
}

#[derive(Clone)]
struct ConnectionServer {
    router: Router,
    acceptor: watch::Receiver<Acceptor>,
    permits: Arc<Semaphore>,
    patience: Duration,
    proxies: Arc<[Network]>,
    state: Arc<AppState>,
}

impl ConnectionServer {
    /// Serves one connection, from its handshake to its end.
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
        // Otherwise the second half of an answer waits until the first is acknowledged.
        let _ = stream.set_nodelay(true);
        // Boxed, so that an established connection does not keep the memory that its beginning takes.
        let begin = Box::pin(self.begin(stream, peer));
        let Ok(Some((stream, peer))) = timeout(self.patience, begin).await else { return };
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.call(request.map(UnreadBody::from))
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.max(Duration::from_secs(75)))
            .max_buf_size(HEAD_MAX)
            // A client that has closed its sending half still gets its answer. Watching for the end of a connection
            // during a request would take a second buffer for each.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let _ = watcher.watch(connection).await;
    }

    /// Reads the PROXY header, if a proxy connects, and does the TLS handshake.
    async fn begin(&self, mut stream: TcpStream, peer: SocketAddr) -> Option<(TlsConnection, Peer)> {
        let address = match behind_proxy::client(&mut stream, peer, &self.proxies).await {
            Ok(address) => address,
            Err(what) => {
                if let Some(what) = what {
                    self.state.log.fault(&what);
                }
                return None;
            }
        };
        let acceptor = self.acceptor.borrow().clone();
        let (stream, certificate) = acceptor.accept(stream).await?;
        Some((stream, Peer { address, certificate: Arc::new(certificate) }))
    }
}
