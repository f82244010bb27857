//! What `rollcall doctor` finds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{Ms, Schema};

/// What one probe found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Found {
    /// Which object this is.
    pub schema: Schema<Self>,
    /// Which probe it was.
    pub probe: String,
    /// What it looked at: a reader, a file, a URL.
    pub subject: Option<String>,
    /// How deep in the tree of probes it stands; what is one deeper, below, was begun by it.
    pub depth: usize,
    /// How bad it is.
    pub verdict: Verdict,
    /// Which fault, stable; null for what is as it should be.
    pub code: Option<String>,
    /// What was found, in words.
    pub message: String,
    /// What to do, where something is to be done.
    pub remedy: Option<String>,
    /// What was measured or read. Names may be added, and none is always there.
    pub facts: BTreeMap<String, Value>,
    /// How long the probe had run by then.
    pub took_ms: Ms,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// There was nothing to look at.
    Skipped,
    /// It works, and should not stay so.
    Warning,
    /// It does not work.
    Fault,
}
