//! Formats times for the user, in the user's time zone.

use std::{borrow::Cow, fs};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A time with its date.
const DATED: &str = "%Y-%m-%d %H:%M %:z";

/// The user's clock: formats times relative to one day.
#[derive(Debug, Clone)]
pub struct WallClock {
    zone: TimeZone,
    today: Date,
}

impl WallClock {
    /// Relative to now.
    pub fn now(zone: TimeZone) -> Self {
        Self::at(Timestamp::now(), zone)
    }

    /// Relative to then.
    pub fn at(now: Timestamp, zone: TimeZone) -> Self {
        let today = now.to_zoned(zone.clone()).date();
        Self { zone, today }
    }

    /// `16:04:05` today, `2026-11-22 16:04 +01:00` on another day. In an hour that occurs twice the offset tells which
    /// one it is.
    pub fn show(&self, at: Timestamp) -> String {
        let shown = at.to_zoned(self.zone.clone());
        let is_twice = self.zone.to_ambiguous_zoned(shown.datetime()).is_ambiguous();
        let form = match (shown.date() == self.today, is_twice) {
            (true, false) => "%H:%M:%S",
            (true, true) => "%H:%M:%S %:z",
            (false, _) => DATED,
        };
        shown.strftime(form).to_string()
    }

    fn show_dated(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime(DATED).to_string()
    }

    fn is_today(&self, at: Timestamp) -> bool {
        at.to_zoned(self.zone.clone()).date() == self.today
    }

    /// Converts the UTC times in a message to local time. If one is of another day, all have their date: a message
    /// compares its times, and `pki.clock` doubts today's date itself.
    pub fn localised<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut rest = text;
        let is_of_today = times(text).all(|time| self.is_today(time));
        let mut shown = String::new();
        while let Some((at, length, time)) = first_utc(rest) {
            shown.push_str(&rest[..at]);
            shown.push_str(&if is_of_today { self.show(time) } else { self.show_dated(time) });
            rest = &rest[at + length..];
        }
        if shown.is_empty() && rest.len() == text.len() { text.into() } else { (shown + rest).into() }
    }
}

/// All times in UTC in a text.
fn times(text: &str) -> impl Iterator<Item = Timestamp> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (at, length, time) = first_utc(rest)?;
        rest = &rest[at + length..];
        Some(time)
    })
}

/// Whether the text contains a time in UTC.
pub fn has_utc(text: &str) -> bool {
    first_utc(text).is_some()
}

/// The first time in UTC: where it is, its length in bytes, and its value.
fn first_utc(text: &str) -> Option<(usize, usize, Timestamp)> {
    // Up to the seconds, optionally with a fraction: 2026-11-22T15:04:05.123Z
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let bytes = text.as_bytes();
    let is_like = |part: &[u8]| {
        part.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape })
    };
    let begins = bytes.windows(SHAPE.len()).enumerate().filter(|(_, part)| is_like(part)).map(|(at, _)| at);
    begins.filter(|at| *at == 0 || !bytes[at - 1].is_ascii_alphanumeric()).find_map(|at| {
        let end = at + bytes[at..].iter().take(32).position(|byte| *byte == b'Z')?;
        let is_seconds = bytes[at + SHAPE.len()..end].iter().all(|byte| *byte == b'.' || byte.is_ascii_digit());
        let is_whole = bytes.get(end + 1).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let time = text.get(at..=end).filter(|_| is_seconds && is_whole)?.parse().ok()?;
        Some((at, end + 1 - at, time))
    })
}

/// The rules of the system's zone, unless `TZ` names one. Finding the zone's name would mean searching all zones.
const LOCALTIME: &str = "/etc/localtime";

/// The time zone of this system. If `TZ` names an unknown one, UTC with a warning.
pub fn system_zone() -> (TimeZone, Option<String>) {
    let rules = || fs::read(LOCALTIME).ok().filter(|_| std::env::var_os("TZ").is_none());
    if let Some(zone) = rules().and_then(|rules| TimeZone::tzif("local", &rules).ok()) {
        return (zone, None);
    }
    if let Ok(zone) = TimeZone::try_system() {
        return (zone, None);
    }
    let named = std::env::var_os("TZ");
    let warning = named.map(|name| format!("the time zone {} is unknown; times are in UTC", name.display()));
    (TimeZone::UTC, warning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(now: &str) -> WallClock {
        WallClock::at(now.parse().unwrap(), TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap())
    }

    #[test]
    fn a_time_is_as_short_as_it_can_be_understood() {
        let noon = clock("2027-10-31T11:00:00Z");
        for (at, shown) in [
            ("2027-10-31T10:59:59.9Z", "11:59:59"),
            ("2027-10-31T00:30:00Z", "02:30:00 +02:00"),
            ("2027-10-31T01:30:00Z", "02:30:00 +01:00"),
            ("2027-10-30T22:00:00Z", "00:00:00"),
            ("2027-10-30T21:59:59Z", "2027-10-30 23:59 +02:00"),
            ("2027-11-01T00:00:00Z", "2027-11-01 01:00 +01:00"),
        ] {
            assert_eq!(noon.show(at.parse().unwrap()), shown, "{at}");
        }
    }

    #[test]
    fn times_in_a_message_are_shown_as_the_clock_does() {
        let noon = clock("2026-11-22T11:00:00Z");
        for (text, shown) in [
            ("it ends at 2026-11-22T15:04:05Z.", "it ends at 16:04:05."),
            ("2026-11-22T15:04:05.123456Z and 2026-11-22T16:00:00Z", "16:04:05 and 17:00:00"),
            (
                "the clock says 2026-11-22T15:04:05Z, and it was issued at 2026-11-30T00:00:00Z",
                "the clock says 2026-11-22 16:04 +01:00, and it was issued at 2026-11-30 01:00 +01:00",
            ),
            (
                "at 2026-11-22T15:04:05+01:00, x2026-11-22T15:04:05Z",
                "at 2026-11-22T15:04:05+01:00, x2026-11-22T15:04:05Z",
            ),
            ("2026-13-22T15:04:05Z or 2026-11-22T15:04:05Zulu", "2026-13-22T15:04:05Z or 2026-11-22T15:04:05Zulu"),
            ("", ""),
        ] {
            assert_eq!(noon.localised(text), shown);
        }
    }
}
