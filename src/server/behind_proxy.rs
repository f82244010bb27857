//! Finds the client's address: a proxy that the operator has named sends it in a PROXY header.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

use crate::proxies::{HEAD_MAX, HeadError, HeadStep, Network, next_step};

/// Why a connection from a proxy is not served.
#[derive(Debug)]
enum NoHead {
    /// It ended before any byte, like a probe that only checks whether the port is open.
    Silent,
    /// It ended or broke within its PROXY header.
    Broken,
    /// What it sent is not a PROXY header.
    Wrong(HeadError),
}

/// The client's address: the peer's, unless the peer is one of `proxies`; then the one in its PROXY header;
/// nothing after the header is read. The caller bounds the time.
///
/// # Errors
/// What to tell the operator of a proxy that sends no PROXY header; `None` when there is nothing to tell.
pub async fn client(stream: &mut TcpStream, peer: SocketAddr, proxies: &[Network]) -> Result<IpAddr, Option<String>> {
    let peer = peer.ip().to_canonical();
    if !proxies.iter().any(|network| network.contains(peer)) {
        return Ok(peer);
    }
    match read_head(stream).await {
        Ok(source) => Ok(source.map_or(peer, |source| source.ip())),
        Err(NoHead::Silent) => Err(None),
        Err(NoHead::Broken) => Err(Some(format!("the proxy {peer} ended a connection within its PROXY header"))),
        Err(NoHead::Wrong(what)) => Err(Some(format!("the proxy {peer} sent no valid PROXY header: {what}"))),
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, NoHead> {
    let (mut head, mut length) = ([0; HEAD_MAX], 0);
    loop {
        let more = match next_step(&head[..length]).map_err(NoHead::Wrong)? {
            HeadStep::Done(source) => return Ok(source),
            HeadStep::Read(more) => more,
        };
        let room = head.get_mut(length..length + more).ok_or(NoHead::Wrong(HeadError::Long))?;
        match stream.read(room).await {
            Ok(0) if length == 0 => return Err(NoHead::Silent),
            Err(error) if length == 0 && error.kind() == io::ErrorKind::ConnectionReset => return Err(NoHead::Silent),
            Ok(0) | Err(_) => return Err(NoHead::Broken),
            Ok(read) => length += read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::block_on;

    const HEAD: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443\r\n";

    #[test]
    fn not_one_byte_behind_the_head_is_taken() {
        let sent = [HEAD, b"\x16\x03\x01"].concat();
        let mut stream = &sent[..];
        let source = block_on(read_head(&mut stream)).unwrap().unwrap();
        assert_eq!(source.unwrap(), "192.0.2.7:49153".parse().unwrap());
        assert_eq!(stream, b"\x16\x03\x01");
    }

    #[test]
    fn who_sends_nothing_is_a_probe_and_who_stops_is_none() {
        let read = |sent: &[u8]| block_on(read_head(&mut &*sent)).unwrap();
        assert!(matches!(read(b""), Err(NoHead::Silent)));
        assert!(matches!(read(&HEAD[..1]), Err(NoHead::Broken)));
        assert!(matches!(read(&HEAD[..HEAD.len() - 1]), Err(NoHead::Broken)));
        assert!(matches!(read(b"GET / HTTP/1.1\r\n"), Err(NoHead::Wrong(HeadError::None))));
    }

    #[test]
    fn a_probe_may_reset_its_connection_and_a_proxy_that_began_may_not() {
        let read = async |sent: &'static [u8]| {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut proxy, sent).await.unwrap();
            proxy.set_zero_linger().unwrap();
            drop(proxy);
            read_head(&mut stream).await
        };
        let both = block_on(async { (read(b"").await, read(&HEAD[..1]).await) }).unwrap();
        assert!(matches!(both, (Err(NoHead::Silent), Err(NoHead::Broken))), "{both:?}");
    }
}
