//! Converts times from and to the local time zone of the user.

use std::borrow::Cow;

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use super::printer::Printer;

/// The current time in the local zone if the input depends on it, and otherwise in UTC, without looking up a zone.
pub fn here_if(is_local: bool, now: Timestamp, out: &mut Printer) -> Zoned {
    now.to_zoned(if is_local { out.zone() } else { TimeZone::UTC })
}

/// The current time at the typed offset, or else in the local zone.
pub fn shifted(now: &Zoned, offset: Option<Offset>) -> Cow<'_, Zoned> {
    match offset {
        Some(offset) => Cow::Owned(now.with_time_zone(TimeZone::fixed(offset))),
        None => Cow::Borrowed(now),
    }
}

/// Parses `17:30` or `17:30:05`, and nothing else that could be read as a time.
pub fn time_of_day(text: &str) -> Option<Time> {
    let shown = |text: &str| text.len() == 8 && text.bytes().enumerate().all(|(at, b)| digit_or_colon(at, b));
    let long = if text.len() == 5 { format!("{text}:00") } else { text.to_owned() };
    if shown(&long) { long.parse().ok() } else { None }
}

/// A time of day with an optional offset: `02:30`, `02:30+01:00`, `02:30 +01:00`.
pub fn time_with_offset(text: &str) -> Option<(Time, Option<Offset>)> {
    match offset_behind(text) {
        Some((text, offset)) => Some((time_of_day(text)?, Some(offset))),
        None => Some((time_of_day(text)?, None)),
    }
}

/// Parses `2026-11-22 17:30 +01:00`, as text output shows a time of another day, or the same with `Z` for UTC at its end.
/// A time after the latest timestamp, such as `9999-12-31T23:59:59Z`, becomes the latest timestamp.
pub fn moment_with_offset(text: &str) -> Option<Timestamp> {
    let (text, offset) = match text.strip_suffix('Z') {
        Some(text) => (text, Offset::UTC),
        None => offset_behind(text)?,
    };
    let shown = date_and_time(text)?;
    let at = offset.to_timestamp(shown).ok();
    at.or_else(|| (shown.year() > 0).then_some(Timestamp::MAX))
}

/// The offset at the end, and the text before it, with or without a blank between them.
fn offset_behind(text: &str) -> Option<(&str, Offset)> {
    let at = text.len().checked_sub(6)?;
    let (before, offset) = (text.get(..at)?, text.get(at..)?);
    let seconds = i32::try_from(time_of_day(offset.get(1..)?)?.duration_since(Time::midnight()).as_secs()).ok()?;
    let offset = match offset.as_bytes()[0] {
        b'+' => Offset::from_seconds(seconds),
        b'-' => Offset::from_seconds(-seconds),
        _ => return None,
    };
    Some((before.strip_suffix(' ').unwrap_or(before), offset.ok()?))
}

const fn digit_or_colon(at: usize, byte: u8) -> bool {
    if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() }
}

/// Parses `2026-11-22` and nothing else, such as a longer text that contains a date.
pub fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

/// Parses `2026-11-22T17:30`, optionally with seconds, or a blank instead of the `T`.
pub fn date_and_time(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_once(['T', ' '])?;
    Some(date(day)?.to_datetime(time_of_day(time)?))
}

/// When the clock shows this time yesterday, today and tomorrow, in order: twice in the night in which it is set back,
/// and an hour later if it was set forward over it.
pub fn occurrences(time: Time, now: &Zoned) -> Vec<Timestamp> {
    let today = now.date();
    let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
    let mut found: Vec<_> = days.into_iter().flatten().flat_map(|day| readings(day.to_datetime(time), now)).collect();
    found.dedup();
    found
}

/// The instants at which the clock shows this: the earlier one, and the later one if there are two.
fn readings(shown: DateTime, now: &Zoned) -> impl Iterator<Item = Timestamp> {
    let moment = || now.time_zone().to_ambiguous_zoned(shown);
    [moment().compatible(), moment().later()].into_iter().flatten().map(|at| at.timestamp())
}

/// The instant at which the clock shows this; the earlier of two.
pub fn moment(shown: DateTime, now: &Zoned) -> Option<Timestamp> {
    readings(shown, now).next()
}

/// A remark on a time of day typed without an offset, if the clock shows it twice or never on that day.
pub fn remark_on_time(typed: Time, meant: Timestamp, now: &Zoned) -> Option<String> {
    remark(meant.to_zoned(now.time_zone().clone()).date().to_datetime(typed), meant, now)
}

/// A remark on a date and time typed without an offset, if the clock shows it twice or never. What it says to write has
/// the date: a time of day alone would mean the most recent one, or the next.
pub fn remark(typed: DateTime, meant: Timestamp, now: &Zoned) -> Option<String> {
    let here = meant.to_zoned(now.time_zone().clone());
    let (day, hour) = (typed.date(), typed.strftime(if typed.second() == 0 { "%H:%M" } else { "%H:%M:%S" }));
    let at = here.strftime("%H:%M at %:z");
    match now.time_zone().to_ambiguous_zoned(typed).offset() {
        AmbiguousOffset::Unambiguous { .. } => None,
        AmbiguousOffset::Gap { .. } => Some(format!("the clock skipped {hour} on {day}: taken as {at}")),
        AmbiguousOffset::Fold { before, after } => {
            let other = if here.offset() == before { after } else { before };
            let other = meant.to_zoned(TimeZone::fixed(other)).strftime("%:z").to_string();
            Some(format!("{hour} comes twice on {day}: taken as {at}; for the other one write {day}T{hour}{other}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::wall_clock::WallClock;
    use proptest::prelude::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn clock(now: &str) -> WallClock {
        WallClock::at(now.parse().unwrap(), berlin())
    }

    #[test]
    fn what_the_clock_shows_twice_or_never_is_said() {
        let said = |day: &str, meant: &str| {
            let now = day.parse::<Timestamp>().unwrap().to_zoned(berlin());
            remark_on_time("02:30".parse().unwrap(), meant.parse().unwrap(), &now)
        };
        let autumn = |meant| said("2027-10-31T11:00:00Z", meant).unwrap();
        assert_eq!(
            autumn("2027-10-31T01:30:00Z"),
            "02:30 comes twice on 2027-10-31: taken as 02:30 at +01:00; for the other one write 2027-10-31T02:30+02:00"
        );
        let first = autumn("2027-10-31T00:30:00Z");
        assert!(first.ends_with("taken as 02:30 at +02:00; for the other one write 2027-10-31T02:30+01:00"), "{first}");
        assert_eq!(
            said("2027-03-28T11:00:00Z", "2027-03-28T01:30:00Z").unwrap(),
            "the clock skipped 02:30 on 2027-03-28: taken as 03:30 at +02:00"
        );
        assert_eq!(said("2027-10-30T11:00:00Z", "2027-10-30T00:30:00Z"), None);
    }

    proptest! {
        /// What text output shows can be typed, and means the same to the minute.
        #[test]
        fn what_is_shown_is_read_back(second in -2_000_000_000_i64..4_000_000_000) {
            let at = Timestamp::from_second(second).unwrap();
            let shown = clock("2100-01-01T00:00:00Z").show(at);
            let read = moment_with_offset(&shown).unwrap();
            prop_assert_eq!(at.duration_since(read).as_secs(), second.rem_euclid(60));
        }

        #[test]
        fn no_text_panics(text in "(\\PC|[0-9TZ:.+-]){0,50}") {
            let _ = clock("2026-11-22T11:00:00Z").localised(&text);
            let _ = (time_with_offset(&text), moment_with_offset(&text));
        }
    }
}
