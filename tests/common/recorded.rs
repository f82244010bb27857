//! The result of a run without what differs from run to run; and the replay of a recording.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

/// Exit status and objects, without times. Without `personal` there is no user, and no message of the proof, in a
/// recording.
pub fn outcome(status: i32, objects: &[Value], personal: bool) -> Value {
    let mut objects = objects.to_vec();
    for object in objects.iter_mut().filter_map(Value::as_object_mut) {
        object.remove("at");
        object.remove("timings_ms");
        if let Some(user) = object.get_mut("user").filter(|user| !personal && user.is_object()) {
            mask(user);
        }
        if let Some(proof) = object.get_mut("proof").and_then(Value::as_object_mut).filter(|_| !personal) {
            proof.remove("cose");
        }
        // Recordings of earlier versions have none.
        if let Some(proof) = object.get_mut("proof").and_then(Value::as_object_mut) {
            proof.remove("identity_certificate");
        }
    }
    json!({"status": status, "objects": objects})
}

/// Every value, but not the names of fields.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = "x".repeat(text.len()),
        Value::Object(members) => members.values_mut().for_each(mask),
        _ => {}
    }
}

/// Plays a recording in isolation: no service, no state folder, no variables.
pub fn play(file: &Path, personal: bool) -> Value {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .env_clear()
        .env("ROLLCALL_HOME", home.path().join("none"))
        .env("PCSCLITE_CSOCK_NAME", home.path().join("no-service"))
        .args(["-o", "ndjson", "doctor", "--replay"])
        .arg(file)
        .output()
        .unwrap();
    assert!(!home.path().join("none").exists(), "a replay has left something");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    outcome(output.status.code().unwrap(), &objects, personal)
}
