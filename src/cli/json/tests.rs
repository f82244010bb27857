use super::*;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// A validator for what schemars writes for our objects. It refuses keywords that it does not know, so that nothing
/// passes unlooked at.
fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let Value::Object(keywords) = schema else {
        return if *schema == json!(true) { Ok(()) } else { Err(format!("nothing is taken in place of {value}")) };
    };
    for (keyword, of) in keywords {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let name = of.as_str().unwrap().strip_prefix("#").unwrap();
                return validate(root, root.pointer(name).unwrap(), value);
            }
            "const" => value == of,
            "enum" => of.as_array().unwrap().contains(value),
            "type" => match of {
                Value::Array(types) => types.iter().any(|t| is_of_type(value, t)),
                one => is_of_type(value, one),
            },
            "format" => value.as_str().is_none_or(|text| is_formatted(text, of.as_str().unwrap())),
            "minimum" => value.as_f64().is_none_or(|n| n >= of.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= of.as_f64().unwrap()),
            "anyOf" | "oneOf" => of.as_array().unwrap().iter().any(|s| validate(root, s, value).is_ok()),
            "required" => of.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, schema) in of.as_object().unwrap() {
                    value
                        .get(name)
                        .map_or(Ok(()), |v| validate(root, schema, v))
                        .map_err(|e| format!("{name}: {e}"))?;
                }
                true
            }
            "items" => value.as_array().into_iter().flatten().all(|v| validate(root, of, v).is_ok()),
            "additionalProperties" => {
                assert!(!keywords.contains_key("properties"), "not looked at together");
                value.as_object().into_iter().flatten().all(|(_, v)| validate(root, of, v).is_ok())
            }
            unknown => panic!("the validator does not know {unknown}"),
        };
        if !holds {
            return Err(format!("{keyword} {of} does not take {value}"));
        }
    }
    Ok(())
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("the validator does not know the type {other}"),
    }
}

fn is_formatted(text: &str, format: &str) -> bool {
    match format {
        "date-time" => text.parse::<Timestamp>().is_ok(),
        "uuid" => text.parse::<Uuid>().is_ok(),
        other => panic!("the validator does not know the format {other}"),
    }
}

fn check(value: &Value) -> Result<(), String> {
    let name = value["schema"].as_str().unwrap_or("rollcall.scan/1");
    let schema = json_schema_of(name).unwrap_or_else(|| panic!("{name}"));
    validate(schema.as_value(), schema.as_value(), value)
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
    ProofView { verified: true, counter: 7, nonce_source: NonceSource::Local, cose: None }
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
    ErrorObject { code: "token.foreign".into(), message: "foreign".into(), hint: None }
}

/// The examples of the contract, with values in place of its dots, are what is printed: every field is there with
/// that value. What was added since is in `added`.
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
    };
    let example = json!({"schema":"rollcall.reader/1","reader":"R","alias":null,"state":"present","atr":"3B00",
        "card":"rollcall"});
    is_printed_as(&reader, &example, &["/says", "/atr_fields", "/names"]);
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
    };
    let example = json!({"schema":"rollcall.enroll/1","at":"2026-11-22T15:04:05.123Z","reader":"R",
        "token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e","user":{"id":"7","name":"Ann"},"result":"enrolled",
        "test_keys":false});
    is_printed_as(&enroll, &example, &["/user/fields"]);
}

#[test]
fn the_example_of_an_entry_of_the_list() {
    let entry = presence::Entry {
        token_id: token_id(),
        user: ann(),
        reader: "R".into(),
        since: at(),
        last_seen: at(),
        state: presence::EntryState::Present,
        source: presence::Source::Card,
        authenticated: true,
    };
    let example = json!({"schema":"rollcall.user/1","token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e",
        "user":{"id":"7","name":"Ann","fields":{"team":"red"}},"reader":"R","since":"2026-11-22T15:04:05.123Z",
        "last_seen":"2026-11-22T15:04:05.123Z","state":"present","source":"card","authenticated":true});
    is_printed_as(&UserEntry::from(entry), &example, &[]);
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
        reason: None,
        error: None,
    };
    let example = json!({"schema":"rollcall.event/1","event":"arrived","seq":17,"at":"2026-11-22T15:04:05.123Z",
        "reader":"R","token_id":"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e",
        "user":{"id":"7","name":"Ann","fields":{"team":"red"}}});
    is_printed_as(&EventView::from(event), &example, &["/source", "/authenticated"]);
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
    let denied = Denied { schema: Schema::default(), id: "7".into() };
    assert_eq!(check(&serde_json::to_value(&denied).unwrap()), Ok(()));
}

#[test]
fn a_schema_refuses_what_is_not_its_object() {
    let good = serde_json::to_value(scan()).unwrap();
    let spoiled = |path: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap() = value;
        let schema = json_schema_of("scan").unwrap();
        validate(schema.as_value(), schema.as_value(), &bad)
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
        assert_eq!(json_schema_of(&format!("rollcall.{short}")), Some(schema));
    }
    for name in ["", "rollcall.", "rollcall.scan/2", "scan/1", "Scan"] {
        assert_eq!(json_schema_of(name), None, "{name}");
    }
}
