//! When a waiting scan ends: after a time limit, at a time of day, or at the earlier of both.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use jiff::{Timestamp, Zoned, civil::DateTime, civil::Time, tz::Offset};

use super::local_time::{
    date_and_time, here_if, moment, moment_with_offset, occurrences, remark, remark_on_time, shifted, time_with_offset,
};
use super::printer::Printer;

/// The longest wait between looks at the clock, which may be set, or advance while the machine sleeps.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// A time as typed, before it is resolved by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// An instant.
    At(Timestamp),
    /// The next time that the clock shows this, in the local zone or at that offset.
    Clock(Time, Option<Offset>),
    /// A local date and time.
    Wall(DateTime),
}

/// Why a text is not such a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day such as 17:30, nor a time such as 2026-11-22T15:04:05Z")]
pub struct NoTime;

impl Until {
    /// Whether it depends on the local time zone.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Clock(_, None) | Self::Wall(_))
    }

    /// The resolved time. A time of day is the next one in the time zone of `now`, today or tomorrow.
    pub fn resolve(self, now: &Zoned) -> Timestamp {
        let next = match self {
            Self::At(at) => Some(at),
            Self::Wall(shown) => moment(shown, now),
            Self::Clock(time, offset) => {
                let ahead = occurrences(time, &shifted(now, offset)).into_iter();
                ahead.filter(|at| *at > now.timestamp()).min()
            }
        };
        // Nothing follows the last day of the calendar.
        next.unwrap_or(Timestamp::MAX)
    }
}

impl Until {
    /// The resolved time in the local zone; stderr says if the clock shows it twice or never.
    pub fn moment(self, now: Timestamp, out: &mut Printer) -> Timestamp {
        let here = here_if(self.is_local(), now, out);
        let meant = self.resolve(&here);
        if let Some(text) = self.remark(meant, &here) {
            out.note(&text);
        }
        meant
    }

    fn remark(self, meant: Timestamp, now: &Zoned) -> Option<String> {
        match self {
            Self::Clock(time, None) => remark_on_time(time, meant, now),
            Self::Wall(shown) => remark(shown, meant, now),
            _ => None,
        }
    }
}

impl FromStr for Until {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        let wall = || date_and_time(text).map(Self::Wall);
        let moment = || moment_with_offset(text).or_else(|| text.parse().ok()).map(Self::At);
        let clock = || time_with_offset(text).map(|(time, offset)| Self::Clock(time, offset));
        clock().or_else(wall).or_else(moment).ok_or(NoTime)
    }
}

/// When a wait ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitLimit {
    /// After a time limit.
    pub limit: Option<Instant>,
    /// When the clock shows this.
    pub at: Option<Timestamp>,
}

impl WaitLimit {
    /// How long to wait for the next message: `None` when the wait is over.
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
            ("2026-11-23T08:00", "2026-11-22T15:04:05+01:00[+01:00]", "2026-11-23T07:00:00Z"),
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
    fn in_the_night_in_which_an_hour_comes_twice_or_never_the_next_one_is_meant() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (now, meant) in [
            ("2027-10-31T00:29:55Z", "2027-10-31T00:30:00Z"),
            ("2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"),
            ("2027-10-31T01:29:55Z", "2027-10-31T01:30:00Z"),
            ("2027-10-31T01:30:00Z", "2027-11-01T01:30:00Z"),
            // 02:30 is skipped: 03:30 replaces it.
            ("2027-03-28T00:59:00Z", "2027-03-28T01:30:00Z"),
        ] {
            let at = now.parse::<Timestamp>().unwrap().to_zoned(zone.clone());
            assert_eq!("02:30".parse::<Until>().unwrap().resolve(&at).to_string(), meant, "{now}");
        }
    }

    #[test]
    fn an_offset_says_which_of_two_times_is_meant() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = "2027-10-31T00:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone);
        for (typed, meant) in [
            ("02:30+02:00", "2027-10-31T00:30:00Z"),
            ("02:30+01:00", "2027-10-31T01:30:00Z"),
            ("2027-10-31 02:30 +01:00", "2027-10-31T01:30:00Z"),
        ] {
            assert_eq!(typed.parse::<Until>().unwrap().resolve(&now).to_string(), meant, "{typed}");
        }
    }

    #[test]
    fn what_the_remark_says_to_write_is_the_other_of_two_times() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (now, typed) in [
            ("2027-10-30T23:00:00Z", "02:30"),
            ("2027-10-31T01:00:00Z", "02:30"),
            ("2027-10-29T11:00:00Z", "2027-10-31T02:30"),
            ("2027-11-29T11:00:00Z", "2027-10-31 02:30:15"),
        ] {
            let now = now.parse::<Timestamp>().unwrap().to_zoned(zone.clone());
            let until: Until = typed.parse().unwrap();
            let meant = until.resolve(&now);
            let told = until.remark(meant, &now).unwrap();
            let other = told.split_once("for the other one write ").unwrap().1.parse::<Until>().unwrap().resolve(&now);
            assert_eq!(other.duration_since(meant).abs().as_secs(), 3600, "{typed}: {told}");
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

        /// It is in the future, at most a day ahead.
        #[test]
        fn every_time_of_day_comes(hour in 0..24_u8, minute in 0..60_u8, now in 0..4_000_000_000_i64) {
            let now = Timestamp::from_second(now).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let meant = format!("{hour:02}:{minute:02}").parse::<Until>().unwrap().resolve(&now);
            let ahead = meant.duration_since(now.timestamp()).as_secs();
            prop_assert!(ahead > 0 && ahead <= 86_400, "{}", ahead);
        }
    }
}
