//! Times as the clock on the wall shows them, in the time zone of whoever types them.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use super::printer::Printer;

/// The time and the zone here. A zone that `TZ` names and nobody knows is UTC, with a warning.
fn here(now: Timestamp, out: &mut Printer) -> Zoned {
    let zone = TimeZone::try_system().unwrap_or_else(|_| {
        if let Some(name) = std::env::var_os("TZ") {
            let text = format!("the time zone {} is unknown; times are read as UTC", name.display());
            out.warning(&text, Some("set TZ to a zone such as Europe/Berlin, and see that tzdata is installed"));
        }
        TimeZone::UTC
    });
    now.to_zoned(zone)
}

/// The same where what was typed depends on it, and otherwise the time in UTC: then no zone is looked for.
pub fn here_if(is_local: bool, now: Timestamp, out: &mut Printer) -> Zoned {
    if is_local { here(now, out) } else { now.to_zoned(TimeZone::UTC) }
}

/// `17:30` or `17:30:05`, and nothing else that might be read as a time.
pub fn time_of_day(text: &str) -> Option<Time> {
    let shown = |text: &str| text.len() == 8 && text.bytes().enumerate().all(|(at, b)| digit_or_colon(at, b));
    let long = if text.len() == 5 { format!("{text}:00") } else { text.to_owned() };
    if shown(&long) { long.parse().ok() } else { None }
}

const fn digit_or_colon(at: usize, byte: u8) -> bool {
    if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() }
}

/// `2026-11-22` and nothing else: another text that has a date in it is none.
pub fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|date: &Date| date.to_string() == text)
}

/// `2026-11-22T17:30`, with seconds or a blank as it may be.
pub fn date_and_time(text: &str) -> Option<DateTime> {
    let (day, time) = text.split_once(['T', ' '])?;
    Some(date(day)?.to_datetime(time_of_day(time)?))
}

/// When the clock shows this on yesterday, today and tomorrow, in order: twice in the night in which it is set back, and
/// an hour later where it was set forward over it.
pub fn occurrences(time: Time, now: &Zoned) -> Vec<Timestamp> {
    let today = now.date();
    let days = [today.yesterday().ok(), Some(today), today.tomorrow().ok()];
    let mut found: Vec<_> = days.into_iter().flatten().flat_map(|day| readings(day.to_datetime(time), now)).collect();
    found.dedup();
    found
}

/// The moments at which the clock shows this: the earlier one, and the later one if there are two.
fn readings(shown: DateTime, now: &Zoned) -> impl Iterator<Item = Timestamp> {
    let moment = || now.time_zone().to_ambiguous_zoned(shown);
    [moment().compatible(), moment().later()].into_iter().flatten().map(|at| at.timestamp())
}

/// The moment at which the clock shows this, or the earlier one of two.
pub fn moment(shown: DateTime, now: &Zoned) -> Option<Timestamp> {
    readings(shown, now).next()
}
