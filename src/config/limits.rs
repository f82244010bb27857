//! Time limits for cards.

use std::time::Duration;

use crate::terminal::presence::duration;

/// A reader that takes longer than this is faulty.
const LONGEST: Duration = Duration::from_secs(600);

/// Parses a time limit for a card.
///
/// # Errors
/// In words: not a duration, or more than ten minutes.
pub fn limit(text: &str) -> Result<Duration, String> {
    let limit = duration(text).map_err(|error| error.to_string())?;
    if limit <= LONGEST { Ok(limit) } else { Err("more than 10m is too long for a card".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_no_longer_than_any_card_takes() {
        assert_eq!(limit("7s"), Ok(Duration::from_secs(7)));
        assert_eq!(limit("10m"), Ok(LONGEST));
        assert_eq!(limit("11m"), Err("more than 10m is too long for a card".into()));
        assert!(limit("soon").is_err());
    }
}
