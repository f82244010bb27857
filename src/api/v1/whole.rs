//! Integers as in JSON Schema, where `20.0` is one, and some languages write it so.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// A number from 0 to the largest of its type, which has at most 32 bits.
///
/// # Errors
/// The deserializer's for anything that is not such a number.
pub fn number<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<T, D::Error> {
    checked(f64::deserialize(deserializer)?)
}

/// The same, or none.
///
/// # Errors
/// As [`number`].
pub fn optional<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<f64>::deserialize(deserializer)?.map(checked).transpose()
}

/// The same, of a JSON value.
pub fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| parsed(value.as_f64()?).ok())
}

fn checked<E: Error, T: FromStr>(number: f64) -> Result<T, E> {
    parsed(number).map_err(|_| E::custom(format_args!("{number} is not a whole number, or too large or too small")))
}

/// Parses by way of text: Rust writes a whole number without a fraction, but a negative zero with its sign.
fn parsed<T: FromStr>(number: f64) -> Result<T, T::Err> {
    (number + 0.0).to_string().parse()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::api::v1::{LookupRequest, NonceRequest, TerminalRequest};

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero() {
        let count = |text: &str| {
            serde_json::from_str::<NonceRequest>(&format!("{{\"count\":{text}}}")).ok().map(|one| one.count)
        };
        for (text, number) in [("0", 0), ("-0.0", 0), ("20", 20), ("20.0", 20), ("2e1", 20), ("65535", 65535)] {
            assert_eq!(count(text), Some(number), "{text}");
        }
        for text in ["-1", "0.5", "20.000001", "65536", "1e300", "\"20\"", "null", "true", "[]"] {
            assert_eq!(count(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_whole_or_not() {
        let whole = |text: &str| super::whole_number(&serde_json::from_str(text).unwrap());
        for (text, number) in [("1", 1), ("1.0", 1), ("-2.0", -2), ("1e3", 1000), ("9223372036854775807", i64::MAX)] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in ["1.5", "9223372036854775808", "1e300", "\"1\"", "null", "true"] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn what_may_be_missing_may_still_be_missing() {
        let lookup = "{\"token_id\":\"0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e\"}";
        let request = serde_json::from_str::<LookupRequest>(lookup).unwrap();
        assert_eq!((request.nonces, request.resumed), (0, None));
        let resumed = lookup.replace('}', ",\"resumed\":4294967295.0}");
        assert_eq!(serde_json::from_str::<LookupRequest>(&resumed).unwrap().resumed, Some(u32::MAX));
        let terminal = |days: Value| {
            let request = serde_json::json!({
                "name": "a", "role": "read", "tls_request": "", "ecka_request": "", "days": days,
            });
            serde_json::from_value::<TerminalRequest>(request).ok().map(|one| one.days)
        };
        assert_eq!(terminal(Value::Null), Some(None));
        assert_eq!(terminal(7.into()), Some(Some(7)));
        assert_eq!(terminal(7.5.into()), None);
    }
}
