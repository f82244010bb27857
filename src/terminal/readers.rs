//! The readers that are meant: the one that has a card, and what happens to them while somebody watches.

use std::{collections::BTreeMap, time::Duration};

use super::survey::{candidates, woken};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
    reader::{
        ReaderError, ReaderState, Slot, causes::link, monitor::ReaderEvent, pcsc::list, reachable, select::Selection,
    },
    terminal::meant_readers::{MeantEvent, MeantReaders},
};

/// There is no reader at all.
pub fn no_reader() -> Failure {
    Failure::new(ExitClass::No, "reader.none", "no reader is connected")
        .hint("plug one in; rollcall readers --watch shows whether it is seen")
}

/// No card is in any of the readers that are meant; `there` are all readers.
pub fn nobody(selection: &Selection, there: &[ReaderState]) -> Failure {
    if there.is_empty() {
        return no_reader();
    }
    let hint = if selection.ignores_all(there) {
        "`ignore` in config.toml leaves out every reader that is here now; rollcall readers shows the names"
    } else {
        "put a token on a reader"
    };
    Failure::new(ExitClass::No, "scan.nobody", "no card is in range").hint(hint)
}

/// The one reader that is meant and has a card. A memory card is no second card, nor is what stays mute when
/// it is asked itself, for as long as one exchange may take.
///
/// # Errors
/// `reader.none`, `reader.unavailable`, `scan.nobody` or `reader.ambiguous` when it is not one; `system.no-thread`;
/// otherwise what the service or the selection says.
pub fn one_reader(selection: &Selection, exchange: Duration) -> Result<String, Failure> {
    let there = list()?;
    if there.is_empty() {
        return Err(no_reader());
    }
    let meant = selection.pick(&there)?;
    let meant = reachable(meant);
    // What looks mute may be the card that is meant, which wakes up late.
    let cards: Vec<_> = candidates(&meant, &woken(&meant, exchange)?).into_iter().map(|r| r.name.clone()).collect();
    match cards.as_slice() {
        [one] => Ok(one.clone()),
        [] if meant.iter().any(|r| r.slot == Slot::Unavailable) => Err(link(&LinkError::Unavailable, 0)),
        [] => Err(nobody(selection, &there)),
        several => Err(Failure::new(
            ExitClass::Usage,
            "reader.ambiguous",
            format!("{} readers have a card: {}", several.len(), several.join(", ")),
        )
        .hint("name one: --reader NAME; a slot that never has a token is left out by `ignore` in config.toml")),
    }
}

/// What changed at the readers that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderChange {
    /// This one was plugged in.
    Added(String),
    /// Nobody can say of this one whether it is meant, until its driver is asked again: it is left out.
    Undecided(String),
    /// This one was unplugged.
    Removed(String),
    /// Something else lies in a reader, or another program holds it.
    State {
        /// Which.
        reader: String,
        /// What lies in it.
        slot: Slot,
        /// Whether another program holds it for itself.
        exclusive: bool,
    },
    /// The PC/SC service went away.
    ServiceLost,
    /// What keeps the PC/SC service from working now.
    ServiceAway(ReaderError),
    /// The PC/SC service came back.
    ServiceBack,
}

/// What is known of the readers that are meant: what lies in each, and whether another program holds it.
pub struct ReadersWatch {
    meant: MeantReaders,
    known: BTreeMap<String, (Slot, bool)>,
}

impl ReadersWatch {
    /// No reader is known yet.
    pub const fn new(meant: MeantReaders) -> Self {
        Self { meant, known: BTreeMap::new() }
    }

    /// Applies what the monitor saw. Nothing comes back of a reader that is not meant.
    pub fn apply(&mut self, event: ReaderEvent) -> Vec<ReaderChange> {
        let counting = self.meant.take(event);
        self.follow(counting)
    }

    /// Asks those readers again of which nobody could say whether they are meant.
    pub fn decide(&mut self) -> Vec<ReaderChange> {
        let counting = self.meant.decide();
        self.follow(counting)
    }

    /// Whether a reader is there that has to be asked again.
    pub fn is_undecided(&self) -> bool {
        self.meant.is_undecided()
    }

    fn follow(&mut self, counting: Vec<MeantEvent>) -> Vec<ReaderChange> {
        let change = |event| match event {
            MeantEvent::Happened(event) => self.happened(event),
            MeantEvent::Undecided { reader } => Some(ReaderChange::Undecided(reader)),
        };
        counting.into_iter().filter_map(change).collect()
    }

    fn happened(&mut self, event: ReaderEvent) -> Option<ReaderChange> {
        match event {
            ReaderEvent::ReaderAdded { reader } => {
                self.known.insert(reader.clone(), (Slot::Empty, false));
                Some(ReaderChange::Added(reader))
            }
            ReaderEvent::ReaderRemoved { reader } => self.known.remove(&reader).map(|_| ReaderChange::Removed(reader)),
            // It came with the reader.
            ReaderEvent::Vacant { .. } => None,
            ReaderEvent::CardInserted { reader, atr, .. } | ReaderEvent::CardWoke { reader, atr, .. } => {
                self.changed(reader, |(slot, _)| *slot = Slot::Card(atr))
            }
            ReaderEvent::CardMute { reader, .. } => self.changed(reader, |(slot, _)| *slot = Slot::Mute),
            ReaderEvent::CardRemoved { reader } => self.changed(reader, |(slot, _)| *slot = Slot::Empty),
            ReaderEvent::Exclusive { reader, exclusive } => self.changed(reader, |(_, held)| *held = exclusive),
            ReaderEvent::Available { reader, available } => {
                let now = if available { Slot::Empty } else { Slot::Unavailable };
                self.changed(reader, |(slot, _)| *slot = now)
            }
            ReaderEvent::ServiceLost => {
                self.known.clear();
                Some(ReaderChange::ServiceLost)
            }
            ReaderEvent::ServiceAway(error) => Some(ReaderChange::ServiceAway(error)),
            ReaderEvent::ServiceBack => Some(ReaderChange::ServiceBack),
        }
    }

    fn changed(&mut self, reader: String, change: impl FnOnce(&mut (Slot, bool))) -> Option<ReaderChange> {
        let known = self.known.get_mut(&reader)?;
        change(known);
        let (slot, exclusive) = known.clone();
        Some(ReaderChange::State { reader, slot, exclusive })
    }
}
