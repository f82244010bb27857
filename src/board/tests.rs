//! The board over real connections: the content of every answer, resuming the stream, and access control.

mod portraits;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use openssl::{
    asn1::Asn1Time,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::PKey,
    ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode},
    x509::{X509, X509NameBuilder},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Board, BoardError, BoardFields, BoardHub, BoardOptions, RollSnapshot,
    answers::Answers,
    gate::Gate,
    links::Links,
    page,
    roll::{ReaderFault, ReportedFault},
    texts_of,
};
use crate::{
    api::{User, event::Event},
    crypto::random::SystemRandom,
    failure::{ErrorObject, Failure},
    terminal::presence::{EventKind, Reason, Source},
};

fn event(kind: EventKind, seq: u64, who: u128) -> Event {
    let fields = [("team".to_owned(), "Bombe".to_owned()), ("birthday".to_owned(), "1912-06-23".to_owned())];
    let user = User { id: format!("secret-{who}"), name: format!("Person {who}"), fields: fields.into() };
    Event {
        event: kind,
        seq,
        at: Timestamp::UNIX_EPOCH,
        reader: Some("Reader 00 00".to_owned()),
        token_id: Some(Uuid::from_u128(who)),
        user: Some(user),
        source: Some(Source::Card),
        authenticated: Some(true),
        resumed: None,
        reason: (kind == EventKind::Left).then_some(Reason::Lifted),
        error: None,
        by: None,
        note: None,
    }
}

/// A user who is entered by hand is marked; one who has tapped is not.
#[test]
fn who_was_entered_by_hand_is_marked() {
    let hub = hub(&[]);
    let by_hand = Event { authenticated: Some(false), by: Some("desk".into()), ..event(EventKind::CheckedIn, 1, 1) };
    hub.event(&by_hand);
    hub.event(&event(EventKind::Arrived, 2, 2));
    let (_, text) = hub.after(None, Timestamp::UNIX_EPOCH).unwrap();
    let state: Value =
        serde_json::from_str(text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap()).unwrap();
    let marks = |people: Vec<&Value>| people.iter().map(|one| one["by_hand"] == true).collect::<Vec<_>>();
    assert_eq!(marks(state["people"].as_array().unwrap().iter().collect()), [true, false]);
    assert_eq!(marks(state["latest"].as_array().unwrap().iter().map(|told| &told["person"]).collect()), [true, false]);
    assert!(state.get("reported").is_none() && !text.contains("desk"), "{text}");
}

fn hub(fields: &[&str]) -> Arc<BoardHub> {
    let fields = BoardFields(fields.iter().map(|field| (*field).to_owned()).collect());
    let names = Box::new(|reader: &str| reader.replace("Reader 00 00", "North door"));
    let expected = vec![User { id: "secret-1".into(), name: "Person 1".into(), ..User::default() }];
    Arc::new(BoardHub::new(RollSnapshot::default(), fields, names, Some(expected), &mut SystemRandom).unwrap())
}

fn options(listen: &str, folder: &Path) -> BoardOptions {
    BoardOptions {
        listen: listen.parse().unwrap(),
        hosts: vec!["desk.example".to_owned()],
        tls: None,
        state_folder: folder.to_owned(),
        title: Some("Tor \"A\"".to_owned()),
        texts: None,
    }
}

fn local(hub: &Arc<BoardHub>) -> Board {
    Board::start(&options("127.0.0.1:0", Path::new("/nowhere")), Arc::clone(hub)).unwrap()
}

fn connect(board: &Board) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", board.address().port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The answer to a request that closes the connection.
fn ask(board: &Board, method: &str, path: &str, more: &str) -> String {
    let mut stream = connect(board);
    let host = board.address();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A stream of messages, as a browser reads it.
struct Messages<S> {
    stream: S,
    text: String,
}

impl<S: Read + Write> Messages<S> {
    fn open(mut stream: S, host: &str, more: &str) -> Self {
        write!(stream, "GET /events HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").unwrap();
        let mut messages = Self { stream, text: String::new() };
        let head = messages.upto("\r\n\r\n").unwrap();
        assert_eq!(status(&head), 200, "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
        messages
    }

    fn upto(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.text.find(end) {
                let rest = self.text.split_off(at + end.len());
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let mut buffer = [0; 8192];
            let read = self.stream.read(&mut buffer).unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// The next message with content: its id, its kind, and its data.
    fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            let message = self.upto("\n\n")?;
            let field = |name: &str| {
                let line = message.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::trim).map(str::to_owned)
            };
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                return Some((id, field("event:").unwrap_or_default(), serde_json::from_str(&data).unwrap()));
            }
        }
    }
}

fn messages(board: &Board, more: &str) -> Messages<TcpStream> {
    Messages::open(connect(board), &board.address().to_string(), more)
}

#[test]
fn every_answer_is_strict() {
    let hub = hub(&[]);
    let board = local(&hub);
    let asked = page::FILES.iter().map(|file| ("GET", file.path, 200));
    for (method, path, expected) in
        asked.chain([("GET", "/about.json", 200), ("GET", "/nothing", 404), ("PUT", "/", 405)])
    {
        let answer = ask(&board, method, path, "");
        assert_eq!(status(&answer), expected, "{path}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "x-frame-options: deny",
            "cross-origin-resource-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(head.contains(header), "{path}: {header}\n{head}");
        }
        assert!(!head.contains("access-control") && !head.contains("unsafe"), "{head}");
        assert!(!head.contains("\r\nserver:"), "{head}");
    }
    let about: Value =
        serde_json::from_str(ask(&board, "GET", "/about.json", "").split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(about, serde_json::json!({ "title": "Tor \"A\"", "texts": null }));
    assert!(ask(&board, "HEAD", "/board.css", "").ends_with("\r\n\r\n"), "a body where none was asked for");
}

#[test]
fn what_is_shown_of_somebody_is_what_the_operator_chose() {
    for (fields, shown) in [(&[][..], None), (&["team"][..], Some("Bombe"))] {
        let hub = hub(fields);
        hub.event(&event(EventKind::Arrived, 1, 1));
        let board = local(&hub);
        let (_, kind, state) = messages(&board, "").next().unwrap();
        assert_eq!(kind, "state");
        let person = &state["people"][0];
        assert_eq!(person["name"], "Person 1");
        assert_eq!(person["door"], "North door");
        assert_eq!(person["expected"], 0);
        assert_eq!(person["fields"].get("team").and_then(Value::as_str), shown);
        for hidden in ["secret", "1912", "00000000-0000", "Reader 00 00"] {
            assert!(!state.to_string().contains(hidden), "{hidden}: {state}");
        }
    }
}

#[test]
fn a_page_that_slept_lacks_nothing() {
    let hub = hub(&[]);
    let board = local(&hub);
    hub.event(&event(EventKind::Arrived, 1, 1));
    let mut awake = messages(&board, "");
    let (id, kind, state) = awake.next().unwrap();
    assert_eq!((kind.as_str(), state["people"].as_array().unwrap().len()), ("state", 1));
    for who in 2..=700_u64 {
        hub.event(&event(EventKind::Arrived, who, u128::from(who)));
    }
    hub.server(true, Timestamp::UNIX_EPOCH);
    let mut woken = messages(&board, &format!("Last-Event-ID: {id}\r\n"));
    for messages in [&mut awake, &mut woken] {
        let told: Vec<_> = (2..=700).map(|_| messages.next().unwrap()).collect();
        for (who, (_, kind, change)) in (2..).zip(&told) {
            assert_eq!((kind.as_str(), &change["kind"]), ("", &"arrived".into()));
            assert_eq!(change["person"]["name"], format!("Person {who}"));
        }
        let (last, _, change) = messages.next().unwrap();
        assert_eq!(change["equipment"]["server_away"], 0);
        assert!(last.ends_with("-701"), "{last}");
    }
    for unknown in ["0000000000000000-1", "x", "", "99-", &format!("{}0", awake.next_id(&hub))] {
        let (_, kind, state) = messages(&board, &format!("Last-Event-ID: {unknown}\r\n")).next().unwrap();
        assert_eq!((kind.as_str(), state["people"].as_array().unwrap().len()), ("state", 701), "{unknown}");
    }
}

impl Messages<TcpStream> {
    /// The id of another change.
    fn next_id(&mut self, hub: &BoardHub) -> String {
        hub.event(&event(EventKind::Arrived, 701, 701));
        self.next().unwrap().0
    }
}

/// Events that the list as read includes are not sent again; a list read later replaces what was sent.
#[test]
fn the_list_of_the_store_counts() {
    let hub = hub(&[]);
    let board = local(&hub);
    let mut messages = messages(&board, "");
    messages.next().unwrap();
    hub.event(&event(EventKind::Arrived, 1, 1));
    assert_eq!(messages.next().unwrap().2["kind"], "arrived");
    hub.reset(RollSnapshot { seq: 5, ..RollSnapshot::default() });
    let (_, kind, state) = messages.next().unwrap();
    assert_eq!((kind.as_str(), &state["people"]), ("state", &Value::Array(Vec::new())));
    hub.event(&event(EventKind::Arrived, 5, 1));
    hub.event(&event(EventKind::Arrived, 6, 2));
    assert_eq!(messages.next().unwrap().2["person"]["name"], "Person 2");
}

/// An erased person is in no message to a page; the present users and the faults stay.
#[test]
fn who_is_forgotten_is_on_no_page() {
    let hub = hub(&[]);
    for who in [1, 2, 3] {
        hub.event(&event(EventKind::Arrived, who, u128::from(who)));
    }
    hub.event(&event(EventKind::Left, 4, 3));
    hub.event(&event(EventKind::ReaderRemoved, 5, 9));
    let board = local(&hub);
    let mut messages = messages(&board, "");
    assert!(messages.next().unwrap().2.to_string().contains("Person 3"));
    // An event that the store has blanked has no effect.
    hub.event(&Event { token_id: None, user: None, ..event(EventKind::Removed, 6, 1) });
    let mut members = std::collections::BTreeMap::new();
    let _ = crate::terminal::presence::follow(&mut members, &event(EventKind::Arrived, 2, 2));
    hub.forget(RollSnapshot { seq: 6, members, ..RollSnapshot::default() });
    let (_, kind, state) = messages.next().unwrap();
    assert_eq!((kind.as_str(), state["people"].as_array().unwrap().len()), ("state", 1));
    assert_eq!((&state["people"][0]["name"], &state["latest"]), (&"Person 2".into(), &Value::Array(Vec::new())));
    assert_eq!(state["equipment"]["readers"][0]["fault"], "unplugged");
}

/// Before the list was read, nobody can be called absent.
#[test]
fn nothing_is_shown_before_the_list_was_read() {
    let unread = || {
        let names = Box::new(str::to_owned);
        let hub = BoardHub::new(RollSnapshot::default(), BoardFields::default(), names, None, &mut SystemRandom);
        Arc::new(hub.unwrap().before_the_list())
    };
    let hub = unread();
    let silent = ReportedFault { door: "north".to_owned(), fault: ReaderFault::Silent, since: None };
    hub.faults(vec![silent], Timestamp::UNIX_EPOCH);
    assert!(hub.after(None, Timestamp::UNIX_EPOCH).is_none());
    let board = local(&hub);
    let mut messages = messages(&board, "");
    assert!(messages.upto("\n\n").unwrap().contains(": beat"));
    hub.reset(RollSnapshot::default());
    let (_, kind, state) = messages.next().unwrap();
    assert_eq!((kind.as_str(), &state["equipment"]["readers"][0]["door"]), ("state", &"north".into()));
    // The page shows that the store is away, and that presence is unknown.
    let hub = unread();
    hub.store(true, Timestamp::UNIX_EPOCH);
    let told = hub.after(None, Timestamp::UNIX_EPOCH).unwrap().1;
    assert!(told.contains("store_away") && told.contains("\"unknown\":true"), "{told}");
    hub.store(false, Timestamp::UNIX_EPOCH);
    assert!(hub.after(None, Timestamp::UNIX_EPOCH).is_none());
    hub.reset(RollSnapshot::default());
    assert!(hub.after(None, Timestamp::UNIX_EPOCH).unwrap().1.contains("\"unknown\":false"));
}

/// A slow browser does not slow the watch; when it resumes it gets the state, and then everything after it.
#[test]
fn a_browser_that_does_not_read_holds_nobody_up() {
    let hub = hub(&[]);
    let board = local(&hub);
    let mut asleep = messages(&board, "");
    let begun = Instant::now();
    let mut seq = 0;
    for round in 0..40_000_u64 {
        for kind in [EventKind::Arrived, EventKind::Left] {
            seq += 1;
            hub.event(&event(kind, seq, u128::from(round % 500)));
        }
    }
    hub.event(&event(EventKind::Arrived, seq + 1, 9999));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let mut here = std::collections::BTreeSet::new();
    let mut states = 0;
    loop {
        let (_, kind, data) = asleep.next().unwrap();
        if kind == "state" {
            states += 1;
            here = data["people"].as_array().unwrap().iter().map(|person| person["key"].as_u64().unwrap()).collect();
        } else if data["kind"] == "arrived" {
            assert!(here.insert(data["person"]["key"].as_u64().unwrap()));
        } else {
            assert!(here.remove(&data["key"].as_u64().unwrap()));
        }
        if data.to_string().contains("Person 9999") {
            break;
        }
    }
    assert!(states >= 2, "it was never behind");
    assert_eq!(here.len(), 1);
}

#[test]
fn refusals_and_equipment_are_told() {
    let hub = hub(&[]);
    let board = local(&hub);
    let mut messages = messages(&board, "");
    messages.next().unwrap();
    let error = ErrorObject { code: "token.lost".into(), message: "internal".into(), hint: None, command: None };
    hub.event(&Event { error: Some(error), ..event(EventKind::Refused, 1, 3) });
    let (_, _, refused) = messages.next().unwrap();
    assert_eq!(refused["code"], "token.lost");
    assert_eq!((&refused["door"], &refused["name"]), (&"North door".into(), &"Person 3".into()));
    assert!(!refused.to_string().contains("internal"));
    for (seq, kind, fault) in [
        (2, EventKind::ReaderUnavailable, "broken"),
        (3, EventKind::ReaderRemoved, "unplugged"),
        (4, EventKind::ReaderAdded, ""),
    ] {
        hub.event(&event(kind, seq, 0));
        let (_, _, change) = messages.next().unwrap();
        assert_eq!(change["equipment"]["readers"][0]["fault"].as_str().unwrap_or_default(), fault);
    }
    hub.event(&event(EventKind::ServiceLost, 5, 0));
    assert_eq!(messages.next().unwrap().2["equipment"]["service_lost"], 0);
    hub.event(&event(EventKind::ServiceBack, 6, 0));
    assert!(messages.next().unwrap().2["equipment"].get("service_lost").is_none());
    hub.event(&event(EventKind::Arrived, 7, 1));
    let key = messages.next().unwrap().2["person"]["key"].clone();
    hub.event(&event(EventKind::Unconfirmed, 8, 1));
    assert_eq!(messages.next().unwrap().2["doubt"], true);
    hub.event(&event(EventKind::Confirmed, 9, 1));
    assert_eq!(messages.next().unwrap().2["doubt"], false);
    hub.event(&event(EventKind::Left, 10, 1));
    let left = messages.next().unwrap().2;
    assert_eq!((&left["key"], &left["reason"]), (&key, &"lifted".into()));
}

#[test]
fn who_asks_otherwise_is_refused_over_the_wire_too() {
    let hub = hub(&[]);
    hub.event(&event(EventKind::Arrived, 1, 1));
    let board = local(&hub);
    for (head, expected) in [
        ("GET /events HTTP/1.1\r\nHost: evil.example\r\n", 421),
        ("GET /events HTTP/1.1\r\n", 400),
        ("GET /events HTTP/1.1\r\nHost: HERE\r\nOrigin: http://evil.example\r\n", 403),
        ("GET /events HTTP/1.1\r\nHost: HERE\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("GET http://evil.example/events HTTP/1.1\r\nHost: HERE\r\n", 400),
        ("POST /events HTTP/1.1\r\nHost: HERE\r\nContent-Length: 0\r\n", 405),
        ("POST /login HTTP/1.1\r\nHost: HERE\r\nOrigin: http://HERE\r\nContent-Length: 0\r\n", 404),
        ("GET /../../etc/passwd HTTP/1.1\r\nHost: HERE\r\n", 404),
        ("GET /events/ HTTP/1.1\r\nHost: HERE\r\n", 404),
    ] {
        let mut stream = connect(&board);
        let head = head.replace("HERE", &board.address().to_string());
        write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), expected, "{head}");
        assert!(!answer.contains("Person"), "{answer}");
    }
}

#[test]
fn too_long_a_head_is_not_read() {
    let board = local(&hub(&[]));
    let long = ask(&board, "GET", "/", &format!("X: {}\r\n", "a".repeat(20_000)));
    assert_eq!(status(&long), 431);
}

#[test]
fn who_asks_too_often_waits_and_others_do_not() {
    let gate = Gate::new("127.0.0.1:7480".parse().unwrap(), &[], false);
    let answers = Answers::new(gate, hub(&[]), None, None, None);
    let asking = |path: &str| hyper::Request::builder().uri(path).header("host", "127.0.0.1:7480").body(()).unwrap();
    let (request, file) = (asking("/about.json"), asking("/icon.svg"));
    let mut asked = (0..100_000).map(|_| answers.answer("192.0.2.1".parse().unwrap(), &request));
    let refused = asked.find(|answer| answer.status() == 429).expect("never refused");
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(answers.answer("192.0.2.2".parse().unwrap(), &request).status(), 200);
    // The page's files are not limited: many screens behind one address load them at once.
    assert!((0..1000).all(|_| answers.answer("192.0.2.1".parse().unwrap(), &file).status() == 200));
}

#[test]
fn a_file_of_texts_is_refused_with_the_place_and_our_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fr.json");
    for (text, wrong) in [
        ("{\"lang\":\"fr\",\n\"name\" \"x\"}", "line 2, column 8: not valid JSON"),
        ("{\"lang\":\"fr\",\"texts\":{}}", "line 1, column 24: expected lang, name and texts, all of them strings"),
        ("{\n\"lang\":1}", "line 2, column 8: expected lang, name and texts, all of them strings"),
        ("{\"lang\":\"f r\",\"name\":\"x\",\"texts\":{}}", "\"f r\" is not a language tag"),
    ] {
        fs::write(&file, text).unwrap();
        let told = texts_of(&file).unwrap_err().to_string();
        assert_eq!(told, format!("the board's texts {} cannot be used: {wrong}", file.display()));
    }
}

#[test]
fn nothing_is_served_over_a_network_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7480"] {
        let refused = Board::start(&options(listen, folder.path()), hub(&[])).err().unwrap();
        assert!(matches!(refused, BoardError::NeedsTls(_)), "{listen}");
        let failure = Failure::from(refused);
        assert_eq!(failure.code, "board.needs-tls");
        assert!(failure.hint.is_some());
    }
    let taken = local(&hub(&[]));
    let again = Board::start(&options(&taken.address().to_string(), folder.path()), hub(&[])).err().unwrap();
    assert_eq!(Failure::from(again).code, "board.listen");
    let missing = (folder.path().join("no.pem"), folder.path().join("no.key"));
    let wrong = Board::start(&BoardOptions { tls: Some(missing), ..options("0.0.0.0:0", folder.path()) }, hub(&[]));
    assert_eq!(Failure::from(wrong.err().unwrap()).code, "board.tls");
}

/// A self-signed certificate for `desk.example`.
fn certificate(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "desk.example").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let paths = (folder.join("board.pem"), folder.join("board.key"));
    std::fs::write(&paths.0, builder.build().to_pem().unwrap()).unwrap();
    std::fs::write(&paths.1, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    paths
}

fn tls(board: &Board) -> SslStream<TcpStream> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.build().connect("desk.example", connect(board)).unwrap()
}

#[test]
fn over_a_network_a_link_admits_one_browser() {
    let folder = tempfile::tempdir().unwrap();
    let board_hub = hub(&[]);
    board_hub.event(&event(EventKind::Arrived, 1, 1));
    let options = BoardOptions { tls: Some(certificate(folder.path())), ..options("0.0.0.0:0", folder.path()) };
    let board = Board::start(&options, board_hub).unwrap();
    let host = format!("desk.example:{}", board.address().port());
    assert_eq!(board.url(), format!("https://{host}/"));
    let ask = |method: &str, path: &str, more: &str| {
        let mut stream = tls(&board);
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let links = Links::at(folder.path());
    let (link, secret) = links.make(None, Duration::from_secs(60), Timestamp::now(), &mut SystemRandom).unwrap();

    // The page has no personal data, and is served to everybody; presence only to those with access.
    assert_eq!(status(&ask("GET", "/", "")), 200);
    let name = format!("__Host-rollcall-board-{}", board.address().port());
    let cookie_of = |value: &str| format!("Cookie: {name}={value}\r\n");
    for stranger in [String::new(), cookie_of(""), cookie_of(&secret), cookie_of("A".repeat(43).as_str())] {
        let answer = ask("GET", "/events", &stranger);
        assert_eq!(status(&answer), 401, "{stranger}");
        assert!(!answer.contains("Person"));
    }
    let origin = format!("Origin: https://{host}\r\nContent-Length: 0\r\n");
    for wrong in ["", "Authorization: Bearer x\r\n", "Authorization: Basic x\r\n"] {
        assert_eq!(status(&ask("POST", "/login", &format!("{origin}{wrong}"))), 401, "{wrong}");
    }
    let bearer = format!("Authorization: Bearer {}\r\n", secret.as_str());
    assert_eq!(status(&ask("POST", "/login", &format!("Origin: https://evil.example\r\n{bearer}"))), 403);
    assert_eq!(status(&ask("POST", "/login", &bearer)), 403);
    let opened = ask("POST", "/login", &format!("{origin}{bearer}"));
    assert_eq!(status(&opened), 204, "{opened}");
    let set = opened.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).unwrap();
    for attribute in [&format!("{name}="), "Path=/", "Secure", "HttpOnly", "SameSite=Strict", "Max-Age="] {
        assert!(set.contains(attribute), "{set}");
    }
    assert_eq!(status(&ask("POST", "/login", &format!("{origin}{bearer}"))), 401, "a link is opened once");

    let value = set.split(['=', ';']).nth(1).unwrap();
    assert_eq!(status(&ask("GET", "/events", &format!("{}{}", cookie_of(value), cookie_of("x")))), 401, "two cookies");
    // A board at another port of this host has its own cookie, and browsers send both.
    let others = format!("Cookie: __Host-rollcall-board-1=x; {name}={value}\r\n");
    assert_eq!(status(&ask("GET", "/portraits/x", &others)), 404);
    let mut admitted = Messages::open(tls(&board), &host, &cookie_of(value));
    assert_eq!(admitted.next().unwrap().2["people"][0]["name"], "Person 1");
    assert_eq!(status(&ask("GET", "/portraits/x", "")), 401);
    assert_eq!(status(&ask("GET", "/portraits/x", &cookie_of(value))), 404);
    links.revoke(&link.id, Timestamp::now()).unwrap();
    assert!(admitted.next().is_none(), "who was revoked still reads");
    assert_eq!(status(&ask("GET", "/events", &cookie_of(value))), 401);

    // Without TLS there is no answer.
    let mut plain = connect(&board);
    // The connection may be reset before everything was sent.
    let _ = plain.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
}
