//! Lays out one screen: how many users are present and where, who they are, the latest events, and messages.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::content::{LiveContent, ReaderStand};
use crate::{
    cli::{
        printer::Printable,
        sanitize,
        table::{Cell, Screen, Style, line, table},
    },
    terminal::presence::{EntryState, Member},
};

/// The size of a terminal that does not report it.
const USUAL: (usize, usize) = (24, 80);
/// The smallest size that can be readable.
const LEAST: (usize, usize) = (4, 20);

/// The size of a terminal, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: usize,
    /// Cells per line.
    pub columns: usize,
}

impl Size {
    /// As the terminal reports it; 0 means unknown.
    pub fn of(rows: usize, columns: usize) -> Self {
        let known = |said: usize, usual: usize, least: usize| if said == 0 { usual } else { said.max(least) };
        Self { rows: known(rows, USUAL.0, LEAST.0), columns: known(columns, USUAL.1, LEAST.1) }
    }
}

/// Longer names and ids are truncated to this, in cells.
const LONGEST: usize = 40;
/// The most lines for one event if space is short.
const LINES: usize = 3;

/// At most as many lines as fit.
pub fn frame(content: &LiveContent, size: Size, screen: &Screen) -> Vec<String> {
    let mut lines = head(content, screen);
    lines.truncate((size.rows / 2).max(1));
    let room = size.rows - lines.len();
    let said = messages(content, (room / 3).max(1), screen);
    let least = events(content, (room / 3).max(2), LINES, screen);
    let people = people(content, room.saturating_sub(said.len() + least.len()), screen);
    // Events get the remaining lines: a reason is shown in full if there is room.
    let left = room.saturating_sub(said.len() + people.len());
    let events = if left > least.len() { events(content, left, LINES.max(left / 2), screen) } else { least };
    let blank = room.saturating_sub(said.len() + events.len() + people.len());
    lines.extend(people);
    lines.extend(events);
    // Messages are at the bottom.
    lines.extend(std::iter::repeat_n(String::new(), if said.is_empty() { 0 } else { blank }));
    lines.extend(said);
    lines.truncate(size.rows);
    lines
}

/// How many users are present, and what is wrong; then how many at each reader.
fn head(content: &LiveContent, screen: &Screen) -> Vec<String> {
    let doubtful = content.list.values().filter(|member| member.state == EntryState::Unconfirmed).count();
    let since = |what: &str, at: Option<jiff::Timestamp>| {
        at.map(|at| Cell::new(format!("{what} since {}", screen.moment(at)), Style::Bad)).unwrap_or_default()
    };
    let unconfirmed = if doubtful == 0 { String::new() } else { format!("{doubtful} unconfirmed") };
    let mut lines = split(&line(
        &[
            Cell::new(format!("{} here", content.list.len()), Style::Strong),
            Cell::new(unconfirmed, Style::Warning),
            since("no PC/SC service", content.service_lost),
            since("server away", content.server_lost),
        ],
        screen,
    ));
    let mut counts: BTreeMap<String, (usize, Option<ReaderStand>)> = BTreeMap::new();
    for (reader, stand) in &content.readers {
        counts.entry((content.alias)(reader)).or_default().1 = Some(*stand);
    }
    for member in content.list.values() {
        counts.entry((content.alias)(&member.reader)).or_default().0 += 1;
    }
    let cells: Vec<_> = counts
        .iter()
        .map(|(name, (count, stand))| match stand {
            Some(ReaderStand::Works) => Cell::new(format!("{name}: {count}"), Style::Plain),
            Some(ReaderStand::Fails) => Cell::new(format!("{name}: {count}, does not work"), Style::Bad),
            None => Cell::new(format!("{name}: {count}, not connected"), Style::Warning),
        })
        .collect();
    lines.extend(split(&line(&cells, screen)));
    lines
}

/// The present users, the latest first; those that do not fit are counted.
fn people(content: &LiveContent, room: usize, screen: &Screen) -> Vec<String> {
    let mut here: Vec<_> = content.list.values().collect();
    here.sort_by(|a, b| b.since.cmp(&a.since).then_with(|| a.user.name.cmp(&b.user.name)));
    if here.is_empty() || room < 3 {
        return Vec::new();
    }
    let row = |member: &&Member| {
        let state = if member.state == EntryState::Unconfirmed { "unconfirmed" } else { "" };
        vec![
            Cell::new(cut(&member.user.name), Style::Strong),
            Cell::from(cut(&member.user.id)),
            Cell::new((content.alias)(&member.reader), Style::Plain),
            Cell::moment(member.since, "", Style::Plain),
            Cell::new(state, Style::Warning),
        ]
    };
    // A row may take several lines.
    for shown in (1..=here.len().min(room)).rev() {
        let rows: Vec<_> = here.iter().take(shown).map(row).collect();
        let mut lines = vec![String::new()];
        lines.extend(split(&table(&["NAME", "USER", "READER", "SINCE", "STATE"], &rows, screen)));
        let more = here.len() - shown;
        if shown == 1 {
            lines.truncate(room);
        }
        // With room for only one line, prefer the name to the count.
        if more > 0 && (shown > 1 || lines.len() < room) {
            lines.push(Style::Dim.paint(&format!("and {more} more"), screen.colour));
        }
        if lines.len() <= room {
            return lines;
        }
    }
    Vec::new()
}

/// Truncated to fit a row.
fn cut(text: &str) -> String {
    let text = sanitize::line(text);
    if text.width() <= LONGEST {
        return text.into_owned();
    }
    let mut left = LONGEST - 1;
    let fits = |letter: &&str| {
        let rest = left.checked_sub(letter.width());
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    text.graphemes(true).take_while(fits).chain(["…"]).collect()
}

/// The messages that fit, the newest last.
fn messages(content: &LiveContent, room: usize, screen: &Screen) -> Vec<String> {
    let mut lines = Vec::new();
    for message in content.messages.iter().rev() {
        let mut more = split(&line(&[Cell::from(message)], screen));
        more.truncate(room);
        if lines.len() + more.len() > room {
            break;
        }
        more.append(&mut lines);
        lines = more;
    }
    lines
}

/// The newest events first, each in at most so many lines.
fn events(content: &LiveContent, room: usize, longest: usize, screen: &Screen) -> Vec<String> {
    let mut lines = vec![String::new()];
    for event in &content.events {
        let more = within(&event.line(), longest.min(room.saturating_sub(1)), screen);
        if lines.len() + more.len() > room {
            break;
        }
        lines.extend(more);
    }
    if lines.len() == 1 { Vec::new() } else { lines }
}

/// In at most so many lines, the last of which ends with "…" if something is left out.
fn within(cells: &[Cell], most: usize, screen: &Screen) -> Vec<String> {
    let whole = split(&line(cells, screen));
    if whole.len() <= most {
        return whole;
    }
    // Lines that are shorter by one leave room for it.
    let width = screen.width.map(|width| width.saturating_sub(1));
    let mut lines = split(&line(cells, &Screen { width, ..screen.clone() }));
    lines.truncate(most);
    if let Some(last) = lines.last_mut() {
        last.push('…');
    }
    lines
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::{
        api::User,
        terminal::presence::{Event, EventKind, PresenceList, ReaderSlot, Source},
    };

    /// An arrival, so many seconds after noon.
    fn arrival(seq: u64, name: &str, reader: &str) -> Event {
        let at: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let user = User { id: format!("u{seq}"), name: name.to_owned(), ..User::default() };
        let at = at + jiff::SignedDuration::from_secs(seq.try_into().unwrap());
        Event {
            reader: Some(reader.to_owned()),
            token_id: Some(Uuid::from_u128(seq.into())),
            user: Some(user),
            source: Some(Source::Card),
            authenticated: Some(true),
            ..Event::new(EventKind::Arrived, seq, at)
        }
    }

    fn of_kind(kind: EventKind, mut event: Event) -> Event {
        event.event = kind;
        event
    }

    fn content(people: u64) -> LiveContent {
        let readers = ["ACS 00 00".to_owned(), "ACS 01 00".to_owned()];
        let alias = |name: &str| if name == "ACS 00 00" { "north door".to_owned() } else { name.to_owned() };
        let mut content = LiveContent::new(&PresenceList::default(), readers, alias);
        let people_names = ["山田 太郎", "Zoë", "Ada Lovelace"];
        for (seq, name) in (1..=people).zip(people_names.into_iter().cycle()) {
            content.event(arrival(seq, name, "ACS 00 00"));
        }
        content
    }

    fn shown(content: &LiveContent, rows: usize, columns: usize) -> Vec<String> {
        let size = Size::of(rows, columns);
        let lines = frame(content, size, &Screen { width: Some(columns), ..Screen::default() });
        assert!(lines.len() <= rows, "{lines:#?}");
        let widest = lines.iter().map(|line| line.width()).max();
        assert!(widest.is_none_or(|widest| widest <= columns), "{lines:#?}");
        lines
    }

    #[test]
    fn who_is_here_where_and_what_happened() {
        let mut content = content(2);
        content.event(of_kind(EventKind::Unconfirmed, arrival(1, "", "ACS 00 00")));
        content.event(of_kind(EventKind::ReaderUnavailable, arrival(9, "", "ACS 01 00")));
        content.server_lost = Some("2026-11-22T12:00:07Z".parse().unwrap());
        content.say("warning: something".to_owned());
        let lines = shown(&content, 16, 80);
        assert_eq!(lines[0], "2 here  1 unconfirmed  server away since 2026-11-22T12:00:07Z");
        assert_eq!(lines[1], "ACS 01 00: 0, does not work  north door: 2");
        assert_eq!(lines[3], "NAME       USER  READER      SINCE                 STATE");
        assert_eq!(lines[4], "Zoë        u2    north door  2026-11-22T12:00:02Z");
        assert_eq!(lines[5], "山田 太郎  u1    north door  2026-11-22T12:00:01Z  unconfirmed");
        assert!(lines[7].contains("reader failed"), "{lines:#?}");
        assert_eq!(lines.last().unwrap(), "warning: something");
        assert_eq!(lines.len(), 16);
    }

    #[test]
    fn a_screen_is_never_overfull() {
        for people in [0, 1, 30] {
            let mut content = content(people);
            for count in 0..9 {
                content.say(format!("warning: {count} of what takes more than one line on a screen that is narrow"));
            }
            for rows in 4..40 {
                for columns in [26, 40, 80, 200] {
                    shown(&content, rows, columns);
                }
            }
        }
        let lines = shown(&content(30), 12, 40);
        assert_eq!(lines[0], "30 here");
        assert!(lines.iter().any(|line| line.starts_with("and ") && line.ends_with(" more")), "{lines:#?}");
        let lines = shown(&content(30), 24, 80);
        // The latest user is there, and their event.
        assert!(lines.iter().filter(|line| line.contains("u30")).count() == 2, "{lines:#?}");
    }

    #[test]
    fn a_long_name_hides_nobody_else() {
        let mut content = content(3);
        content.event(arrival(4, &"Ж".repeat(900), "ACS 00 00"));
        let lines = shown(&content, 24, 80);
        let is_there = |lines: &[String], text: &str| lines.iter().any(|line| line.contains(text));
        assert!(["Zoë", "Ada", "山田", "…"].iter().all(|name| is_there(&lines, name)), "{lines:#?}");
        assert!(is_there(&lines, "arrived"), "{lines:#?}");
        for (rows, columns) in [(10, 30), (9, 80), (12, 20)] {
            let lines = shown(&content, rows, columns);
            assert!(is_there(&lines, "ЖЖ"), "{lines:#?}");
        }
        assert_eq!((cut("Ada").as_str(), cut(&"é".repeat(40)).width(), cut(&"山".repeat(40)).width()), ("Ada", 40, 39));
    }

    /// A reason is shown in full if there is room; otherwise it shows that something is left out.
    #[test]
    fn a_reason_has_the_room_that_is_left() {
        let why = "the card says that it was made by an organisation of which this terminal has no key, and that it wants \
                   to be authenticated by another terminal, which somebody has to bring here, to the very last word";
        let mut content = content(0);
        let error = crate::failure::ErrorObject {
            code: "token.foreign".into(),
            message: why.into(),
            hint: None,
            command: None,
        };
        content.event(Event { error: Some(error), ..of_kind(EventKind::Refused, arrival(1, "Ada", "ACS 00 00")) });
        let text = |rows| shown(&content, rows, 60).join(" ");
        assert!(text(20).contains("last word") && !text(20).contains('…'), "{}", text(20));
        let short = text(6);
        assert!(short.contains('…') && !short.contains("last word"), "{short}");
    }

    /// The list already had faults when the screen began.
    #[test]
    fn faults_that_are_older_are_shown() {
        let slot = |unavailable| ReaderSlot { attached: true, unavailable, ..ReaderSlot::default() };
        let slots = [
            ("north".to_owned(), slot(true)),
            ("south".to_owned(), slot(false)),
            ("gone".to_owned(), ReaderSlot::default()),
        ];
        let list = PresenceList::restore(7, [], slots, [], [], true);
        let content = LiveContent::new(&list, ["north".to_owned(), "west".to_owned()], str::to_owned);
        let lines = shown(&content, 12, 80);
        assert!(lines[0].starts_with("0 here  no PC/SC service since "), "{lines:#?}");
        assert_eq!(lines[1], "north: 0, does not work  south: 0  west: 0");
    }

    #[test]
    fn a_terminal_that_says_nothing_has_the_usual_size() {
        assert_eq!(Size::of(0, 0), Size { rows: 24, columns: 80 });
        assert_eq!(Size::of(1, 1), Size { rows: 4, columns: 20 });
        assert_eq!(Size::of(50, 132), Size { rows: 50, columns: 132 });
    }
}
