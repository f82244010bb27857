//! When a scan that waits is over: a time limit, a time of the clock, or both.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use jiff::{Timestamp, Zoned, civil::Time};

/// The longest wait without a look at the clock, which may be set, or may have gone on while the machine slept.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// A time as it is typed, before the clock was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A moment.
    At(Timestamp),
    /// The next time that the clock on the wall shows this.
    Clock(Time),
}

/// Why a text is no such time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no time of day such as 17:30 and no time such as 2026-11-22T15:04:05Z")]
pub struct NoTime;

impl Until {
    /// The moment that is meant. A time of day is that of the time zone of `now`: still today, or else tomorrow.
    pub fn resolve(self, now: &Zoned) -> Timestamp {
        let time = match self {
            Self::At(at) => return at,
            Self::Clock(time) => time,
        };
        let on = |date: jiff::civil::Date| date.to_datetime(time).to_zoned(now.time_zone().clone()).ok();
        let days = [Some(now.date()), now.date().tomorrow().ok()];
        let next = days.into_iter().flatten().filter_map(on).find(|at| at > now);
        // Nothing comes after the last day of the calendar.
        next.map_or(Timestamp::MAX, |at| at.timestamp())
    }
}

impl FromStr for Until {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        text.parse().map(Self::At).or_else(|_| clock(text).map(Self::Clock))
    }
}

/// `17:30` or `17:30:05`, and nothing else that might be read as a time.
fn clock(text: &str) -> Result<Time, NoTime> {
    let shown = |text: &str| text.len() == 8 && text.bytes().enumerate().all(|(at, b)| digit_or_colon(at, b));
    let long = if text.len() == 5 { format!("{text}:00") } else { text.to_owned() };
    if shown(&long) { long.parse().map_err(|_| NoTime) } else { Err(NoTime) }
}

const fn digit_or_colon(at: usize, byte: u8) -> bool {
    if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() }
}

/// When the wait is over.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitLimit {
    /// After a time limit.
    pub limit: Option<Instant>,
    /// When the clock shows this.
    pub at: Option<Timestamp>,
}

impl WaitLimit {
    /// How long to wait for the next message: nothing when it is over.
    pub fn wait(&self, start: Instant, now: Timestamp) -> Option<Duration> {
        let limit = self.limit.map(|limit| limit.saturating_duration_since(start));
        let clock = self.at.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        let left = limit.into_iter().chain(clock).min();
        match left {
            Some(Duration::ZERO) => None,
            Some(left) => Some(left.min(SLOW_TICK)),
            None => Some(SLOW_TICK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_of_day_is_the_next_one_where_the_terminal_stands() {
        let cases = [
            ("17:30", "2026-11-22T15:04:05+01:00[+01:00]", "2026-11-22T16:30:00Z"),
            ("15:04:05", "2026-11-22T15:04:05+01:00[+01:00]", "2026-11-23T14:04:05Z"),
            ("00:00", "2026-12-31T23:59:59Z[UTC]", "2027-01-01T00:00:00Z"),
            ("2026-11-22T08:00:00+01:00", "2026-11-22T15:04:05Z[UTC]", "2026-11-22T07:00:00Z"),
        ];
        for (typed, now, meant) in cases {
            let now: Zoned = now.parse().unwrap();
            assert_eq!(typed.parse::<Until>().unwrap().resolve(&now).to_string(), meant, "{typed}");
        }
        for text in
            ["", "17", "1730", "7:30", "24:00", "17:60", "17:30Z", "5pm", "8h", "2026-11-22", "T17:30", "17:30:"]
        {
            assert_eq!(text.parse::<Until>(), Err(NoTime), "{text}");
        }
    }

    #[test]
    fn the_wait_ends_with_whatever_comes_first() {
        let (start, now) = (Instant::now(), "2026-11-22T15:04:05Z".parse::<Timestamp>().unwrap());
        let end = |limit: Option<u64>, at: Option<i64>| WaitLimit {
            limit: limit.map(|s| start + Duration::from_secs(s)),
            at: at.map(|s| now + jiff::SignedDuration::from_secs(s)),
        };
        let seconds = |end: WaitLimit| end.wait(start, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(end(None, None)), Some(10));
        assert_eq!(seconds(end(Some(3), None)), Some(3));
        assert_eq!(seconds(end(Some(3), Some(2))), Some(2));
        assert_eq!(seconds(end(Some(60), Some(7200))), Some(10));
        assert_eq!(seconds(end(Some(0), Some(2))), None);
        assert_eq!(seconds(end(None, Some(-5))), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Until>();
        }

        /// It lies ahead, and not farther than a day.
        #[test]
        fn every_time_of_day_comes(hour in 0..24_u8, minute in 0..60_u8, now in 0..4_000_000_000_i64) {
            let now = Timestamp::from_second(now).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let meant = format!("{hour:02}:{minute:02}").parse::<Until>().unwrap().resolve(&now);
            let ahead = meant.duration_since(now.timestamp()).as_secs();
            prop_assert!(ahead > 0 && ahead <= 86_400, "{}", ahead);
        }
    }
}
