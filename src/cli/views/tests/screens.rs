//! The tables as they look on terminals of 40, 80 and 200 columns, stored in `screens-*.txt`.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::*;
use crate::{
    api::v1::{PresenceState, PresentUser, Role, StoredEvent, TokenStatus},
    cli::{
        printer::Printable,
        table::{self, Screen},
        wall_clock::WallClock,
    },
};

/// Names with wide and combining characters, right-to-left text, and great length.
const NAMES: [(&str, &str); 5] = [
    ("zoe", "Zoë 山田"),
    ("jose", "Jose\u{301} Nu\u{301}n\u{303}ez"),
    ("amal", "أمل الخطيب"),
    ("0004711", "Maximiliane Freifrau von und zu Grafenstein-Hohenwaldeck"),
    ("寿限無", "寿限無寿限無五劫の擦り切れ海砂利水魚の水行末雲来末風来末"),
];
const READER: &str = "Rollcall Virtual 02 00 00";

fn users() -> impl Iterator<Item = User> {
    NAMES.into_iter().map(|(id, name)| User { id: id.into(), name: name.into(), fields: [].into() })
}

fn tokens() -> impl Iterator<Item = Uuid> {
    (1..).map(|number: u128| Uuid::from_u128(token_id().as_u128().wrapping_mul(number)))
}

fn later(minutes: i64) -> Timestamp {
    at() + jiff::SignedDuration::from_mins(minutes)
}

fn entries() -> Vec<UserEntry> {
    let entry = |(user, token_id)| presence::Entry { token_id, user, reader: READER.into(), ..entry() };
    users().zip(tokens()).map(entry).map(|entry| UserEntry::new(entry, later(200))).collect()
}

fn events() -> Vec<EventView> {
    let event = |(user, token_id)| presence::Event {
        reader: Some(READER.into()),
        token_id: Some(token_id),
        user: Some(user),
        ..presence::Event::new(presence::EventKind::Arrived, 1, at())
    };
    let mut events: Vec<_> = users().zip(tokens()).map(event).collect();
    let message =
        "this card is not one of this house: it has another applet, and does not answer as a token does".into();
    events[1].error = Some(ErrorObject { message, ..error() });
    events[1].event = presence::EventKind::Refused;
    events.into_iter().map(EventView::from).collect()
}

fn denied() -> Vec<Denied> {
    let denial = |user: User| presence::Denial {
        id: user.id,
        at: Some(at()),
        name: Some(user.name),
        reason: Some("left the house, and has not given the card back".into()),
    };
    users().map(denial).map(Denied::from).collect()
}

fn readers() -> Vec<ReaderView> {
    let reader = |(name, says): (&str, Option<&str>)| ReaderView {
        schema: Schema::default(),
        reader: name.into(),
        alias: None,
        state: if says.is_some() { ReaderStateView::Present } else { ReaderStateView::Empty },
        atr: says.map(|_| "3B80800101".into()),
        card: says.map(|_| "rollcall".into()),
        says: says.map(str::to_owned),
        atr_fields: Vec::new(),
        names: Vec::new(),
        ignored: false,
        stable: None,
    };
    let long = "ACS ACR1252 1S CL Reader [ACR1252 Dual Reader PICC] (ACR1252 1S CL Reader) 00 00";
    [(READER, Some("contactless card, no historical bytes, T=0 and T=1")), (long, None)].map(reader).into()
}

fn cards() -> Vec<IssuedCardView> {
    let card = |(user, token_id)| IssuedCardView {
        schema: Schema::default(),
        token_id,
        user,
        card: Some("00112233445566778899".into()),
        state: IssuedCardState::Issued,
        denied: false,
        issued: at().into(),
        changed: at().into(),
    };
    users().zip(tokens()).map(card).collect()
}

fn files() -> Vec<Pki> {
    let file = |(file, class, subject): (&str, &str, &str)| Pki {
        schema: Schema::default(),
        file: file.into(),
        kind: PkiKind::Certificate,
        class: Some(class.into()),
        subject: Some(subject.into()),
        serial: Some("01".into()),
        not_before: Some(at().into()),
        not_after: Some(at().into()),
        state: PkiState::Valid,
        new: false,
    };
    [("ca.crt", "ca", "CN=Rollcall CA"), ("terminal/read.crt", "terminal-read", "CN=door-7f3a.example, O=Museum")]
        .map(file)
        .into()
}

fn server_tokens() -> Vec<ServerToken> {
    let token = |(user, token_id): (User, Uuid)| ServerToken {
        schema: Schema::default(),
        token_id,
        user_id: user.id,
        user_name: Some(user.name),
        status: TokenStatus::Lost,
        reason: Some("reported at the desk".into()),
        changed: at().into(),
        counter: Some(17),
    };
    users().zip(tokens()).map(token).collect()
}

fn server_users() -> Vec<ServerUserView> {
    let fields: std::collections::BTreeMap<_, _> =
        [("team", "restoration of paintings"), ("door", "north")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    users().map(|user| User { fields: fields.clone(), ..user }).map(ServerUserView::from).collect()
}

fn terminals() -> Vec<ServerTerminal> {
    let terminal = |name: &str| ServerTerminal {
        schema: Schema::default(),
        name: name.into(),
        role: Role::Enroll,
        revoked: false,
        added: at().into(),
        last_seen: Some(later(30).into()),
        certificate_until: Some(later(9_000).into()),
        now: later(45),
    };
    ["door", "desk of the reading room"].map(terminal).into()
}

fn presences() -> Vec<PresenceView> {
    let one = |(user, token_id)| PresentUser {
        user: Some(user),
        token_id: Some(token_id),
        terminal: "door".into(),
        reader: Some(READER.into()),
        since: at(),
        last_seen: at(),
        state: PresenceState::Present,
        silent: Some(true),
        authenticated: Some(true),
        by: None,
    };
    users().zip(tokens()).map(one).map(|one| PresenceView::new(one, later(200), Some(later(100)))).collect()
}

fn server_events() -> Vec<ServerEventView> {
    let stored = |event: &EventView| StoredEvent {
        terminal: "door".into(),
        list: token_id(),
        received: at(),
        event: serde_json::to_value(event).unwrap(),
    };
    events().iter().map(stored).map(ServerEventView::from).collect()
}

/// The screen in the evening of that day, an hour east of Greenwich.
fn screen_of(width: usize) -> Screen {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
    Screen { width: Some(width), colour: false, clock: Some(WallClock::at(later(45), zone)) }
}

/// A list as printed, and its first object alone and as a line.
fn shown<T: Printable>(text: &mut String, name: &str, objects: &[T], width: usize) {
    let screen = screen_of(width);
    let rows: Vec<_> = objects.iter().map(Printable::row).collect();
    let table = table::table(&T::heads(), &rows, &screen);
    let line = table::line(&objects[0].line(), &screen);
    let alone = table::details(&objects[0].details(), &screen);
    for line in [&table, &line, &alone].into_iter().flat_map(|text| text.lines()) {
        assert!(line.width() <= width, "{name}, {} of {width} columns: {line}", line.width());
    }
    writeln!(text, "== {name}\n{table}--\n{line}--\n{alone}").unwrap();
}

fn screen(width: usize) -> String {
    let mut text = String::new();
    shown(&mut text, "users", &entries(), width);
    shown(&mut text, "users history", &events(), width);
    shown(&mut text, "users denied", &denied(), width);
    shown(&mut text, "readers", &readers(), width);
    shown(&mut text, "scan", &[scan()], width);
    shown(&mut text, "token list", &cards(), width);
    shown(&mut text, "pki list", &files(), width);
    shown(&mut text, "server user list", &server_users(), width);
    shown(&mut text, "server token list", &server_tokens(), width);
    shown(&mut text, "server terminal list", &terminals(), width);
    shown(&mut text, "server presence", &presences(), width);
    shown(&mut text, "server events", &server_events(), width);
    text
}

#[test]
fn tables_fit_forty_columns() {
    same_as_kept("screens-40.txt", &screen(40));
}

#[test]
fn tables_fit_eighty_columns() {
    same_as_kept("screens-80.txt", &screen(80));
}

#[test]
fn tables_fit_two_hundred_columns() {
    same_as_kept("screens-200.txt", &screen(200));
}

/// In any list at any width, every word is on the screen.
#[test]
fn no_word_is_lost_at_any_width() {
    let rows: Vec<_> = events().iter().map(Printable::row).collect();
    let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    for width in 10..120 {
        let text = bare(&table::table(&EventView::heads(), &rows, &screen_of(width)));
        for (id, name) in NAMES {
            assert!(text.contains(&bare(id)), "{id} at {width}");
            // A name that wraps in its column is interleaved with other cells.
            assert!(name.split(' ').all(|word| word.width() > 10 || text.contains(word)), "{name} at {width}");
        }
    }
}
