//! Parses a point in time as typed: a time, a date, or how long ago.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan, Zoned};

use super::local_time::{
    date, date_and_time, here_if, moment, moment_with_offset, occurrences, remark, remark_on_time, shifted,
    time_with_offset,
};
use super::printer::Printer;
use crate::failure::{ExitClass, Failure};
use crate::terminal::presence::duration;

/// A point in time as typed, before it is resolved by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpec {
    /// A time.
    At(Timestamp),
    /// That long ago.
    Ago(Duration),
    /// A time of day in the local zone, or at that offset.
    Clock(Time, Option<Offset>),
    /// A local date and time; a date alone is its beginning.
    Wall(DateTime),
    /// The beginning of the local day that many days ago.
    DaysAgo(u8),
}

/// Why a text is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a time such as 2026-11-22T15:04:05Z or 18:00, a date such as 2026-11-22, today, yesterday, or a duration such as 8h"
)]
pub struct TimeSpecError;

impl TimeSpec {
    /// Whether it depends on the local time zone.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Clock(_, None) | Self::Wall(_) | Self::DaysAgo(_))
    }

    /// The resolved time; the earliest or latest that can be represented, if it is before or after it. A time of day is
    /// the most recent one.
    pub fn resolve(self, now: &Zoned) -> Timestamp {
        let earliest = Timestamp::MIN;
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.timestamp().saturating_sub(ago).unwrap_or(earliest),
            Self::Clock(time, offset) => {
                let been = occurrences(time, &shifted(now, offset)).into_iter().rev().find(|at| *at <= now.timestamp());
                been.unwrap_or(earliest)
            }
            Self::Wall(shown) => {
                // 9999-12-31, which tables write for "no end", is later than a timestamp can be.
                let outermost = if shown > now.datetime() { Timestamp::MAX } else { earliest };
                moment(shown, now).unwrap_or(outermost)
            }
            Self::DaysAgo(days) => {
                let day = now.date().saturating_sub(i32::from(days).days());
                moment(day.to_datetime(Time::midnight()), now).unwrap_or(earliest)
            }
        }
    }

    /// A remark if the clock shows it twice or never.
    fn remark(self, meant: Timestamp, now: &Zoned) -> Option<String> {
        match self {
            Self::Clock(time, None) => remark_on_time(time, meant, now),
            Self::Wall(shown) if shown.time() != Time::midnight() => remark(shown, meant, now),
            _ => None,
        }
    }

    /// The resolved time in the local zone; stderr says if the clock shows it twice or never.
    pub fn moment(self, now: Timestamp, out: &mut Printer) -> Timestamp {
        let here = here_if(self.is_local(), now, out);
        let meant = self.resolve(&here);
        if let Some(text) = self.remark(meant, &here) {
            out.note(&text);
        }
        meant
    }

    /// The end of a span. A time of day is today's; if the beginning is one too, the first after the beginning.
    fn resolve_end(self, since: Option<Self>, now: &Zoned) -> Timestamp {
        let Self::Clock(time, offset) = self else { return self.resolve(now) };
        let there = shifted(now, offset);
        let after_the_beginning = match since {
            Some(since @ Self::Clock(..)) => {
                let begin = since.resolve(now);
                occurrences(time, &there).into_iter().find(|at| *at > begin)
            }
            _ => None,
        };
        after_the_beginning.or_else(|| moment(there.date().to_datetime(time), &there)).unwrap_or(Timestamp::MAX)
    }
}

/// The resolved beginning and end, in the local zone.
///
/// # Errors
/// `time.reversed` for an end before its beginning: nothing could be in such a span, whatever happened.
pub fn moments(
    typed: [Option<TimeSpec>; 2],
    now: Timestamp,
    out: &mut Printer,
) -> Result<[Option<Timestamp>; 2], Failure> {
    let is_local = typed.iter().flatten().any(|moment| moment.is_local());
    let here = here_if(is_local, now, out);
    let meant = span(typed[0], typed[1], &here);
    let remarks = typed.iter().zip(&meant).filter_map(|(typed, meant)| (*typed)?.remark((*meant)?, &here));
    for text in remarks.collect::<Vec<_>>() {
        out.note(&text);
    }
    match meant {
        [Some(since), Some(until)] if since > until => Err(reversed(since, until)),
        _ => Ok(meant),
    }
}

fn reversed(since: Timestamp, until: Timestamp) -> Failure {
    let text = format!("the span ends before it begins: --since is {since}, --until {until}");
    Failure::new(ExitClass::Usage, "time.reversed", text).hint("exchange the two, or leave one of them out")
}

/// The resolved beginning and end.
fn span(since: Option<TimeSpec>, until: Option<TimeSpec>, now: &Zoned) -> [Option<Timestamp>; 2] {
    [since.map(|begin| begin.resolve(now)), until.map(|end| end.resolve_end(since, now))]
}

impl FromStr for TimeSpec {
    type Err = TimeSpecError;

    fn from_str(text: &str) -> Result<Self, TimeSpecError> {
        match text {
            "today" => return Ok(Self::DaysAgo(0)),
            "yesterday" => return Ok(Self::DaysAgo(1)),
            _ => {}
        }
        let elapsed = || duration(text).ok().map(Self::Ago);
        let wall = || date_and_time(text).or_else(|| Some(date(text)?.to_datetime(Time::midnight()))).map(Self::Wall);
        let clock = || time_with_offset(text).map(|(time, offset)| Self::Clock(time, offset));
        let moment = || moment_with_offset(text).or_else(|| text.parse().ok()).map(Self::At);
        elapsed().or_else(wall).or_else(clock).or_else(moment).ok_or(TimeSpecError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_and_durations() {
        let now: Zoned = "2026-11-22T15:04:05+14:00[+14:00]".parse().unwrap();
        for (typed, meant) in [
            ("8h", "2026-11-21T17:04:05Z"),
            ("2026-11-22T08:00:00+01:00", "2026-11-22T07:00:00Z"),
            ("2026-11-22", "2026-11-21T10:00:00Z"),
            ("2026-11-22T08:00", "2026-11-21T18:00:00Z"),
            ("2026-11-22 08:00:01", "2026-11-21T18:00:01Z"),
            ("today", "2026-11-21T10:00:00Z"),
            ("yesterday", "2026-11-20T10:00:00Z"),
            ("15:04:05", "2026-11-22T01:04:05Z"),
            ("15:05", "2026-11-21T01:05:00Z"),
            ("2026-11-22 08:00 +01:00", "2026-11-22T07:00:00Z"),
            ("02:00+01:00", "2026-11-22T01:00:00Z"),
            ("02:05 +01:00", "2026-11-21T01:05:00Z"),
            ("22:00:01-03:00", "2026-11-22T01:00:01Z"),
        ] {
            assert_eq!(typed.parse::<TimeSpec>().unwrap().resolve(&now).to_string(), meant, "{typed}");
        }
        assert_eq!(TimeSpec::Ago(Duration::MAX).resolve(&now), Timestamp::MIN);
        let west: Zoned = "2026-11-22T15:04:05-05:00[-05:00]".parse().unwrap();
        for endless in ["9999-12-31", "9999-12-31T23:59:59", "9999-12-31T23:59:59Z", "9999-12-31 23:59 -01:00"] {
            assert_eq!(endless.parse::<TimeSpec>().unwrap().resolve(&west), Timestamp::MAX, "{endless}");
        }
        assert_eq!("-009999-01-01T00:00:00Z".parse::<TimeSpec>(), Err(TimeSpecError));
        for text in [
            "",
            "tomorrow",
            "Today",
            "-8h",
            "2026-11-31",
            "2026-11",
            "20261122",
            "24:00",
            "2026-11-22T8:00",
            "08:00+1:00",
            "08:00+24:00",
        ] {
            assert_eq!(text.parse::<TimeSpec>(), Err(TimeSpecError), "{text}");
        }
    }

    #[test]
    fn the_end_of_a_span_is_the_first_one_after_its_beginning() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let spans = [
            ("2026-11-22T11:00:00Z", "09:00", "18:00", "2026-11-22T08:00:00Z", "2026-11-22T17:00:00Z"),
            ("2026-11-22T01:00:00Z", "09:00", "18:00", "2026-11-21T08:00:00Z", "2026-11-21T17:00:00Z"),
            ("2026-11-22T01:00:00Z", "22:00", "06:00", "2026-11-21T21:00:00Z", "2026-11-22T05:00:00Z"),
            ("2026-11-22T11:00:00Z", "yesterday", "08:00", "2026-11-20T23:00:00Z", "2026-11-22T07:00:00Z"),
            ("2026-11-22T11:00:00Z", "yesterday", "today", "2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z"),
            // The night in which 02:30 occurs twice.
            ("2027-10-31T00:45:00Z", "02:30", "today", "2027-10-31T00:30:00Z", "2027-10-30T22:00:00Z"),
            ("2027-10-31T01:45:00Z", "02:30", "03:00", "2027-10-31T01:30:00Z", "2027-10-31T02:00:00Z"),
            // The offset distinguishes them.
            ("2027-10-31T01:45:00Z", "02:30+02:00", "02:30+01:00", "2027-10-31T00:30:00Z", "2027-10-31T01:30:00Z"),
            (
                "2027-10-31T09:00:00Z",
                "2027-10-31T02:30+01:00",
                "2027-10-31T03:00",
                "2027-10-31T01:30:00Z",
                "2027-10-31T02:00:00Z",
            ),
            // The day on which the clock went forward is an hour shorter.
            ("2027-03-29T10:00:00Z", "yesterday", "today", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"),
        ];
        for (now, since, until, begin, end) in spans {
            let now = now.parse::<Timestamp>().unwrap().to_zoned(zone.clone());
            let told = span(since.parse().ok(), until.parse().ok(), &now).map(|at| at.unwrap().to_string());
            assert_eq!(told, [begin, end], "{since} to {until} at {now}");
        }
    }

    #[test]
    fn what_the_remark_says_to_write_is_the_other_of_two_times() {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (now, typed) in [
            ("2027-10-31T11:00:00Z", "02:30"),
            // A time of day alone would be that of the next day.
            ("2027-11-01T00:45:00Z", "02:30"),
            ("2027-11-29T11:00:00Z", "2027-10-31T02:30"),
            ("2027-11-29T11:00:00Z", "2027-10-31 02:30:15"),
        ] {
            let now = now.parse::<Timestamp>().unwrap().to_zoned(zone.clone());
            let spec: TimeSpec = typed.parse().unwrap();
            let meant = spec.resolve(&now);
            let told = spec.remark(meant, &now).unwrap();
            let write = told.split_once("for the other one write ").unwrap().1;
            let other = write.parse::<TimeSpec>().unwrap().resolve(&now);
            assert_eq!(other.duration_since(meant).abs().as_secs(), 3600, "{typed}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<TimeSpec>();
        }

        /// Every whole number with a unit is understood, or known to be too long.
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
