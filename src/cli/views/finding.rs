//! What `rollcall doctor` finds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Ms, Schema};

/// What one probe found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Found")]
pub struct FindingView {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Which probe it was.
    pub probe: String,
    /// What it looked at: a reader, a file, a URL.
    pub subject: Option<String>,
    /// How deep in the tree of probes it stands; what is one deeper, below, was begun by it.
    pub depth: usize,
    /// How bad it is.
    pub severity: Severity,
    /// Which fault, stable; null for what is as it should be.
    pub code: Option<String>,
    /// What was found, in words.
    pub what: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// The command to type, where the remedy has one.
    pub command: Option<String>,
    /// What was measured or read. Names may be added, and none is always there.
    pub facts: BTreeMap<String, Value>,
    /// How long the probe had run by then.
    pub took_ms: Ms,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// There was nothing to look at.
    Note,
    /// It works, and should not stay so.
    Warning,
    /// It does not work.
    Fault,
}
