//! TLS 1.3 (RFC 8446) under ureq: one CA, our certificate, the server's name checked, and no session tickets.
//!
//! This is a connector of our own because a refusal must be distinguished from a server that is unavailable, and
//! because the private key must not be copied.

use std::{
    fmt,
    io::{self, Read, Write},
};

use openssl::{
    error::ErrorStack,
    ssl::{
        HandshakeError, SslConnector, SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslStream, SslVerifyMode,
        SslVersion,
    },
    x509::{X509, X509VerifyResult, store::X509StoreBuilder},
};
use ureq::{
    Error,
    unversioned::transport::{
        Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport, TransportAdapter,
    },
};

use crate::crypto::{
    ec::{KeyPair, Point},
    x509::{Authority, TlsCertificate, TlsUse},
};

/// What is wrong with a server's certificate, which decides the hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateFault {
    /// It is a server's and of our CA, but for other names than that of the URL.
    Name {
        /// That of the URL.
        asked: String,
        /// Those of the certificate.
        names: Vec<String>,
    },
    /// Another CA issued it.
    Issuer,
    /// Anything else.
    Other,
}

/// An error of TLS itself, which ureq carries to [`super::error`].
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server's certificate is not accepted.
    #[error("{0}")]
    Certificate(String, CertificateFault),
    /// The server's certificate has expired or is not valid yet, by the clock here.
    #[error("{0}")]
    CertificateTime(String),
    /// The server refused our certificate by an alert; and whether because it has expired.
    #[error("{0}")]
    Refused(String, bool),
    /// Any other violation of TLS.
    #[error("{0}")]
    Protocol(String),
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Puts TLS on a connection.
#[derive(Debug, Clone)]
pub struct TlsConnector {
    connector: SslConnector,
    cas: Vec<Point>,
}

impl TlsConnector {
    pub fn new(key: &KeyPair, certificate: &TlsCertificate, authorities: &[Authority]) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_private_key(key.as_pkey())?;
        let certificate = X509::from_der(certificate.der())?;
        builder.set_certificate(&certificate)?;
        // Only our CA, and the previous one while it is rotated out: setting the store removes the system's CAs.
        let mut trusted = X509StoreBuilder::new()?;
        for authority in authorities {
            trusted.add_cert(X509::from_der(authority.der())?)?;
        }
        builder.set_verify_cert_store(trusted.build())?;
        builder.set_verify(SslVerifyMode::PEER);
        Ok(Self { connector: builder.build(), cas: authorities.iter().map(|authority| *authority.point()).collect() })
    }

    fn handshake(&self, host: &str, adapter: TransportAdapter) -> Result<SslStream<TransportAdapter>, Error> {
        let stream = match self.connector.connect(host, adapter) {
            Ok(stream) => stream,
            Err(HandshakeError::SetupFailure(error)) => return Err(TlsError::Protocol(error.to_string()).into()),
            Err(HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle)) => {
                let verdict = middle.ssl().verify_result();
                if verdict != X509VerifyResult::OK {
                    let why = verdict.error_string().to_owned();
                    let is_time = OTHER_TIMES.contains(&verdict.as_raw());
                    let error = if is_time {
                        TlsError::CertificateTime(why)
                    } else {
                        TlsError::Certificate(why, self.fault(verdict.as_raw(), host, middle.ssl()))
                    };
                    return Err(error.into());
                }
                return Err(from_ssl(middle.into_error()));
            }
        };
        self.check_class(&stream)?;
        Ok(stream)
    }

    /// What is wrong with a certificate that OpenSSL does not accept for this host. It compares names before signatures.
    fn fault(&self, verdict: i32, host: &str, ssl: &SslRef) -> CertificateFault {
        if OTHER_ISSUERS.contains(&verdict) {
            return CertificateFault::Issuer;
        }
        let shown = ssl.peer_cert_chain().and_then(|chain| chain.get(0)?.to_der().ok());
        let shown = shown.filter(|_| OTHER_NAMES.contains(&verdict));
        let ours = shown.and_then(|der| self.ours(&der));
        ours.map_or(CertificateFault::Other, |ours| CertificateFault::Name {
            asked: host.to_owned(),
            names: ours.names().iter().map(ToString::to_string).collect(),
        })
    }

    /// The certificate of a server, if one of our CAs issued it in our profile.
    fn ours(&self, der: &[u8]) -> Option<TlsCertificate> {
        TlsCertificate::verify_under(der, &self.cas, TlsUse::Server)
    }

    /// Checks our own profile; OpenSSL has checked signature, time and name.
    fn check_class(&self, stream: &SslStream<TransportAdapter>) -> Result<(), Error> {
        let wrong = |why: String| TlsError::Certificate(why, CertificateFault::Other);
        let der = stream.ssl().peer_certificate().ok_or_else(|| wrong("the server shows none".into()))?.to_der();
        let der = der.map_err(|error| wrong(error.to_string()))?;
        self.ours(&der).map(drop).ok_or_else(|| wrong("not the certificate of a server".into()).into())
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<TlsTransport>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        let host = details.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let mut adapter = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        adapter.set_timeout(details.timeout);
        let stream = self.handshake(host, adapter)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TlsTransport { buffers, stream }))
    }
}

/// A connection with TLS.
pub struct TlsTransport {
    buffers: LazyBuffers,
    stream: SslStream<TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        match self.stream.write_all(output) {
            Ok(()) => Ok(()),
            // A server that refuses our certificate sends an alert and closes, often before the request is sent: read
            // the alert.
            Err(error) => match self.stream.read(&mut [0]).map_err(from_io) {
                Err(Error::Other(refusal)) => Err(Error::Other(refusal)),
                _ => Err(from_io(error)),
            },
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf()).map_err(from_io)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// In TLS 1.3 a client learns that its certificate was refused only when it reads the answer.
fn from_io(error: io::Error) -> Error {
    match error.downcast::<openssl::ssl::Error>() {
        Ok(error) => from_ssl(error),
        Err(error) => error.into(),
    }
}

/// OpenSSL's results for a certificate that is not valid yet, or has expired.
const OTHER_TIMES: [i32; 2] = [9, 10];
/// OpenSSL's results for a certificate of an unknown CA.
const OTHER_ISSUERS: [i32; 6] = [2, 7, 18, 19, 20, 21];
/// OpenSSL's results for a certificate of another host name or address.
const OTHER_NAMES: [i32; 2] = [62, 64];
/// OpenSSL's reason for the alert that a certificate has expired.
const EXPIRED: i32 = 1045;
/// OpenSSL's reason for a connection that ended without the alert `close_notify`.
const UNEXPECTED_EOF: i32 = 294;

fn from_ssl(error: openssl::ssl::Error) -> Error {
    let error = match error.into_io_error() {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the connection").into();
    let Some(first) = error.ssl_error().and_then(|stack| stack.errors().first()) else { return ended() };
    if first.reason_code() == UNEXPECTED_EOF {
        return ended();
    }
    let reason = first.reason().unwrap_or("an unknown failure").to_owned();
    let code = first.reason_code();
    if is_refusal(code) { TlsError::Refused(reason, code == EXPIRED).into() } else { TlsError::Protocol(reason).into() }
}

/// Whether this is an alert about a client's certificate (RFC 8446, 6.2): OpenSSL's reason is 1000 plus the alert.
fn is_refusal(reason: i32) -> bool {
    const ALERTS: [i32; 10] = [40, 42, 43, 44, 45, 46, 48, 49, 51, 116];
    ALERTS.iter().any(|alert| reason == 1000 + alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_alerts_about_a_certificate_are_refusals() {
        assert!([1040, 1042, 1048, 1116].into_iter().all(is_refusal));
        assert!(![0, 42, 294, 1000, 1041, 1047, 1070, 1080].into_iter().any(is_refusal));
    }
}
