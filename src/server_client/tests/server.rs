//! A small server for tests: real TLS 1.3 on a real socket, with answers that each test chooses.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    ssl::{SslAcceptor, SslMethod, SslStream, SslVerifyMode, SslVersion},
    x509::{
        X509,
        extension::{ExtendedKeyUsage, SubjectAlternativeName},
        store::X509StoreBuilder,
    },
};

use super::super::{RequestLimits, ServerClient};
use crate::crypto::{
    ec::KeyPair,
    random::SystemRandom,
    x509::{Authority, ServerName, TlsCertificate, TlsTemplate, TlsUse},
};

/// A CA that certifies everything for a test.
pub struct World {
    pub ca: KeyPair,
    pub authority: Authority,
}

impl World {
    pub fn new() -> Self {
        let ca = key();
        let (from, to) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2049-01-01T00:00:00Z".parse().unwrap());
        let authority = Authority::issue(&ca, "Rollcall CA", from, to, &mut SystemRandom).unwrap();
        Self { ca, authority }
    }

    pub fn tls(&self, usage: TlsUse, names: &[&str]) -> (KeyPair, TlsCertificate) {
        self.tls_until(usage, names, "2048-01-01T00:00:00Z")
    }

    pub fn tls_until(&self, usage: TlsUse, names: &[&str], end: &str) -> (KeyPair, TlsCertificate) {
        let key = key();
        let names: Vec<_> = names.iter().map(|name| ServerName::parse(name).unwrap()).collect();
        let template = TlsTemplate {
            usage,
            names: &names,
            subject: "somebody",
            key: key.public(),
            not_before: "2020-01-01T00:00:00Z".parse().unwrap(),
            not_after: end.parse().unwrap(),
        };
        let certificate = TlsCertificate::issue(&self.ca, "Rollcall CA", &template, &mut SystemRandom).unwrap();
        (key, certificate)
    }

    /// A certificate of this CA for a server at `localhost` that OpenSSL accepts, although it lacks parts of our
    /// profile.
    pub fn loose(&self, key: &KeyPair) -> Vec<u8> {
        let issuer = X509::from_der(self.authority.der()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_issuer_name(issuer.subject_name()).unwrap();
        builder.set_not_before(&Asn1Time::from_str("20200101000000Z").unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_str("20480101000000Z").unwrap()).unwrap();
        builder.set_pubkey(key.as_pkey()).unwrap();
        let name = SubjectAlternativeName::new().dns("localhost").build(&builder.x509v3_context(Some(&issuer), None));
        builder.append_extension(name.unwrap()).unwrap();
        builder.append_extension(ExtendedKeyUsage::new().server_auth().build().unwrap()).unwrap();
        builder.sign(self.ca.as_pkey(), MessageDigest::sha256()).unwrap();
        builder.build().to_der().unwrap()
    }

    /// A terminal of this CA that uses a server at this URL.
    pub fn terminal(&self, url: &str) -> ServerClient {
        self.terminal_with(url, RequestLimits { connect: Duration::from_secs(10), request: Duration::from_secs(20) })
    }

    pub fn terminal_with(&self, url: &str, limits: RequestLimits) -> ServerClient {
        let (key, certificate) = self.tls(TlsUse::Client, &[]);
        ServerClient::connect(url, &key, &certificate, std::slice::from_ref(&self.authority), limits).unwrap()
    }
}

pub fn key() -> KeyPair {
    KeyPair::generate(&mut SystemRandom).unwrap()
}

/// A request received.
pub struct Asked {
    /// `POST /v1/lookups`
    pub line: String,
    pub body: Vec<u8>,
}

/// What is sent back; `None` ends the connection without an answer.
pub type Answer = Option<Vec<u8>>;

/// A complete answer.
#[allow(clippy::unnecessary_wraps)] // one type for all answers
pub fn answer(status: u16, kind: &str, body: &[u8]) -> Answer {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

pub fn json(value: &impl serde::Serialize) -> Answer {
    answer(200, "application/json", &serde_json::to_vec(value).unwrap())
}

pub fn problem(status: u16, code: &str) -> Answer {
    let body = serde_json::json!({"type": format!("urn:rollcall:problem:{code}"), "title": "no", "status": status, "code": code});
    answer(status, "application/problem+json", body.to_string().as_bytes())
}

/// A running server. It ends with the process.
pub struct Double {
    pub address: SocketAddr,
    pub requests: Arc<AtomicUsize>,
    pub connections: Arc<AtomicUsize>,
}

impl Double {
    /// A server for `localhost` that accepts terminals of this CA.
    pub fn start(world: &World, respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_as(world, world.tls(TlsUse::Server, &["localhost"]), respond)
    }

    pub fn start_as(
        world: &World,
        (key, certificate): (KeyPair, TlsCertificate),
        respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(world, &key, certificate.der(), respond)
    }

    /// A server that presents any certificate.
    pub fn start_with(
        world: &World,
        key: &KeyPair,
        certificate: &[u8],
        respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server()).unwrap();
        builder.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
        builder.set_num_tickets(0).unwrap();
        builder.set_private_key(key.as_pkey()).unwrap();
        builder.set_certificate(&X509::from_der(certificate).unwrap()).unwrap();
        let mut trusted = X509StoreBuilder::new().unwrap();
        trusted.add_cert(X509::from_der(world.authority.der()).unwrap()).unwrap();
        builder.set_verify_cert_store(trusted.build()).unwrap();
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        let acceptor = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let double =
            Self { address: listener.local_addr().unwrap(), requests: Arc::default(), connections: Arc::default() };
        let (requests, connections) = (double.requests.clone(), double.connections.clone());
        let respond = Arc::new(respond);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, respond, requests) = (acceptor.clone(), respond.clone(), requests.clone());
                thread::spawn(move || {
                    let Ok(mut stream) = acceptor.accept(stream) else { return };
                    while let Some(asked) = read(&mut stream) {
                        requests.fetch_add(1, Ordering::SeqCst);
                        let Some(bytes) = respond(&asked) else { return };
                        let last = bytes.windows(17).any(|part| part == b"Connection: close");
                        if stream.write_all(&bytes).is_err() || last {
                            return;
                        }
                    }
                });
            }
        });
        double
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn asked(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads one request in the form that our client sends.
fn read(stream: &mut SslStream<TcpStream>) -> Option<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let line: Vec<_> = head.lines().next().unwrap().split(' ').collect();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { line: format!("{} {}", line[0].to_ascii_uppercase(), line[1]), body })
}
