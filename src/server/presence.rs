//! Who is present at all doors: reads each event of a terminal, and combines them.
//!
//! Each terminal reports its own list. Within one list, events count in the order of their numbers, whenever they
//! arrive; between lists, the time at which somebody was last *seen* decides: a token that arrives at a second door is
//! there, and no longer at the first. A stay that expires, or a list that an operator clears, is no sighting, and ends
//! a stay only on that list. So the result depends only on which events are stored, not on the order in which they
//! came.
//!
//! Specification: docs/protocol.md, "Who is here, at all doors".

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::equipment::EquipmentWord;
use crate::api::{User, v1::read_moment};

/// How an event changes the presence of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceWord {
    /// The subject came onto the list.
    Arrived,
    /// It is present, after it was in doubt.
    Confirmed,
    /// It is on the list, but in doubt.
    Doubted,
    /// It left the list.
    Left,
}

impl PresenceWord {
    const ALL: [Self; 4] = [Self::Arrived, Self::Confirmed, Self::Doubted, Self::Left];

    /// The text kept in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Confirmed => "confirmed",
            Self::Doubted => "doubted",
            Self::Left => "left",
        }
    }

    /// Reads the text kept in the store.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// The columns that the server extracts from an event. Events of an unknown kind have no word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventIndex {
    /// When it happened, in milliseconds; never later than when the server received it.
    pub at: i64,
    /// The user that it names, if any.
    pub user_id: Option<String>,
    /// Who comes or goes: a token, or a user without one.
    pub subject: Option<String>,
    /// How it changes their presence.
    pub word: Option<PresenceWord>,
    /// Whether they were seen at that time.
    pub sighting: bool,
    /// What it reports of a reader, or of the card service.
    pub equipment: Option<EquipmentWord>,
}

/// The longest user id taken from an event, in bytes.
const USER_ID: usize = 128;

impl EventIndex {
    /// Reads an event that the server receives now.
    pub fn of(event: &Value, received: Timestamp) -> Self {
        let received = received.as_millisecond();
        let at = event["at"].as_str().and_then(|at| read_moment(at).ok());
        let at = at.map_or(received, |at| at.as_millisecond().clamp(0, received.max(0)));
        let user_id = event["user"]["id"]
            .as_str()
            .filter(|id| (1..=USER_ID).contains(&id.len()) && !id.chars().any(char::is_control));
        let token_id = event["token_id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let subject = token_id.map(|id| id.to_string()).or_else(|| user_id.map(|id| format!("user:{id}")));
        let said = match event["event"].as_str().unwrap_or_default() {
            "arrived" | "checked_in" => Some((PresenceWord::Arrived, true)),
            "confirmed" => Some((PresenceWord::Confirmed, true)),
            "unconfirmed" => Some((PresenceWord::Doubted, false)),
            // Only a tap to leave is a sighting at that moment; a token that lies on a reader was seen when it arrived.
            "left" => Some((PresenceWord::Left, event["reason"] == "toggled")),
            "checked_out" => Some((PresenceWord::Left, true)),
            "removed" => Some((PresenceWord::Left, false)),
            _ => None,
        };
        let said = said.filter(|_| subject.is_some());
        let (word, sighting) = (said.map(|(word, _)| word), said.is_some_and(|(_, sighting)| sighting));
        let equipment = EquipmentWord::of(event);
        Self { at, user_id: user_id.map(str::to_owned), subject, word, sighting, equipment }
    }

    /// The key of the person: the user, or the token if no user is named.
    pub fn person(&self) -> Option<String> {
        let subject = self.subject.as_ref()?;
        Some(self.user_id.as_ref().map_or_else(|| format!("t:{subject}"), |id| format!("u:{id}")))
    }
}

/// The user whom an event names.
pub fn user_of(event: &Value) -> Option<User> {
    serde_json::from_value(event["user"].clone()).ok()
}

/// The place of an event among those of its terminal: its list, in the order of lists, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// 1 for the first list of the terminal.
    pub epoch: i64,
    /// The number of the event.
    pub seq: i64,
}

/// What the events of one terminal say of one subject, combined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// The place of the last word.
    pub last: EventPlace,
    /// The last word.
    pub word: PresenceWord,
    /// When the subject was last seen there, in milliseconds; 0 for never.
    pub seen: i64,
    /// The event that names the person: the last arrival, or else the last word.
    pub named: Naming,
}

/// The event that names the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Whether it is an arrival.
    pub arrived: bool,
    /// Its place.
    pub place: EventPlace,
    /// Its list.
    pub list: String,
    /// When it happened.
    pub at: i64,
    /// The person.
    pub person: String,
}

impl Whereabouts {
    /// Reads one event; `None` if it is not about presence.
    pub fn of(index: &EventIndex, place: EventPlace, list: &str) -> Option<Self> {
        let (word, person) = (index.word?, index.person()?);
        let arrived = word == PresenceWord::Arrived;
        let named = Naming { arrived, place, list: list.to_owned(), at: index.at, person };
        Some(Self { last: place, word, seen: if index.sighting { index.at } else { 0 }, named })
    }

    /// Merges what else the same terminal says of the same subject, in any order.
    pub fn absorb(&mut self, other: Self) {
        if other.last > self.last {
            (self.last, self.word) = (other.last, other.word);
        }
        self.seen = self.seen.max(other.seen);
        if (other.named.arrived, other.named.place) > (self.named.arrived, self.named.place) {
            self.named = other.named;
        }
    }
}

/// A list of a terminal, as far as its events have been received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownList {
    /// Its id.
    pub list: String,
    /// 1 for the first list of the terminal.
    pub epoch: i64,
    /// The lowest number received.
    pub first_seq: i64,
    /// The time of that event.
    pub first_at: i64,
    /// The time of the latest event.
    pub last_at: i64,
}

/// Whether an event no longer counts: a later list of the terminal begins at its number or below, because the terminal
/// was restored from a backup or created again, and does not have that event.
pub fn is_void<'a>(lists: impl IntoIterator<Item = &'a KnownList>, place: EventPlace) -> bool {
    lists.into_iter().any(|list| list.epoch > place.epoch && list.first_seq <= place.seq)
}

/// Where a subject counts: at the terminal that saw it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedSubject {
    /// The token, or the user without one.
    pub subject: String,
    /// The terminal.
    pub terminal: String,
    /// What that terminal says.
    pub said: Whereabouts,
}

/// The people present according to what terminals say of subjects, each once, in the order of their keys.
pub fn people(said: BTreeMap<(String, String), Whereabouts>) -> Vec<PlacedSubject> {
    let mut subjects = BTreeMap::<String, PlacedSubject>::new();
    for ((subject, terminal), said) in said {
        let seen_later = |known: &PlacedSubject| (known.said.seen, &known.terminal) > (said.seen, &terminal);
        if !subjects.get(&subject).is_some_and(seen_later) {
            subjects.insert(subject.clone(), PlacedSubject { subject, terminal, said });
        }
    }
    let mut people = BTreeMap::<String, PlacedSubject>::new();
    for placed in subjects.into_values().filter(|placed| placed.said.word != PresenceWord::Left) {
        let key = |of: &PlacedSubject| (of.said.seen, of.terminal.clone(), of.subject.clone());
        if people.get(&placed.said.named.person).is_none_or(|known| key(known) <= key(&placed)) {
            people.insert(placed.said.named.person.clone(), placed);
        }
    }
    people.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-29T08:00:00Z".parse().unwrap()
    }

    fn said(event: &Value) -> (Option<PresenceWord>, bool) {
        let index = EventIndex::of(event, now());
        (index.word, index.sighting)
    }

    #[test]
    fn each_kind_says_what_it_says() {
        let token = Uuid::from_u128(7).to_string();
        let of = |kind: &str, reason: &str| said(&json!({ "event": kind, "token_id": token, "reason": reason }));
        assert_eq!(of("arrived", ""), (Some(PresenceWord::Arrived), true));
        assert_eq!(of("checked_in", ""), (Some(PresenceWord::Arrived), true));
        assert_eq!(of("confirmed", ""), (Some(PresenceWord::Confirmed), true));
        assert_eq!(of("unconfirmed", "restart"), (Some(PresenceWord::Doubted), false));
        assert_eq!(of("left", "toggled"), (Some(PresenceWord::Left), true));
        for reason in ["lifted", "gone", "expired", "stale", "moved", "updated", "refused", "denied", "cleared"] {
            assert_eq!(of("left", reason), (Some(PresenceWord::Left), false), "{reason}");
        }
        assert_eq!(of("checked_out", ""), (Some(PresenceWord::Left), true));
        assert_eq!(of("removed", ""), (Some(PresenceWord::Left), false));
        for kind in ["refused", "reader_added", "service_lost", "of_a_later_release", ""] {
            assert_eq!(of(kind, ""), (None, false), "{kind}");
        }
    }

    #[test]
    fn who_it_is_about() {
        let token = Uuid::from_u128(7).to_string();
        let of = |event: Value| {
            let index = EventIndex::of(&event, now());
            (index.person(), index.subject)
        };
        let (both, user) = (json!({ "token_id": token, "user": { "id": "1" } }), json!({ "user": { "id": "1" } }));
        assert_eq!(of(both), (Some("u:1".into()), Some(token.clone())));
        assert_eq!(of(user), (Some("u:1".into()), Some("user:1".into())));
        assert_eq!(of(json!({ "token_id": token })), (Some(format!("t:{token}")), Some(token.clone())));
        let long = "x".repeat(129);
        for nobody in [json!({}), json!({ "token_id": "no" }), json!({ "user": { "id": "" } }), json!([])] {
            assert_eq!(of(nobody), (None, None));
        }
        for bad in ["a\nb", long.as_str(), ""] {
            assert_eq!(of(json!({ "user": { "id": bad } })), (None, None));
        }
        // An event that names nobody moves nobody.
        assert_eq!(said(&json!({ "event": "arrived" })), (None, false));
    }

    /// The departure of somebody who was forgotten at a terminal names only the token.
    #[test]
    fn a_departure_that_names_no_user_ends_the_stay() {
        let token = Uuid::from_u128(7).to_string();
        let said = |event: Value, seq| {
            let place = EventPlace { epoch: 1, seq };
            Whereabouts::of(&EventIndex::of(&event, now()), place, "list").unwrap()
        };
        let arrival = json!({ "event": "arrived", "token_id": token, "user": { "id": "1" } });
        let mut here = said(arrival, 1);
        let present = |here: &Whereabouts| people([((token.clone(), "north".to_owned()), here.clone())].into()).len();
        assert_eq!(present(&here), 1);
        here.absorb(said(json!({ "event": "removed", "token_id": token, "user": null }), 2));
        assert_eq!(present(&here), 0);
    }

    #[test]
    fn the_last_word_holds_and_the_last_arrival_names_in_whatever_order_they_come() {
        let said = |seq: i64, kind: &str, user: &str| {
            let event = json!({ "event": kind, "token_id": Uuid::from_u128(7), "user": { "id": user } });
            Whereabouts::of(&EventIndex::of(&event, now()), EventPlace { epoch: 1, seq }, "list").unwrap()
        };
        let all = [said(1, "arrived", "1"), said(2, "arrived", "2"), said(3, "confirmed", "3"), said(4, "left", "4")];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let mut taken = all[order[0]].clone();
            order[1..].iter().for_each(|n| taken.absorb(all[*n].clone()));
            assert_eq!((taken.last.seq, taken.word), (4, PresenceWord::Left), "{order:?}");
            assert_eq!((taken.named.place.seq, taken.named.person.as_str()), (2, "u:2"), "{order:?}");
        }
        let mut unnamed = all[3].clone();
        unnamed.absorb(all[2].clone());
        assert_eq!(unnamed.named.person, "u:4");
    }

    #[test]
    fn a_user_is_read_as_they_were_sent() {
        let user = user_of(&json!({ "user": { "id": "1", "name": "Ada" } })).unwrap();
        assert_eq!((user.id.as_str(), user.name.as_str()), ("1", "Ada"));
        assert_eq!([json!({}), json!({ "user": null })].map(|event| user_of(&event)), [None, None]);
    }

    #[test]
    fn nothing_happens_after_it_was_received() {
        let of = |at: &str| EventIndex::of(&json!({ "at": at }), now()).at;
        let ms = now().as_millisecond();
        assert_eq!(of("2026-11-29T07:59:59.999Z"), ms - 1);
        assert_eq!(of("2026-11-29T08:00:00.001Z"), ms);
        assert_eq!(of("1969-12-31T00:00:00Z"), 0);
        assert_eq!(of("yesterday"), ms);
    }

    #[test]
    fn words_of_the_store_are_read_again() {
        for word in PresenceWord::ALL {
            assert_eq!(PresenceWord::parse(word.as_str()), Some(word));
        }
        assert_eq!(PresenceWord::parse("gone"), None);
    }

    #[test]
    fn a_later_list_takes_the_place_of_an_earlier_one_from_its_first_number_on() {
        let list = |epoch, first_seq| KnownList { list: String::new(), epoch, first_seq, first_at: 0, last_at: 0 };
        let lists = [list(1, 1), list(2, 5)];
        let void = |epoch, seq| is_void(&lists, EventPlace { epoch, seq });
        assert_eq!([void(1, 4), void(1, 5), void(1, 6), void(2, 5), void(2, 1)], [false, true, true, false, false]);
    }
}
