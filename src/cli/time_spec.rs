//! A point in time as it is typed: a time, a date, or how long ago.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::terminal::presence::duration;

/// A point in time, before the clock was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpec {
    /// A time.
    At(Timestamp),
    /// That long ago.
    Ago(Duration),
}

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no time such as 2026-11-22T15:04:05Z, no date such as 2026-11-22 and no duration such as 8h")]
pub struct TimeSpecError;

impl TimeSpec {
    /// The time that is meant; the earliest there is, where it would lie before that.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for TimeSpec {
    type Err = TimeSpecError;

    fn from_str(text: &str) -> Result<Self, TimeSpecError> {
        if let Ok(ago) = duration(text) {
            return Ok(Self::Ago(ago));
        }
        text.parse().or_else(|_| midnight(text)).map(Self::At)
    }
}

/// The beginning of a date, in UTC, as times are printed. Only a whole date: another text that has a date in it is none.
fn midnight(text: &str) -> Result<Timestamp, TimeSpecError> {
    let date: Date = text.parse().map_err(|_| TimeSpecError)?;
    if date.to_string() != text {
        return Err(TimeSpecError);
    }
    date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|_| TimeSpecError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_and_durations() {
        let now: Timestamp = "2026-11-22T15:04:05Z".parse().unwrap();
        assert_eq!("8h".parse::<TimeSpec>().unwrap().resolve(now).to_string(), "2026-11-22T07:04:05Z");
        assert_eq!(
            "2026-11-22T08:00:00+01:00".parse::<TimeSpec>().unwrap().resolve(now).to_string(),
            "2026-11-22T07:00:00Z"
        );
        assert_eq!("2026-11-22".parse::<TimeSpec>().unwrap().resolve(now).to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(TimeSpec::Ago(Duration::MAX).resolve(now), Timestamp::MIN);
        for text in ["", "yesterday", "-8h", "2026-11-31", "2026-11", "20261122", "2026-11-22T15:04:05"] {
            assert_eq!(text.parse::<TimeSpec>(), Err(TimeSpecError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<TimeSpec>();
        }

        /// Of every whole number and unit it is known what they mean, and whether that is too long.
        #[test]
        fn every_duration_is_read(number: u64, small in 0..10_000_u64, unit in 0..5_usize) {
            let (name, ms) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)][unit];
            for number in [number, small] {
                let meant = number.checked_mul(ms).map(Duration::from_millis);
                let longest = Duration::from_secs(100 * 366 * 86_400);
                let taken = meant.filter(|time| !time.is_zero() && *time <= longest);
                let read = |text: String| duration(&text).ok();
                prop_assert_eq!(read(format!("{number}{name}")), taken);
                prop_assert_eq!(read(format!("{number} {name}")), None);
                prop_assert_eq!(read(format!("-{number}{name}")), None);
            }
        }

        #[test]
        fn every_time_is_read(seconds in -377_705_023_201_i64..=253_402_207_200) {
            let at = Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(at.to_string().parse::<TimeSpec>(), Ok(TimeSpec::At(at)));
        }
    }
}
