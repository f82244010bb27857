//! Building blocks of the objects: the field `schema`, timestamps and milliseconds.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// An object with a versioned name: `rollcall.scan/1`.
pub trait Named {
    /// The value of its field `schema`.
    const SCHEMA: &'static str;
}

/// The field `schema`, whose only value is the name of its object.
pub struct Schema<T>(PhantomData<fn() -> T>);

impl<T> Default for Schema<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Schema<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T: Named> fmt::Debug for Schema<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::SCHEMA)
    }
}

impl<T: Named> Serialize for Schema<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(T::SCHEMA)
    }
}

impl<T: Named> JsonSchema for Schema<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::SCHEMA.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "const": T::SCHEMA })
    }
}

/// A time: RFC 3339 in UTC with milliseconds, `2026-11-22T15:04:05.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub Timestamp);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for At {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "At".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Milliseconds, to the microsecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Ms(pub f64);

impl From<Duration> for Ms {
    fn from(time: Duration) -> Self {
        Self((time.as_secs_f64() * 1e6).round() / 1e3)
    }
}
