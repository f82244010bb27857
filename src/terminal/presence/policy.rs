//! The rules for who counts as present, per reader, and the other settings that the presence list needs.

use std::time::Duration;

use jiff::Timestamp;

/// How presence is decided at one reader: `field`, `toggle` or `until:8h` on the command line and in the
/// configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PresenceMode {
    /// While the card stays on the reader.
    #[default]
    Field,
    /// A tap enters, the next tap leaves: for doors, desks, events.
    Toggle,
    /// A tap enters, and the entry ends after this time. Never zero.
    Until(Duration),
}

/// Why a text is not a presence mode or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresenceModeError {
    /// Not one of the three modes.
    #[error("{0:?} is not field, toggle or until:DURATION")]
    Unknown(String),
    /// The part after `until:`, or a duration by itself.
    #[error("{0:?} is not a duration such as 500ms, 5s, 2m, 8h or 1d")]
    Duration(String),
}

impl std::str::FromStr for PresenceMode {
    type Err = PresenceModeError;

    fn from_str(text: &str) -> Result<Self, PresenceModeError> {
        match text {
            "field" => Ok(Self::Field),
            "toggle" => Ok(Self::Toggle),
            _ => match text.strip_prefix("until:") {
                Some(time) => duration(time).map(Self::Until),
                None => Err(PresenceModeError::Unknown(text.to_owned())),
            },
        }
    }
}

impl std::fmt::Display for PresenceMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field => f.write_str("field"),
            Self::Toggle => f.write_str("toggle"),
            Self::Until(time) => write!(f, "until:{}ms", time.as_millis()),
        }
    }
}

/// The longest accepted duration: 100 years, so that no sum with a date overflows unnoticed.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Parses a whole number with a unit, `500ms`, `5s`, `2m`, `8h`, `1d`: above zero, at most 100 years.
///
/// # Errors
/// [`PresenceModeError::Duration`] for anything else.
pub fn duration(text: &str) -> Result<Duration, PresenceModeError> {
    let refuse = || PresenceModeError::Duration(text.to_owned());
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refuse()),
    };
    let number: u64 = number.parse().map_err(|_| refuse())?;
    let time = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refuse)?;
    if time.is_zero() || time > LONGEST { Err(refuse()) } else { Ok(time) }
}

/// The settings that the list needs.
pub trait Policy {
    /// The presence mode of this reader.
    fn presence(&self, reader: &str) -> PresenceMode;

    /// How long an unconfirmed entry may wait to be seen before it is closed.
    fn stale_after(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// The time before which events are removed at this moment; `None` for never.
    fn kept_from(&self, now: Timestamp) -> Option<Timestamp> {
        self.retention().map(|kept| now.checked_sub(kept).unwrap_or(Timestamp::MIN))
    }

    /// How long after a tap in mode toggle another tap of the same token counts as the same; zero for never.
    fn min_stay(&self) -> Duration {
        Duration::ZERO
    }

    /// How long events are kept; `None` for forever.
    fn retention(&self) -> Option<Duration> {
        None
    }

    /// How much longer than its least time a token may take for a heartbeat at this reader; `None` for no limit.
    fn max_extra(&self, _reader: &str) -> Option<Duration> {
        None
    }

    /// How long a reader may take to detect the card in it after the reader or the service came back.
    fn settles_after(&self) -> Duration {
        Duration::from_secs(5)
    }
}

impl<F: Fn(&str) -> PresenceMode> Policy for F {
    fn presence(&self, reader: &str) -> PresenceMode {
        self(reader)
    }
}

/// The same mode at every reader.
impl Policy for PresenceMode {
    fn presence(&self, _reader: &str) -> PresenceMode {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        for presence in [PresenceMode::Field, PresenceMode::Toggle, PresenceMode::Until(Duration::from_secs(8 * 3600))]
        {
            assert_eq!(presence.to_string().parse(), Ok(presence));
        }
        assert_eq!("until:8h".parse(), Ok(PresenceMode::Until(Duration::from_secs(28_800))));
        assert_eq!("until:500ms".parse(), Ok(PresenceMode::Until(Duration::from_millis(500))));
    }

    #[test]
    fn what_is_no_presence_is_refused() {
        for text in
            ["", "Field", "until", "until:", "until:0s", "until:8", "until:h", "until:-1h", "until:8 h", "until:1.5h"]
        {
            assert!(text.parse::<PresenceMode>().is_err(), "{text}");
        }
        assert!(duration("99999999999999999999h").is_err());
        assert!(duration("18446744073709551615d").is_err());
        assert!(duration("36601d").is_err());
        assert!(duration("8ħ").is_err());
    }
}
