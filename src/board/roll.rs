//! The state of the page: present users, the readers, the server; and how each event changes it. Pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::portraits::{BoardPicture, BoardPictures};
use crate::{
    api::User,
    terminal::presence::{EntryState, Event, EventKind, Member, PresenceList, Reason, follow},
};

/// The user fields to show besides the name: none unless the operator chooses some.
#[derive(Debug, Clone, Default)]
pub struct BoardFields(pub Vec<String>);

impl BoardFields {
    fn of(&self, user: &User) -> BTreeMap<String, String> {
        let value = |key: &String| match key.as_str() {
            "id" => Some(user.id.clone()),
            key => user.fields.get(key).cloned(),
        };
        let shown = self.0.iter().filter_map(|key| Some((key.clone(), value(key)?)));
        shown.filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The display name of a reader.
pub type ReaderNames = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The list when the board starts; earlier events are included.
#[derive(Debug, Clone, Default)]
pub struct RollSnapshot {
    /// The number of the last event.
    pub seq: u64,
    /// The present users.
    pub members: BTreeMap<Uuid, Member>,
    /// The connected readers, and whether each works.
    pub readers: BTreeMap<String, bool>,
    /// Whether the PC/SC service is lost.
    pub service_lost: bool,
}

impl From<&PresenceList> for RollSnapshot {
    fn from(list: &PresenceList) -> Self {
        let attached = list.readers().filter(|(_, slot)| slot.attached);
        Self {
            seq: list.seq(),
            members: list.members(),
            readers: attached.map(|(reader, slot)| (reader.to_owned(), !slot.unavailable)).collect(),
            service_lost: list.service_lost(),
        }
    }
}

/// Why a reader cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaderFault {
    /// It is no longer connected.
    Unplugged,
    /// It is connected but does not work.
    Broken,
    /// A terminal that has not reported for too long.
    Silent,
    /// A terminal without a PC/SC service.
    NoService,
}

/// A fault that a terminal reports of a reader, or a server of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFault {
    /// The display name of the reader or terminal.
    pub door: String,
    /// What is wrong.
    pub fault: ReaderFault,
    /// Since when; for a silent terminal the time of its last report, if known.
    pub since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct ReaderCondition {
    fault: Option<(ReaderFault, Timestamp)>,
}

/// Everything that the page shows.
pub struct Roll {
    fields: BoardFields,
    names: ReaderNames,
    expected: Option<Vec<User>>,
    places: HashMap<String, usize>,
    /// The last event included in the list as read.
    seq: u64,
    members: BTreeMap<Uuid, Member>,
    readers: BTreeMap<String, ReaderCondition>,
    service_lost: Option<Timestamp>,
    server_away: Option<Timestamp>,
    store_away: Option<Timestamp>,
    /// The faults at terminals that report presence.
    faults: Vec<ReportedFault>,
    keys: HashMap<Uuid, u32>,
    /// Pictures of the present users; none if pictures are not shown.
    portraits: Option<BoardPictures>,
    /// Whether presence is reported by terminals, and not verified by this program.
    reported: bool,
}

/// A present user.
#[derive(Debug, Serialize)]
struct PersonTile<'a> {
    key: u32,
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, String>,
    door: String,
    since: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    doubt: bool,
    /// Entered by hand, without proof by a card.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_hand: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    portrait: Option<&'a str>,
}

/// An expected user.
#[derive(Debug, Serialize)]
struct ExpectedPerson<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, String>,
}

/// A reader and its fault.
#[derive(Debug, Serialize)]
struct DoorState {
    door: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<ReaderFault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
}

/// The faulty equipment, and since when.
#[derive(Debug, Serialize)]
struct Equipment {
    readers: Vec<DoorState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_lost: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_away: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_away: Option<i64>,
}

/// The whole state.
#[derive(Debug, Serialize)]
pub struct RollState<'a> {
    now: i64,
    fields: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reported: bool,
    people: Vec<PersonTile<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Vec<ExpectedPerson<'a>>>,
    equipment: Equipment,
}

/// A change, as sent to the pages.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RollChange<'a> {
    Arrived {
        at: i64,
        person: PersonTile<'a>,
    },
    Left {
        at: i64,
        key: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    Doubt {
        at: i64,
        key: u32,
        doubt: bool,
    },
    Portrait {
        at: i64,
        key: u32,
        portrait: &'a str,
    },
    Refused {
        at: i64,
        door: String,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Equipment {
        at: i64,
        equipment: Equipment,
    },
}

/// The effect of one event on the pages.
#[derive(Debug, PartialEq, Eq)]
pub enum RollOutcome {
    /// None.
    Nothing,
    /// This change, as JSON.
    Change(String),
}

impl Roll {
    /// Starts with a list.
    pub fn new(snapshot: RollSnapshot, fields: BoardFields, names: ReaderNames, expected: Option<Vec<User>>) -> Self {
        let places = expected.iter().flatten().enumerate().map(|(place, user)| (user.id.clone(), place)).collect();
        let mut roll = Self {
            fields,
            names,
            expected,
            places,
            seq: 0,
            readers: BTreeMap::new(),
            members: BTreeMap::new(),
            service_lost: None,
            server_away: None,
            store_away: None,
            faults: Vec::new(),
            keys: HashMap::new(),
            portraits: None,
            reported: false,
        };
        roll.reset(snapshot);
        roll
    }

    /// Replaces everything by the list as read.
    pub fn reset(&mut self, snapshot: RollSnapshot) {
        let now = Timestamp::now();
        let condition = |works: bool| ReaderCondition { fault: (!works).then_some((ReaderFault::Broken, now)) };
        self.readers = snapshot.readers.into_iter().map(|(name, works)| (name, condition(works))).collect();
        self.service_lost = snapshot.service_lost.then_some(now);
        self.refill(snapshot.seq, snapshot.members);
    }

    /// Replaces the present users by those after this event; the equipment stays.
    pub fn refill(&mut self, seq: u64, members: BTreeMap<Uuid, Member>) {
        self.seq = seq;
        for id in members.keys() {
            self.key(*id);
        }
        self.members = members;
        if let Some(portraits) = &mut self.portraits {
            portraits.keep(|token_id| self.members.contains_key(&token_id));
        }
    }

    /// The number of a token on the pages, which must not show its id.
    fn key(&mut self, token_id: Uuid) -> u32 {
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        *self.keys.entry(token_id).or_insert(next)
    }

    fn tile<'a>(&'a self, member: &'a Member) -> PersonTile<'a> {
        PersonTile {
            key: self.keys.get(&member.token_id).copied().unwrap_or_default(),
            name: &member.user.name,
            fields: self.fields.of(&member.user),
            door: (self.names)(&member.reader),
            since: member.since.as_millisecond(),
            doubt: member.state == EntryState::Unconfirmed,
            by_hand: !member.authenticated,
            expected: self.places.get(&member.user.id).copied(),
            portrait: self.portraits.as_ref().and_then(|all| all.name(member.token_id)),
        }
    }

    fn equipment(&self) -> Equipment {
        let ms = |at: Timestamp| at.as_millisecond();
        let door = |(name, condition): (&String, &ReaderCondition)| DoorState {
            door: (self.names)(name),
            fault: condition.fault.map(|(fault, _)| fault),
            since: condition.fault.map(|(_, at)| ms(at)),
        };
        let reported = |one: &ReportedFault| DoorState {
            door: one.door.clone(),
            fault: Some(one.fault),
            since: one.since.map(ms),
        };
        Equipment {
            readers: self.readers.iter().map(door).chain(self.faults.iter().map(reported)).collect(),
            service_lost: self.service_lost.map(ms),
            server_away: self.server_away.map(ms),
            store_away: self.store_away.map(ms),
        }
    }

    /// Whether the server's store is unreadable.
    pub const fn is_store_away(&self) -> bool {
        self.store_away.is_some()
    }

    /// The whole state, for a new page.
    pub fn state(&self, now: Timestamp) -> RollState<'_> {
        let expected = |user: &'_ User| self.fields.of(user);
        RollState {
            now: now.as_millisecond(),
            fields: &self.fields.0,
            reported: self.reported,
            people: self.members.values().map(|member| self.tile(member)).collect(),
            expected: self.expected.as_ref().map(|all| {
                all.iter().map(|user| ExpectedPerson { name: &user.name, fields: expected(user) }).collect()
            }),
            equipment: self.equipment(),
        }
    }

    /// Applies an event of the list; one that the list as read includes has no effect.
    pub fn event(&mut self, event: &Event) -> RollOutcome {
        if event.seq <= self.seq {
            return RollOutcome::Nothing;
        }
        let key = event.token_id.map(|token_id| self.key(token_id));
        // An event out of sequence is sent anyway: pages and roll treat it alike.
        let _ = follow(&mut self.members, event);
        if let (Some(portraits), Some(token_id)) = (&mut self.portraits, event.token_id)
            && !self.members.contains_key(&token_id)
            && event.reason != Some(Reason::Moved)
        {
            portraits.forget(token_id);
        }
        let at = event.at.as_millisecond();
        let change = match (event.event, key) {
            (EventKind::Refused, _) => RollChange::Refused {
                at,
                door: event.reader.as_deref().map(&self.names).unwrap_or_default(),
                code: event.error.as_ref().map_or("token.unknown", |error| error.code.as_str()),
                name: event.user.as_ref().map(|user| user.name.as_str()).filter(|name| !name.is_empty()),
            },
            (
                EventKind::ReaderAdded
                | EventKind::ReaderRemoved
                | EventKind::ReaderUnavailable
                | EventKind::ReaderAvailable
                | EventKind::ServiceLost
                | EventKind::ServiceBack,
                _,
            ) => {
                self.equip(event);
                RollChange::Equipment { at, equipment: self.equipment() }
            }
            (EventKind::Arrived | EventKind::CheckedIn, Some(_)) => {
                match event.token_id.and_then(|id| self.members.get(&id)) {
                    Some(member) => RollChange::Arrived { at, person: self.tile(member) },
                    None => return RollOutcome::Nothing,
                }
            }
            (EventKind::Left | EventKind::CheckedOut | EventKind::Removed, Some(key)) => {
                RollChange::Left { at, key, reason: event.reason }
            }
            (EventKind::Unconfirmed, Some(key)) => RollChange::Doubt { at, key, doubt: true },
            (EventKind::Confirmed, Some(key)) => RollChange::Doubt { at, key, doubt: false },
            _ => return RollOutcome::Nothing,
        };
        told(&change)
    }

    fn equip(&mut self, event: &Event) {
        let fault = match event.event {
            EventKind::ReaderAdded | EventKind::ReaderAvailable => None,
            EventKind::ReaderRemoved => Some((ReaderFault::Unplugged, event.at)),
            EventKind::ReaderUnavailable => Some((ReaderFault::Broken, event.at)),
            EventKind::ServiceLost => return self.service_lost = Some(event.at),
            EventKind::ServiceBack => return self.service_lost = None,
            _ => return,
        };
        if let Some(reader) = &event.reader {
            self.readers.insert(reader.clone(), ReaderCondition { fault });
        }
    }

    /// From now on the page says that presence is reported by terminals.
    pub const fn mark_reported(&mut self) {
        self.reported = true;
    }

    /// From now on pictures are shown.
    pub fn show_portraits(&mut self) {
        self.portraits.get_or_insert_default();
    }

    /// Whether a picture of this token is wanted, because its user is present.
    pub fn wants_portrait(&self, token_id: Uuid) -> bool {
        let wants = |portraits: &BoardPictures| portraits.has_room_for(token_id);
        self.members.contains_key(&token_id) && self.portraits.as_ref().is_some_and(wants)
    }

    /// Takes a picture under this name. It is not shown if it is not a picture, or its user is absent.
    pub fn portrait(
        &mut self,
        token_id: Uuid,
        name: String,
        picture: Zeroizing<Vec<u8>>,
        at: Timestamp,
    ) -> RollOutcome {
        if !self.wants_portrait(token_id) {
            return RollOutcome::Nothing;
        }
        let key = self.key(token_id);
        let Some(portraits) = &mut self.portraits else { return RollOutcome::Nothing };
        if !portraits.take(token_id, name, picture) {
            return RollOutcome::Nothing;
        }
        let Some(portrait) = portraits.name(token_id) else { return RollOutcome::Nothing };
        told(&RollChange::Portrait { at: at.as_millisecond(), key, portrait })
    }

    /// The picture of a present user by its name.
    pub fn picture(&self, name: &str) -> Option<BoardPicture> {
        let (token_id, picture) = self.portraits.as_ref()?.picture(name)?;
        self.members.contains_key(&token_id).then_some(picture)
    }

    /// The server became unreachable, or is back.
    pub fn server(&mut self, away: bool, at: Timestamp) -> RollOutcome {
        if away == self.server_away.is_some() {
            return RollOutcome::Nothing;
        }
        self.server_away = away.then_some(at);
        told(&RollChange::Equipment { at: at.as_millisecond(), equipment: self.equipment() })
    }

    /// The server's store became unreadable, or is readable again.
    pub fn store(&mut self, away: bool, at: Timestamp) -> RollOutcome {
        if away == self.store_away.is_some() {
            return RollOutcome::Nothing;
        }
        self.store_away = away.then_some(at);
        told(&RollChange::Equipment { at: at.as_millisecond(), equipment: self.equipment() })
    }

    /// Takes the complete list of faults at terminals that report presence.
    pub fn faults(&mut self, faults: Vec<ReportedFault>, at: Timestamp) -> RollOutcome {
        self.faults = faults;
        told(&RollChange::Equipment { at: at.as_millisecond(), equipment: self.equipment() })
    }
}

fn told(change: &RollChange<'_>) -> RollOutcome {
    // Texts and numbers always have a JSON form.
    serde_json::to_string(change).map_or(RollOutcome::Nothing, RollOutcome::Change)
}
