//! The load generator of `scripts/bench --server`: repeats one request over many kept-alive mutual TLS connections, the
//! same against our server and its peer. Two threads hold all connections and check only status and length of an
//! answer, so that the server is what is measured.
//!
//! `load PKI PORT CONNECTIONS SECONDS METHOD PATH [BODY…]` prints `ready`, waits for a line or the end of stdin,
//! measures, and prints one line of JSON. With several bodies each request takes the next. `load PKI PORT CONNECTIONS
//! SECONDS proofs TOKENS MOST` registers that many tokens and looks them up with presence proofs, each over a nonce of
//! the server and asking for another one. The proofs are made before the measurement, which ends early when they run
//! out.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a measurement that cannot go on ends

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream};
use rollcall::{
    crypto::{
        ec::{self, KeyPair},
        random::{SystemRandom, bytes},
    },
    proof::{Claims, FIRST_COUNTER, thumbprint},
};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    time::{ClockId, clock_gettime},
};
use serde_json::{Value, json};

/// Requests of each connection before the measurement, and of all of them: the server closes one that is silent for 75 s.
const WARM_UP: usize = 20;
const WARM_UPS: usize = 2048;
/// Threads that hold the connections.
const THREADS: usize = 2;
/// Nonces of one request.
const NONCES: usize = 64;

struct Load {
    connector: SslConnector,
    port: u16,
    /// What is asked before the measurement.
    warm_up: Vec<u8>,
    requests: Vec<Vec<u8>>,
    /// Whether each request is made once only.
    once: bool,
    next: AtomicUsize,
}

struct Connection {
    stream: SslStream<TcpStream>,
    sent: Instant,
    answer: Vec<u8>,
}

fn main() {
    // One thread that cannot go on would leave the others waiting for it.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        hook(what);
        std::process::exit(1);
    }));
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [pki, port, connections, seconds, method, path, bodies @ ..] = arguments.as_slice() else {
        eprintln!("usage: load PKI PORT CONNECTIONS SECONDS METHOD PATH [BODY…]");
        eprintln!("       load PKI PORT CONNECTIONS SECONDS proofs TOKENS MOST");
        std::process::exit(2);
    };
    let pki = Path::new(pki);
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_ca_file(pki.join("ca.crt")).unwrap();
    builder.set_certificate_file(pki.join("terminal-tls.crt"), SslFiletype::PEM).unwrap();
    builder.set_private_key_file(pki.join("terminal-tls.key"), SslFiletype::PEM).unwrap();
    builder.set_read_ahead(true);
    let mut load = Load {
        connector: builder.build(),
        port: port.parse().unwrap(),
        warm_up: request("GET", "/v1/health", ""),
        requests: Vec::new(),
        once: method == "proofs",
        next: AtomicUsize::new(0),
    };
    if load.once {
        load.requests = load.proofs(pki, path.parse().unwrap(), bodies[0].parse().unwrap());
    } else if bodies.is_empty() {
        load.requests = vec![request(method, path, "")];
        load.warm_up.clone_from(&load.requests[0]);
    } else {
        load.requests = bodies.iter().map(|body| request(method, path, body)).collect();
        load.warm_up.clone_from(&load.requests[0]);
    }
    load.measure(connections.parse().unwrap(), Duration::from_secs_f64(seconds.parse().unwrap()));
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What this process has had of the processors.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

impl Load {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn measure(&self, connections: usize, time: Duration) {
        let threads = THREADS.min(connections);
        let barrier = Barrier::new(threads + 1);
        let (mut times, took, processor) = thread::scope(|scope| {
            let shares = (0..threads).map(|thread| (connections + thread) / threads);
            let barrier = &barrier;
            let all: Vec<_> = shares.map(|share| scope.spawn(move || self.run(share, time, barrier))).collect();
            barrier.wait();
            println!("ready");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            barrier.wait();
            let (start, processor) = (Instant::now(), processor_time());
            let times: Vec<_> = all.into_iter().flat_map(|one| one.join().unwrap()).collect();
            (times, start.elapsed(), processor_time().saturating_sub(processor))
        });
        times.sort_unstable();
        let at = |share: f64| {
            let index = (share * times.len() as f64).ceil() as usize;
            times[index.clamp(1, times.len()) - 1].as_secs_f64() * 1000.0
        };
        let count = times.len();
        println!(
            r#"{{"connections":{connections},"requests":{count},"per_second":{:.0},"p50_ms":{:.3},"p99_ms":{:.3},"load_us":{:.1}}}"#,
            count as f64 / took.as_secs_f64(),
            at(0.50),
            at(0.99),
            processor.as_secs_f64() * 1e6 / count as f64,
        );
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = self.connector.connect("localhost", stream).unwrap();
        Connection { stream, sent: Instant::now(), answer: Vec::with_capacity(16 * 1024) }
    }

    /// One thread with so many connections; how long each request took.
    fn run(&self, share: usize, time: Duration, barrier: &Barrier) -> Vec<Duration> {
        let mut connections: Vec<_> = (0..share).map(|_| self.connect()).collect();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        for (at, connection) in (0..).zip(&mut connections) {
            for _ in 0..WARM_UP.min(WARM_UPS.div_ceil(THREADS * share)) {
                connection.send(&self.warm_up);
                connection.receive();
            }
            let data = epoll::EventData::new_u64(at);
            epoll::add(&epoll, connection.socket(), data, epoll::EventFlags::IN).unwrap();
        }
        barrier.wait();
        barrier.wait();
        let (start, mut times, mut waiting) = (Instant::now(), Vec::with_capacity(1 << 18), 0);
        for connection in &mut connections {
            waiting += usize::from(self.ask(connection));
        }
        let mut events = Vec::with_capacity(share);
        while waiting > 0 {
            // A single connection needs nobody to tell which one it is.
            if share > 1 {
                epoll::wait(&epoll, spare_capacity(&mut events), None).unwrap();
            } else {
                let (data, flags) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN);
                events.push(epoll::Event { flags, data });
            }
            for event in events.drain(..) {
                let data = event.data;
                let connection = &mut connections[usize::try_from(data.u64()).unwrap()];
                connection.receive();
                times.push(connection.sent.elapsed());
                if start.elapsed() >= time || !self.ask(connection) {
                    waiting -= 1;
                }
            }
        }
        times
    }

    /// Makes the next request; `false` when there is none.
    fn ask(&self, connection: &mut Connection) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        if self.once && at >= self.requests.len() {
            return false;
        }
        connection.send(&self.requests[at % self.requests.len()]);
        true
    }

    /// Lookups with proofs of new tokens, by turns.
    fn proofs(&self, pki: &Path, tokens: usize, most: usize) -> Vec<Vec<u8>> {
        let mut connection = self.connect();
        let mut post = |path: &str, body: &Value| {
            connection.send(&request("POST", path, &body.to_string()));
            let head = connection.receive();
            serde_json::from_slice::<Value>(&connection.answer[head..]).unwrap()
        };
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let ecka = KeyPair::from_pem(&std::fs::read(pki.join("terminal-ecka.key")).unwrap()).unwrap();
        let registered = (0..tokens).map(|_| {
            let pair = || KeyPair::generate(&mut SystemRandom).unwrap();
            let id = uuid::Builder::from_random_bytes(bytes(&mut SystemRandom).unwrap()).into_uuid();
            let identity = pair();
            let user = json!({ "id": format!("u{id}"), "name": "Person", "fields": { "team": "a" } });
            let keys = [&identity, &pair()].map(|key| encode(key.public().as_bytes()));
            let token = json!({ "token_id": id, "user": user, "identity_key": keys[0], "ecka_key": keys[1] });
            post("/v1/tokens", &token);
            (id, identity)
        });
        let tokens: Vec<_> = registered.collect();
        let mut nonces = Vec::new();
        while nonces.len() < most {
            let given = post("/v1/nonces", &json!({ "count": NONCES }));
            let given = given["nonces"].as_array().unwrap().iter();
            nonces.extend(given.map(|one| BASE64_URL_SAFE_NO_PAD.decode(one["nonce"].as_str().unwrap()).unwrap()));
        }
        let proof = |(at, nonce): (usize, Vec<u8>)| {
            let (id, identity) = &tokens[at % tokens.len()];
            let claims = Claims {
                terminal: thumbprint(ecka.public()),
                nonce: nonce.try_into().unwrap(),
                token_id: *id.as_bytes(),
                binding: [7; 32],
                counter: FIRST_COUNTER + u32::try_from(at / tokens.len()).unwrap(),
                record: [9; 32],
            };
            let body = json!({ "token_id": id, "proof": encode(&message(&claims, identity)), "nonces": 1 });
            request("POST", "/v1/lookups", &body.to_string())
        };
        nonces.into_iter().enumerate().map(proof).collect()
    }
}

/// The COSE_Sign1 of these claims.
fn message(claims: &Claims, key: &KeyPair) -> Vec<u8> {
    let signed = claims.sig_structure();
    let signature = ec::signature_to_raw(&key.sign(&signed).unwrap()).unwrap();
    let (protected, payload) = (&signed[14..44], &signed[signed.len() - 182..]);
    [b"\xD2\x84\x58\x1E", protected, b"\xA1\x04\x50", &claims.token_id, b"\x58\xB6", payload, b"\x58\x40", &signature]
        .concat()
}

impl Connection {
    fn socket(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }

    fn send(&mut self, request: &[u8]) {
        self.sent = Instant::now();
        self.stream.write_all(request).unwrap();
    }

    /// Takes a whole answer, which is a good one; how long its head is.
    fn receive(&mut self) -> usize {
        self.answer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = self.stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the connection was closed");
            self.answer.extend_from_slice(&chunk[..read]);
            if let Some((head, length)) = lengths(&self.answer)
                && self.answer.len() >= head + length
            {
                assert!(self.answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&self.answer));
                return head;
            }
        }
    }
}

/// The lengths of the head and of the body of an answer, once its head is there.
fn lengths(answer: &[u8]) -> Option<(usize, usize)> {
    const LENGTH: &[u8] = b"\ncontent-length: ";
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let at = answer[..head].windows(LENGTH.len()).position(|part| part.eq_ignore_ascii_case(LENGTH));
    let digits =
        answer[at.expect("an answer with a length") + LENGTH.len()..].iter().take_while(|c| c.is_ascii_digit());
    Some((head, digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))))
}
