//! TLS 1.3 (RFC 8446) with client certificates: no older version, no tickets, no early data, and no anonymous client.

use std::pin::Pin;

use openssl::ssl::{Ssl, SslAcceptor, SslMethod, SslOptions, SslSessionCacheMode, SslVerifyMode, SslVersion};
use openssl::x509::{X509, store::X509StoreBuilder};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::RunError;
use crate::{
    crypto::{
        ec::Point,
        x509::{TlsCertificate, TlsUse},
    },
    pki::Tls,
};

/// What every connection is accepted with.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: SslAcceptor,
    cas: Vec<Point>,
}

/// Sets TLS up with the server's key; only clients that our CA certified come in.
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
        openssl::ssl::select_next_proto(b"\x08http/1.1", offered).ok_or(openssl::ssl::AlpnError::NOACK)
    });
    Ok(Acceptor { acceptor: builder.build(), cas: authorities.iter().map(|authority| *authority.point()).collect() })
}

impl Acceptor {
    /// The handshake. OpenSSL has verified the chain; what it lets pass is read once more by our own, strict rules.
    pub async fn accept(&self, stream: TcpStream) -> Option<(SslStream<TcpStream>, TlsCertificate)> {
        let ssl = Ssl::new(self.acceptor.context()).ok()?;
        let mut stream = SslStream::new(ssl, stream).ok()?;
        Pin::new(&mut stream).accept().await.ok()?;
        let der = stream.ssl().peer_certificate()?.to_der().ok()?;
        let certificate = self.cas.iter().find_map(|ca| TlsCertificate::verify(&der, ca, TlsUse::Client).ok())?;
        Some((stream, certificate))
    }
}
