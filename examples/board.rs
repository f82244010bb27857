//! A board without readers, for the tests of the page: each event is a line of JSON on stdin. The programs of
//! `scripts/lib/board` drive it and a browser.
//!
//! ```text
//! cargo run --example board -- 127.0.0.1:7480 10000 expected=50 fields=team
//! {"arrive":"Ada Lovelace","door":"North"}   → {"seq":10001}
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, Write, stdin, stdout},
    sync::Arc,
};

use jiff::{Timestamp, ToSpan};
use rollcall::{
    api::User,
    board::{Board, BoardFields, BoardHub, BoardOptions, ReaderFault, ReportedFault, RollSnapshot},
    crypto::random::SystemRandom,
    failure::{ErrorObject, Failure},
    terminal::presence::{EntryState, Event, EventKind, Member, Reason, Source},
};
use serde_json::{Value, json};
use uuid::Uuid;

const DOORS: [&str; 4] = ["North door", "South door", "Canteen", "Workshop"];
const FIRST: [&str; 12] =
    ["Ada", "Grace", "José", "Zoë", "Li", "Amara", "Jürgen", "Ngũgĩ", "Olga", "Søren", "محمد", "יעל"];
const LAST: [&str; 10] =
    ["Lovelace", "Hopper", "Núñez", "Okafor", "Wang", "Åkesson", "Müller-Lüdenscheidt", "O’Brien", "الخوارزمي", "כהן"];
const TEAMS: [&str; 5] = ["Compilers", "Analytical Engine", "Peñíscola", "Bombe", "Canteen"];

/// The user with this number: always the same one.
fn user(n: usize) -> User {
    let right_to_left = n % 12 >= 10;
    let last = if right_to_left { LAST[8 + n % 2] } else { LAST[(n / 12) % 8] };
    let number = if n < 80 { String::new() } else { format!(" {n}") };
    User {
        id: format!("p{n}"),
        name: format!("{} {last}{number}", FIRST[n % 12]),
        fields: BTreeMap::from([("team".to_owned(), TEAMS[n % 5].to_owned())]),
    }
}

fn token(id: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&rollcall::crypto::sha256(&[id.as_bytes()])[..16]);
    Uuid::from_bytes(bytes)
}

/// Who is here, by name, and where.
type Present = HashMap<String, (Uuid, String)>;

fn of_command(command: &Value, seq: u64, present: &mut Present) -> Option<Event> {
    let text = |key: &str| command[key].as_str().map(str::to_owned);
    let now = text("at").and_then(|at| at.parse().ok()).unwrap_or_else(Timestamp::now);
    let door = text("door").unwrap_or_else(|| DOORS[0].to_owned());
    let new = |kind| Event::new(kind, seq, now);
    let of_token = |kind, name: &str, present: &Present| {
        let (token_id, reader) = present.get(name)?;
        Some(Event { token_id: Some(*token_id), reader: Some(reader.clone()), ..new(kind) })
    };
    if let Some(name) = text("arrive") {
        let id = text("id").unwrap_or_else(|| name.clone());
        present.insert(name.clone(), (token(&id), door.clone()));
        let fields = text("team").map(|team| ("team".to_owned(), team)).into_iter().collect();
        let user = Some(User { id: id.clone(), name, fields });
        let by_hand = command["by_hand"] == true;
        return Some(Event {
            token_id: Some(token(&id)),
            user,
            reader: Some(door),
            source: Some(Source::Card),
            authenticated: Some(!by_hand),
            by: by_hand.then(|| "desk".to_owned()),
            ..new(if by_hand { EventKind::CheckedIn } else { EventKind::Arrived })
        });
    }
    if let Some(name) = text("leave") {
        let left = of_token(EventKind::Left, &name, present)?;
        present.remove(&name);
        let reason = match command["why"].as_str() {
            Some("moved") => Reason::Moved,
            Some("updated") => Reason::Updated,
            _ => Reason::Lifted,
        };
        return Some(Event { reason: Some(reason), ..left });
    }
    if let Some(name) = text("doubt") {
        return of_token(EventKind::Unconfirmed, &name, present);
    }
    if let Some(name) = text("confirm") {
        return of_token(EventKind::Confirmed, &name, present);
    }
    if let Some(code) = text("refuse") {
        let user = text("name").map(|name| User { name, ..User::default() });
        let error = Some(ErrorObject { code, message: String::new(), hint: None, command: None });
        return Some(Event { reader: Some(door), user, error, ..new(EventKind::Refused) });
    }
    let kind = match text("equipment")?.as_str() {
        "unplugged" => EventKind::ReaderRemoved,
        "broken" => EventKind::ReaderUnavailable,
        "works" => EventKind::ReaderAvailable,
        "service_lost" => EventKind::ServiceLost,
        _ => EventKind::ServiceBack,
    };
    Some(Event { reader: Some(door), ..new(kind) })
}

/// Feeds events of people with numbers, who come and go in turn: so many, at this rate a second.
fn replay(hub: &BoardHub, seq: &mut u64, count: u64, rate: u64, base: usize) {
    let begin = std::time::Instant::now();
    for n in 0..count {
        let due = std::time::Duration::from_micros(n * 1_000_000 / rate);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        *seq += 1;
        let who = usize::try_from(n / 2).unwrap_or(0) % 500;
        let user = user(base + who);
        let token_id = Some(token(&user.id));
        let reader = Some(DOORS[who % 4].to_owned());
        let next = Event::new(EventKind::Left, *seq, Timestamp::now());
        hub.event(&if n % 2 == 0 {
            let parts = (Some(Source::Card), Some(true));
            Event {
                event: EventKind::Arrived,
                token_id,
                reader,
                user: Some(user),
                source: parts.0,
                authenticated: parts.1,
                ..next
            }
        } else {
            Event { token_id, reader, reason: Some(Reason::Lifted), ..next }
        });
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [address, people, options @ ..] = args.as_slice() else {
        return Err("usage: board ADDRESS:PORT PEOPLE [KEY=VALUE]…".into());
    };
    let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='));
    let people: usize = people.parse()?;
    let now = Timestamp::now();
    let mut present = Present::new();
    let mut members = BTreeMap::new();
    for n in 0..people {
        let (user, door) = (user(n), DOORS[n * 7 % 4]);
        let token_id = token(&user.id);
        present.insert(user.name.clone(), (token_id, door.to_owned()));
        let since = now - i64::try_from(n * 37 % 30_000)?.seconds();
        let state = if n % 17 == 5 { EntryState::Unconfirmed } else { EntryState::Present };
        let (source, authenticated) = (Source::Card, true);
        members.insert(
            token_id,
            Member { token_id, user, reader: door.to_owned(), since, source, authenticated, resumed: false, state },
        );
    }
    let readers = DOORS.iter().map(|door| ((*door).to_owned(), true)).collect();
    let snapshot = RollSnapshot { seq: 0, members, readers, service_lost: false };
    let expected = option("expected").map(str::parse::<usize>).transpose()?;
    let expected = expected.map(|count| (0..count).map(user).collect());
    let fields =
        BoardFields(option("fields").map(|fields| fields.split(',').map(str::to_owned).collect()).unwrap_or_default());
    let hub = BoardHub::new(snapshot, fields, Box::new(str::to_owned), expected, &mut SystemRandom)?;
    let hub = Arc::new(if option("portraits").is_some() { hub.with_portraits() } else { hub });
    let board_options = BoardOptions {
        listen: address.parse()?,
        hosts: option("host").into_iter().map(str::to_owned).collect(),
        tls: option("certificate").zip(option("key")).map(|(certificate, key)| (certificate.into(), key.into())),
        state_folder: option("state").unwrap_or(".").into(),
        title: option("title").map(str::to_owned),
        texts: option("texts").map(Into::into),
    };
    let board = Board::start(&board_options, Arc::clone(&hub)).map_err(Failure::from)?;
    writeln!(stdout(), "{}", json!({ "url": board.url() }))?;
    stdout().flush()?;
    let mut seq = 0;
    for line in stdin().lock().lines() {
        let command: Value = serde_json::from_str(&line?)?;
        if let Some(count) = command["replay"].as_u64() {
            replay(&hub, &mut seq, count, command["rate"].as_u64().unwrap_or(50), people);
        } else if let Some(away) = command["server_away"].as_bool() {
            hub.server(away, Timestamp::now());
        } else if let Some(terminal) = command["silent"].as_str() {
            let last_word = Timestamp::now() - 12.minutes();
            let silent =
                ReportedFault { door: terminal.to_owned(), fault: ReaderFault::Silent, since: Some(last_word) };
            hub.faults(vec![silent], Timestamp::now());
        } else if let Some(picture) = command["picture"].as_str() {
            let name = command["portrait"].as_str().unwrap_or_default();
            let (token_id, _) = present.get(name).ok_or("nobody of that name")?;
            hub.portrait(*token_id, hex::decode(picture)?.into(), Timestamp::now(), &mut SystemRandom)?;
        } else {
            seq += 1;
            let next = of_command(&command, seq, &mut present).ok_or("unknown command, or nobody of that name")?;
            hub.event(&next);
        }
        writeln!(stdout(), "{}", json!({ "seq": seq }))?;
        stdout().flush()?;
    }
    Ok(())
}
