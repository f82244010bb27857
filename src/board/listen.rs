//! Accepts connections, limiting how many there are and how long each may take to send its request.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::{answers::Answers, tls::BoardTls};

/// Maximum number of connections; a page needs one for the stream, and briefly a few more when it is opened.
const CONNECTIONS: usize = 256;
/// Maximum for one address: several screens may share one.
const OF_ONE: usize = 64;
/// Time limit for a handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes: the minimum that hyper allows.
const HEAD_MAX: usize = 8192;

type PeerCounts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection that counts for its peer while it exists.
struct PeerShare {
    counts: PeerCounts,
    peer: IpAddr,
}

impl PeerShare {
    /// `None` if this peer has reached its maximum.
    fn take(counts: &PeerCounts, peer: IpAddr) -> Option<Self> {
        let mut open = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Self { counts: Arc::clone(counts), peer })
    }
}

impl Drop for PeerShare {
    fn drop(&mut self) {
        let mut open = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// Serves until dropped.
pub async fn serve(listener: &TcpListener, tls: Option<BoardTls>, answers: Arc<Answers>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let counts = PeerCounts::default();
    loop {
        // Connections without a permit wait in the system's queue, and cost us nothing.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors: some will be freed
            continue;
        };
        let Some(share) = PeerShare::take(&counts, peer.ip()) else { continue };
        let (tls, answers) = (tls.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            connection(stream, peer.ip(), tls.as_ref(), answers).await;
            drop((share, permit));
        });
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, tls: Option<&BoardTls>, answers: Arc<Answers>) {
    // Otherwise a message waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    match tls {
        None => talk(stream, peer, answers).await,
        Some(tls) => {
            let Ok(Some(stream)) = timeout(PATIENCE, tls.accept(stream)).await else { return };
            talk(stream, peer, answers).await;
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: IpAddr, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.answer(peer, &request)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // A browser that disconnects is not a failure.
    let _ = served.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_of_connections() {
        let counts = PeerCounts::default();
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut held: Vec<_> = (0..OF_ONE).map(|_| PeerShare::take(&counts, one).unwrap()).collect();
        assert!(PeerShare::take(&counts, one).is_none());
        assert!(PeerShare::take(&counts, other).is_some());
        held.pop();
        assert!(PeerShare::take(&counts, one).is_some());
        held.clear();
        assert!(counts.lock().unwrap().is_empty());
    }
}
