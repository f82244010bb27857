//! Drives the follower on a real store, step by step and without waiting.

use serde_json::json;

use super::*;
use crate::{
    api::{event::EVENT_SCHEMA, v1::Role},
    server::{
        StoreUrl, block_on,
        presence::EventIndex,
        store::{NewTerminal, RegisteredKeys, Subjects},
    },
};

/// Records what it is shown.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn say(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

fn names(people: &BTreeMap<String, PresentUser>) -> String {
    let names: Vec<_> = people.iter().map(|(key, person)| format!("{key}@{}", person.terminal)).collect();
    names.join(" ")
}

impl PresenceAudience for Told {
    fn everybody(&self, people: BTreeMap<String, PresentUser>, _: Timestamp) {
        self.say(format!("everybody: {}", names(&people)));
    }
    fn some(&self, asked: &BTreeSet<String>, here: BTreeMap<String, PresentUser>, _: Timestamp) {
        self.say(format!("of {}: {}", asked.len(), names(&here)));
    }
    fn terminals(&self, terminals: &[PresenceTerminal], _: Timestamp) {
        let counts: Vec<_> = terminals.iter().map(|one| format!("{} {}", one.name, one.present)).collect();
        self.say(counts.join(", "));
    }
    fn refused(&self, terminal: &str, event: &Value) {
        self.say(format!("refused: {terminal} {}", event["seq"]));
    }
    fn store(&self, is_away: bool, _: Timestamp) {
        self.say(format!("away: {is_away}"));
    }
    fn forget(&self) {
        self.say("forget".into());
    }
}

struct Rig {
    _home: tempfile::TempDir,
    /// The start from which the times of events count: half a minute ago.
    begin: Timestamp,
    told: Arc<Told>,
    news: Arc<PresenceNews>,
    follower: Follower,
}

fn list(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Who stored an event: this process, or another one on the same store.
#[derive(Clone, Copy, PartialEq)]
enum Stored {
    Here,
    Elsewhere,
}
use Stored::{Elsewhere, Here};

impl Rig {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let url = StoreUrl::in_folder(home.path());
        let store = ServerStore::open(&url, &[7; 20], None).await.unwrap();
        let now = Timestamp::now();
        for (n, name) in ["north", "south"].into_iter().enumerate() {
            let n = u8::try_from(n).unwrap();
            let subjects = Subjects { tls: name.into(), ecka: name.into() };
            let keys = RegisteredKeys { tls_key: [n; 32], ecka_key: [n; 32], subjects, not_after: now };
            let new = NewTerminal { name: name.into(), role: Role::Read, keys };
            store.add_terminal(&new, "server", now).await.unwrap();
        }
        let (told, news) = (Arc::<Told>::default(), Arc::<PresenceNews>::default());
        let audience = Audience(Arc::clone(&told) as Arc<dyn PresenceAudience>);
        let follower = Follower::new(store, Arc::default(), Arc::clone(&news), audience);
        Self { _home: home, begin: now - SignedDuration::from_secs(30), told, news, follower }
    }

    /// An event `second` seconds after the start, of the user and the token with this number.
    fn event(&self, second: i64, seq: i64, kind: &str, user: u8) -> Value {
        json!({
            "schema": EVENT_SCHEMA, "seq": seq, "event": kind, "reader": "r",
            "at": self.begin + SignedDuration::from_secs(second), "token_id": Uuid::from_u128(user.into()),
            "user": { "id": user.to_string(), "name": "x", "fields": {} },
        })
    }

    async fn keep(&self, whose: Stored, terminal: &str, list: Uuid, event: Value) {
        // The clock of a process may be ahead.
        let received = Timestamp::now() + SignedDuration::from_mins(5);
        let index = EventIndex::of(&event, received);
        let row = NewEvent { seq: event["seq"].as_i64().unwrap(), body: event.to_string(), index };
        let rows = [row];
        self.follower.store.keep_events(terminal, list, &rows, received).await.unwrap();
        if whose == Here {
            self.news.kept(terminal, list, &rows, &[event]);
        }
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.0.lock().unwrap())
    }

    async fn look(&mut self) -> Vec<String> {
        self.follower.look().await.unwrap();
        self.told()
    }

    /// What was shown, and whether there was anything.
    async fn catch_up(&mut self) -> (Vec<String>, bool) {
        let is_any = self.follower.catch_up().await.unwrap();
        (self.told(), is_any)
    }
}

#[test]
fn what_changes_is_shown_whoever_stored_it() {
    let shown = async {
        let mut rig = Rig::new().await;
        rig.keep(Elsewhere, "north", list(1), rig.event(0, 1, "arrived", 1)).await;
        assert_eq!(rig.look().await, ["everybody: u:1@north", "north 1"]);
        assert_eq!(rig.look().await, ["north 1"]);
        assert_eq!(rig.catch_up().await, (vec![], false));

        // What this process stores is shown by itself.
        rig.keep(Here, "south", list(2), rig.event(1, 1, "arrived", 2)).await;
        assert_eq!(rig.catch_up().await, (vec!["of 2: u:2@south".into()], true));
        assert_eq!(rig.look().await, ["north 1, south 1"]);
        rig.keep(Here, "north", list(1), rig.event(2, 2, "left", 1)).await;
        assert_eq!(rig.catch_up().await, (vec!["of 2: ".into()], true));
        assert_eq!(rig.look().await, ["north 0, south 1"]);

        // What another process stores is noticed by the time of its event, or else by the counts.
        rig.keep(Elsewhere, "north", list(1), rig.event(3, 3, "arrived", 3)).await;
        assert_eq!(rig.look().await, ["north 1, south 1", "everybody: u:2@south u:3@north"]);
        rig.keep(Elsewhere, "south", list(2), rig.event(0, 2, "arrived", 4)).await;
        assert_eq!(rig.look().await, ["north 1, south 2", "everybody: u:2@south u:3@north u:4@south"]);
        assert_eq!(rig.look().await, ["north 1, south 2"]);

        // Everybody is read once a minute in any case.
        rig.follower.read = Instant::now().checked_sub(WHOLE);
        let everybody = "everybody: u:2@south u:3@north u:4@south";
        assert_eq!(rig.look().await, ["north 1, south 2", everybody]);
        assert_eq!(rig.look().await, ["north 1, south 2"]);
        // A departure that names the token alone ends the stay too.
        let mut left = rig.event(4, 4, "left", 3);
        left["user"] = Value::Null;
        rig.keep(Here, "north", list(1), left).await;
        assert_eq!(rig.catch_up().await, (vec!["of 2: ".into()], true));
        // Somebody who left is no longer found by their token.
        let mut again = rig.event(4, 5, "left", 3);
        again["user"] = Value::Null;
        rig.keep(Here, "north", list(1), again).await;
        assert_eq!(rig.catch_up().await, (vec!["of 1: ".into()], true));
        // A new list invalidates what the previous one said.
        rig.keep(Here, "south", list(3), rig.event(5, 1, "arrived", 5)).await;
        assert_eq!(rig.catch_up().await.0, ["everybody: u:5@south"]);
        rig.news.everybody();
        assert_eq!(rig.catch_up().await.0, ["everybody: u:5@south"]);
    };
    block_on(shown).unwrap();
}

#[test]
fn refusals_are_shown_once_while_they_are_fresh() {
    let shown = async {
        let mut rig = Rig::new().await;
        rig.keep(Elsewhere, "north", list(1), rig.event(0, 1, "refused", 1)).await;
        // Refusals from before the first look are not shown.
        assert_eq!(rig.look().await, ["everybody: ", "north 0"]);
        rig.keep(Here, "north", list(1), rig.event(1, 2, "refused", 1)).await;
        assert_eq!(rig.catch_up().await, (vec!["refused: north 2".into()], true));
        rig.keep(Elsewhere, "north", list(1), rig.event(2, 3, "refused", 1)).await;
        rig.keep(Elsewhere, "north", list(1), rig.event(2, 4, "reader_added", 1)).await;
        let everybody = "everybody: ";
        // The search starts a little before the last look, and this one is older.
        assert_eq!(rig.look().await, ["north 0", everybody]);
        let soon = |seq| rig.event(29, seq, "refused", 1);
        let (fifth, sixth) = (soon(5), soon(6));
        rig.keep(Elsewhere, "north", list(1), fifth).await;
        assert_eq!(rig.look().await, ["north 0", "refused: north 5", everybody]);
        assert_eq!(rig.look().await, ["north 0"]);
        rig.keep(Here, "north", list(1), sixth).await;
        assert_eq!(rig.catch_up().await.0, ["refused: north 6"]);

        // A terminal whose clock is ahead hides nothing.
        rig.keep(Elsewhere, "north", list(1), rig.event(90, 7, "reader_added", 1)).await;
        assert_eq!(rig.look().await, ["north 0", everybody]);
        rig.keep(Elsewhere, "north", list(1), rig.event(30, 8, "refused", 1)).await;
        assert_eq!(rig.look().await, ["north 0", "refused: north 8"]);

        let refuse = |rig: &mut Rig, list, seq, second| {
            let event = rig.event(second, seq, "refused", 1);
            rig.follower.refuse(&UnshownRefusal { terminal: "north".into(), list, seq, event });
            rig.told().len()
        };
        assert_eq!([refuse(&mut rig, list(1), 6, 20), refuse(&mut rig, list(1), 5, 20)], [0, 0]);
        assert_eq!([refuse(&mut rig, list(9), 5, 20), refuse(&mut rig, list(9), 6, -40)], [1, 0]);

        // Somebody who was forgotten is no longer shown.
        rig.keep(Here, "north", list(1), rig.event(30, 9, "refused", 1)).await;
        rig.news.forgotten();
        assert_eq!(rig.catch_up().await, (vec!["forget".into(), everybody.into()], true));
    };
    block_on(shown).unwrap();
}

#[test]
fn refusals_of_a_clock_far_ahead_are_not_searched_for_again_and_again() {
    let shown = async {
        let mut rig = Rig::new().await;
        rig.keep(Elsewhere, "north", list(1), rig.event(0, 1, "reader_added", 1)).await;
        rig.keep(Elsewhere, "south", list(2), rig.event(0, 1, "reader_added", 1)).await;
        rig.look().await;
        let soon = 30 + FRESH.as_secs() - 20;
        rig.keep(Elsewhere, "north", list(1), rig.event(soon + 200, 2, "refused", 1)).await;
        rig.keep(Elsewhere, "south", list(2), rig.event(soon, 2, "refused", 1)).await;
        assert_eq!(rig.look().await, ["north 0, south 0", "refused: south 2", "everybody: "]);
    };
    block_on(shown).unwrap();
}

#[test]
fn a_store_that_is_away_is_told_once_and_read_as_a_whole_when_it_is_back() {
    let shown = async {
        let mut rig = Rig::new().await;
        rig.follower.note(false);
        rig.look().await;
        for _ in 0..2 {
            rig.follower.note(true);
        }
        assert_eq!((rig.told(), rig.follower.read), (vec!["away: true".to_owned()], None));
        for _ in 0..2 {
            rig.follower.note(false);
        }
        assert_eq!(rig.told(), ["away: false"]);
        assert_eq!(rig.look().await, ["everybody: ", ""]);
    };
    block_on(shown).unwrap();
}

#[test]
fn a_refusal_of_before_the_first_look_is_not_shown() {
    let shown = async {
        let mut rig = Rig::new().await;
        // It is recent enough to be shown otherwise.
        rig.keep(Elsewhere, "north", list(1), rig.event(29, 1, "refused", 1)).await;
        assert_eq!(rig.look().await, ["everybody: ", "north 0"]);
    };
    block_on(shown).unwrap();
}

#[test]
fn much_at_once_is_read_as_a_whole_and_refusals_are_bounded() {
    let rig = block_on(Rig::new()).unwrap();
    let batch = |kind: &str, count: u128| {
        let events: Vec<_> = (1..=count)
            .map(|n| {
                let seq = i64::try_from(n).unwrap();
                let at = rig.begin + SignedDuration::from_millis(if n == 1 { 50 } else { 0 });
                json!({ "seq": seq, "event": kind, "at": at, "token_id": Uuid::from_u128(n) })
            })
            .collect();
        let row = |event: &Value| {
            let index = EventIndex::of(event, Timestamp::now());
            NewEvent { seq: event["seq"].as_i64().unwrap(), body: String::new(), index }
        };
        let rows: Vec<_> = events.iter().map(row).collect();
        rig.news.kept("north", list(1), &rows, &events);
        rig.news.take()
    };
    let some = u128::try_from(SOME).unwrap();
    let news = batch("arrived", some);
    assert_eq!((news.everybody, news.subjects.len(), news.people.len()), (false, SOME, SOME));
    // The latest time counts, not that of the last event.
    assert_eq!(news.latest["north"], rig.begin.as_millisecond() + 50);
    let news = batch("arrived", some + 1);
    assert_eq!((news.everybody, news.subjects.len(), news.people.len()), (true, 0, 0));
    let news = batch("refused", u128::try_from(REFUSALS).unwrap() + 1);
    assert_eq!((news.everybody, news.refusals.len()), (false, REFUSALS));
    let news = batch("reader_added", 1);
    assert_eq!((news.subjects.len(), news.refusals.len()), (0, 0));
}
