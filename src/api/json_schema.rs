//! JSON Schemas that other tools accept: schemas for formatted strings, and one transform of `schemars`' output, which
//! is valid but unreadable for many generators and validators.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, json_schema,
    transform::{Transform, transform_subschemas},
};
use serde_json::{Value, json};

/// The value of the field `schema` of an event.
pub const EVENT_SCHEMA: &str = "rollcall.event/1";

/// No control characters (Unicode category Cc), in the syntax that ECMA-262 and most other regular expressions share.
pub const NO_CONTROL: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";

/// A format of strings, for `#[schemars(with = …)]`: the value itself is a [`String`].
macro_rules! form {
    ($(#[$doc:meta])* $name:ident $(<$first:ident, $second:ident>)?, $schema:expr) => {
        $(#[$doc])*
        pub struct $name$(<const $first: usize, const $second: usize>)?;

        impl$(<const $first: usize, const $second: usize>)? JsonSchema for $name$(<$first, $second>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

form! {
    /// `MIN` to `MAX` bytes of UTF-8 without control characters. JSON Schema counts characters, so a non-ASCII text may
    /// conform to its schema and still be too long.
    Text<MIN, MAX>,
    json_schema!({ "type": "string", "minLength": MIN, "maxLength": MAX, "pattern": NO_CONTROL })
}

form! {
    /// `MIN` to `MAX` bytes as base64url without padding.
    Base64Url<MIN, MAX>,
    json_schema!({
        "type": "string", "contentEncoding": "base64url", "pattern": "^[A-Za-z0-9_-]*$",
        "minLength": (MIN * 4).div_ceil(3), "maxLength": (MAX * 4).div_ceil(3),
    })
}

form! {
    /// A JWS in compact form (RFC 7515): three parts in base64url.
    Jws, json_schema!({ "type": "string", "pattern": r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$" })
}

form! {
    /// The name of a terminal.
    TerminalName, json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" })
}

form! {
    /// A SHA-256 in lower-case hex.
    Sha256Hex, json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

form! {
    /// An object `rollcall.event/1`: only its essential fields; `rollcall schema event` has the rest. Generators drop
    /// what is not named in `properties`, so these two are in `patternProperties` instead: that gives a map.
    SomeEvent, json_schema!({
        "type": "object", "required": ["schema", "seq"], "additionalProperties": true,
        "patternProperties": {
            "^schema$": { "type": "string", "enum": [EVENT_SCHEMA] },
            "^seq$": { "type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX },
        },
    })
}

/// The readers of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAPI 3.1: the formats of numbers are from its registry, because generators choose types by them.
    OpenApi,
    /// JSON Schema 2020-12 of printed objects: numbers only have bounds. Texts have none, because a card may contain
    /// what a server would refuse.
    Printed,
}

impl Transform for Dialect {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        // `additionalProperties` and the like stay boolean; any other schema is an object.
        if schema.as_bool() == Some(true) {
            schema.ensure_object();
        }
        choose(schema);
        self.fix(schema);
        plain_words(schema);
        self.bound(schema);
    }
}

impl Dialect {
    /// A constant text gets its type, and in OpenAPI the form of a choice.
    fn fix(self, schema: &mut Schema) {
        let Some(text) = schema.get("const").filter(|text| text.is_string()).cloned() else { return };
        schema.insert("type".into(), "string".into());
        if self == Self::OpenApi {
            schema.remove("const");
            schema.insert("enum".into(), json!([text]));
        }
    }

    /// Numbers get the bounds of their Rust types, and formats that the reader knows.
    fn bound(self, schema: &mut Schema) {
        let (most, format) = match schema.get("format").and_then(Value::as_str) {
            Some("uint8") => (Some(i64::from(u8::MAX)), Some("int32")),
            Some("uint16") => (Some(i64::from(u16::MAX)), Some("int32")),
            Some("uint32") => (Some(i64::from(u32::MAX)), Some("int64")),
            // Counts and numbers are stored in 63 bits.
            Some("uint64" | "uint") => (Some(i64::MAX), Some("int64")),
            Some("int32") => (None, Some("int32")),
            Some("int64") => (None, Some("int64")),
            Some("double") => (None, Some("double")),
            _ if self == Self::Printed => {
                for limit in ["minLength", "maxLength", "pattern", "maxProperties", "propertyNames"] {
                    schema.remove(limit);
                }
                return;
            }
            _ => return,
        };
        if let Some(most) = most.filter(|_| schema.get("maximum").is_none()) {
            schema.insert("maximum".into(), most.into());
        }
        schema.remove("format");
        if let Some(format) = format.filter(|_| self == Self::OpenApi) {
            schema.insert("format".into(), format.into());
        }
    }
}

/// Writes a choice among texts as `enum`: generators turn it into types, but not `oneOf` with `const`. The meaning of
/// each text goes into the description.
fn choose(schema: &mut Schema) {
    let Some(branches) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let mut texts = Vec::new();
    let mut meanings = Vec::new();
    for branch in branches {
        let one = branch.get("const").map(std::slice::from_ref);
        let some = one.or_else(|| branch.get("enum")?.as_array().map(Vec::as_slice)).unwrap_or_default();
        if some.is_empty() || !some.iter().all(Value::is_string) {
            return;
        }
        texts.extend(some.iter().cloned());
        if let (Some(text), Some(meaning)) = (some[0].as_str(), branch.get("description").and_then(Value::as_str)) {
            meanings.push(format!("- `{text}`: {meaning}"));
        }
    }
    let told = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let told = format!("{told}\n\n{}", meanings.join("\n"));
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), texts.into());
    schema.insert("description".into(), told.trim().into());
}

/// Removes rustdoc's links from descriptions: ``[`Lookup`]`` leads nowhere here.
fn plain_words(schema: &mut Schema) {
    if let Some(told) = schema.get("description").and_then(Value::as_str) {
        let told = told.replace("[`", "`").replace("`]", "`");
        schema.insert("description".into(), told.into());
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Colour {
        /// As [`Thing`] is.
        Red,
        Green,
        Blue,
    }

    #[derive(Serialize, JsonSchema)]
    #[allow(dead_code)]
    struct Thing {
        colour: Colour,
        any: Vec<Value>,
        small: u8,
        #[schemars(range(max = 7))]
        few: u32,
        many: u64,
        below: i64,
        time: f64,
        #[schemars(with = "Text<1, 64>")]
        text: String,
        #[schemars(with = "Option<Base64Url<65, 65>>")]
        bytes: Option<String>,
    }

    fn schema(dialect: Dialect) -> Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with_transform(dialect);
        serde_json::to_value(settings.into_generator().into_root_schema_for::<Thing>()).unwrap()
    }

    #[test]
    fn what_generators_stumble_over_is_gone() {
        let thing = schema(Dialect::OpenApi);
        assert_eq!(
            thing["$defs"]["Colour"],
            json!({ "type": "string", "enum": ["green", "blue", "red"], "description": "- `red`: As `Thing` is." })
        );
        let number = |name: &str| thing["properties"][name].clone();
        assert_eq!(number("any"), json!({ "type": "array", "items": {} }));
        assert_eq!(number("small"), json!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 255 }));
        assert_eq!(number("few"), json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 7 }));
        assert_eq!(
            number("many"),
            json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": 9_223_372_036_854_775_807_i64 })
        );
        assert_eq!(number("below"), json!({ "type": "integer", "format": "int64" }));
        assert_eq!(number("time"), json!({ "type": "number", "format": "double" }));
        assert_eq!(number("text")["maxLength"], 64);
        assert_eq!(
            (number("bytes")["minLength"].clone(), number("bytes")["maxLength"].clone()),
            (json!(87), json!(87))
        );
    }

    #[test]
    fn what_is_printed_has_bounds_of_numbers_only() {
        let thing = schema(Dialect::Printed);
        let of = |name: &str| thing["properties"][name].clone();
        assert_eq!(of("small"), json!({ "type": "integer", "minimum": 0, "maximum": 255 }));
        assert_eq!(of("below"), json!({ "type": "integer" }));
        assert_eq!(of("time"), json!({ "type": "number" }));
        assert_eq!(of("text"), json!({ "type": "string" }));
    }

    #[test]
    fn control_characters_are_those_of_rust() {
        let schema = json!({ "type": "string", "pattern": NO_CONTROL });
        let validator = jsonschema::validator_for(&schema).unwrap();
        for code in 0..0x300_u32 {
            let c = char::from_u32(code).unwrap();
            assert_eq!(validator.is_valid(&json!(c.to_string())), !c.is_control(), "{code:x}");
        }
    }
}
