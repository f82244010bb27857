mod forms;
mod round_trip;
mod screens;

use super::*;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::{api::User, failure::ErrorObject, terminal::presence};

/// Whether this object conforms to that schema.
fn validate(name: &str, object: &Value) -> Result<(), String> {
    let schema = json_schema_of(name).unwrap_or_else(|| panic!("{name}"));
    let validator = jsonschema::options().should_validate_formats(true).build(schema.as_value()).unwrap();
    validator.validate(object).map_err(|fault| format!("{fault} at {}", fault.instance_path()))
}

fn check(object: &Value) -> Result<(), String> {
    validate(object["schema"].as_str().unwrap(), object)
}

fn token_id() -> Uuid {
    "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e".parse().unwrap()
}

fn at() -> Timestamp {
    "2026-11-22T15:04:05.123456Z".parse().unwrap()
}

fn ann() -> User {
    User { id: "7".into(), name: "Ann".into(), fields: [("team".to_owned(), "red".to_owned())].into() }
}

fn proof() -> ProofView {
    ProofView { verified: true, counter: 7, nonce_source: NonceSource::Local, cose: None, identity_certificate: None }
}

fn scan() -> ScanView {
    ScanView {
        schema: Schema::default(),
        at: at().into(),
        reader: "R".into(),
        token_id: Some(token_id()),
        identified: true,
        authenticated: AuthenticatedView { token: true, server: ServerVerdictView::NotAsked },
        source: Some(presence::Source::Card),
        user: Some(ann()),
        error: None,
        proof: Some(proof()),
        timings_ms: TimingsView {
            connect: Duration::from_micros(1_200).into(),
            authenticate: Ms(9.8),
            read: Ms(1.1),
            server: None,
            total: Ms(12.4),
            card: Ms(8.5),
        },
        exchanges: 4,
    }
}

fn error() -> ErrorObject {
    ErrorObject { code: "token.foreign".into(), message: "foreign".into(), hint: None, command: None }
}

/// Compares the output with the saved file beside this one, or with `TEST_OVERWRITE` in the environment, writes it.
fn same_as_kept(name: &str, printed: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/views/tests").join(name);
    if std::env::var_os("TEST_OVERWRITE").is_some() {
        std::fs::write(&path, printed).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let different = printed.lines().zip(kept.lines()).find(|(now, then)| now != then);
    assert_eq!(different, None, "{name}: now and then");
    assert_eq!(printed.len(), kept.len(), "{name}");
}

/// The examples of the contract, with values in place of its dots, are what is printed: every field is there with
/// that value. Fields added since are in `added`.
fn is_printed_as(object: &impl Serialize, example: &Value, added: &[&str]) {
    let printed = serde_json::to_value(object).unwrap();
    let mut expected = example.clone();
    for path in added {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let value = printed.pointer(path).unwrap_or_else(|| panic!("{path}")).clone();
        expected.pointer_mut(parent).unwrap()[name] = value;
    }
    assert_eq!(printed, expected);
    assert_eq!(check(&printed), Ok(()));
    let text = serde_json::to_string(object).unwrap();
    assert!(text.starts_with("{\"schema\":\"rollcall."), "the schema comes first: {text}");
}

#[test]
fn the_example_of_a_reader() {
    let reader = ReaderView {
        schema: Schema::default(),
        reader: "R".into(),
        alias: None,
        state: ReaderStateView::Present,
        atr: Some("3B00".into()),
        card: Some("rollcall".into()),
        says: Some("no historical bytes".into()),
        atr_fields: vec![AtrField { name: "TS".into(), bytes: "3B".into(), meaning: "direct convention".into() }],
        names: vec!["a card".into()],
        ignored: false,
        stable: None,
    };
    let example = json!({"schema":"rollcall.reader/1","reader":"R","alias":null,"state":"present","atr":"3B00",
        "card":"rollcall"});
    is_printed_as(&reader, &example, &["/says", "/atr_fields", "/names", "/ignored", "/stable"]);
    for state in ["empty", "present", "exclusive", "mute", "unavailable"] {
        let mut reader = serde_json::to_value(&reader).unwrap();
        reader["state"] = state.into();
        assert_eq!(check(&reader), Ok(()));
    }
}

#[test]
fn the_example_of_a_scan() {
    let example = json!({"schema":"rollcall.scan/1","at":"2026-11-22T15:04:05.123Z","reader":"R",
        "token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e","identified":true,
        "authenticated":{"token":true,"server":"not_asked"},"source":"card",
        "user":{"id":"7","name":"Ann","fields":{"team":"red"}},
        "proof":{"verified":true,"counter":7,"nonce_source":"local","cose":null},
        "timings_ms":{"connect":1.2,"authenticate":9.8,"read":1.1,"server":null,"total":12.4}});
    is_printed_as(&scan(), &example, &["/exchanges", "/timings_ms/card"]);
}

#[test]
fn a_failed_scan_has_the_error_in_place_of_the_user() {
    let failed = ScanView { user: None, error: Some(error()), proof: None, token_id: None, source: None, ..scan() };
    let printed = serde_json::to_value(&failed).unwrap();
    assert_eq!(printed.get("user"), None);
    assert_eq!(printed["error"], json!({"code":"token.foreign","message":"foreign","hint":null}));
    assert_eq!(check(&printed), Ok(()));
}

#[test]
fn the_example_of_an_enrollment() {
    let enroll = Enroll {
        schema: Schema::default(),
        at: at().into(),
        reader: "R".into(),
        token_id: Some(token_id()),
        user: Some(ann()),
        error: None,
        result: Some(Enrolled::Enrolled),
        set: None,
        test_keys: false,
        changes: Vec::new(),
    };
    let example = json!({"schema":"rollcall.enroll/1","at":"2026-11-22T15:04:05.123Z","reader":"R",
        "token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e","user":{"id":"7","name":"Ann"},"result":"enrolled",
        "test_keys":false});
    is_printed_as(&enroll, &example, &["/user/fields"]);
}

/// Ann, on the list.
fn entry() -> presence::Entry {
    presence::Entry {
        token_id: token_id(),
        user: ann(),
        reader: "R".into(),
        since: at(),
        last_seen: at(),
        state: presence::EntryState::Present,
        source: presence::Source::Card,
        authenticated: true,
        resumed: false,
    }
}

#[test]
fn the_example_of_an_entry_of_the_list() {
    let entry = entry();
    let example = json!({"schema":"rollcall.user/1","token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e",
        "user":{"id":"7","name":"Ann","fields":{"team":"red"}},"reader":"R","since":"2026-11-22T15:04:05.123Z",
        "last_seen":"2026-11-22T15:04:05.123Z","state":"present","source":"card","authenticated":true,"resumed":false});
    is_printed_as(&UserEntry::new(entry, at()), &example, &[]);
}

#[test]
fn the_example_of_an_event() {
    let event = presence::Event {
        event: presence::EventKind::Arrived,
        seq: 17,
        at: at(),
        reader: Some("R".into()),
        token_id: Some(token_id()),
        user: Some(ann()),
        source: Some(presence::Source::Card),
        authenticated: Some(true),
        resumed: Some(true),
        reason: None,
        error: None,
        by: None,
        note: None,
    };
    let example = json!({"schema":"rollcall.event/1","event":"arrived","seq":17,"at":"2026-11-22T15:04:05.123Z",
        "reader":"R","token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e",
        "user":{"id":"7","name":"Ann","fields":{"team":"red"}}});
    is_printed_as(&EventView::from(event), &example, &["/source", "/authenticated", "/resumed"]);
}

#[test]
fn tokens_and_files_of_the_pki_keep_their_schema() {
    let token = TokenView {
        schema: Schema::default(),
        reader: "R".into(),
        atr: None,
        state: TokenState::Issued,
        mode: Some(TokenModeView::Open),
        version: "1.0".into(),
        token_id: Some(token_id()),
        set_id: None,
        ecka_kvn: Some("41".into()),
        ca_id: Some("0011223344556677".into()),
        authenticated: Some(true),
        user: Some(ann()),
        error: None,
        proof: Some(proof()),
    };
    assert_eq!(check(&serde_json::to_value(&token).unwrap()), Ok(()));
    let file = Pki {
        schema: Schema::default(),
        file: "ca.crt".into(),
        kind: PkiKind::Certificate,
        class: Some("ca".into()),
        subject: Some("Rollcall CA".into()),
        serial: Some("01".into()),
        not_before: Some(at().into()),
        not_after: Some(at().into()),
        state: PkiState::Valid,
        new: true,
    };
    assert_eq!(check(&serde_json::to_value(&file).unwrap()), Ok(()));
    let denied = Denied {
        schema: Schema::default(),
        id: "7".into(),
        name: Some("Ann".into()),
        reason: Some("left the house".into()),
        at: Some(at().into()),
    };
    assert_eq!(check(&serde_json::to_value(&denied).unwrap()), Ok(()));
}

#[test]
fn a_schema_refuses_what_is_not_its_object() {
    let good = serde_json::to_value(scan()).unwrap();
    let spoiled = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        validate("scan", &bad)
    };
    assert_eq!(check(&good), Ok(()));
    assert!(spoiled("/schema", json!("rollcall.scan/2")).is_err());
    assert!(spoiled("/schema", json!(null)).is_err());
    assert!(spoiled("/at", json!("yesterday")).is_err());
    assert!(spoiled("/authenticated/server", json!("maybe")).is_err());
    assert!(spoiled("/proof/counter", json!(-1)).is_err());
    assert!(spoiled("/user/name", json!(7)).is_err());
    assert!(spoiled("/token_id", json!("7")).is_err());
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("reader");
    assert!(check(&without).is_err());
}

#[test]
fn objects_are_found_by_every_form_of_their_name() {
    for name in NAMES {
        let short = name.strip_prefix("rollcall.").unwrap().strip_suffix("/1").unwrap();
        let schema = json_schema_of(name).unwrap();
        assert_eq!(schema.as_value()["properties"]["schema"]["const"], **name);
        assert_eq!(schema.as_value()["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(json_schema_of(short), Some(schema.clone()));
        assert_eq!(json_schema_of(&format!("rollcall.{short}")), Some(schema.clone()));
        assert_eq!(json_schema_of(name.strip_prefix("rollcall.").unwrap()), Some(schema));
    }
    for name in ["", "rollcall.", "rollcall.scan/2", "scan/2", "Scan"] {
        assert_eq!(json_schema_of(name), None, "{name}");
    }
}
