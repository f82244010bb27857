//! Authorisation: every route with every role, unknown terminals, and revocations.

use jiff::Timestamp;
use rollcall::{
    api::v1::Role,
    crypto::{
        ec::KeyPair,
        random::SystemRandom,
        x509::{TlsCertificate, TlsTemplate, TlsUse},
    },
    server::{openapi, routes::ROUTES},
};
use serde_json::{Value, json};

use super::{Kind, Site, raw::Raw, token::Token};

/// A request that a route accepts, as far as that is possible without changing permissions.
fn body(path: &str, token: &Token) -> Option<Value> {
    let request = serde_json::to_value(token.request("7")).unwrap();
    Some(match path {
        "/v1/nonces" => json!({ "count": 1 }),
        "/v1/lookups" => json!({ "token_id": token.id }),
        "/v1/events" => json!({ "list": token.id, "events": [{ "schema": "rollcall.event/1", "seq": 1 }] }),
        "/v1/terminals/self/renewal" => json!({ "tls_request": "AA", "ecka_request": "AA" }),
        "/v1/tokens" => request,
        "/v1/users/{id}" => json!({ "id": "7", "name": "Ada" }),
        "/v1/users/import" => json!({ "users": [{ "id": "7", "name": "Ada" }] }),
        "/v1/tokens/{id}/status" => json!({ "status": "active" }),
        "/v1/terminals" => {
            json!({ "name": "x", "role": "read", "tls_request": "AA", "ecka_request": "AA" })
        }
        _ => return None,
    })
}

fn ask(raw: &mut Raw, method: &str, path: &str, token: &Token) -> super::raw::Answer {
    let real =
        path.replace("/users/{id}", "/users/7").replace("{id}", &token.id.to_string()).replace("{name}", "nobody");
    let body = body(path, token).filter(|_| method == "POST" || method == "PUT");
    raw.ask(method, &real, body.as_ref()).unwrap()
}

case!(EachStore, each_route_takes_its_role_and_higher_ones);
fn each_route_takes_its_role_and_higher_ones(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let roles = [Role::Read, Role::Enroll, Role::Admin];
    let terminals: Vec<_> = roles.iter().map(|role| site.terminal(server.port, &format!("{role:?}"), *role)).collect();
    let token = Token::new();
    site.admin.client(server.port).register_token(&token.request("7")).unwrap();
    let mut cells = 0;
    for route in &ROUTES {
        for (role, terminal) in roles.iter().zip(&terminals) {
            let mut raw = terminal.raw(server.port);
            let answer = ask(&mut raw, route.method, route.path, &token);
            if *role < route.role {
                assert_eq!((answer.status, answer.code().as_str()), (403, "terminal.role"), "{route:?} {role:?}");
            } else {
                // A route may reject the made-up values of this test, but never the sender.
                assert!(
                    ![401, 403, 404, 405, 500, 503].contains(&answer.status) || route.path.contains("{name}"),
                    "{route:?} {answer:?}"
                );
            }
            cells += 1;
        }
    }
    println!("{cells} cells of role and route");
    assert_eq!(server.said().lines().filter(|line| line.contains("warning")).count(), 0, "{}", server.said());
}

/// A certificate of this CA for a key, with this use.
fn certificate(site: &Site, key: &KeyPair, usage: TlsUse, ca: &KeyPair, until: Timestamp) -> Vec<u8> {
    let names = [rollcall::crypto::x509::ServerName::parse("localhost").unwrap()];
    let template = TlsTemplate {
        usage,
        names: if usage == TlsUse::Server { &names } else { &[] },
        subject: "stranger",
        key: key.public(),
        not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
        not_after: until,
    };
    let issuer = site.admin.authority.name();
    TlsCertificate::issue(ca, issuer, &template, &mut SystemRandom).unwrap().der().to_vec()
}

case!(EachStore, strangers_do_not_come_in);
fn strangers_do_not_come_in(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let pem = std::fs::read(site.pki().folder().join("ca.key")).unwrap();
    let ca = KeyPair::from_pem(&pem).unwrap();
    let other = KeyPair::generate(&mut SystemRandom).unwrap();
    let key = KeyPair::generate(&mut SystemRandom).unwrap();
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let before = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let authority = site.admin.authority.der();
    let get = |identity: super::raw::Identity<'_>| {
        let mut raw = Raw::connect(server.port, authority, identity)?;
        raw.ask("GET", "/v1/health", None)
    };
    // Not one byte of HTTP for who has no certificate, one of another CA, of a server, of a card's class, or an old
    // one. A client that sends its request right after the handshake still learns the reason.
    let body = vec![b' '; 256 * 1024];
    let head = format!("POST /v1/nonces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    for _ in 0..10 {
        let told = Raw::connect(server.port, authority, None).unwrap().send(&head, &body).unwrap_err();
        assert!(told.contains("certificate required"), "{told}");
    }
    for (what, der) in [
        ("another CA", certificate(&site, &key, TlsUse::Client, &other, later)),
        ("a server", certificate(&site, &key, TlsUse::Server, &ca, later)),
        ("expired", certificate(&site, &key, TlsUse::Client, &ca, before)),
    ] {
        assert!(get(Some((&key, &der))).is_err(), "{what}");
    }
    let ecka = site.pki().load_terminal(Timestamp::now()).unwrap();
    assert!(get(Some((&ecka.key, ecka.certificate.der()))).is_err(), "a card's class");
    // A certificate of our CA for a client that is not registered.
    let der = certificate(&site, &key, TlsUse::Client, &ca, later);
    let answer = get(Some((&key, &der))).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (403, "terminal.unknown"));
    // Not even what there is.
    let mut raw = Raw::connect(server.port, authority, Some((&key, &der))).unwrap();
    assert_eq!(raw.ask("GET", "/nowhere", None).unwrap().code(), "terminal.unknown");
}

case!(EachStore, a_revocation_holds_on_open_connections);
fn a_revocation_holds_on_open_connections(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let mut open = door.raw(server.port);
    assert_eq!(open.ask("GET", "/v1/health", None).unwrap().status, 200);
    site.admin.client(server.port).revoke_terminal("door").unwrap();
    for path in ["/v1/health", "/v1/revocations", "/nowhere"] {
        assert_eq!(open.ask("GET", path, None).unwrap().code(), "terminal.revoked");
    }
    assert_eq!(door.raw(server.port).ask("GET", "/v1/health", None).unwrap().code(), "terminal.revoked");
    let renewal = json!({ "tls_request": "AA", "ecka_request": "AA" });
    let answer = open.ask("POST", "/v1/terminals/self/renewal", Some(&renewal)).unwrap();
    assert_eq!(answer.code(), "terminal.revoked");
}

case!(EachStore, the_document_and_the_routes_are_one);
/// Tries every path of the document with every method: only documented ones are served.
fn the_document_and_the_routes_are_one(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let served = site.admin.client(server.port).openapi().unwrap();
    assert_eq!(served, openapi::document());
    let token = Token::new();
    site.admin.client(server.port).register_token(&token.request("7")).unwrap();
    let paths = served["paths"].as_object().unwrap();
    let mut found = 0;
    for (path, item) in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] {
            let mut raw = site.admin.raw(server.port);
            let answer = ask(&mut raw, method, path, &token);
            let described = item.get(method.to_lowercase()).is_some();
            // Whatever supports GET supports HEAD (RFC 9110, 9.3.2).
            let served = described || method == "HEAD" && item.get("get").is_some();
            assert_eq!(answer.status == 405, !served, "{method} {path}: {answer:?}");
            found += usize::from(described);
        }
    }
    assert_eq!(found, ROUTES.len());
    for path in
        ["/", "/v1", "/v1/", "/v1/users/", "/v1/tokens/x/y", "/v2/health", "/v1/health/", "/v1//health", "/V1/health"]
    {
        let answer = site.admin.raw(server.port).ask("GET", path, None).unwrap();
        // An empty id is not an id.
        assert!(answer.status == 404, "{path}: {answer:?}");
    }
    // The document is kept, so that a change of the contract is seen.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/openapi.json");
    let text = format!("{:#}\n", openapi::document());
    if std::env::var_os("ROLLCALL_TEST_OVERWRITE").is_some() {
        std::fs::write(kept, &text).unwrap();
    }
    let same = std::fs::read_to_string(kept).unwrap() == text;
    assert!(same, "tests/api/openapi.json is another document: ROLLCALL_TEST_OVERWRITE=1 writes it anew");
}

case!(EachStore, no_tickets_and_no_older_tls);
fn no_tickets_and_no_older_tls(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let mut raw = site.admin.raw(server.port);
    assert_eq!(raw.ask("GET", "/v1/health", None).unwrap().status, 200);
    assert_eq!(raw.tls(), ("TLSv1.3", false));
    let pki = site.pki().folder().to_owned();
    let at = format!("localhost:{}", server.port);
    let file = |name: &str| pki.join(name).to_str().unwrap().to_owned();
    let s_client = |more: &[&str]| {
        let mut arguments =
            vec!["s_client".to_owned(), "-connect".into(), at.clone(), "-CAfile".into(), file("ca.crt")];
        arguments.extend(["-verify_return_error".into(), "-servername".into(), "localhost".into()]);
        arguments.extend(more.iter().map(ToString::to_string));
        let output = std::process::Command::new("openssl").args(arguments).stdin(std::process::Stdio::null()).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (certificate, key) = (file("terminal-tls.crt"), file("terminal-tls.key"));
    let ours = ["-cert", certificate.as_str(), "-key", key.as_str()];
    let (done, told) = s_client(&ours);
    assert!(done && told.contains("TLSv1.3") && told.contains("Verify return code: 0 (ok)"), "{told}");
    assert!(!told.contains("New Session Ticket") && told.contains("Acceptable client certificate CA names"), "{told}");
    let (done, told) = s_client(&[&ours[..], &["-tls1_2"]].concat());
    assert!(!done && told.contains("alert protocol version"), "{told}");
    let (done, told) = s_client(&[&ours[..], &["-alpn", "h2"]].concat());
    assert!(!done && told.contains("alert no application protocol"), "{told}");
    let (done, told) = s_client(&[&ours[..], &["-alpn", "h2,http/1.1"]].concat());
    assert!(done && told.contains("ALPN protocol: http/1.1"), "{told}");
}
