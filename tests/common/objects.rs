//! Checks every object that a test reads from the program against `rollcall schema`: an unknown name, and a field that
//! is missing, of another type or not described, fails the test.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use jsonschema::Validator;
use serde_json::Value;

/// A line of ndjson.
pub fn line(text: &str) -> Value {
    let object = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    check(&object);
    object
}

/// The lines of ndjson.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(line).collect()
}

/// A document of json: one object, or several in an array.
#[allow(dead_code)] // not every suite reads such
pub fn document(text: &[u8]) -> Value {
    let whole: Value =
        serde_json::from_slice(text).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(text)));
    match &whole {
        Value::Array(objects) => objects.iter().for_each(check),
        object => check(object),
    }
    whole
}

/// Checks whatever a command with these arguments printed.
#[allow(dead_code)]
pub fn output(arguments: &[&str], text: &str) {
    let said = arguments.windows(2).rev().find(|two| matches!(two[0], "--output" | "-o")).map(|two| two[1]);
    match said {
        Some("ndjson") => drop(lines(text)),
        // A command that failed, or wrote its records into a file, may print nothing.
        Some("json") if !text.is_empty() => drop(document(text.as_bytes())),
        _ => {}
    }
}

fn check(object: &Value) {
    let name = object["schema"].as_str().unwrap_or_else(|| panic!("no schema in {object}"));
    let validator = validator(name);
    let faults: Vec<_> =
        validator.iter_errors(object).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?} of {object}");
}

/// The schema as the program prints it, made strict, because nobody can rely on what it does not describe.
fn validator(name: &str) -> Arc<Validator> {
    static KNOWN: OnceLock<Mutex<BTreeMap<String, Arc<Validator>>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let mut schema = printed(name);
        strict(&mut schema);
        let options = jsonschema::options().should_validate_formats(true);
        Arc::new(options.build(&schema).unwrap_or_else(|fault| panic!("the schema of {name}: {fault}")))
    };
    Arc::clone(known.entry(name.to_owned()).or_insert_with(make))
}

fn printed(name: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall")).args(["schema", name]).output().unwrap();
    assert!(output.status.success(), "no schema is called {name}");
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], name);
    schema
}

fn strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), false.into());
            }
            fields.values_mut().for_each(strict);
        }
        Value::Array(items) => items.iter_mut().for_each(strict),
        _ => {}
    }
}
