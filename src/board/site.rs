//! The board of a whole site: turns a server's store of all terminals into changes of one list.
//!
//! A door is a terminal, or an alias if one matches the reader. Users are identified by keys of the store, which are on
//! no page: a page has numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{
    BoardHub, RollSnapshot,
    roll::{ReaderFault, ReportedFault},
};
use crate::{
    api::{
        event::{Event, EventKind, Reason, Source},
        v1::{EquipmentFault, EquipmentFaultKind, PresenceState, PresenceTerminal, PresentUser},
    },
    crypto,
    failure::ErrorObject,
    terminal::presence::{EntryState, Member},
};

/// Most changes at one moment that are sent individually; beyond that, pages get the whole state.
const TOLD: usize = 1000;

/// The display name of a terminal and its reader.
pub type DoorNames = Box<dyn Fn(&str, Option<&str>) -> String + Send + Sync>;

/// Turns the store's content into changes for the pages.
pub struct SiteBoard {
    hub: Arc<BoardHub>,
    names: DoorNames,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// The number of the last event.
    seq: u64,
    /// None until all users were read once.
    people: Option<BTreeMap<String, Member>>,
    faults: Vec<ReportedFault>,
}

impl Shown {
    fn next(&mut self, event: EventKind, at: Timestamp, member: &Member) -> Event {
        self.seq += 1;
        let is_arrival = event == EventKind::Arrived;
        Event {
            reader: Some(member.reader.clone()),
            token_id: Some(member.token_id),
            user: Some(member.user.clone()),
            source: is_arrival.then_some(member.source),
            authenticated: is_arrival.then_some(member.authenticated),
            resumed: (is_arrival && member.resumed).then_some(true),
            ..Event::new(event, self.seq, at)
        }
    }
}

impl SiteBoard {
    /// Feeds this hub, which starts empty.
    pub fn new(hub: Arc<BoardHub>, names: DoorNames) -> Self {
        hub.mark_reported();
        Self { hub, names, shown: Mutex::default() }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all present users.
    pub fn everybody(&self, people: &BTreeMap<String, PresentUser>, at: Timestamp) {
        let mut shown = self.shown();
        let people: BTreeMap<_, _> = people.iter().map(|(key, one)| (key.clone(), self.member(key, one))).collect();
        let changes = shown.people.as_ref().map(|known| {
            let keys: BTreeSet<_> = known.keys().chain(people.keys()).cloned().collect();
            let changed = |key: &String| known.get(key) != people.get(key);
            keys.into_iter().filter(changed).collect::<Vec<_>>()
        });
        match changes {
            Some(changes) if changes.len() <= TOLD => {
                for key in changes {
                    self.place(&mut shown, &key, people.get(&key).cloned(), at);
                }
            }
            _ => {
                let members = people.values().map(|member| (member.token_id, member.clone())).collect();
                self.hub.reset(RollSnapshot { seq: shown.seq, members, ..RollSnapshot::default() });
                shown.people = Some(people);
            }
        }
    }

    /// Takes the result for some users: those of `asked` that are not in `here` are absent.
    pub fn some(&self, asked: &BTreeSet<String>, here: &BTreeMap<String, PresentUser>, at: Timestamp) {
        let mut shown = self.shown();
        for key in asked {
            self.place(&mut shown, key, here.get(key).map(|one| self.member(key, one)), at);
        }
    }

    /// Takes the terminals' state: which have been silent for too long, and the faults of the others. A revoked
    /// terminal is missed only while users count as present there.
    pub fn terminals(&self, terminals: &[PresenceTerminal], at: Timestamp) {
        let mut shown = self.shown();
        let missed = terminals.iter().filter(|one| !one.revoked || one.present > 0);
        let faults: Vec<_> = missed.flat_map(|one| self.faults_at(one)).collect();
        // A silent terminal's last report is the same, or another server process has just received a new one.
        let same = |a: &ReportedFault, b: &ReportedFault| {
            (&a.door, a.fault) == (&b.door, b.fault) && (a.fault == ReaderFault::Silent || a.since == b.since)
        };
        if faults.len() != shown.faults.len() || !faults.iter().zip(&shown.faults).all(|(a, b)| same(a, b)) {
            shown.faults.clone_from(&faults);
            self.hub.faults(faults, at);
        }
    }

    /// The faults at one terminal. The last report of a silent terminal about its equipment no longer counts.
    fn faults_at(&self, terminal: &PresenceTerminal) -> Vec<ReportedFault> {
        let name = (self.names)(&terminal.name, None);
        if terminal.silent == Some(true) {
            return vec![ReportedFault { door: name, fault: ReaderFault::Silent, since: terminal.last_word }];
        }
        let reported = |one: &EquipmentFault| {
            let door = match &one.reader {
                // One of several readers: without an alias, its own name identifies it.
                Some(reader) => match (self.names)(&terminal.name, Some(reader)) {
                    door if door == name => format!("{name} · {reader}"),
                    door => door,
                },
                None => name.clone(),
            };
            let fault = match one.fault {
                EquipmentFaultKind::Unplugged => ReaderFault::Unplugged,
                EquipmentFaultKind::Unavailable => ReaderFault::Broken,
                EquipmentFaultKind::ServiceLost => ReaderFault::NoService,
            };
            ReportedFault { door, fault, since: Some(one.since) }
        };
        terminal.faults.iter().map(reported).collect()
    }

    /// Takes the event of a terminal that refused a card.
    pub fn refused(&self, terminal: &str, event: &Value) {
        let Some(at) = event["at"].as_str().and_then(|at| at.parse().ok()) else { return };
        let mut shown = self.shown();
        shown.seq += 1;
        let code = event["error"]["code"].as_str().unwrap_or("token.unknown").to_owned();
        self.hub.event(&Event {
            reader: Some((self.names)(terminal, event["reader"].as_str())),
            user: serde_json::from_value(event["user"].clone()).ok(),
            error: Some(ErrorObject { code, message: String::new(), hint: None, command: None }),
            ..Event::new(EventKind::Refused, shown.seq, at)
        });
    }

    /// The store became unreadable, or is readable again.
    pub fn store(&self, is_away: bool, at: Timestamp) {
        self.hub.store(is_away, at);
    }

    /// After a person was erased: pages get all users again, and no earlier message.
    pub fn forget(&self) {
        self.shown().people = None;
    }

    /// Moves a user to their current place, or removes them.
    fn place(&self, shown: &mut Shown, key: &str, now: Option<Member>, at: Timestamp) {
        let Some(people) = &mut shown.people else { return };
        let before = match &now {
            Some(member) => people.insert(key.to_owned(), member.clone()),
            None => people.remove(key),
        };
        if before == now {
            return;
        }
        let same_stay = before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| {
            let stay = |of: &Member| (of.since, of.authenticated);
            (&before.reader, stay(before), &before.user) == (&now.reader, stay(now), &now.user)
        });
        if let Some(before) = before.as_ref().filter(|_| !same_stay) {
            let reason = now.as_ref().and_then(|now| match now {
                now if now.reader != before.reader => Some(Reason::Moved),
                now if now.user != before.user => Some(Reason::Updated),
                _ => None,
            });
            let left = shown.next(EventKind::Left, at, before);
            self.hub.event(&Event { reason, ..left });
        }
        let Some(member) = now else { return };
        if !same_stay {
            self.hub.event(&shown.next(EventKind::Arrived, member.since, &member));
        }
        let in_doubt = member.state == EntryState::Unconfirmed;
        if same_stay || in_doubt {
            let kind = if in_doubt { EventKind::Unconfirmed } else { EventKind::Confirmed };
            self.hub.event(&shown.next(kind, at, &member));
        }
    }

    fn member(&self, key: &str, one: &PresentUser) -> Member {
        // A person may have several tokens, or none: their key stands in for the token id.
        let mut id = [0; 16];
        id.copy_from_slice(&crypto::sha256(&[key.as_bytes()])[..16]);
        Member {
            token_id: Uuid::from_bytes(id),
            user: one.user.clone().unwrap_or_default(),
            reader: (self.names)(&one.terminal, one.reader.as_deref()),
            since: one.since,
            source: Source::Server,
            // Without the event it is unknown how they checked in: the page marks nobody without a reason.
            authenticated: one.authenticated != Some(false),
            resumed: false,
            state: match one.state {
                PresenceState::Present => EntryState::Present,
                PresenceState::Unconfirmed => EntryState::Unconfirmed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::User, board::BoardFields, crypto::random::SystemRandom};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_764_000_000 + seconds).unwrap()
    }

    /// A user who has been at a terminal for some time.
    fn one(name: &str, terminal: &str, reader: Option<&str>, since: i64) -> (String, PresentUser) {
        let user = User { id: name.to_lowercase(), name: name.to_owned(), fields: BTreeMap::new() };
        let person = PresentUser {
            user: Some(user),
            token_id: None,
            terminal: terminal.to_owned(),
            reader: reader.map(str::to_owned),
            since: at(since),
            last_seen: at(since),
            state: PresenceState::Present,
            silent: Some(false),
            authenticated: Some(true),
            by: None,
        };
        (format!("u:{}", name.to_lowercase()), person)
    }

    struct Site {
        board: SiteBoard,
        hub: Arc<BoardHub>,
        cursor: Option<crate::board::hub::Cursor>,
    }

    impl Site {
        fn new() -> Self {
            let names = Box::new(str::to_owned);
            let hub =
                BoardHub::new(RollSnapshot::default(), BoardFields::default(), names, None, &mut SystemRandom).unwrap();
            let hub = Arc::new(hub);
            let doors = |terminal: &str, reader: Option<&str>| match reader {
                Some("R1") => format!("{terminal} · Gate"),
                _ => terminal.to_owned(),
            };
            Self { board: SiteBoard::new(Arc::clone(&hub), Box::new(doors)), hub, cursor: None }
        }

        /// What the pages were sent since.
        fn told(&mut self) -> Vec<Value> {
            let mut all = Vec::new();
            while let Some((cursor, text)) = self.hub.after(self.cursor, at(0)) {
                self.cursor = Some(cursor);
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                all.extend(data.map(|json| serde_json::from_str::<Value>(json).unwrap()));
            }
            all
        }

        fn some(&self, asked: &[&str], here: &[(String, PresentUser)]) {
            let asked = asked.iter().map(|key| (*key).to_owned()).collect();
            self.board.some(&asked, &here.iter().cloned().collect(), at(100));
        }
    }

    fn kinds(told: &[Value]) -> Vec<&str> {
        told.iter().map(|change| change["kind"].as_str().unwrap_or("state")).collect()
    }

    #[test]
    fn people_of_all_terminals_are_on_one_board() {
        let mut site = Site::new();
        site.told();
        let (ada, bob) = (one("Ada", "north", Some("R1"), 1), one("Bob", "south", Some("R2"), 2));
        site.board.everybody(&[ada.clone(), bob].into(), at(3));
        let told = site.told();
        assert_eq!(kinds(&told), ["state"]);
        let doors: BTreeSet<_> = told[0]["people"].as_array().unwrap().iter().map(|one| one["door"].as_str()).collect();
        assert_eq!(doors, [Some("north · Gate"), Some("south")].into());
        assert!(!told[0].to_string().contains("u:"), "{told:?}");
        // Reports of terminals prove nothing to this page.
        assert_eq!(told[0]["reported"], true);

        // Ada moves to the other door, and is in doubt there.
        let moved = one("Ada", "south", None, 50);
        site.some(&["u:ada", "t:nobody"], std::slice::from_ref(&moved));
        let told = site.told();
        assert_eq!(kinds(&told), ["left", "arrived"]);
        assert_eq!((&told[0]["reason"], &told[1]["person"]["door"]), (&"moved".into(), &"south".into()));
        assert_eq!(told[1]["at"], at(50).as_millisecond());
        let mut doubted = moved.clone();
        doubted.1.state = PresenceState::Unconfirmed;
        site.some(&["u:ada"], std::slice::from_ref(&doubted));
        site.some(&["u:ada"], &[doubted]);
        site.some(&["u:ada"], &[moved]);
        let told = site.told();
        assert_eq!(kinds(&told), ["doubt", "doubt"]);
        assert_eq!((&told[0]["doubt"], &told[1]["doubt"]), (&true.into(), &false.into()));
        site.some(&["u:ada"], &[]);
        assert_eq!(kinds(&site.told()), ["left"]);
        // Small differences in a full reading are sent as individual changes.
        site.board.everybody(&[ada].into(), at(110));
        assert_eq!(site.told().iter().filter(|change| change["kind"] == "arrived").count(), 1);
        let crowd = (0..=TOLD).map(|n| one(&format!("P{n}"), "north", None, 1)).collect();
        site.board.everybody(&crowd, at(120));
        let told = site.told();
        assert_eq!((kinds(&told), told[0]["people"].as_array().unwrap().len()), (vec!["state"], TOLD + 1));
    }

    /// They are marked until their card is tapped, at any door.
    #[test]
    fn who_was_entered_by_hand_is_marked() {
        let mut site = Site::new();
        let (ada, mut bob) = (one("Ada", "north", None, 1), one("Bob", "north", None, 2));
        (bob.1.authenticated, bob.1.by) = (Some(false), Some("desk".into()));
        let mut eve = one("Eve", "south", None, 3);
        eve.1.authenticated = None;
        site.board.everybody(&[ada, bob.clone(), eve].into(), at(4));
        let told = site.told();
        let marked = told[0]["people"].as_array().unwrap().iter().filter(|one| one["by_hand"] == true);
        assert_eq!(marked.map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["Bob"]);
        (bob.1.authenticated, bob.1.by) = (Some(true), None);
        site.some(&["u:bob"], &[bob]);
        let told = site.told();
        assert_eq!((kinds(&told), &told[1]["person"]["by_hand"]), (vec!["left", "arrived"], &Value::Null));
    }

    #[test]
    fn who_was_forgotten_is_not_among_the_latest() {
        let mut site = Site::new();
        let (ada, bob) = (one("Ada", "north", None, 1), one("Bob", "south", None, 2));
        site.board.everybody(&BTreeMap::new(), at(0));
        site.some(&["u:ada", "u:bob"], &[ada, bob.clone()]);
        assert!(site.told().iter().any(|told| told.to_string().contains("Ada")));
        site.board.forget();
        site.board.everybody(&[bob].into(), at(3));
        let told = site.told();
        assert_eq!((kinds(&told), told[0]["people"].as_array().unwrap().len()), (vec!["state"], 1));
        assert_eq!(told[0]["latest"], serde_json::json!([]));
        assert!(!told[0].to_string().contains("Ada"), "{told:?}");
    }

    #[test]
    fn a_silent_terminal_is_shown_with_its_last_word_also_after_a_state() {
        let mut site = Site::new();
        site.board.everybody(&BTreeMap::new(), at(0));
        site.told();
        let terminal = |name: &str, silent, revoked, present| PresenceTerminal {
            name: name.to_owned(),
            last_word: Some(at(7)),
            last_event: None,
            silent: Some(silent),
            revoked,
            present,
            faults: Vec::new(),
        };
        let all = [terminal("a", false, false, 0), terminal("b", true, false, 0), terminal("c", true, true, 0)];
        site.board.terminals(&all, at(400));
        site.board.terminals(&all, at(402));
        let silent = serde_json::json!([{ "door": "b", "fault": "silent", "since": at(7).as_millisecond() }]);
        let told = site.told();
        assert_eq!((kinds(&told), &told[0]["equipment"]["readers"]), (vec!["equipment"], &silent));
        site.hub.reset(RollSnapshot::default());
        assert_eq!(site.told()[0]["equipment"]["readers"], silent);
        site.board.terminals(&[terminal("c", true, true, 1)], at(404));
        assert_eq!(site.told()[0]["equipment"]["readers"][0]["door"], "c");
        site.board.store(true, at(405));
        site.board.store(true, at(406));
        assert_eq!(site.told()[0]["equipment"]["store_away"], at(405).as_millisecond());
        site.board.store(false, at(407));
        assert!(site.told()[0]["equipment"].get("store_away").is_none());
    }

    #[test]
    fn what_is_out_of_order_at_a_terminal_is_shown_until_it_is_silent() {
        let mut site = Site::new();
        site.board.everybody(&BTreeMap::new(), at(0));
        site.told();
        let fault = |reader: Option<&str>, fault, since| EquipmentFault {
            reader: reader.map(str::to_owned),
            fault,
            since: at(since),
        };
        let mut north = PresenceTerminal {
            name: "north".to_owned(),
            last_word: Some(at(7)),
            last_event: None,
            silent: Some(false),
            revoked: false,
            present: 0,
            faults: vec![
                fault(None, EquipmentFaultKind::ServiceLost, 1),
                fault(Some("R1"), EquipmentFaultKind::Unavailable, 2),
                fault(Some("R2"), EquipmentFaultKind::Unplugged, 3),
            ],
        };
        let shown = |site: &mut Site, terminal: &PresenceTerminal| {
            site.board.terminals(std::slice::from_ref(terminal), at(8));
            site.board.terminals(std::slice::from_ref(terminal), at(9));
            let told = site.told();
            assert_eq!(kinds(&told), ["equipment"], "it is told once");
            told[0]["equipment"]["readers"].clone()
        };
        let state = |door: &str, fault: &str, since| serde_json::json!({ "door": door, "fault": fault, "since": at(since).as_millisecond() });
        let all =
            [state("north", "no_service", 1), state("north · Gate", "broken", 2), state("north · R2", "unplugged", 3)];
        assert_eq!(shown(&mut site, &north), Value::from(all.to_vec()));
        north.faults.truncate(1);
        assert_eq!(shown(&mut site, &north), Value::from(all[..1].to_vec()));
        north.silent = Some(true);
        assert_eq!(shown(&mut site, &north), Value::from(vec![state("north", "silent", 7)]));
        (north.silent, north.revoked) = (Some(false), true);
        assert_eq!(shown(&mut site, &north), Value::from(Vec::<Value>::new()));
    }

    #[test]
    fn a_refusal_says_where_and_why_and_nothing_internal() {
        let mut site = Site::new();
        site.told();
        let event = serde_json::json!({
            "at": at(9).to_string(), "reader": "R1", "error": { "code": "token.lost", "message": "internal" },
            "user": { "id": "secret", "name": "Ada" }, "token_id": "00000000-0000-0000-0000-000000000007",
        });
        site.board.refused("north", &event);
        site.board.refused("north", &serde_json::json!({ "at": 9 }));
        let told = site.told();
        let shown = serde_json::json!({
            "kind": "refused", "at": at(9).as_millisecond(), "door": "north · Gate", "code": "token.lost", "name": "Ada",
        });
        assert_eq!(told, [shown]);
    }
}
