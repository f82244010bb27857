//! Follows who is present at all doors, and shows an audience what changes.
//!
//! What this process stores wakes the follower, which reads only the people concerned from the store. Other processes
//! on the same store do not notify it: every two seconds it asks the store how many people are where, and when each
//! terminal's last event was. If that differs from what was shown, and at least once a minute, it reads everybody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;

use super::{
    heard::HeardTerminals,
    store::{EventQuery, NewEvent, ServerStore, ServerStoreError},
};
use crate::api::v1::{PresenceSummary, PresenceTerminal, PresentUser};

/// How often the store is checked for changes.
const LOOK: Duration = Duration::from_secs(2);
/// How old the shown list may become before everybody is read again.
const WHOLE: Duration = Duration::from_secs(60);
/// The shortest pause between two queries.
const GAP: Duration = Duration::from_millis(50);
/// At most one part in so many of the time is spent on queries.
const SHARE: u32 = 5;
/// Most subjects that are read individually; with more, everybody is read.
const SOME: usize = 500;
/// People read per query.
const PAGE: u32 = 500;
/// Most refusals waiting to be shown.
const REFUSALS: usize = 100;
/// How old a refusal may be to be shown: it is meant for the person at the door.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// How far the clocks of terminals may lag, for refusals stored by another process.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// Most events of other processes searched for refusals at once.
const SEARCHED: u32 = 1000;

/// Shows who is present. People are identified by the keys of the store. The methods must not block.
pub trait PresenceAudience: Send + Sync {
    /// The complete list of who is present.
    fn everybody(&self, people: BTreeMap<String, PresentUser>, at: Timestamp);
    /// An update: of the people in `asked`, those in `here` are present, and the others are not.
    fn some(&self, asked: &BTreeSet<String>, here: BTreeMap<String, PresentUser>, at: Timestamp);
    /// The state of the terminals.
    fn terminals(&self, terminals: &[PresenceTerminal], at: Timestamp);
    /// A terminal has just refused a card: its event.
    fn refused(&self, terminal: &str, event: &Value);
    /// The store has become unreadable, or can be read again.
    fn store(&self, is_away: bool, at: Timestamp);
    /// Somebody was forgotten whom anything shown before may name: the complete list follows.
    fn forget(&self);
}

/// The audience of a server.
#[derive(Clone)]
pub struct Audience(pub Arc<dyn PresenceAudience>);

/// What this process has stored since the follower last took it.
#[derive(Debug, Default)]
pub struct PresenceNews {
    pending: Mutex<UnshownNews>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct UnshownNews {
    /// Whether any person may have changed.
    everybody: bool,
    /// Whether somebody was forgotten.
    forgotten: bool,
    subjects: BTreeSet<String>,
    people: BTreeSet<String>,
    refusals: Vec<UnshownRefusal>,
    /// The time of the latest event of each terminal.
    latest: BTreeMap<String, i64>,
    /// The current list of each terminal; kept when the rest is taken.
    lists: HashMap<String, Uuid>,
}

#[derive(Debug)]
struct UnshownRefusal {
    terminal: String,
    list: Uuid,
    seq: i64,
    event: Value,
}

impl PresenceNews {
    /// These events are in the store now; some may have been there before. `events` belong to `rows`.
    pub fn kept(&self, terminal: &str, list: Uuid, rows: &[NewEvent], events: &[Value]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // A new list invalidates what the previous one said of anybody.
        let before = pending.lists.insert(terminal.to_owned(), list);
        pending.everybody |= before.is_some_and(|before| before != list);
        for (row, event) in rows.iter().zip(events) {
            let latest = pending.latest.entry(terminal.to_owned()).or_insert(row.index.at);
            *latest = row.index.at.max(*latest);
            if let (Some(subject), Some(_)) = (&row.index.subject, row.index.word) {
                pending.subjects.insert(subject.clone());
                pending.people.extend(row.index.person());
            } else if event["event"] == "refused" && pending.refusals.len() < REFUSALS {
                let (terminal, event) = (terminal.to_owned(), event.clone());
                pending.refusals.push(UnshownRefusal { terminal, list, seq: row.seq, event });
            }
        }
        if pending.subjects.len() > SOME {
            pending.everybody = true;
            pending.subjects.clear();
            pending.people.clear();
        }
        self.wake.notify_one();
    }

    /// Any person may have changed.
    pub fn everybody(&self) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).everybody = true;
        self.wake.notify_one();
    }

    /// Somebody was forgotten here: nothing shown before may stay.
    pub fn forgotten(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        (pending.everybody, pending.forgotten) = (true, true);
        pending.refusals.clear();
        self.wake.notify_one();
    }

    fn take(&self) -> UnshownNews {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = std::mem::take(&mut pending.lists);
        std::mem::replace(&mut *pending, UnshownNews { lists, ..UnshownNews::default() })
    }
}

/// Shows an audience what is in the store, and what changes in it, until its task is aborted.
pub struct Follower {
    store: ServerStore,
    heard: Arc<HeardTerminals>,
    news: Arc<PresenceNews>,
    audience: Audience,
    /// The people shown, each with terminal and subject.
    people: BTreeMap<String, (String, String)>,
    by_subject: HashMap<String, String>,
    /// The time of the latest event shown of each terminal.
    latest: BTreeMap<String, i64>,
    /// The last refusal shown of each terminal.
    refused: HashMap<String, (Uuid, i64)>,
    /// When everybody was last read.
    read: Option<Instant>,
    looked: Timestamp,
    is_away: bool,
}

impl Follower {
    /// Starts with nothing shown.
    pub fn new(store: ServerStore, heard: Arc<HeardTerminals>, news: Arc<PresenceNews>, audience: Audience) -> Self {
        Self {
            store,
            heard,
            news,
            audience,
            people: BTreeMap::new(),
            by_subject: HashMap::new(),
            latest: BTreeMap::new(),
            refused: HashMap::new(),
            read: None,
            looked: Timestamp::now(),
            is_away: false,
        }
    }

    /// Never ends.
    pub async fn run(mut self) {
        let mut every = interval(LOOK);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_look = tokio::select! {
                _ = every.tick() => true,
                () = self.news.wake.notified(), if self.read.is_some() => false,
            };
            let begun = Instant::now();
            let done = if is_look { self.look().await } else { self.catch_up().await.map(drop) };
            self.note(done.is_err());
            sleep(GAP.max(begun.elapsed() * (SHARE - 1))).await;
        }
    }

    /// Reports once when the store becomes unavailable, and once when it is back.
    fn note(&mut self, has_failed: bool) {
        if has_failed {
            // The news taken for this round is lost, so everybody is read again.
            self.read = None;
        }
        if has_failed != self.is_away {
            self.is_away = has_failed;
            self.audience.0.store(has_failed, Timestamp::now());
        }
    }

    /// Shows what this process stored; returns whether there was anything.
    async fn catch_up(&mut self) -> Result<bool, ServerStoreError> {
        let news = self.news.take();
        let is_any = !news.latest.is_empty();
        self.know(news.latest);
        for refusal in news.refusals {
            self.refuse(&refusal);
        }
        if news.forgotten {
            self.audience.0.forget();
        }
        if news.everybody || self.read.is_none() {
            self.everybody().await?;
            return Ok(true);
        }
        let mut asked = news.people;
        for subject in news.subjects {
            asked.extend(self.by_subject.get(&subject).cloned());
            asked.insert(format!("t:{subject}"));
        }
        if asked.is_empty() {
            return Ok(is_any);
        }
        let at = Timestamp::now();
        let keys: Vec<_> = asked.iter().cloned().collect();
        let here: BTreeMap<_, _> = self.store.presence_of(at, &keys).await?.into_iter().collect();
        for key in &asked {
            self.place(key, here.get(key));
        }
        self.audience.0.some(&asked, here, at);
        Ok(is_any)
    }

    /// Checks whether the store still matches what was shown.
    async fn look(&mut self) -> Result<(), ServerStoreError> {
        self.heard.store(&self.store).await;
        let is_first = self.read.is_none();
        self.catch_up().await?;
        let at = Timestamp::now();
        let summary = self.store.presence_summary(at).await?;
        // What this process stored meanwhile is in only one of the two counts.
        let comparable = !self.catch_up().await?;
        self.audience.0.terminals(&summary.terminals, at);
        let is_old = self.read.is_none_or(|read| read.elapsed() >= WHOLE);
        let others = self.others(&summary);
        let since = std::mem::replace(&mut self.looked, at);
        // After a clock was set back, the latest event says nothing about newer ones.
        let is_ahead = |terminal: &PresenceTerminal| terminal.last_event.is_some_and(|last| last > at + SKEW);
        if (others || summary.terminals.iter().any(is_ahead)) && !is_first {
            self.refusals_since(since.clamp(at - FRESH, at) - SKEW, at + FRESH).await?;
        }
        if is_old || !is_first && others || comparable && self.counts() != counts_of(&summary) {
            self.everybody().await?;
        }
        let last = |terminal: &PresenceTerminal| Some((terminal.name.clone(), terminal.last_event?.as_millisecond()));
        self.know(summary.terminals.iter().filter_map(last).collect());
        Ok(())
    }

    /// Whether another process stored events.
    fn others(&self, summary: &PresenceSummary) -> bool {
        summary.terminals.iter().any(|terminal| {
            let known = self.latest.get(&terminal.name).copied();
            terminal.last_event.is_some_and(|last| known.is_none_or(|known| known < last.as_millisecond()))
        })
    }

    fn know(&mut self, latest: BTreeMap<String, i64>) {
        for (terminal, at) in latest {
            let known = self.latest.entry(terminal).or_insert(at);
            *known = at.max(*known);
        }
    }

    /// How many people were shown at each terminal.
    fn counts(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for (terminal, _) in self.people.values() {
            *counts.entry(terminal.as_str()).or_default() += 1;
        }
        counts
    }

    async fn refusals_since(&mut self, since: Timestamp, until: Timestamp) -> Result<(), ServerStoreError> {
        let asked = EventQuery { since: Some(since), until: Some(until), ..EventQuery::default() };
        for (mark, stored) in self.store.search_events(&asked, SEARCHED).await? {
            if stored.event["event"] == "refused" {
                self.refuse(&UnshownRefusal {
                    terminal: mark.terminal,
                    list: mark.list,
                    seq: mark.seq,
                    event: stored.event,
                });
            }
        }
        Ok(())
    }

    /// Shows a refusal once, while it is recent.
    fn refuse(&mut self, refusal: &UnshownRefusal) {
        let UnshownRefusal { terminal, list, seq, event } = refusal;
        let is_known = self.refused.get(terminal).is_some_and(|(of, last)| of == list && seq <= last);
        let at = event["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        if !is_known && at.is_some_and(|at| Timestamp::now().duration_since(at) <= FRESH) {
            self.refused.insert(terminal.clone(), (*list, *seq));
            self.audience.0.refused(terminal, event);
        }
    }

    async fn everybody(&mut self) -> Result<(), ServerStoreError> {
        let (begun, at) = (Instant::now(), Timestamp::now());
        let mut people = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self.store.presence(at, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            people.extend(page);
        }
        self.people.clear();
        self.by_subject.clear();
        for (key, person) in &people {
            self.place(key, Some(person));
        }
        self.audience.0.everybody(people, at);
        self.read = Some(begun);
        Ok(())
    }

    fn place(&mut self, key: &str, person: Option<&PresentUser>) {
        if let Some((_, subject)) = self.people.remove(key)
            && self.by_subject.get(&subject).is_some_and(|of| of == key)
        {
            self.by_subject.remove(&subject);
        }
        if let Some(person) = person {
            let of_user = || format!("user:{}", key.strip_prefix("u:").unwrap_or(key));
            let subject = person.token_id.map_or_else(of_user, |token_id| token_id.to_string());
            self.by_subject.insert(subject.clone(), key.to_owned());
            self.people.insert(key.to_owned(), (person.terminal.clone(), subject));
        }
    }
}

fn counts_of(summary: &PresenceSummary) -> BTreeMap<&str, u64> {
    let counted = summary.terminals.iter().filter(|terminal| terminal.present > 0);
    counted.map(|terminal| (terminal.name.as_str(), terminal.present)).collect()
}

#[cfg(test)]
mod tests;
