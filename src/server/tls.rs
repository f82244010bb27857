//! TLS 1.3 (RFC 8446) with client certificates: no older version, no tickets, no early data, and no anonymous client.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion};
use openssl::x509::{X509, store::X509StoreBuilder};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_openssl::SslStream;

use super::RunError;
use crate::{
    api::v1::BODY_MAX,
    crypto::{
        ec::Point,
        x509::{TlsCertificate, TlsUse},
    },
    pki::Tls,
};

/// How long a refused client may take to receive the alert, and how many bytes it may send meanwhile: twice the longest
/// body of the API, to leave room for heads and TLS records.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 2 * BODY_MAX);

/// A connection after its handshake. Dropping it sends `close_notify` if the socket has room, since an end without it
/// looks like a cut line (RFC 8446, 6.1).
pub struct TlsConnection(SslStream<TcpStream>);

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, room)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl Drop for TlsConnection {
    fn drop(&mut self) {
        // The alert is a few bytes: if there is no room even for those, the client no longer reads.
        let _ = Pin::new(&mut self.0).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

/// The TLS settings of every connection.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: SslAcceptor,
    cas: Vec<Point>,
}

/// Sets up TLS with the server's key; only clients that our CA certified are accepted.
///
/// # Errors
/// [`RunError::Tls`] when OpenSSL refuses the key or a certificate.
pub fn acceptor(tls: &Tls) -> Result<Acceptor, RunError> {
    build(tls).map_err(|error| RunError::Tls(error.to_string()))
}

fn build(tls: &Tls) -> Result<Acceptor, openssl::error::ErrorStack> {
    let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
    builder.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    builder.set_num_tickets(0)?;
    builder.set_max_early_data(0)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    // A request is read with one system call instead of three: record header, record, and a check that nothing follows.
    builder.set_read_ahead(true);
    builder.set_private_key(tls.key.as_pkey())?;
    builder.set_certificate(X509::from_der(tls.certificate.der())?.as_ref())?;
    builder.check_private_key()?;
    let mut trusted = X509StoreBuilder::new()?;
    let authorities = tls.trusted();
    for authority in &authorities {
        let ca = X509::from_der(authority.der())?;
        builder.add_client_ca(&ca)?;
        trusted.add_cert(ca)?;
    }
    builder.set_verify_cert_store(trusted.build())?;
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_alpn_select_callback(|_, offered| {
        openssl::ssl::select_next_proto(b"\x08http/1.1", offered).ok_or(openssl::ssl::AlpnError::ALERT_FATAL)
    });
    Ok(Acceptor { acceptor: builder.build(), cas: authorities.iter().map(|authority| *authority.point()).collect() })
}

impl Acceptor {
    /// Does the handshake. OpenSSL verifies the chain; our own, stricter rules then check what it accepted.
    pub async fn accept(&self, stream: TcpStream) -> Option<(TlsConnection, TlsCertificate)> {
        let ssl = Ssl::new(self.acceptor.context()).ok()?;
        let mut stream = SslStream::new(ssl, stream).ok()?;
        let done = Pin::new(&mut stream).accept().await;
        if let Some(certificate) = done.ok().and_then(|()| self.certificate(&stream)) {
            return Some((TlsConnection(stream), certificate));
        }
        let _ = timeout(LINGER.0, linger(stream.get_mut())).await;
        None
    }

    fn certificate(&self, stream: &SslStream<TcpStream>) -> Option<TlsCertificate> {
        let der = stream.ssl().peer_certificate()?.to_der().ok()?;
        TlsCertificate::verify_under(&der, &self.cas, TlsUse::Client)
    }
}

/// Ends a connection so that the alert arrives. If the client had sent a request right after its handshake, closing
/// with that unread would reset the connection, and the alert would be lost.
async fn linger(stream: &mut TcpStream) {
    let (mut passed, mut buffer) = (0, [0; 4096]);
    if stream.shutdown().await.is_err() {
        return;
    }
    while passed < LINGER.1 {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => passed += read,
        }
    }
}
