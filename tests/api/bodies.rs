//! Request bodies: parsed strictly, and limited in size, number and time; internal errors are reported as such.

use rollcall::api::v1::Role;
use serde_json::{Value, json};

use super::{Kind, Site, token::Token};

case!(EachStore, each_body_is_read_strictly);
fn each_body_is_read_strictly(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let send = |head: &str, body: &[u8]| {
        let mut raw = site.admin.raw(server.port);
        let answer = raw.send(&format!("POST /v1/nonces HTTP/1.1\r\nHost: localhost\r\n{head}\r\n"), body).unwrap();
        (answer.status, answer.code())
    };
    let typed = |body: &str| {
        let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        send(&head, body.as_bytes())
    };
    for bad in ["", "{", "[]", "{}", r#"{"count":"1"}"#, r#"{"count":1,"more":1}"#, r#"{"count":-1}"#, "\u{FEFF}{}"] {
        assert_eq!(typed(bad), (400, "request.malformed".into()), "{bad}");
    }
    let nested = format!(r#"{{"count":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(typed(&nested), (400, "request.malformed".into()));
    let body = r#"{"count":1}"#;
    for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let head = format!("{kind}Content-Length: {}\r\n", body.len());
        assert_eq!(send(&head, body.as_bytes()), (415, "request.media-type".into()), "{kind}");
    }
    // Rejected by its declared length before it is sent, or while it arrives if it declares none.
    let head = "Content-Type: application/json\r\nContent-Length: 262145\r\n";
    assert_eq!(send(head, b""), (413, "request.too-large".into()));
    let chunk = [format!("{:x}\r\n", 262_200).as_bytes(), &vec![b' '; 262_200], b"\r\n0\r\n\r\n"].concat();
    let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(send(head, &chunk), (413, "request.too-large".into()));
    // A body that breaks off is malformed, not too long.
    assert_eq!(send(head, b"no chunk\r\n"), (400, "request.malformed".into()));
    let padded = format!("{}{body}", " ".repeat(262_144 - body.len()));
    let head = format!(
        "POST /v1/nonces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        padded.len()
    );
    let mut open = site.admin.raw(server.port);
    open.begin(&head, padded.as_bytes()).unwrap();
    // A client that closes its sending side still gets the answer.
    open.end_half();
    assert_eq!(open.answer().unwrap().status, 200);
    // Paths are checked as strictly, and answers always have our format.
    let long = "x".repeat(65);
    for (method, path) in [
        ("GET", "/v1/users/%FF".to_owned()),
        ("GET", "/v1/users/%00".to_owned()),
        ("GET", "/v1/users/a%0Ab".to_owned()),
        ("GET", format!("/v1/users/{long}")),
        ("GET", "/v1/tokens/%00".to_owned()),
        ("DELETE", "/v1/terminals/%00".to_owned()),
        ("DELETE", "/v1/terminals/%C3%28".to_owned()),
    ] {
        let answer = site.admin.raw(server.port).ask(method, &path, None).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (400, "request.malformed"), "{method} {path}");
    }
    // Queries are checked like bodies.
    for query in ["since=x", "since=-1", "more=1", "since=1&since=2"] {
        let answer = site.admin.raw(server.port).ask("GET", &format!("/v1/revocations?{query}"), None).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (400, "request.malformed"), "{query}");
    }
    let answer = site.admin.raw(server.port).ask("GET", "/v1/revocations?since=9223372036854775808", None).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (422, "request.invalid"));
}

case!(EachStore, a_connection_that_the_server_breaks_off_ends_in_order);
/// Otherwise a client could not tell it from a severed connection.
fn a_connection_that_the_server_breaks_off_ends_in_order(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let mut raw = site.admin.raw(server.port);
    assert_eq!(raw.send("NO HTTP\r\n\r\n", b"").unwrap().status, 400);
    assert_eq!(raw.end(), Ok(()));
}

case!(EachStore, who_is_refused_while_it_still_sends_hears_why);
/// A server that closes on a client which sends loses its own answer; here the connection even goes on.
fn who_is_refused_while_it_still_sends_hears_why(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let json = "Content-Type: application/json\r\n";
    for (path, kind, size, refused) in [
        ("/v1/nonces", json, 300_000, (413, "request.too-large")),
        ("/v1/nonces", json, 3_000_000, (413, "request.too-large")),
        ("/v1/nonces", "", 260_000, (415, "request.media-type")),
        ("/v1/users/import", json, 260_000, (403, "terminal.role")),
        ("/v1/health", json, 260_000, (405, "request.method")),
        ("/nowhere", json, 260_000, (404, "request.route")),
    ] {
        let body = vec![b' '; size];
        let chunk = [format!("{size:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let whole = (format!("Content-Length: {size}\r\n"), body);
        for (length, body) in [whole, ("Transfer-Encoding: chunked\r\n".to_owned(), chunk)] {
            let mut raw = door.raw(server.port);
            let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}{length}\r\n");
            for _ in 0..5 {
                let answer = raw.send(&head, &body).unwrap();
                assert_eq!((answer.status, answer.code().as_str()), refused, "{path} {length}");
            }
            assert_eq!(raw.ask("GET", "/v1/health", None).unwrap().status, 200, "{path} {length}");
        }
    }
}

case!(EachStore, what_keeps_to_its_schema_is_taken_in_every_form);
/// As JSON Schema has them: a UUID in capitals, a time with more digits than are kept, `1.0` as a whole number.
fn what_keeps_to_its_schema_is_taken_in_every_form(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let token = Token::new();
    site.admin.client(server.port).register_token(&token.request("7")).unwrap();
    let mut raw = site.admin.raw(server.port);
    let capitals = token.id.to_string().to_uppercase();
    let found = raw.ask("GET", &format!("/v1/tokens/{capitals}"), None).unwrap();
    assert_eq!((found.status, found.json()["token_id"].as_str()), (200, Some(token.id.to_string().as_str())));
    let body = json!({ "status": "lost", "reason": "x" });
    assert_eq!(raw.ask("PUT", &format!("/v1/tokens/{capitals}/status"), Some(&body)).unwrap().status, 200);
    for other in ["x".to_owned(), uuid::Uuid::nil().to_string()] {
        assert_eq!(raw.ask("GET", &format!("/v1/tokens/{other}"), None).unwrap().code(), "token.unknown");
    }

    let event = |seq: &str, event: &str| {
        format!(
            r#"{{"schema":"rollcall.event/1","seq":{seq},"event":"{event}","at":"2026-11-22T15:04:05.1234567890123Z"}}"#
        )
    };
    let mut keep = |seq: &str, kind: &str| {
        let batch = format!(r#"{{"list":"{}","events":[{}]}}"#, uuid::Uuid::nil(), event(seq, kind));
        raw.ask("POST", "/v1/events", Some(&serde_json::from_str(&batch).unwrap())).unwrap().json()
    };
    assert_eq!(keep("1.0", "arrived"), json!({ "stored": 1, "known": 0 }));
    // The same number is the same event in both forms.
    assert_eq!(keep("1", "arrived"), json!({ "stored": 0, "known": 1 }));
    assert_eq!(keep("1", "left")["conflict"], 1);
    let query = "since=2026-11-22T15:04:05.123000000000Z&until=2026-11-22T15:04:05.124000000000Z";
    let found = raw.ask("GET", &format!("/v1/events?{query}"), None).unwrap().json();
    assert_eq!(
        (found["items"].as_array().unwrap().len(), &found["items"][0]["event"]["seq"]),
        (1, &json!(1)),
        "{found}"
    );
    for at in ["2026-11-22T15:04:05.123456789012Z", "2026-11-22T16:04:05.123456789012%2B01:00"] {
        assert_eq!(raw.ask("GET", &format!("/v1/presence?at={at}"), None).unwrap().status, 200, "{at}");
    }
    for at in [
        "",
        "2026-11-22T15:04:05.Z",
        "2026-11-22T15:04:05.123456789012",
        "x.123456789012Z",
        "2026-11-22T15:04:05.1234567890x2Z",
    ] {
        assert_eq!(raw.ask("GET", &format!("/v1/presence?at={at}"), None).unwrap().status, 400, "{at}");
    }
}

case!(EachStore, what_can_be_got_can_be_asked_for_without_its_body);
/// Health probes of proxies use HEAD.
fn what_can_be_got_can_be_asked_for_without_its_body(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let door = site.terminal(server.port, "door", Role::Read);
    let mut raw = door.raw(server.port);
    for path in ["/v1/health", "/v1/metrics", "/v1/openapi.json"] {
        let answer = raw.ask("HEAD", path, None).unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let length = answer.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert!(length.is_some_and(|length| length != "0"), "{path}: {answer:?}");
    }
    // HEAD requires the same role as GET.
    assert_eq!(raw.ask("HEAD", "/v1/users", None).unwrap().status, 403);
    assert_eq!(raw.ask("HEAD", "/v1/nonces", None).unwrap().status, 405);
}

case!(EachStore, counters_come_in_the_format_that_is_asked_for);
fn counters_come_in_the_format_that_is_asked_for(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let ask = |accept: &str| {
        let head = format!("GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n");
        let answer = site.admin.raw(server.port).send(&head, b"").unwrap();
        (answer.head, String::from_utf8(answer.body).unwrap())
    };
    let open = ("content-type: application/openmetrics-text; version=1.0.0", "# TYPE rollcall_nonces counter\n");
    let plain = ("content-type: text/plain; version=0.0.4", "# TYPE rollcall_nonces_total counter\n");
    let scraper = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";
    let two = "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n";
    for (accept, (kind, line)) in
        [("", open), (scraper, open), (two, open), ("Accept: */*\r\n", plain), ("Accept: \u{ff}\r\n", plain)]
    {
        let (head, text) = ask(accept);
        assert!(head.contains(kind) && head.contains("vary: accept"), "{accept}: {head}");
        assert!(text.contains(line) && text.contains("\nrollcall_nonces_total 0\n"), "{accept}: {text}");
        assert_eq!(text.ends_with("# EOF\n"), line == open.1, "{accept}: {text}");
    }
}

case!(EachStore, values_out_of_bounds_are_refused);
fn values_out_of_bounds_are_refused(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let (id, mut cases) = (uuid::Uuid::nil(), Vec::new());
    let user = |id: &str, name: &str| json!({ "id": id, "name": name });
    let long = |length| "x".repeat(length);
    for count in [0, 65, 65_535] {
        cases.push(("POST", "/v1/nonces".to_owned(), json!({ "count": count })));
    }
    cases.push(("POST", "/v1/lookups".into(), json!({ "token_id": id, "nonces": 65 })));
    cases.push(("POST", "/v1/lookups".into(), json!({ "token_id": id, "identity_certificate": "AA" })));
    for bad in [user("7", ""), user("8", "Ada"), user("7", &long(257)), user("7", "a\u{0}b"), user("7", "a\u{1b}b")] {
        cases.push(("PUT", "/v1/users/7".into(), bad));
    }
    let wide: serde_json::Map<_, _> = (0..33).map(|n| (n.to_string(), json!("x"))).collect();
    cases.push(("PUT", "/v1/users/7".into(), json!({ "id": "7", "name": "Ada", "fields": wide })));
    cases.push(("PUT", "/v1/users/7".into(), json!({ "id": "7", "name": "Ada", "fields": { "a": long(1025) } })));
    cases.push(("PUT", "/v1/users/7".into(), json!({ "id": "7", "name": "Ada", "fields": { "": "x" } })));
    let import = |users: Vec<Value>| ("POST", "/v1/users/import".to_owned(), json!({ "users": users }));
    cases.push(import(vec![]));
    cases.push(import(vec![user("1", "a"), user("1", "a")]));
    cases.push(import((0..501).map(|n| user(&n.to_string(), "a")).collect()));
    let event = |seq: Value| json!({ "schema": "rollcall.event/1", "seq": seq });
    let events = |events: Vec<Value>| ("POST", "/v1/events".to_owned(), json!({ "list": id, "events": events }));
    cases.push(events(vec![]));
    cases.push(events((1..=257).map(|n| event(json!(n))).collect()));
    for seq in [json!(0), json!(-1), json!("1"), json!(1.5), Value::Null] {
        cases.push(events(vec![event(seq)]));
    }
    cases.push(events(vec![event(json!(2)), event(json!(1))]));
    cases.push(events(vec![json!({ "schema": "rollcall.event/2", "seq": 1 })]));
    let status = |body| ("PUT", format!("/v1/tokens/{id}/status"), body);
    cases.push(status(json!({ "status": "suspended" })));
    cases.push(status(json!({ "status": "active", "reason": "x" })));
    cases.push(status(json!({ "status": "lost", "reason": long(201) })));
    cases.push(status(json!({ "status": "lost", "reason": "" })));
    let token = Token::new();
    let registration = |change: fn(&mut Value)| {
        let mut request = serde_json::to_value(token.request("7")).unwrap();
        change(&mut request);
        ("POST", "/v1/tokens".to_owned(), request)
    };
    cases.push(registration(|r| r["identity_key"] = r["ecka_key"].clone()));
    cases.push(registration(|r| r["identity_key"] = json!("AA")));
    cases.push(registration(|r| r["ecka_key"] = json!("B".repeat(87))));
    cases.push(registration(|r| r["replaces"] = r["token_id"].clone()));
    cases.push(registration(|r| r["user"]["id"] = json!("")));
    let terminal = |name: &str| {
        let body = json!({ "name": name, "role": "read", "tls_request": "AA", "ecka_request": "AA" });
        ("POST", "/v1/terminals".to_owned(), body)
    };
    for name in ["", "a b", "ü", "a/b", &long(65)] {
        cases.push(terminal(name));
    }
    cases.push(terminal("door"));
    let (before, mut raw) = (site.verify(&[]), site.admin.raw(server.port));
    for (method, path, body) in &cases {
        let answer = raw.ask(method, path, Some(body)).unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (422, "request.invalid"), "{method} {path} {body}");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer:?}");
    }
    for path in ["/v1/users?limit=0", "/v1/users?limit=501", "/v1/tokens?limit=0", "/v1/terminals?limit=501"] {
        assert_eq!(raw.ask("GET", path, None).unwrap().code(), "request.invalid", "{path}");
    }
    // Rejected requests left nothing behind, not even an audit record.
    assert_eq!(site.verify(&[]), before);
    println!("{} bodies refused", cases.len());
}

case!(EachStore, as_many_nonces_come_as_the_bound_says_and_for_a_day);
fn as_many_nonces_come_as_the_bound_says_and_for_a_day(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let request = serde_json::to_value(Token::new().request("7")).unwrap();
    let mut raw = site.admin.raw(server.port);
    assert_eq!(raw.ask("POST", "/v1/tokens", Some(&request)).unwrap().status / 100, 2);
    let day = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let lookup = json!({ "token_id": request["token_id"], "nonces": 64 });
    for (path, body) in [("/v1/lookups", lookup), ("/v1/nonces", json!({ "count": 64 }))] {
        let answer = raw.ask("POST", path, Some(&body)).unwrap().json();
        let nonces = answer["nonces"].as_array().unwrap();
        assert_eq!(nonces.len(), 64, "{path}");
        for nonce in nonces {
            let use_by: jiff::Timestamp = nonce["use_by"].as_str().unwrap().parse().unwrap();
            assert!((0..600).contains(&use_by.duration_since(day).as_secs()), "{path}: {use_by}");
        }
    }
}

case!(EachStore, a_terminal_that_asks_too_often_waits);
fn a_terminal_that_asks_too_often_waits(kind: &Kind) {
    let site = Site::new(kind);
    let calm = site.start();
    let (door, desk) = (site.terminal(calm.port, "door", Role::Read), site.terminal(calm.port, "desk", Role::Read));
    drop(calm);
    let server = site.start_on(0, "5");
    let mut raw = door.raw(server.port);
    let answers: Vec<_> = (0..40).map(|_| raw.ask("GET", "/v1/health", None).unwrap()).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && answers[..10].iter().all(|answer| answer.status == 200));
    for answer in refused {
        assert_eq!(answer.code(), "server.rate");
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
    assert_eq!(desk.raw(server.port).ask("GET", "/v1/health", None).unwrap().status, 200);
}

case!(EachStore, a_fault_is_logged_and_not_described);
fn a_fault_is_logged_and_not_described(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    site.sql("ALTER TABLE events RENAME TO elsewhere");
    let body = json!({ "list": uuid::Uuid::nil(), "events": [{ "schema": "rollcall.event/1", "seq": 1 }] });
    let answer = site.admin.raw(server.port).ask("POST", "/v1/events", Some(&body)).unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (500, "server.fault"));
    let told = answer.json();
    assert_eq!((told.get("detail"), told["title"].as_str()), (None, Some("the server failed")));
    assert!(!String::from_utf8(answer.body).unwrap().contains("events"));
    // It appears in our log as soon as that is written.
    let logged = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        server.said().contains("events")
    });
    assert!(logged, "{}", server.said());
    site.sql("ALTER TABLE elsewhere RENAME TO events");
    assert_eq!(site.admin.raw(server.port).ask("POST", "/v1/events", Some(&body)).unwrap().status, 200);
}
