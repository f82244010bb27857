//! Replays the recordings in `tests/traces`, made by real runs on a real service (`tests/pcsc/traces.rs`), with the
//! current program: exit status, codes and objects equal those of the recorded run. To turn a bug in the field into a
//! test, copy two files.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/recorded.rs"]
mod recorded;

use std::{fs, path::Path};

use serde_json::Value;

#[test]
fn every_recording_comes_to_what_it_came_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let (mut successes, mut failures) = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|end| end != "ndjson") {
            continue;
        }
        let expected: Value = serde_json::from_str(&fs::read_to_string(file.with_extension("json")).unwrap()).unwrap();
        let personal = expected["personal"].as_bool().unwrap();
        assert_eq!(recorded::play(&file, personal), expected["outcome"], "{}", file.display());
        let failed = expected["outcome"]["objects"].as_array().unwrap().iter().any(|one| one["error"].is_object());
        *(if failed { &mut failures } else { &mut successes }) += 1;
    }
    assert!(successes >= 4 && failures >= 10, "{successes} successes, {failures} failures");
}
