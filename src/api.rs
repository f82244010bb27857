//! Types that travel: between terminal and server, and between our layers.

pub mod event;
pub mod json_schema;
pub mod problem;
pub mod v1;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use json_schema::Text;

/// The user information of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// The identifier that the operator gave.
    #[schemars(with = "Text<1, 64>")]
    pub id: String,
    /// The name as it is shown.
    #[schemars(with = "Text<1, 256>")]
    pub name: String,
    /// Any further fields, at most 32; their names have 1 to 64 bytes.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Text<0, 1024>>", extend("maxProperties" = 32))]
    #[schemars(extend("propertyNames" = { "minLength": 1, "maxLength": 64, "pattern": json_schema::NO_CONTROL }))]
    pub fields: BTreeMap<String, String>,
}
