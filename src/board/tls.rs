//! TLS 1.3 (RFC 8446) for browsers that connect over a network.

use std::{path::Path, pin::Pin};

use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslOptions, SslVersion};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::BoardError;

/// Accepts every connection.
#[derive(Clone)]
pub struct BoardTls {
    acceptor: SslAcceptor,
}

impl BoardTls {
    /// Reads the chain and its key.
    ///
    /// # Errors
    /// [`BoardError::Tls`] names the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, BoardError> {
        let wrong = |path: &Path| {
            let path = path.to_owned();
            move |error: openssl::error::ErrorStack| {
                let first = error.errors().first().and_then(openssl::error::Error::reason);
                BoardError::Tls { path, what: first.unwrap_or("OpenSSL refuses it").to_owned() }
            }
        };
        let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).map_err(wrong(certificate))?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3)).map_err(wrong(certificate))?;
        builder.set_options(SslOptions::NO_RENEGOTIATION);
        builder.set_max_early_data(0).map_err(wrong(certificate))?;
        builder.set_certificate_chain_file(certificate).map_err(wrong(certificate))?;
        builder.set_private_key_file(key, SslFiletype::PEM).map_err(wrong(key))?;
        builder.check_private_key().map_err(wrong(key))?;
        builder.set_alpn_select_callback(|_, offered| {
            openssl::ssl::select_next_proto(b"\x08http/1.1", offered).ok_or(openssl::ssl::AlpnError::ALERT_FATAL)
        });
        Ok(Self { acceptor: builder.build() })
    }

    /// Performs the handshake.
    pub async fn accept(&self, stream: TcpStream) -> Option<SslStream<TcpStream>> {
        let ssl = Ssl::new(self.acceptor.context()).ok()?;
        let mut stream = SslStream::new(ssl, stream).ok()?;
        Pin::new(&mut stream).accept().await.ok()?;
        Some(stream)
    }
}
