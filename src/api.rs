//! Types that travel: between terminal and server, and between our layers.

pub mod event;
pub mod problem;
pub mod v1;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The user information of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// The identifier that the operator gave.
    pub id: String,
    /// The name as it is shown.
    pub name: String,
    /// Any further fields.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}
