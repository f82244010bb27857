//! The load of `scripts/bench --server`: one request again and again over kept-alive mutual TLS, from so many
//! connections; the same program against our server and against its peer.
//!
//! `load CERTIFICATE KEY CA PORT CONNECTIONS SECONDS METHOD PATH [BODY…]` prints one line of JSON. With several bodies
//! each request takes the next.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a measurement that cannot go on ends

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslStream};

/// Requests that are made before the measurement.
const WARM_UP: usize = 20;

struct Load {
    connector: SslConnector,
    port: u16,
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [certificate, key, ca, port, connections, seconds, method, path, bodies @ ..] = arguments.as_slice() else {
        eprintln!("usage: load CERTIFICATE KEY CA PORT CONNECTIONS SECONDS METHOD PATH [BODY…]");
        std::process::exit(2);
    };
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_ca_file(ca).unwrap();
    builder.set_certificate_file(certificate, SslFiletype::PEM).unwrap();
    builder.set_private_key_file(key, SslFiletype::PEM).unwrap();
    let request = |body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let requests = if bodies.is_empty() { vec![request("")] } else { bodies.iter().map(|b| request(b)).collect() };
    let load = Load { connector: builder.build(), port: port.parse().unwrap(), requests, next: AtomicUsize::new(0) };
    let time = Duration::from_secs_f64(seconds.parse().unwrap());
    let connections: usize = connections.parse().unwrap();
    let barrier = Barrier::new(connections);
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let all: Vec<_> = (0..connections).map(|_| scope.spawn(|| load.run(time, &barrier))).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    times.sort_unstable();
    let at = |share: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = (share * times.len() as f64).ceil() as usize;
        times[index.clamp(1, times.len()) - 1].as_secs_f64() * 1000.0
    };
    #[allow(clippy::cast_precision_loss)]
    let rate = times.len() as f64 / time.as_secs_f64();
    println!(
        r#"{{"connections":{connections},"requests":{},"per_second":{rate:.0},"p50_ms":{:.3},"p99_ms":{:.3}}}"#,
        times.len(),
        at(0.50),
        at(0.99)
    );
}

impl Load {
    fn run(&self, time: Duration, barrier: &Barrier) -> Vec<Duration> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = self.connector.connect("localhost", stream).unwrap();
        let mut buffer = Vec::with_capacity(64 * 1024);
        for _ in 0..WARM_UP {
            self.once(&mut stream, &mut buffer);
        }
        barrier.wait();
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < time {
            let begun = Instant::now();
            self.once(&mut stream, &mut buffer);
            times.push(begun.elapsed());
        }
        times
    }

    fn once(&self, stream: &mut SslStream<TcpStream>, buffer: &mut Vec<u8>) {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&self.requests[at % self.requests.len()]).unwrap();
        buffer.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            let read = stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the connection was closed");
            buffer.extend_from_slice(&chunk[..read]);
            if whole(buffer) {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(buffer));
    }
}

/// Whether an answer with a length is there to its end.
fn whole(buffer: &[u8]) -> bool {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    buffer.len() >= end + 4 + length.expect("an answer with a length")
}
