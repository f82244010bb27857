//! How long a card may take: what the environment says of it, and how much may be said.

use std::ffi::OsString;
use std::time::Duration;

use super::ConfigError;
use crate::terminal::presence::duration;

/// A reader that is waited for longer than this is out of order.
const LONGEST: Duration = Duration::from_secs(600);

/// A duration that a card may take.
///
/// # Errors
/// In words: no duration, or more than ten minutes.
pub fn limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text).map_err(|error| error.to_string())?;
    if limit <= LONGEST { Ok(limit) } else { Err("more than 10m is too long for a card".to_owned()) }
}

/// What a variable of the environment says, where it is set.
///
/// # Errors
/// [`ConfigError::BadVariable`].
pub fn of_variable(name: &'static str, text: Option<OsString>) -> Result<Option<Duration>, ConfigError> {
    let read = |text: OsString| text.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(limit);
    text.map(read).transpose().map_err(|message| ConfigError::BadVariable { name, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_no_longer_than_any_card_takes() {
        let told = |text: &str| of_variable("X", Some(text.into())).map_err(|error| error.to_string());
        assert_eq!(told("7s"), Ok(Some(Duration::from_secs(7))));
        assert_eq!(told("10m"), Ok(Some(LONGEST)));
        assert_eq!(told("11m"), Err("X: more than 10m is too long for a card".into()));
        assert!(told("soon").is_err());
        assert!(matches!(of_variable("X", None), Ok(None)));
    }
}
