//! Tests the client against small servers: good, slow, dead, wrong, hostile.

use std::{
    io,
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::Duration,
};

use serde_json::json as value;
use uuid::Uuid;

use super::{CertificateFault, RequestLimits, ServerClient, ServerError};
use crate::{
    api::{User, problem::ProblemCode, v1::*},
    crypto::x509::TlsUse,
    failure::Failure,
};
use server::{Double, World, answer, json, problem};

pub mod server;

const ID: Uuid = Uuid::from_u128(0x0196_0000_0000_7000_8000_0000_0000_0001);

fn health() -> Health {
    let at = "2026-11-23T08:00:00Z".parse().unwrap();
    Health { status: "ok".into(), version: "0".into(), at, terminal: "door".into(), role: Role::Read }
}

/// The error of one request to a server that answers every request alike.
fn failure(respond: impl Fn(&server::Asked) -> server::Answer + Send + Sync + 'static) -> ServerError {
    let world = World::new();
    let double = Double::start(&world, respond);
    world.terminal(&double.url()).health().unwrap_err()
}

#[test]
fn one_connection_is_kept_for_many_requests() {
    let world = World::new();
    let double = Double::start(&world, |_| json(&health()));
    let terminal = world.terminal(&double.url());
    for _ in 0..5 {
        assert_eq!(terminal.health().unwrap(), health());
    }
    assert_eq!(double.asked(), 5);
    assert_eq!(double.connections.load(Ordering::SeqCst), 1);
}

/// Each method requests its route with its body; the answer does not matter here.
#[test]
fn every_route_is_asked_as_the_contract_says() {
    let world = World::new();
    let seen: Arc<Mutex<Vec<(String, serde_json::Value)>>> = Arc::default();
    let record = seen.clone();
    let double = Double::start(&world, move |asked| {
        let body = serde_json::from_slice(&asked.body).unwrap_or_default();
        record.lock().unwrap().push((asked.line.clone(), body));
        problem(404, "request.route")
    });
    let terminal = world.terminal(&double.url());
    let user = User { id: "ö /?".into(), name: "O".into(), ..User::default() };
    let renewal = RenewalRequest { tls_request: "t".into(), ecka_request: "e".into() };
    let added = TerminalRequest {
        name: "d".into(),
        role: Role::Read,
        tls_request: "t".into(),
        ecka_request: "e".into(),
        days: None,
    };
    let lookup = LookupRequest { token_id: ID, proof: None, identity_certificate: None, resumed: None, nonces: 3 };
    let registration = TokenRequest {
        token_id: ID,
        user: user.clone(),
        identity_key: "i".into(),
        ecka_key: "e".into(),
        replaces: None,
    };
    let events = EventBatch { list: ID, events: vec![value!({"seq": 1})] };
    let witness = Witness { feed: "f".into(), statuses: Vec::new() };
    let results = [
        terminal.health().err(),
        terminal.openapi().err(),
        terminal.metrics().err(),
        terminal.nonces(7).err(),
        terminal.lookup(&lookup).err(),
        terminal.events(&events).err(),
        terminal.revocations(9, &AuditHead { seq: 0, hash: String::new() }).err(),
        terminal.revocations(9, &AuditHead { seq: 3, hash: "aa".into() }).err(),
        terminal.witness(&witness).err(),
        terminal.renew(&renewal).err(),
        terminal.register_token(&registration).err(),
        terminal.tokens(None, 10).err(),
        terminal.token(ID).err(),
        terminal.set_status(ID, TokenStatus::Lost, Some("gone".into())).err(),
        terminal.users(Some("a b&c"), 10).err(),
        terminal.user(&user.id).err(),
        terminal.put_user(&user).err(),
        terminal.import_users(vec![user.clone()]).err(),
        terminal.terminals(None, 1).err(),
        terminal.add_terminal(&added).err(),
        terminal.revoke_terminal("d").err(),
    ];
    for result in results {
        assert_eq!(result.unwrap().problem().and_then(Problem::known_code), Some(ProblemCode::RequestRoute));
    }
    let asked: Vec<_> = seen.lock().unwrap().clone();
    let expected = [
        ("GET /v1/health".to_owned(), value!(null)),
        ("GET /v1/openapi.json".to_owned(), value!(null)),
        ("GET /v1/metrics".to_owned(), value!(null)),
        ("POST /v1/nonces".to_owned(), value!({"count": 7})),
        ("POST /v1/lookups".to_owned(), value!({"token_id": ID, "nonces": 3})),
        ("POST /v1/events".to_owned(), value!({"list": ID, "events": [{"seq": 1}]})),
        ("GET /v1/revocations?since=9".to_owned(), value!(null)),
        ("GET /v1/revocations?since=9&audit_seq=3&audit_hash=aa".to_owned(), value!(null)),
        ("POST /v1/witness".to_owned(), serde_json::to_value(&witness).unwrap()),
        ("POST /v1/terminals/self/renewal".to_owned(), serde_json::to_value(&renewal).unwrap()),
        ("POST /v1/tokens".to_owned(), serde_json::to_value(&registration).unwrap()),
        ("GET /v1/tokens?limit=10".to_owned(), value!(null)),
        (format!("GET /v1/tokens/{ID}"), value!(null)),
        (format!("PUT /v1/tokens/{ID}/status"), value!({"status": "lost", "reason": "gone"})),
        ("GET /v1/users?limit=10&after=a%20b%26c".to_owned(), value!(null)),
        ("GET /v1/users/%c3%b6%20%2f%3f".to_owned(), value!(null)),
        ("PUT /v1/users/%c3%b6%20%2f%3f".to_owned(), serde_json::to_value(&user).unwrap()),
        ("POST /v1/users/import".to_owned(), value!({"users": [user]})),
        ("GET /v1/terminals?limit=1".to_owned(), value!(null)),
        ("POST /v1/terminals".to_owned(), serde_json::to_value(&added).unwrap()),
        ("DELETE /v1/terminals/d".to_owned(), value!(null)),
    ];
    for (asked, (line, body)) in asked.iter().zip(&expected) {
        assert_eq!((asked.0.to_ascii_lowercase(), &asked.1), (line.to_ascii_lowercase(), body));
    }
    assert_eq!(asked.len(), expected.len());
}

#[test]
fn a_server_of_another_ca_or_name_or_class_is_not_asked() {
    let (world, other) = (World::new(), World::new());
    let wrong = [
        (
            other.tls(TlsUse::Server, &["localhost"]),
            "a proxy in front of the server must not end TLS but pass it through",
        ),
        (world.tls(TlsUse::Server, &["example.org", "127.0.0.1"]), "(example.org, 127.0.0.1)"),
        (world.tls(TlsUse::Client, &[]), "the URL must use a name from the server's certificate"),
    ];
    for (identity, helps) in wrong {
        let double = Double::start_as(&world, identity, |_| json(&health()));
        let error = world.terminal(&double.url()).health().unwrap_err();
        assert!(matches!(error, ServerError::Certificate(..)), "{error:?}");
        let hint = Failure::from(error).hint.unwrap();
        assert!(hint.contains(helps), "{hint:?}");
        let issues = hint.contains("pki issue server --name example.org --name 127.0.0.1 --name localhost");
        assert_eq!(issues, helps.contains("example.org"), "{hint:?}");
        assert_eq!(double.asked(), 0);
    }
}

/// OpenSSL accepts it; our own rules are stricter.
#[test]
fn a_certificate_of_another_form_is_not_taken() {
    let (world, key) = (World::new(), server::key());
    let double = Double::start_with(&world, &key, &world.loose(&key), |_| json(&health()));
    let error = world.terminal(&double.url()).health().unwrap_err();
    let why = "not the certificate of a server".to_owned();
    assert_eq!(error, ServerError::Certificate(why, CertificateFault::Other));
    assert_eq!(double.asked(), 0);
}

#[test]
fn the_longest_answer_is_taken_and_a_longer_one_is_not() {
    let world = World::new();
    let double = Double::start(&world, |asked| {
        let more = usize::from(asked.line.ends_with("openapi.json"));
        let kind = if more == 0 { "application/openmetrics-text" } else { "application/json" };
        answer(200, &format!("{kind}; x={}", "x".repeat(4096)), &vec![b'x'; ANSWER_MAX + more])
    });
    let terminal = world.terminal(&double.url());
    assert_eq!(terminal.metrics().unwrap().len(), ANSWER_MAX);
    let error = terminal.openapi().unwrap_err();
    assert_eq!(error, ServerError::Protocol("an answer of more than 512 KiB".into()));
}

/// The hint differs from that for a wrong name.
#[test]
fn a_server_whose_certificate_has_ended_is_renewed_there() {
    let world = World::new();
    let identity = world.tls_until(TlsUse::Server, &["localhost"], "2021-01-01T00:00:00Z");
    let double = Double::start_as(&world, identity, |_| json(&health()));
    let error = world.terminal(&double.url()).health().unwrap_err();
    assert!(matches!(error, ServerError::CertificateTime(_)), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!(failure.code, "server.certificate");
    assert!(failure.hint.as_deref().unwrap().contains("clock"), "{:?}", failure.hint);
    assert_eq!(double.asked(), 0);
}

/// No hint names a command that has just failed, or that the server allows only to registered terminals.
#[test]
fn a_hint_for_whom_the_server_refuses_says_what_lets_it_in() {
    const BUNDLE: &str = "rollcall server terminal add NAME";
    for (code, helps) in [
        ("terminal.unknown", ["rollcall pki import FILE", BUNDLE]),
        ("terminal.revoked", ["stays out until an administrator", BUNDLE]),
        ("terminal.expired", ["whether both clocks are right", BUNDLE]),
        ("terminal.later", ["missed a rotation of the CA", BUNDLE]),
        ("terminal.role", ["another role", "--role"]),
    ] {
        let failure = Failure::from(failure(move |_| problem(403, code)));
        assert_eq!(failure.code, "server.refused");
        let hint = failure.hint.as_deref().unwrap();
        assert!(!hint.contains("pki renew") && !hint.contains("terminal list"), "{code}: {hint}");
        assert!(helps.into_iter().all(|words| hint.contains(words)), "{code}: {hint}");
    }
}

#[test]
fn an_address_is_a_name_too() {
    let world = World::new();
    let double = Double::start_as(&world, world.tls(TlsUse::Server, &["127.0.0.1"]), |_| json(&health()));
    let url = format!("https://127.0.0.1:{}", double.address.port());
    assert!(world.terminal(&url).health().is_ok());
}

/// The TLS alert says which of the two is the reason.
#[test]
fn a_terminal_of_another_ca_or_time_is_told_that_it_is_refused() {
    let (world, other) = (World::new(), World::new());
    let double = Double::start(&world, |_| json(&health()));
    let limits = RequestLimits { connect: Duration::from_secs(10), request: Duration::from_secs(20) };
    for ((key, certificate), code) in [
        (other.tls(TlsUse::Client, &[]), None),
        (world.tls_until(TlsUse::Client, &[], "2021-01-01T00:00:00Z"), Some(ProblemCode::TerminalExpired)),
    ] {
        let authorities = std::slice::from_ref(&world.authority);
        let terminal = ServerClient::connect(&double.url(), &key, &certificate, authorities, limits).unwrap();
        assert_eq!(terminal.trusted(), [*world.authority.point()]);
        let error = terminal.health().unwrap_err();
        assert!(matches!(&error, ServerError::Refused(_, why) if *why == code), "{error:?}");
    }
    assert_eq!(double.asked(), 0);
}

#[test]
fn nobody_there() {
    let world = World::new();
    // This port was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = world.terminal(&format!("https://localhost:{port}")).health().unwrap_err();
    assert!(error.to_string().contains(&format!(": localhost:{port}: ")), "{error}");
    assert_eq!(Failure::from(error).class.exit_status(), 69);
}

/// RFC 6761, 6.4: there is no such name anywhere.
#[test]
fn a_name_without_an_address_is_told_from_a_server_that_is_off() {
    let error = World::new().terminal("https://nowhere.invalid:7443").health().unwrap_err();
    assert!(matches!(&error, ServerError::Unresolved(host, _) if host == "nowhere.invalid"), "{error:?}");
    let failure = Failure::from(error);
    assert_eq!((failure.code, failure.class.exit_status()), ("server.unreachable", 69));
    assert!(failure.hint.as_deref().unwrap().contains("getent hosts nowhere.invalid"), "{:?}", failure.hint);
}

#[test]
fn a_server_that_dies_in_the_middle_is_away() {
    let none = failure(|_| None);
    assert!(matches!(none, ServerError::Unreachable(_)), "{none:?}");
    let head =
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{";
    let cut = failure(|_| Some(head.into()));
    assert!(matches!(cut, ServerError::Unreachable(_)), "{cut:?}");
}

/// A server that accepts the connection and then says nothing, before TLS or after the request.
#[test]
fn a_slow_server_is_given_up() {
    let world = World::new();
    let limits = RequestLimits { connect: Duration::from_millis(300), request: Duration::from_millis(600) };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    assert_eq!(world.terminal_with(&url, limits).health().unwrap_err(), ServerError::Slow);

    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let waits = gate.clone();
    let limits = RequestLimits { connect: Duration::from_secs(10), request: Duration::from_secs(2) };
    let double = Double::start(&world, move |asked| {
        if asked.line.ends_with("openapi.json") {
            // The head of an answer, but never its body.
            return Some(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n".into());
        }
        drop(waits.lock());
        None
    });
    let terminal = world.terminal_with(&double.url(), limits);
    assert_eq!(terminal.openapi().unwrap_err(), ServerError::Slow);
    assert_eq!(terminal.health().unwrap_err(), ServerError::Slow);
    drop(held);
}

/// What is allowed for a request counts for connecting, too; by default a server that is off is given up soon.
#[test]
fn connecting_may_take_longer_where_a_request_may() {
    let connect = |seconds| RequestLimits::within(Duration::from_secs(seconds)).connect;
    assert_eq!(RequestLimits::within(Duration::from_secs(5)), RequestLimits::default());
    for (request, connecting) in [(1, 2), (5, 2), (10, 4), (20, 8)] {
        assert_eq!(connect(request), Duration::from_secs(connecting), "{request}");
    }
}

/// A link on which nothing arrives for longer than connecting takes by default.
#[test]
fn a_slow_link_is_waited_for_where_more_is_allowed() {
    let world = World::new();
    let double = Double::start(&world, |_| json(&health()));
    let link = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", link.local_addr().unwrap().port());
    let there = double.address;
    thread::spawn(move || {
        for here in link.incoming().flatten() {
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(2500));
                let server = TcpStream::connect(there).unwrap();
                let (mut back, mut forth) = (server.try_clone().unwrap(), here.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut back, &mut forth));
                let (mut from, mut to) = (here, server);
                // Who gave up has closed the connection.
                let _ = io::copy(&mut from, &mut to);
            });
        }
    });
    let health_within =
        |seconds| world.terminal_with(&url, RequestLimits::within(Duration::from_secs(seconds))).health();
    assert_eq!(health_within(5), Err(ServerError::Slow));
    assert_eq!(health_within(20), Ok(health()));
}

#[test]
fn answers_that_are_not_v1_are_refused() {
    let protocol = |answer: fn() -> server::Answer| {
        let error = failure(move |_| answer());
        assert!(matches!(error, ServerError::Protocol(_)), "{error:?}");
        assert_eq!(Failure::from(error).code, "server.protocol");
    };
    protocol(|| Some(b"garbage\r\n\r\n".into()));
    protocol(|| answer(200, "application/json", b"{"));
    protocol(|| answer(200, "application/json", b"{\"status\":\"ok\"}"));
    let page = failure(|_| answer(200, "text/html", &serde_json::to_vec(&health()).unwrap()));
    assert_eq!(page, ServerError::Protocol("an answer that is not application/json".into()));
    protocol(|| answer(200, "application/json", format!("{:?}", "a".repeat(ANSWER_MAX)).as_bytes()));
    protocol(|| answer(404, "text/html", b"not found"));
    protocol(|| answer(500, "application/problem+json", b"{}"));
    protocol(|| answer(204, "application/json", b""));
    // A problem that states another status than it came with.
    protocol(|| {
        let body = br#"{"type":"x","title":"x","status":404,"code":"token.unknown"}"#;
        answer(200 + 300, "application/problem+json", body)
    });
}

#[test]
fn a_redirect_is_not_followed() {
    let world = World::new();
    let other = Double::start(&world, |_| json(&health()));
    let location = other.url();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let double = Double::start(&world, move |_| {
            let head = format!("HTTP/1.1 {status} X\r\nLocation: {location}/v1/health\r\nContent-Length: 0\r\n\r\n");
            Some(head.into_bytes())
        });
        let error = world.terminal(&double.url()).health().unwrap_err();
        assert!(matches!(error, ServerError::Protocol(_)), "{error:?}");
    }
    assert_eq!(other.asked(), 0);
}

#[test]
fn a_problem_is_told_by_its_code() {
    let told = |status, code: &'static str| Failure::from(failure(move |_| problem(status, code)));
    let seen = |failure: &Failure| (failure.class.exit_status(), failure.code);
    assert_eq!(seen(&told(404, "token.unknown")), (77, "token.unknown"));
    assert_eq!(seen(&told(409, "proof.clone")), (77, "proof.clone"));
    assert_eq!(seen(&told(403, "terminal.revoked")), (77, "server.refused"));
    assert_eq!(seen(&told(429, "server.rate")), (75, "server.busy"));
    // A store that is away is said to be that, and its server's log has the reason; a busy server is only busy.
    let (storeless, busy) = (told(503, "server.store"), told(503, "server.busy"));
    assert_eq!((seen(&storeless), seen(&busy)), ((75, "server.busy"), (75, "server.busy")));
    assert!(storeless.message.starts_with("the server answers, but "), "{}", storeless.message);
    assert!(busy.message.starts_with("the server is busy: "), "{}", busy.message);
    let at_server =
        |failure: &Failure| failure.hint.as_deref().unwrap().ends_with("run on its machine: rollcall status");
    assert!(at_server(&storeless) && !at_server(&busy));
    assert_eq!(seen(&told(500, "server.fault")), (69, "server.fault"));
    let unknown = told(418, "tea.\u{1b}[31mpot");
    assert_eq!(seen(&unknown), (76, "server.protocol"));
    assert!(unknown.message.ends_with("(tea.[31mpot)"), "{}", unknown.message);
    assert_eq!(seen(&Failure::from(failure(|_| answer(503, "text/html", b"busy")))), (75, "server.busy"));
}

#[test]
fn an_answer_about_another_token_is_refused() {
    let world = World::new();
    let found = Lookup {
        token_id: Uuid::from_u128(7),
        status: TokenStatus::Active,
        reason: None,
        user: None,
        signed_user: None,
        proof: None,
        resume: false,
        resume_until: None,
        nonces: vec![],
    };
    let double = Double::start(&world, move |_| json(&found));
    let request = LookupRequest { token_id: ID, proof: None, identity_certificate: None, resumed: None, nonces: 0 };
    let error = world.terminal(&double.url()).lookup(&request).unwrap_err();
    assert!(matches!(error, ServerError::Protocol(_)), "{error:?}");
}

#[test]
fn only_https_with_a_host_and_nothing_more_is_a_server() {
    let world = World::new();
    let (key, certificate) = world.tls(TlsUse::Client, &[]);
    let connect = |url: &str| {
        ServerClient::connect(url, &key, &certificate, std::slice::from_ref(&world.authority), RequestLimits::default())
    };
    assert_eq!(connect("https://door").unwrap().url(), "https://door:443");
    for good in ["https://door:8443", "https://door:8443/", "https://127.0.0.1:1", "https://[::1]:8443"] {
        assert_eq!(connect(good).unwrap().url(), good.trim_end_matches('/'));
    }
    for bad in ["", "http://door", "https://", "https://a@door", "https://door/v1", "https://door:99999", "ftp://door"]
    {
        assert!(matches!(connect(bad), Err(ServerError::Url(url)) if url == bad), "{bad}");
    }
}

/// Acts like a firewall that forgets idle connections: when told, it forgets those that are open, and silently drops
/// what is sent on them later.
fn forgetful(server: std::net::SocketAddr) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        sync::atomic::AtomicUsize,
    };
    let forgotten = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let before = Arc::clone(&forgotten);
    std::thread::spawn(move || {
        for (number, near) in listener.incoming().flatten().enumerate() {
            let far = TcpStream::connect(server).unwrap();
            for (mut from, mut to) in
                [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far.try_clone().unwrap(), near)]
            {
                let before = Arc::clone(&before);
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        if number >= before.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (url, forgotten)
}

/// Idle connections dropped by a device in between cost one short attempt, not the time limit, and the request
/// succeeds.
#[test]
fn connections_that_were_forgotten_cost_one_short_try() {
    let world = World::new();
    let both = std::sync::Barrier::new(2);
    let double = Double::start(&world, move |asked| {
        if asked.line.ends_with("openapi.json") {
            both.wait();
        }
        json(&health())
    });
    let (url, forgotten) = forgetful(double.address);
    let limit = Duration::from_secs(60);
    let terminal = world.terminal_with(&url, RequestLimits { connect: limit, request: limit });
    // Two requests at once use two connections.
    std::thread::scope(|scope| {
        for one in [(); 2].map(|()| scope.spawn(|| terminal.openapi())) {
            one.join().unwrap().unwrap();
        }
    });
    forgotten.store(2, Ordering::SeqCst);
    terminal.link.age(Duration::from_secs(30));
    let begun = std::time::Instant::now();
    terminal.health().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(double.connections.load(Ordering::SeqCst), 3);
    // The new one is kept, and a live one is used again after a while.
    terminal.link.age(Duration::from_secs(30));
    terminal.health().unwrap();
    assert_eq!(double.connections.load(Ordering::SeqCst), 3);
}
