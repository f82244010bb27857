//! Handwritten HTTP/1.1 over TLS, for requests that our own client never makes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use openssl::{
    ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode},
    x509::X509,
};
use rollcall::crypto::ec::KeyPair;
use serde_json::Value;

/// The client's identity: a key and a certificate, or none.
pub type Identity<'a> = Option<(&'a KeyPair, &'a [u8])>;

/// An open connection.
pub struct Raw(SslStream<TcpStream>);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The code of a problem document, whose format is checked.
    pub fn code(&self) -> String {
        let problem = self.json();
        let code = problem["code"].as_str().unwrap_or_default().to_owned();
        assert!(self.head.contains("application/problem+json"), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["type"], format!("urn:rollcall:problem:{code}"), "{self:?}");
        code
    }
}

impl Raw {
    /// The handshake, and then one byte's worth of proof that it holds: with TLS 1.3 a server refuses a client's
    /// certificate after the client is done.
    pub fn connect(port: u16, ca: &[u8], identity: Identity<'_>) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        Self::over(stream, ca, identity)
    }

    /// The same over a connection on which something has already been sent.
    pub fn over(stream: TcpStream, ca: &[u8], identity: Identity<'_>) -> Result<Self, String> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.cert_store_mut().add_cert(X509::from_der(ca).unwrap()).unwrap();
        builder.set_verify(SslVerifyMode::PEER);
        if let Some((key, certificate)) = identity {
            builder.set_private_key(key.as_pkey()).unwrap();
            builder.set_certificate(&X509::from_der(certificate).unwrap()).unwrap();
        }
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = builder.build().connect("localhost", stream).map_err(|error| error.to_string())?;
        Ok(Self(stream))
    }

    /// The certificate that the server showed, DER.
    pub fn shown(&self) -> Vec<u8> {
        self.0.ssl().peer_certificate().unwrap().to_der().unwrap()
    }

    /// One request with these headers and this body as they are, and its answer.
    pub fn send(&mut self, head: &str, body: &[u8]) -> Result<Answer, String> {
        self.begin(head, body)?;
        self.answer()
    }

    pub fn begin(&mut self, head: &str, body: &[u8]) -> Result<(), String> {
        let sent = self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body));
        sent.map_err(|error| error.to_string())
    }

    /// Closes the sending side.
    pub fn end_half(&mut self) {
        self.0.shutdown().unwrap();
    }

    /// A request with a JSON body, or none.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {length}\r\n\r\n");
        self.begin(&head, body.as_bytes())?;
        if method == "HEAD" { self.answer_without_body() } else { self.answer() }
    }

    fn answer_without_body(&mut self) -> Result<Answer, String> {
        let head = self.head()?;
        Ok(Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() })
    }

    fn head(&mut self) -> Result<String, String> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            match self.0.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                Ok(_) => return Err("the connection was closed".into()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(String::from_utf8(head).unwrap().to_lowercase())
    }

    /// Reads one answer; ours all have a length.
    pub fn answer(&mut self) -> Result<Answer, String> {
        let head = self.head()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or_else(|| panic!("no length: {head}")).trim().parse().unwrap()];
        self.0.read_exact(&mut body).map_err(|error| error.to_string())?;
        Ok(Answer { status: head[9..12].parse().unwrap(), head, body })
    }

    /// Waits for the end of the connection, which the server must announce.
    pub fn end(&mut self) -> Result<(), String> {
        match self.0.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("more came".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The version and ciphers, and whether the server gave a ticket.
    pub fn tls(&self) -> (&'static str, bool) {
        let reusable =
            self.0.ssl().session().is_some_and(|session| session.time() > 0 && self.0.ssl().session_reused());
        (self.0.ssl().version_str(), reusable)
    }
}
