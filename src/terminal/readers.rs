//! The selected readers: finding the one with a card, and following changes to them for `readers --watch`.

use std::{collections::BTreeMap, time::Duration};

use super::survey::{candidates, woken};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
    reader::{
        ReaderError, ReaderState, Slot,
        causes::link,
        monitor::ReaderEvent,
        pcsc::list,
        reachable,
        select::{ALL_IGNORED, Selection},
    },
    terminal::meant_readers::{MeantEvent, MeantReaders},
};

/// No reader is connected at all.
pub fn no_reader() -> Failure {
    Failure::new(ExitClass::No, "reader.none", "no reader is connected")
        .hint("plug one in; rollcall readers --watch shows whether it is seen")
}

/// No selected reader has a card; `there` lists all readers.
pub fn nobody(selection: &Selection, there: &[ReaderState]) -> Failure {
    if there.is_empty() {
        return no_reader();
    }
    let hint = if selection.ignores_all(there) {
        format!("{ALL_IGNORED}; rollcall readers shows the names")
    } else {
        "put a token on a reader".to_owned()
    };
    Failure::new(ExitClass::No, "scan.nobody", "no card is in range").hint(hint)
}

/// The only selected reader with a card. A memory card does not count as a second card, nor does one that stays mute
/// when tried, for as long as one exchange may take.
///
/// # Errors
/// `reader.none`, `reader.unavailable`, `scan.nobody` or `reader.ambiguous` when there is not exactly one;
/// `system.no-thread`; otherwise the error of the service or the selection.
pub fn one_reader(selection: &Selection, exchange: Duration) -> Result<String, Failure> {
    let there = list()?;
    if there.is_empty() {
        return Err(no_reader());
    }
    let meant = selection.pick(&there)?;
    let meant = reachable(meant);
    // A card that looks mute may be the right one, and just wake up late.
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
        .hint("name one: --reader NAME; a slot that never has a token can be left out with `ignore` in config.toml")),
    }
}

/// A change at the selected readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderChange {
    /// This reader was plugged in.
    Added(String),
    /// Whether this reader is selected cannot be determined until its driver answers: it is left out for now.
    Undecided(String),
    /// This reader was unplugged.
    Removed(String),
    /// The content of a reader changed, or whether another program holds it.
    State {
        /// The reader.
        reader: String,
        /// Its content.
        slot: Slot,
        /// Whether another program holds it exclusively.
        exclusive: bool,
    },
    /// The PC/SC service was lost.
    ServiceLost,
    /// Why the PC/SC service does not work at the moment.
    ServiceAway(ReaderError),
    /// The PC/SC service came back.
    ServiceBack,
}

/// The known state of the selected readers: the content of each, and whether another program holds it.
pub struct ReadersWatch {
    meant: MeantReaders,
    known: BTreeMap<String, (Slot, bool)>,
}

impl ReadersWatch {
    /// Starts with no known readers.
    pub const fn new(meant: MeantReaders) -> Self {
        Self { meant, known: BTreeMap::new() }
    }

    /// Applies a monitor event. Readers that are not selected cause no changes.
    pub fn apply(&mut self, event: ReaderEvent) -> Vec<ReaderChange> {
        let counting = self.meant.take(event);
        self.follow(counting)
    }

    /// Queries undecided readers again.
    pub fn decide(&mut self) -> Vec<ReaderChange> {
        let counting = self.meant.decide();
        self.follow(counting)
    }

    /// Whether any reader is undecided.
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
            // Already reported with the reader itself.
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
