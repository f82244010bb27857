//! Present users and events of all doors.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rollcall::{
    api::v1::{EquipmentFaultKind, EventBatch, PAGE_MAX, Presence, PresenceState, PresenceSummary, PresentUser, Role},
    server::{
        ServerStore,
        presence::EventIndex,
        store::{EventsKept, NewEvent},
    },
    server_client::{ServerClient, ServerError},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Kind, Site, objects,
    site::{Terminal, block_on},
    token::code,
};

/// Users, and the tokens that they have.
const HOLDERS: [(u128, &str); 4] = [(1, "1"), (2, "1"), (3, "2"), (4, "3")];
/// Later than anything that happens here.
const LATER: i64 = 1_700_000_000_000;

/// An event as a case draws it.
#[derive(Debug, Clone)]
struct Drawn {
    terminal: usize,
    list: usize,
    seq: i64,
    at: i64,
    kind: &'static str,
    reason: &'static str,
    holder: usize,
    /// An event of somebody without a card names no token.
    card: bool,
}

impl Drawn {
    fn subject(&self) -> String {
        let (token, user) = HOLDERS[self.holder];
        if self.card { Uuid::from_u128(token).to_string() } else { format!("user:{user}") }
    }

    fn json(&self) -> Value {
        let (token, user) = HOLDERS[self.holder];
        let mut event = json!({
            "schema": "rollcall.event/1", "event": self.kind, "seq": self.seq, "reader": "R", "reason": self.reason,
            "at": Timestamp::from_millisecond(self.at).unwrap().to_string(), "user": { "id": user, "name": user },
        });
        if self.card {
            event["token_id"] = json!(Uuid::from_u128(token));
        }
        event
    }
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let kinds = prop::sample::select(vec![
        ("arrived", ""),
        ("arrived", ""),
        ("confirmed", ""),
        ("unconfirmed", "restart"),
        ("left", "toggled"),
        ("left", "lifted"),
        ("left", "expired"),
        ("refused", ""),
        ("checked_in", ""),
        ("checked_out", ""),
        ("removed", ""),
        ("unheard_of", ""),
    ]);
    let one = (0..3_usize, 0..4_u8, 1..40_i64, 0..6_i64, kinds, 0..HOLDERS.len(), prop::bool::weighted(0.8));
    prop::collection::vec(one, 1..60).prop_map(|all| {
        // Numbers increase within a list, and a second list begins anywhere among those of the first.
        let mut numbers = BTreeMap::<(usize, usize), i64>::new();
        let mut clock = LATER - 1_000_000;
        all.into_iter()
            .map(|(terminal, list, jump, pause, (kind, reason), holder, card)| {
                let list = usize::from(list == 0);
                let seq = numbers.entry((terminal, list)).or_insert(if list == 0 { 0 } else { jump });
                *seq += 1;
                // Clocks differ, and several things happen in one moment.
                clock += pause * 10 - 8;
                Drawn { terminal, list, seq: *seq, at: clock, kind, reason, holder, card }
            })
            .collect()
    })
}

/// What a person's line says.
type Line = (String, usize, i64, PresenceState);

/// The rules applied one event at a time, independently of how the store does it.
fn replay(events: &[&Drawn], epochs: &BTreeMap<(usize, usize), usize>, until: i64) -> BTreeMap<String, Line> {
    let happened: Vec<_> = events.iter().copied().filter(|event| event.at <= until).collect();
    // The lowest number received of each list, and its time.
    let mut begins = BTreeMap::<(usize, usize), (i64, i64)>::new();
    for event in events {
        let begin = begins.entry((event.terminal, event.list)).or_insert((event.seq, event.at));
        *begin = (*begin).min((event.seq, event.at));
    }
    let stands = |event: &Drawn| {
        !begins.iter().any(|((terminal, list), (seq, at))| {
            *terminal == event.terminal
                && epochs[&(*terminal, *list)] > epochs[&(event.terminal, event.list)]
                && *seq <= event.seq
                && *at <= until
        })
    };
    let mut standing: Vec<_> = happened.into_iter().filter(|event| stands(event)).collect();
    standing.sort_by_key(|event| (event.terminal, epochs[&(event.terminal, event.list)], event.seq));
    // For each subject and terminal: whether it is on the list, since when, and when it was seen.
    let mut stays = BTreeMap::<(String, usize), (Option<PresenceState>, Option<i64>, i64, i64, &str)>::new();
    for event in standing {
        if matches!(event.kind, "refused" | "unheard_of") {
            continue;
        }
        let stay = stays.entry((event.subject(), event.terminal)).or_insert((None, None, 0, 0, ""));
        (stay.2, stay.4) = (event.at, HOLDERS[event.holder].1);
        let seen = match event.kind {
            "arrived" | "checked_in" => {
                (stay.0, stay.1) = (Some(PresenceState::Present), Some(event.at));
                true
            }
            "confirmed" => {
                stay.0 = Some(PresenceState::Present);
                true
            }
            "unconfirmed" => {
                stay.0 = Some(PresenceState::Unconfirmed);
                false
            }
            _ => {
                stay.0 = None;
                event.kind == "checked_out" || event.reason == "toggled"
            }
        };
        if seen {
            stay.3 = stay.3.max(event.at);
        }
    }
    // Each subject is where it was last seen; each person is where one of their subjects was.
    let subjects: BTreeSet<_> = stays.keys().map(|(subject, _)| subject.clone()).collect();
    let mut people = BTreeMap::<String, ((i64, usize, String), Line)>::new();
    for subject in subjects {
        let of = stays.iter().filter(|((of, _), _)| *of == subject);
        let Some(((_, terminal), stay)) = of.max_by_key(|((_, terminal), stay)| (stay.3, *terminal)) else { continue };
        let Some(state) = stay.0 else { continue };
        let line = (stay.4.to_owned(), *terminal, stay.1.unwrap_or(stay.2), state);
        let key = (stay.3, *terminal, subject.clone());
        let known = people.get(stay.4).is_some_and(|(known, _)| *known > key);
        if !known {
            people.insert(stay.4.to_owned(), (key, line));
        }
    }
    people.into_iter().map(|(person, (_, line))| (person, line)).collect()
}

fn line(one: &PresentUser) -> (String, Line) {
    let user = one.user.as_ref().unwrap().id.clone();
    let terminal = one.terminal.strip_prefix('t').unwrap().parse().unwrap();
    (user.clone(), (user, terminal, one.since.as_millisecond(), one.state))
}

fn lines(people: &[PresentUser], summary: &PresenceSummary) -> BTreeMap<String, Line> {
    let mut all = BTreeMap::new();
    for one in people {
        let (user, line) = line(one);
        assert_eq!(all.insert(user, line), None, "nobody appears twice");
    }
    let doubted = all.values().filter(|line| line.3 == PresenceState::Unconfirmed).count();
    assert_eq!((summary.present, summary.unconfirmed), (all.len() as u64, doubted as u64));
    all
}

async fn here_now(store: &ServerStore) -> BTreeMap<String, Line> {
    let now = Timestamp::from_millisecond(LATER).unwrap();
    // In small pages: no duplicates, nobody missing.
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.presence(now, &after, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        all.extend(page.into_iter().map(|(_, one)| one));
    }
    lines(&all, &store.presence_summary(now).await.unwrap())
}

async fn here_then(store: &ServerStore, at: i64) -> BTreeMap<String, Line> {
    let at = Timestamp::from_millisecond(at).unwrap();
    let people = store.past_presence(at).await.unwrap();
    lines(&store.past_users(&people).await.unwrap(), &store.past_summary(&people, at).await.unwrap())
}

case!(EachStore, presence_equals_a_replay_in_whatever_order_batches_come);
fn presence_equals_a_replay_in_whatever_order_batches_come(kind: &Kind) {
    let site = Site::new(kind);
    let authority = site.admin.authority.point().key_identifier();
    let mut runner = TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
    let order = prop::collection::vec((any::<prop::sample::Index>(), 1..9_usize), 1..40);
    let checked = runner.run(&(drawn(), order, any::<prop::sample::Index>()), |(events, order, moment)| {
        for table in ["DELETE FROM events", "DELETE FROM lists", "DELETE FROM stays"] {
            site.sql(table);
        }
        block_on(async {
            let store = ServerStore::open(&site.store.parse().unwrap(), &authority, None).await.unwrap();
            let mut lists = BTreeMap::<(usize, usize), Vec<&Drawn>>::new();
            for event in &events {
                lists.entry((event.terminal, event.list)).or_default().push(event);
            }
            // Batches in any order, with repeats, and finally everything.
            let keys: Vec<_> = lists.keys().copied().collect();
            let picked = order.iter().map(|(index, size)| {
                let key = keys[index.index(keys.len())];
                let all = &lists[&key];
                let from = index.index(all.len());
                (key, &all[from..all.len().min(from + size)])
            });
            let rest = keys.iter().map(|key| (*key, lists[key].as_slice()));
            let (mut epochs, mut came) = (BTreeMap::new(), BTreeMap::<_, &Drawn>::new());
            for ((terminal, list), batch) in picked.chain(rest) {
                let next = 1 + epochs.keys().filter(|(of, _)| *of == terminal).count();
                epochs.entry((terminal, list)).or_insert(next);
                came.extend(batch.iter().map(|event| ((terminal, list, event.seq), *event)));
                let now = Timestamp::from_millisecond(LATER).unwrap();
                let new = batch.iter().map(|event| {
                    let json = event.json();
                    NewEvent { seq: event.seq, body: json.to_string(), index: EventIndex::of(&json, now) }
                });
                let new: Vec<_> = new.collect();
                let list = Uuid::from_u128(list as u128);
                let kept = store.keep_events(&format!("t{terminal}"), list, &new, now).await;
                prop_assert!(matches!(kept, Ok(EventsKept::Stored(_))));
                let so_far: Vec<_> = came.values().copied().collect();
                prop_assert_eq!(here_now(&store).await, replay(&so_far, &epochs, LATER));
            }
            let all: Vec<_> = events.iter().collect();
            prop_assert_eq!(here_then(&store, LATER).await, replay(&all, &epochs, LATER), "the past of now");
            let at = all[moment.index(all.len())].at;
            prop_assert_eq!(here_then(&store, at).await, replay(&all, &epochs, at), "at {}", at);
            store.close().await;
            Ok(())
        })
    });
    checked.unwrap();
}

fn batch(list: u128, events: &[Value]) -> EventBatch {
    EventBatch { list: Uuid::from_u128(list), events: events.to_vec() }
}

fn event(seq: u64, kind: &str, token: u128, user: &str, at: Timestamp) -> Value {
    json!({
        "schema": "rollcall.event/1", "event": kind, "seq": seq, "at": at.to_string(), "reader": "Reader 00 00",
        "token_id": Uuid::from_u128(token), "user": { "id": user, "name": format!("Name {user}"), "fields": {} },
    })
}

fn everybody(client: &ServerClient, at: Option<Timestamp>) -> (Vec<PresentUser>, Presence) {
    let first = client.presence(at, None, 2).unwrap();
    let (mut all, mut next) = (first.items.clone(), first.next.clone());
    while let Some(after) = next {
        let page = client.presence(at, Some(&after), 2).unwrap();
        assert_eq!(page.summary, None);
        assert!(!page.items.is_empty(), "nothing follows the last page");
        all.extend(page.items);
        next = page.next;
    }
    (all, first)
}

case!(EachStore, a_person_is_counted_once_where_they_were_last_seen);
fn a_person_is_counted_once_where_they_were_last_seen(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let [north, south]: [Terminal; 2] = ["north", "south"].map(|name| site.terminal(server.port, name, Role::Read));
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(3);
    let at = |minutes: i64| start + jiff::SignedDuration::from_mins(minutes);
    let of = |terminal: &Terminal, list, events: &[Value]| {
        terminal.client(server.port).events(&batch(list, events)).unwrap().stored
    };
    let seven = [event(1, "arrived", 7, "7", at(0)), event(2, "arrived", 8, "8", at(1))];
    assert_eq!(of(&north, 1, &seven), 2);
    assert_eq!(of(&south, 2, &[event(1, "arrived", 7, "7", at(30))]), 1);
    let (people, first) = everybody(&admin, None);
    let where_ = |people: &[PresentUser]| -> Vec<(String, String)> {
        people.iter().map(|one| (one.user.as_ref().unwrap().id.clone(), one.terminal.clone())).collect()
    };
    assert_eq!(where_(&people), [("7".into(), "south".into()), ("8".into(), "north".into())]);
    assert_eq!(people[0].since.as_millisecond(), at(30).as_millisecond());
    assert_eq!((people[0].state, people[0].silent), (PresenceState::Present, Some(false)));
    let summary = first.summary.unwrap();
    assert_eq!((summary.present, summary.unconfirmed), (2, 0));
    let counted: Vec<_> = summary.terminals.iter().map(|one| (one.name.as_str(), one.present, one.silent)).collect();
    assert_eq!(counted, [("north", 1, Some(false)), ("south", 1, Some(false))]);
    let metrics = north.client(server.port).metrics().unwrap();
    for line in [
        "rollcall_store_up 1",
        "rollcall_present{terminal=\"north\"} 1",
        "rollcall_present{terminal=\"south\"} 1",
        "rollcall_terminal_last_word_seconds{terminal=\"south\"} ",
        "rollcall_certificate_end_seconds{terminal=\"north\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // Expiry at the first door does not affect the second; a tap to leave there does.
    let mut expired = event(3, "left", 7, "7", at(40));
    expired["reason"] = json!("expired");
    of(&north, 1, &[expired]);
    assert_eq!(where_(&everybody(&admin, None).0).len(), 2);
    let mut toggled = event(2, "left", 7, "7", at(50));
    toggled["reason"] = json!("toggled");
    of(&south, 2, &[toggled]);
    assert_eq!(where_(&everybody(&admin, None).0), [("8".into(), "north".into())]);
    // As it was, at any time.
    assert_eq!(
        where_(&everybody(&admin, Some(at(10))).0),
        [("7".into(), "north".into()), ("8".into(), "north".into())]
    );
    let (then, first) = everybody(&admin, Some(at(45)));
    assert_eq!(where_(&then), [("7".into(), "south".into()), ("8".into(), "north".into())]);
    assert_eq!(then[0].silent, None);
    assert_eq!(first.summary.unwrap().terminals[0].last_word, None);
    assert_eq!(everybody(&admin, Some(at(-1))).0, []);
    // Asking again for the same moment includes what has arrived since.
    assert_eq!(everybody(&admin, Some(at(10))).0.len(), 2);
    of(&north, 1, &[event(4, "arrived", 9, "9", at(5))]);
    assert_eq!(everybody(&admin, Some(at(10))).0.len(), 3);
    let ahead = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(code(admin.presence(Some(ahead), None, 10)), "request.invalid");
    // A restarted terminal knows nothing of what was before.
    of(&north, 3, &[event(1, "reader_added", 0, "", at(60))]);
    assert_eq!(everybody(&admin, None).0, []);
    // Nothing has been heard from that terminal for a while.
    site.sql("UPDATE terminals SET heard = heard - 400000 WHERE name = 'south'");
    of(&south, 2, &[event(3, "arrived", 7, "7", at(70))]);
    assert_eq!(everybody(&admin, None).0[0].silent, Some(false), "it has just asked");
    site.sql("UPDATE terminals SET heard = heard - 400000 WHERE name = 'south'");
    assert_eq!(everybody(&admin, None).0[0].silent, Some(true));
    // The clock was ahead when it asked last, and was set back.
    site.sql("UPDATE terminals SET heard = heard + 9000000 WHERE name = 'south'");
    let (here, page) = everybody(&admin, None);
    let terminals = page.summary.unwrap().terminals;
    let said = terminals.iter().find(|terminal| terminal.name == "south").unwrap();
    assert_eq!((here[0].silent, said.silent, said.last_word), (Some(true), Some(true), None));
    of(&south, 2, &[event(4, "confirmed", 7, "7", at(71))]);
    assert_eq!(everybody(&admin, None).0[0].silent, Some(false), "it has just asked");
    // A person checked in by hand counts as such until their card is tapped.
    let how = |at| everybody(&admin, at).0.into_iter().map(|one| (one.authenticated, one.by)).collect::<Vec<_>>();
    let mut entered = event(5, "checked_in", 9, "9", at(72));
    (entered["authenticated"], entered["by"]) = (json!(false), json!("desk"));
    of(&south, 2, &[entered]);
    let by_hand = [(None, None), (Some(false), Some("desk".to_owned()))];
    assert_eq!(how(None), by_hand);
    let mut left = event(6, "left", 9, "9", at(73));
    left["reason"] = json!("updated");
    let mut tapped = event(7, "arrived", 9, "9", at(73));
    tapped["authenticated"] = json!(true);
    of(&south, 2, &[left, tapped]);
    assert_eq!(how(None), [(None, None), (Some(true), None)]);
    assert_eq!(how(Some(at(72))), by_hand);
    // The faults there, in whatever order the events arrive.
    let faults = || {
        let terminals = everybody(&admin, None).1.summary.unwrap().terminals;
        let south = terminals.into_iter().find(|terminal| terminal.name == "south").unwrap();
        south.faults.into_iter().map(|one| (one.reader, one.fault)).collect::<Vec<_>>()
    };
    assert_eq!(faults(), []);
    let reader = || Some("Reader 00 00".to_owned());
    of(&south, 2, &[event(10, "reader_unavailable", 0, "", at(76))]);
    of(&south, 2, &[event(8, "service_lost", 0, "", at(74)), event(9, "reader_available", 0, "", at(75))]);
    let both = [(None, EquipmentFaultKind::ServiceLost), (reader(), EquipmentFaultKind::Unavailable)];
    assert_eq!(faults(), both);
    // A list that resumes at an earlier number knows only what was before that.
    of(&south, 4, &[event(10, "refused", 0, "", at(77))]);
    assert_eq!(faults(), both[..1]);
    of(&south, 4, &[event(11, "service_back", 0, "", at(78)), event(12, "reader_removed", 0, "", at(79))]);
    assert_eq!(faults(), [(reader(), EquipmentFaultKind::Unplugged)]);
    site.sql("UPDATE equipment SET since = since - 86400000");
    assert_eq!(faults(), [], "gone for good");
}

case!(EachStore, only_administrators_see_who_is_here);
fn only_administrators_see_who_is_here(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    for (name, role) in [("door", Role::Read), ("desk", Role::Enroll)] {
        let client = site.terminal(server.port, name, role).client(server.port);
        let role = "the terminal's role does not allow this";
        let refused = |error: Option<ServerError>| matches!(error, Some(ServerError::Refused(why, _)) if why == role);
        assert!(refused(client.presence(None, None, 10).err()));
        assert!(refused(client.search_events(None, [None, None], None, 10).err()));
    }
    let mut raw = site.admin.raw(server.port);
    for wrong in ["at=now", "limit=0", "limit=501", "after=%0A", "user=7", "at=2026-11-29T08:00:00"] {
        let answer = raw.ask("GET", &format!("/v1/presence?{wrong}"), None).unwrap();
        assert_eq!(answer.status / 100, 4, "{wrong}: {answer:?}");
    }
    for wrong in ["since=now", "limit=0", "after=x", "after=1/2/3/4", "user=", "user=%00", "at=1"] {
        let answer = raw.ask("GET", &format!("/v1/events?{wrong}"), None).unwrap();
        assert_eq!(answer.status / 100, 4, "{wrong}: {answer:?}");
    }
}

case!(EachStore, events_are_found_by_user_and_time);
fn events_are_found_by_user_and_time(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let admin = site.admin.client(server.port);
    let start = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let at = |second: u64| start + jiff::SignedDuration::from_secs(second.cast_signed());
    for (name, list) in [("north", 1), ("south", 2)] {
        let events: Vec<_> =
            (1..=60).map(|n| event(n, "arrived", u128::from(n % 5), &(n % 5).to_string(), at(n / 2))).collect();
        let client = site.terminal(server.port, name, Role::Read).client(server.port);
        assert_eq!(client.events(&batch(list, &events)).unwrap().stored, 60);
    }
    let found = |user: Option<&str>, span: [Option<Timestamp>; 2]| {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = admin.search_events(user, span, after.as_deref(), 7).unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    };
    let all = found(None, [None, None]);
    let keys: Vec<_> =
        all.iter().map(|one| (one.event["at"].as_str().unwrap(), &one.terminal, one.event["seq"].as_u64())).collect();
    assert!(keys.is_sorted() && keys.len() == 120, "{keys:?}");
    assert_eq!(found(Some("3"), [None, None]).len(), 24);
    assert_eq!(found(Some("9"), [None, None]).len(), 0);
    // Long events make shorter pages; no page is longer than a client reads.
    let mut long = event(61, "unheard_of", 3, "9", at(31));
    long["note"] = json!("x".repeat(120 * 1024));
    let client = site.terminal(server.port, "west", Role::Read).client(server.port);
    for seq in 61..65 {
        long["seq"] = json!(seq);
        assert_eq!(client.events(&batch(3, &[long.clone()])).unwrap().stored, 1);
    }
    assert_eq!(admin.search_events(Some("9"), [None, None], None, 500).unwrap().items.len(), 1);
    assert_eq!(found(Some("9"), [None, None]).len(), 4);
    let some = found(Some("3"), [Some(at(10)), Some(at(20))]);
    assert!(some.iter().all(|one| one.event["user"]["id"] == "3"));
    assert_eq!(some.len(), 2 * (20..40).filter(|n| n % 5 == 3).count());
}

case!(EachStore, ten_thousand_are_listed);
fn ten_thousand_are_listed(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let authority = site.admin.authority.point().key_identifier();
    let now = Timestamp::now();
    block_on(async {
        let store = ServerStore::open(&site.store.parse().unwrap(), &authority, None).await.unwrap();
        for terminal in 0..10_u64 {
            for chunk in 0..8_u64 {
                let new: Vec<_> = (0..250_u64)
                    .map(|n| {
                        let (seq, who) = (chunk * 250 + n + 1, (chunk * 250 + n + terminal * 1000) % 10_000);
                        let json = event(seq, "arrived", u128::from(who), &format!("{who:05}"), now);
                        NewEvent { seq: seq.cast_signed(), body: json.to_string(), index: EventIndex::of(&json, now) }
                    })
                    .collect();
                let name = format!("t{terminal}");
                store.keep_events(&name, Uuid::from_u128(u128::from(terminal)), &new, now).await.unwrap();
            }
        }
        store.close().await;
    });
    let admin = site.admin.client(server.port);
    for at in [None, Some(now)] {
        let begun = std::time::Instant::now();
        let (mut people, mut after) = (0, None::<String>);
        loop {
            let page = admin.presence(at, after.as_deref(), PAGE_MAX).unwrap();
            if let Some(summary) = page.summary {
                assert_eq!(summary.present, 10_000);
            }
            people += page.items.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(people, 10_000);
        println!("{} {at:?}: 10,000 people from 20,000 stays in {:?}", kind.word(), begun.elapsed());
    }
}

case!(EachStore, the_command_line_tells_who_is_here);
fn the_command_line_tells_who_is_here(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    std::fs::write(
        site.home.path().join("config.toml"),
        format!("[server]\nurl = \"https://localhost:{}\"\n", server.port),
    )
    .unwrap();
    let door = site.terminal(server.port, "door", Role::Read).client(server.port);
    let start = Timestamp::now() - jiff::SignedDuration::from_mins(30);
    door.events(&batch(1, &[event(1, "arrived", 7, "7", start)])).unwrap();
    let said = |arguments: &[&str]| {
        let output = site.rollcall(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        (objects::lines(std::str::from_utf8(&output.stdout).unwrap()), String::from_utf8(output.stderr).unwrap())
    };
    let (people, warnings) = said(&["server", "presence", "--output", "ndjson"]);
    assert_eq!((people.len(), warnings.as_str()), (1, ""));
    assert_eq!((&people[0]["user"]["id"], &people[0]["terminal"]), (&json!("7"), &json!("door")));
    assert_eq!((&people[0]["silent"], &people[0]["schema"]), (&json!(false), &json!("rollcall.presence/1")));
    assert_eq!(said(&["server", "presence", "--at", "2h", "--output", "ndjson"]).0.len(), 0);
    let (events, _) = said(&["server", "events", "--user", "7", "--since", "1h", "--output", "ndjson"]);
    assert_eq!((events.len(), &events[0]["event"]["event"]), (1, &json!("arrived")));
    site.sql("UPDATE terminals SET heard = heard - 400000 WHERE name = 'door'");
    let (people, warnings) = said(&["server", "presence", "--output", "ndjson"]);
    assert_eq!(people[0]["silent"], json!(true));
    assert!(warnings.contains("the terminal door has been silent for 6m"), "{warnings}");
    let output = site.rollcall(&["server", "presence", "--at", "2999-01-01", "--output", "json"]);
    assert!(output.status.code() == Some(2), "{output:?}");
}

case!(EachStore, a_batch_that_contradicts_what_is_kept_leaves_nothing);
/// A restored terminal reuses event numbers; a later release may report more about the same event.
fn a_batch_that_contradicts_what_is_kept_leaves_nothing(kind: &Kind) {
    let site = Site::new(kind);
    let server = site.start();
    let client = site.terminal(server.port, "door", Role::Read).client(server.port);
    let at = Timestamp::now() - jiff::SignedDuration::from_mins(5);
    let taken = |events: &[Value]| {
        let taken = client.events(&batch(1, events)).unwrap();
        (taken.stored, taken.known, taken.conflict)
    };
    let second = event(2, "arrived", 7, "7", at);
    assert_eq!(taken(std::slice::from_ref(&second)), (1, 0, None));
    let mut more = second.clone();
    more["note"] = json!("of a later release");
    assert_eq!(taken(&[more]), (0, 1, None));
    let later = at + jiff::SignedDuration::from_secs(1);
    for other in [
        event(2, "left", 7, "7", at),
        event(2, "arrived", 8, "7", at),
        event(2, "arrived", 7, "7", later),
        event(2, "left", 8, "8", later),
    ] {
        let first = event(1, "arrived", 8, "8", at);
        assert_eq!(taken(&[first, other.clone(), event(3, "arrived", 9, "9", later)]), (0, 0, Some(2)), "{other}");
        // Neither the events before it in the batch are kept, nor those after it.
        assert_eq!(site.sql("UPDATE events SET seq = seq"), 1, "{other}");
    }
}

case!(EachStore, who_was_heard_just_now_is_not_called_silent);
/// The server notes some seconds later in its store that a terminal has asked: after a long pause nobody is silent for
/// that.
fn who_was_heard_just_now_is_not_called_silent(kind: &Kind) {
    let site = Site::new(kind);
    let arrived = |seq: u64| {
        let user = json!({ "id": "7", "name": "7", "fields": {} });
        json!({ "schema": "rollcall.event/1", "event": "arrived", "seq": seq, "reader": "R", "user": user,
            "token_id": Uuid::from_u128(1), "at": Timestamp::now().to_string() })
    };
    let mut server = site.start();
    let (door, gate) = (site.terminal(server.port, "door", Role::Read), site.terminal(server.port, "gate", Role::Read));
    for (list, terminal) in (1..).zip([&site.admin, &door, &gate]) {
        let batch = EventBatch { list: Uuid::from_u128(list), events: vec![arrived(1)] };
        terminal.client(server.port).events(&batch).unwrap();
    }
    server.terminate();
    assert_eq!(site.sql("UPDATE terminals SET heard = 1000, added = 1000"), 3);
    let silent = |names: &[&str]| {
        let told = site.area("terminals");
        let what = told["what"].as_str().unwrap();
        let all = [site.admin.name.as_str(), "door", "gate"];
        let found: Vec<_> = all.into_iter().filter(|name| what.contains(&format!("{name} for"))).collect();
        assert_eq!(found, names, "{told}");
    };
    silent(&[&site.admin.name, "door", "gate"]);
    let server = site.start();
    let url = format!("[server]\nurl = \"https://localhost:{}\"\n", server.port);
    std::fs::write(site.home.path().join("config.toml"), url).unwrap();
    door.client(server.port).health().unwrap();
    silent(&["gate"]);
}
