//! Tests what other people's generators and validators need of the document.

use super::*;

/// Calls `see` for every value in it, with its path.
fn walk(value: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}/{name}"), see));
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| walk(item, &format!("{path}/{n}"), see)),
        _ => {}
    }
}

#[test]
fn no_schema_has_a_form_that_generators_stumble_over() {
    let mut seen = 0;
    walk(&document(), "", &mut |path, value| {
        assert!(value.get("const").is_none(), "{path}");
        assert!(value.get("oneOf").is_none(), "{path}");
        assert!(!path.ends_with("/items") || value.is_object() || path.contains("/example"), "{path}");
        if value.get("type").is_some_and(|kind| kind == "integer") {
            let format = value["format"].as_str().unwrap_or("none");
            assert!(["int32", "int64"].contains(&format), "{path}: {format}");
            assert!(value.get("minimum").is_some() && value.get("maximum").is_some(), "{path}");
            seen += 1;
        }
        assert!(value.get("description").is_none_or(|told| !told.as_str().unwrap().contains("[`")), "{path}");
    });
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_reached() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut reached = std::collections::BTreeSet::new();
    walk(&document, "", &mut |path, value| {
        if let Some(to) = value.get("$ref").and_then(Value::as_str) {
            let name = to.rsplit('/').next().unwrap().to_owned();
            assert!(schemas.contains_key(&name), "{path}: {to}");
            reached.insert(name);
        }
    });
    // The payloads of signed answers are described too, but appear in no body.
    let unreached: Vec<_> = schemas.keys().filter(|name| !reached.contains(*name)).collect();
    assert_eq!(unreached, ["Feed", "SignedUser"]);
}

#[test]
fn every_text_that_is_sent_has_a_bound_or_a_format() {
    let document = document();
    let bounded =
        |schema: &Value| ["maxLength", "format", "pattern", "enum"].iter().any(|key| schema.get(key).is_some());
    for route in &ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        for parameter in operation["parameters"].as_array().unwrap() {
            assert!(parameter["schema"]["type"] != "string" || bounded(&parameter["schema"]), "{route:?} {parameter}");
            assert!(parameter["description"].as_str().is_some_and(|told| !told.is_empty()), "{route:?} {parameter}");
        }
        assert!(TAGS.iter().any(|(.., words)| words.contains(&first_word(route))), "{route:?}");
        let Some(body) = route.body else { continue };
        for (name, property) in document["components"]["schemas"][body]["properties"].as_object().unwrap() {
            let kind = &property["type"];
            let is_text = kind == "string" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string")));
            assert!(!is_text || bounded(property), "{body}.{name}: {property}");
        }
    }
}

#[test]
fn the_licence_is_an_identifier_and_somewhere_a_server_is_named() {
    let document = document();
    assert_eq!(document["info"]["license"]["identifier"], env!("CARGO_PKG_LICENSE"));
    let url = document["servers"][0]["url"].as_str().unwrap();
    for (name, variable) in document["servers"][0]["variables"].as_object().unwrap() {
        assert!(url.contains(&format!("{{{name}}}")) && variable["default"].is_string(), "{name}");
    }
}

#[test]
fn every_answer_has_an_example_that_is_one() {
    let document = document();
    let mut seen = 0;
    for route in &ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        for (status, answer) in operation["responses"].as_object().unwrap() {
            for (kind, media) in answer["content"].as_object().unwrap() {
                assert!(holds(&document, media), "{route:?} {status} {kind}");
                seen += 1;
            }
        }
        if let Some((_, media)) = operation["requestBody"]["content"].as_object().and_then(|kinds| kinds.iter().next())
        {
            holds(&document, media);
        }
    }
    assert!(seen > ROUTES.len(), "{seen}");
}

/// Whether there is an example; if so, it must match its schema.
fn holds(document: &Value, media: &Value) -> bool {
    let Some(example) = media.get("example") else { return false };
    // The schema contains the components of the document, so that references resolve.
    let mut schema = media["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(example).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{example}: {faults:?}");
    true
}
