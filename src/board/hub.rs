//! Passes events from the watch to the pages, which read them each at its own pace.

use std::{
    collections::VecDeque,
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::portraits::BoardPicture;
use super::roll::{BoardFields, ReaderNames, ReportedFault, Roll, RollOutcome, RollSnapshot};
use crate::{
    api::{User, event::Event},
    crypto::{
        CryptoError,
        random::{self, Random},
    },
};

/// How many changes are kept for pages that slept: over a minute at 50 per second.
const KEPT: usize = 4096;
/// How many earlier changes a new page is shown.
const LATEST: usize = 40;
/// How many changes a page gets in one piece.
const PIECE: usize = 256;

/// What a page has: the run of the board, and the number of its last message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    run: u64,
    number: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.number)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, number) = text.split_once('-').ok_or(())?;
        let run = u64::from_str_radix(run, 16).map_err(drop)?;
        Ok(Self { run, number: number.parse().map_err(drop)? })
    }
}

struct HubContent {
    roll: Roll,
    /// The number of the last change.
    number: u64,
    /// The last changes as JSON; the newest has that number.
    ring: VecDeque<String>,
    /// Whether a list is yet to be read: until then pages are not told how many users are present.
    unread: bool,
}

/// Fed by the watch; feeding never waits.
pub struct BoardHub {
    run: u64,
    content: Mutex<HubContent>,
    news: watch::Sender<u64>,
}

impl BoardHub {
    /// Starts with a list. `expected` are the users who are shown as missing when absent.
    ///
    /// # Errors
    /// [`CryptoError`] without randomness.
    pub fn new(
        snapshot: RollSnapshot,
        fields: BoardFields,
        names: ReaderNames,
        expected: Option<Vec<User>>,
        random: &mut dyn Random,
    ) -> Result<Self, CryptoError> {
        let roll = Roll::new(snapshot, fields, names, expected);
        Ok(Self {
            run: u64::from_be_bytes(random::bytes(random)?),
            content: Mutex::new(HubContent { roll, number: 0, ring: VecDeque::with_capacity(KEPT), unread: false }),
            news: watch::Sender::new(0),
        })
    }

    /// Starts without a list: pages get nothing until [`Self::reset`], or until the store is away.
    #[must_use]
    pub fn before_the_list(self) -> Self {
        self.content().unread = true;
        self
    }

    /// From now on says that presence is reported by terminals.
    pub(super) fn mark_reported(&self) {
        self.content().roll.mark_reported();
    }

    /// From now on shows pictures, too.
    #[must_use]
    pub fn with_portraits(self) -> Self {
        self.content().roll.show_portraits();
        self
    }

    /// Whether a picture of this token is wanted: it is on the list, pictures are shown, and this one is missing.
    pub fn wants_portrait(&self, token_id: Uuid) -> bool {
        self.content().roll.wants_portrait(token_id)
    }

    /// Takes a picture of a present user; anything else is not shown.
    ///
    /// # Errors
    /// [`CryptoError`] without randomness.
    pub fn portrait(
        &self,
        token_id: Uuid,
        picture: Zeroizing<Vec<u8>>,
        at: Timestamp,
        random: &mut dyn Random,
    ) -> Result<(), CryptoError> {
        let name = hex::encode(random::bytes::<16>(random)?);
        self.tell(|roll| roll.portrait(token_id, name, picture, at));
        Ok(())
    }

    /// The picture of a present user by its name.
    pub(super) fn picture(&self, name: &str) -> Option<BoardPicture> {
        self.content().roll.picture(name)
    }

    fn content(&self) -> MutexGuard<'_, HubContent> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of the list.
    pub fn event(&self, event: &Event) {
        self.tell(|roll| roll.event(event));
    }

    /// Takes the list as read from the store: every page gets all of it.
    pub fn reset(&self, snapshot: RollSnapshot) {
        self.begin_again(|roll| roll.reset(snapshot));
    }

    /// Takes the list after a person was erased: every page gets it, and no earlier message, which may name the person.
    pub fn forget(&self, snapshot: RollSnapshot) {
        self.begin_again(|roll| roll.refill(snapshot.seq, snapshot.members));
    }

    fn begin_again(&self, change: impl FnOnce(&mut Roll)) {
        let mut content = self.content();
        change(&mut content.roll);
        content.unread = false;
        content.ring.clear();
        content.number += 1;
        self.news.send_replace(content.number);
    }

    /// The server became unreachable, or is back.
    pub fn server(&self, away: bool, at: Timestamp) {
        self.tell(|roll| roll.server(away, at));
    }

    /// The server's store became unreadable, or is readable again.
    pub fn store(&self, away: bool, at: Timestamp) {
        self.tell(|roll| roll.store(away, at));
    }

    /// Takes the complete list of faults at terminals that report presence.
    pub fn faults(&self, faults: Vec<ReportedFault>, at: Timestamp) {
        self.tell(|roll| roll.faults(faults, at));
    }

    fn tell(&self, take: impl FnOnce(&mut Roll) -> RollOutcome) {
        let mut content = self.content();
        let RollOutcome::Change(json) = take(&mut content.roll) else { return };
        if content.ring.len() == KEPT {
            content.ring.pop_front();
        }
        content.number += 1;
        content.ring.push_back(json);
        self.news.send_replace(content.number);
    }

    /// Wakes a page when something changes.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// What a page with this cursor lacks, as messages of a stream (HTML Living Standard, 9.2.5); `None` if nothing.
    /// Without a cursor, or with one that is too old for the ring, that is the whole state.
    pub(super) fn after(&self, cursor: Option<Cursor>, now: Timestamp) -> Option<(Cursor, String)> {
        let content = self.content();
        if content.unread && !content.roll.is_store_away() {
            return None;
        }
        let known = cursor.filter(|cursor| cursor.run == self.run && cursor.number <= content.number);
        let behind = known.map(|cursor| content.number - cursor.number);
        match behind.and_then(|behind| usize::try_from(behind).ok()) {
            Some(0) => None,
            Some(behind) if behind <= content.ring.len() => {
                let mut cursor = Cursor { run: self.run, number: content.number - behind as u64 };
                let mut text = String::new();
                for json in content.ring.range(content.ring.len() - behind..).take(PIECE) {
                    cursor.number += 1;
                    // Writing into a text does not fail.
                    let _ = write!(text, "id: {cursor}\ndata: {json}\n\n");
                }
                Some((cursor, text))
            }
            _ => {
                let cursor = Cursor { run: self.run, number: content.number };
                let state = serde_json::to_string(&content.roll.state(now)).ok()?;
                let from = content.ring.len().saturating_sub(LATEST);
                let latest: Vec<_> = content.ring.range(from..).map(String::as_str).collect();
                let open = state.strip_suffix('}')?;
                let (latest, unknown) = (latest.join(","), content.unread);
                let text = format!(
                    "event: state\nid: {cursor}\ndata: {open},\"unknown\":{unknown},\"latest\":[{latest}]}}\n\n"
                );
                Some((cursor, text))
            }
        }
    }
}
