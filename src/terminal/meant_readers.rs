//! Filters reader events to the selected readers. A reader that another program holds cannot be queried for whether it
//! is selected; it is queried again later, and what happened to it in the meantime is delivered then.

use std::collections::BTreeMap;

use crate::reader::{
    monitor::ReaderEvent,
    select::{ReaderChoice, Selection},
};

/// Decides whether a reader is selected.
type Choose = Box<dyn Fn(&str) -> ReaderChoice>;

/// The selected readers, and the events of readers still undecided.
pub struct MeantReaders {
    choice: Choose,
    undecided: BTreeMap<String, Missed>,
}

/// An event after filtering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeantEvent {
    /// This happened to a selected reader, to one added earlier that was not selected, or to the service.
    Happened(ReaderEvent),
    /// Whether this reader is selected cannot be determined until its driver answers: it is left out for now.
    Undecided {
        /// Its name.
        reader: String,
    },
}

/// The events of an undecided reader, reduced to what still holds.
#[derive(Debug, Default)]
struct Missed {
    slot: Vec<ReaderEvent>,
    exclusive: Option<ReaderEvent>,
}

impl Missed {
    fn note(&mut self, event: &ReaderEvent) {
        match event {
            ReaderEvent::Exclusive { exclusive, .. } => self.exclusive = exclusive.then(|| event.clone()),
            ReaderEvent::CardRemoved { reader } => self.slot = vec![ReaderEvent::Vacant { reader: reader.clone() }],
            // It follows the CardMute of the same insertion, which must be kept.
            ReaderEvent::CardWoke { .. } => self.slot.push(event.clone()),
            ReaderEvent::Available { available: true, .. } => self.slot.clear(),
            _ => self.slot = vec![event.clone()],
        }
    }
}

impl MeantReaders {
    /// The readers of a selection.
    pub fn new(selection: Selection) -> Self {
        Self::chosen(move |reader| selection.choice(reader))
    }

    /// Readers chosen by a closure.
    pub fn chosen(choice: impl Fn(&str) -> ReaderChoice + 'static) -> Self {
        Self { choice: Box::new(choice), undecided: BTreeMap::new() }
    }

    /// Whether any reader is undecided.
    pub fn is_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// Filters one event; any event except a new reader also retries the undecided readers.
    pub fn take(&mut self, event: ReaderEvent) -> Vec<MeantEvent> {
        let mut counting = Vec::new();
        match &event {
            ReaderEvent::ReaderAdded { reader } => match (self.choice)(reader) {
                ReaderChoice::Meant => counting.push(MeantEvent::Happened(event)),
                ReaderChoice::Other => {}
                ReaderChoice::Undecided => {
                    self.undecided.insert(reader.clone(), Missed::default());
                    counting.push(MeantEvent::Undecided { reader: reader.clone() });
                }
            },
            ReaderEvent::ServiceLost => {
                self.undecided.clear();
                counting.push(MeantEvent::Happened(event));
            }
            _ => {
                if let ReaderEvent::ReaderRemoved { reader } = &event
                    && self.undecided.remove(reader).is_some()
                {
                    return self.decide();
                }
                match event.reader().and_then(|reader| self.undecided.get_mut(reader)) {
                    Some(missed) => missed.note(&event),
                    None => counting.push(MeantEvent::Happened(event)),
                }
                counting.extend(self.decide());
            }
        }
        counting
    }

    /// Retries the undecided readers. One that is selected is delivered as if it had just been plugged in.
    pub fn decide(&mut self) -> Vec<MeantEvent> {
        let mut counting = Vec::new();
        for (reader, missed) in std::mem::take(&mut self.undecided) {
            match (self.choice)(&reader) {
                ReaderChoice::Other => {}
                ReaderChoice::Undecided => drop(self.undecided.insert(reader, missed)),
                ReaderChoice::Meant => {
                    let since = missed.exclusive.into_iter().chain(missed.slot);
                    let events = std::iter::once(ReaderEvent::ReaderAdded { reader }).chain(since);
                    counting.extend(events.map(MeantEvent::Happened));
                }
            }
        }
        counting
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    fn readers(choice: &Rc<Cell<ReaderChoice>>) -> MeantReaders {
        let choice = Rc::clone(choice);
        MeantReaders::chosen(move |_| choice.get())
    }

    fn events() -> [ReaderEvent; 6] {
        let reader = || "r".to_owned();
        [
            ReaderEvent::ReaderAdded { reader: reader() },
            ReaderEvent::Exclusive { reader: reader(), exclusive: true },
            ReaderEvent::CardMute { reader: reader(), insertion: 1.into() },
            ReaderEvent::CardRemoved { reader: reader() },
            ReaderEvent::CardInserted { reader: reader(), atr: vec![0x3B, 0], insertion: 3.into() },
            ReaderEvent::Exclusive { reader: reader(), exclusive: false },
        ]
    }

    fn happened(events: &[ReaderEvent]) -> Vec<MeantEvent> {
        events.iter().cloned().map(MeantEvent::Happened).collect()
    }

    #[test]
    fn one_that_could_not_be_asked_is_told_with_what_holds_now() {
        let choice = Rc::new(Cell::new(ReaderChoice::Undecided));
        let mut readers = readers(&choice);
        let [added, held, mute, removed, inserted, free] = events();
        assert_eq!(readers.take(added.clone()), [MeantEvent::Undecided { reader: "r".to_owned() }]);
        for event in [&held, &mute, &removed, &inserted] {
            assert_eq!(readers.take(event.clone()), [], "it is said once");
        }
        assert!(readers.is_undecided() && readers.decide().is_empty());
        choice.set(ReaderChoice::Meant);
        assert_eq!(readers.decide(), happened(&[added, held, inserted]));
        assert!(!readers.is_undecided() && readers.decide().is_empty());
        assert_eq!(readers.take(free.clone()), happened(&[free]));
    }

    #[test]
    fn one_that_is_released_is_not_held() {
        let choice = Rc::new(Cell::new(ReaderChoice::Undecided));
        let mut readers = readers(&choice);
        let [added, held, _, removed, inserted, free] = events();
        for event in [&added, &held, &inserted, &removed] {
            readers.take(event.clone());
        }
        choice.set(ReaderChoice::Meant);
        let vacant = ReaderEvent::Vacant { reader: "r".to_owned() };
        assert_eq!(readers.take(free), happened(&[added, vacant]));
    }

    #[test]
    fn one_that_leaves_or_is_lost_is_not_asked_again() {
        let choice = Rc::new(Cell::new(ReaderChoice::Undecided));
        let [added, ..] = events();
        let removed = ReaderEvent::ReaderRemoved { reader: "r".to_owned() };
        for (event, told) in [(removed, vec![]), (ReaderEvent::ServiceLost, happened(&[ReaderEvent::ServiceLost]))] {
            choice.set(ReaderChoice::Undecided);
            let mut readers = readers(&choice);
            readers.take(added.clone());
            choice.set(ReaderChoice::Meant);
            assert_eq!(readers.take(event), told);
            assert!(!readers.is_undecided() && readers.decide().is_empty());
        }
    }
}
