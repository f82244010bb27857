//! `rollcall doctor`: each fault by its real cause, with its code and remedy. A healthy system has no findings.

mod canaries;
mod cards;
mod field;
mod home;
mod service;

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

pub use cards::Foreign;
pub use home::unprivileged;

use crate::{
    objects,
    stack::{Run, Stack},
};

/// All findings of a run that was made by this command; the status says whether there is a fault.
pub fn findings(command: &mut Command) -> Vec<Value> {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let found = objects::lines(&text);
    let fault = found.iter().any(|one| one["severity"] == "fault");
    let status = output.status.code();
    assert_eq!(status, Some(i32::from(fault)), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for one in &found {
        let wrong = one["severity"] == "fault" || one["severity"] == "warning";
        assert_eq!((one["code"].is_string(), one["remedy"].is_string()), (wrong, wrong), "{one}");
    }
    found
}

/// Nothing is wrong. Warnings there may be: a link is slow, or cannot do what would make it faster.
pub fn no_fault(stack: &Stack, about: &str) {
    let found = findings(&mut doctor(stack, "rollcall"));
    let wrong = |one: &&Value| {
        let false_ones = ["link.truncated", "link.errors", "reader.hung", "token.mute"];
        one["severity"] == "fault" || one["code"].as_str().is_some_and(|code| false_ones.contains(&code))
    };
    let wrong: Vec<_> = found.iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "{about}: {wrong:#?}");
}

/// Which code was found where: a reader, a file, or the probe itself.
pub fn brief(found: &[Value]) -> BTreeMap<String, String> {
    let place = |one: &Value| one["subject"].as_str().or(one["probe"].as_str()).unwrap().to_owned();
    let coded = found.iter().filter_map(|one| Some((place(one), one["code"].as_str()?.to_owned())));
    coded.collect()
}

/// The codes of a run in this stack, each once and in order.
fn codes(stack: &Stack, args: &[&str]) -> Vec<String> {
    codes_of(doctor(stack, "rollcall").args(args))
}

fn codes_of(command: &mut Command) -> Vec<String> {
    let mut codes: Vec<_> = brief(&findings(command)).into_values().collect();
    codes.sort();
    codes.dedup();
    codes
}

/// The command, bounded, through another program or by itself.
pub fn doctor(stack: &Stack, program: &str) -> Command {
    let mut command = stack.command("timeout");
    command.args(["60", program]);
    if program != "rollcall" {
        return command;
    }
    command.args(["doctor", "--output", "ndjson"]);
    command
}

/// What people see.
fn text(stack: &Stack, status: i32) -> Run {
    stack.rollcall(&["doctor"]).expect(status)
}
