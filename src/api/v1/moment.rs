//! Timestamps as in RFC 3339: nine digits of the fraction of a second are kept, more are accepted.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::Error};

/// Parses a time.
///
/// # Errors
/// The parser's for anything else.
pub fn read_moment(text: &str) -> Result<Timestamp, jiff::Error> {
    let Some((seconds, rest)) = text.split_once('.') else { return text.parse() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    format!("{seconds}.{}{}", &rest[..digits.min(9)], &rest[digits..]).parse()
}

/// The same for an optional parameter.
///
/// # Errors
/// The deserializer's.
pub fn optional_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    read_moment(&String::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::read_moment;

    #[test]
    fn digits_that_nobody_keeps_are_cut_off() {
        let kept = "2026-11-22T15:04:05.123456789Z".parse().ok();
        for text in ["2026-11-22T15:04:05.123456789Z", "2026-11-22T16:04:05.12345678999999999999+01:00"] {
            assert_eq!(read_moment(text).ok(), kept, "{text}");
        }
        assert_eq!(read_moment("2026-11-22T15:04:05Z").ok(), "2026-11-22T15:04:05Z".parse().ok());
        for text in ["", ".", "2026-11-22T15:04:05.Z", "2026-11-22T15:04:05.1234567890x2Z", "2026-11-22T15:04:05.1"] {
            assert!(read_moment(text).is_err(), "{text}");
        }
    }
}
