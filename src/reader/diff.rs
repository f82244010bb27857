//! Derives the events between two readings of the readers. Pure, so that it can be tested without a PC/SC service.

use super::{Insertion, ReaderError, ReaderState, Slot};

/// Something that happened to the readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderEvent {
    /// A reader was plugged in, or was there at the start. An event for its contents follows.
    ReaderAdded {
        /// Its name.
        reader: String,
    },
    /// A reader was unplugged; what became of a card in it is unknown.
    ReaderRemoved {
        /// Its name.
        reader: String,
    },
    /// A reader that was just added, or works again, holds no card. A card that was in it at the last reading is gone.
    Vacant {
        /// Which.
        reader: String,
    },
    /// A card was inserted and answered to reset.
    CardInserted {
        /// Where.
        reader: String,
        /// Its answer to reset; empty where the stack powers cards only on connection.
        atr: Vec<u8>,
        /// Differs for every insertion, even of the same card.
        insertion: Insertion,
    },
    /// A card was inserted that does not answer to reset.
    CardMute {
        /// Where.
        reader: String,
        /// Differs for every insertion.
        insertion: Insertion,
    },
    /// The card reported by `CardMute` answers to reset after all; it was not removed in between.
    CardWoke {
        /// Where.
        reader: String,
        /// Its answer to reset; empty where the stack powers cards only on connection.
        atr: Vec<u8>,
        /// The same as in the `CardMute`.
        insertion: Insertion,
    },
    /// The card reported by `CardInserted` or `CardMute` was removed.
    CardRemoved {
        /// Where.
        reader: String,
    },
    /// Another program began, or ceased, to hold the reader exclusively.
    Exclusive {
        /// Which.
        reader: String,
        /// Whether it is held now.
        exclusive: bool,
    },
    /// The reader stopped working, or works again. While it does not, what became of a card in it is unknown.
    Available {
        /// Which.
        reader: String,
        /// Whether it works now.
        available: bool,
    },
    /// The PC/SC service went away. Nothing reported before holds any longer; after `ServiceBack` everything is
    /// reported anew.
    ServiceLost,
    /// The PC/SC service stays away, from now on for this reason.
    ServiceAway(ReaderError),
    /// The PC/SC service is there again.
    ServiceBack,
}

impl ReaderEvent {
    /// The reader concerned; none if it is about the service.
    pub fn reader(&self) -> Option<&str> {
        match self {
            Self::ReaderAdded { reader }
            | Self::ReaderRemoved { reader }
            | Self::Vacant { reader }
            | Self::CardInserted { reader, .. }
            | Self::CardMute { reader, .. }
            | Self::CardWoke { reader, .. }
            | Self::CardRemoved { reader }
            | Self::Exclusive { reader, .. }
            | Self::Available { reader, .. } => Some(reader),
            Self::ServiceLost | Self::ServiceAway(_) | Self::ServiceBack => None,
        }
    }
}

/// The events between two readings, in an order in which they can have happened.
///
/// In every working reader `CardRemoved` alternates with `CardInserted` or `CardMute`. A card that was changed in
/// between, which shows in the insertion or in another ATR, is a removal and an insertion. A reader that is unplugged
/// or fails causes no removal: what became of its card is unknown.
pub fn diff(old: &[ReaderState], new: &[ReaderState]) -> Vec<ReaderEvent> {
    let mut events = Vec::new();
    for before in old {
        if find(new, &before.name).is_none() {
            change(&before.name, Some(before), None, &mut events);
            events.push(ReaderEvent::ReaderRemoved { reader: before.name.clone() });
        }
    }
    for now in new {
        let before = find(old, &now.name);
        if before.is_none() {
            events.push(ReaderEvent::ReaderAdded { reader: now.name.clone() });
        }
        change(&now.name, before, Some(now), &mut events);
    }
    events
}

fn find<'a>(states: &'a [ReaderState], name: &str) -> Option<&'a ReaderState> {
    states.iter().find(|s| s.name == name)
}

/// The events of one reader. A reader that was absent counts as free, working and empty.
fn change(name: &str, before: Option<&ReaderState>, now: Option<&ReaderState>, events: &mut Vec<ReaderEvent>) {
    let reader = name.to_owned();
    let occupied = |state: Option<&ReaderState>| state.is_some_and(|s| s.slot.is_occupied());
    let same = matches!((before, now), (Some(before), Some(now)) if is_same_card(before, now));
    let Some(now) = now else { return };
    let available = now.slot != Slot::Unavailable;
    if occupied(before) && !same && available {
        events.push(ReaderEvent::CardRemoved { reader: reader.clone() });
    }
    if available != before.is_none_or(|b| b.slot != Slot::Unavailable) {
        events.push(ReaderEvent::Available { reader: reader.clone(), available });
    }
    if now.exclusive != before.is_some_and(|b| b.exclusive) {
        events.push(ReaderEvent::Exclusive { reader: reader.clone(), exclusive: now.exclusive });
    }
    let insertion = now.insertion;
    if let (true, Some(Slot::Mute), Slot::Card(atr)) = (same, before.map(|b| &b.slot), &now.slot) {
        events.push(ReaderEvent::CardWoke { reader: reader.clone(), atr: atr.clone(), insertion });
    }
    if !same {
        match &now.slot {
            Slot::Card(atr) => events.push(ReaderEvent::CardInserted { reader, atr: atr.clone(), insertion }),
            Slot::Mute => events.push(ReaderEvent::CardMute { reader, insertion }),
            Slot::Empty if before.is_none_or(|b| b.slot == Slot::Unavailable) => {
                events.push(ReaderEvent::Vacant { reader });
            }
            Slot::Empty | Slot::Unavailable => {}
        }
    }
}

fn is_same_card(before: &ReaderState, now: &ReaderState) -> bool {
    before.insertion == now.insertion
        && match (&before.slot, &now.slot) {
            // An ATR may become known, or be forgotten, while the card lies there.
            (Slot::Card(a), Slot::Card(b)) => a == b || a.is_empty() || b.is_empty(),
            // A reader reports a card as mute until it is asked once more, and one it has asked as a card.
            (Slot::Mute, Slot::Mute | Slot::Card(_)) | (Slot::Card(_), Slot::Mute) => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot() -> impl Strategy<Value = Slot> {
        prop_oneof![
            Just(Slot::Empty),
            Just(Slot::Mute),
            Just(Slot::Unavailable),
            prop::sample::select(vec![vec![], vec![0x3B, 0], vec![0x3B, 0x80, 1, 0x81]]).prop_map(Slot::Card),
        ]
    }

    fn readers() -> impl Strategy<Value = Vec<ReaderState>> {
        let reader = (slot(), any::<bool>(), any::<bool>(), 0..3_u64);
        prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "d"]), reader, 0..4).prop_map(|map| {
            let state = |(name, (slot, exclusive, in_use, insertion)): (&str, (Slot, bool, bool, u64))| ReaderState {
                name: name.to_owned(),
                slot,
                exclusive,
                in_use,
                insertion: insertion.into(),
            };
            map.into_iter().map(state).collect()
        })
    }

    /// What a receiver of the events alone knows: reader, whether it is occupied, works, is held exclusively.
    type Known = std::collections::BTreeMap<String, (Option<Insertion>, bool, bool)>;

    fn tell(known: &mut Known, event: ReaderEvent) {
        match event {
            ReaderEvent::ReaderAdded { reader } => assert!(known.insert(reader, (None, true, false)).is_none()),
            ReaderEvent::ReaderRemoved { reader } => drop(known.remove(&reader).unwrap()),
            ReaderEvent::Vacant { reader } => assert_eq!(known[&reader].0, None),
            ReaderEvent::CardInserted { reader, insertion, .. } | ReaderEvent::CardMute { reader, insertion } => {
                assert!(known.get_mut(&reader).unwrap().0.replace(insertion).is_none());
            }
            ReaderEvent::CardWoke { reader, insertion, .. } => assert_eq!(known[&reader].0, Some(insertion)),
            ReaderEvent::CardRemoved { reader } => assert!(known.get_mut(&reader).unwrap().0.take().is_some()),
            ReaderEvent::Available { reader, available } => {
                let one = known.get_mut(&reader).unwrap();
                assert_ne!(std::mem::replace(&mut one.1, available), available);
                one.0.take();
            }
            ReaderEvent::Exclusive { reader, exclusive } => {
                assert_ne!(std::mem::replace(&mut known.get_mut(&reader).unwrap().2, exclusive), exclusive);
            }
            ReaderEvent::ServiceLost | ReaderEvent::ServiceAway(_) | ReaderEvent::ServiceBack => {
                panic!("no reading can tell that")
            }
        }
    }

    fn known(states: &[ReaderState]) -> Known {
        let one = |s: &ReaderState| {
            let card = s.slot.is_occupied().then_some(s.insertion);
            (s.name.clone(), (card, s.slot != Slot::Unavailable, s.exclusive))
        };
        states.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn events_tell_the_whole_way(readings in prop::collection::vec(readers(), 0..6)) {
            let (mut told, mut last) = (Known::new(), Vec::new());
            for reading in readings {
                for event in diff(&last, &reading) {
                    tell(&mut told, event);
                }
                prop_assert_eq!(&told, &known(&reading));
                last = reading;
            }
        }

        #[test]
        fn nothing_happened_is_no_event(states in readers()) {
            prop_assert_eq!(diff(&states, &states), vec![]);
        }

        #[test]
        fn every_insertion_is_told(mut states in readers(), at in any::<prop::sample::Index>()) {
            prop_assume!(!states.is_empty());
            let old = states.clone();
            let changed = at.get(&states).name.clone();
            let state = states.iter_mut().find(|s| s.name == changed).unwrap();
            state.insertion = (state.insertion.get() + 2).into();
            let events = diff(&old, &states);
            let expected = if find(&old, &changed).unwrap().slot.is_occupied() { 2 } else { 0 };
            prop_assert_eq!(events.len(), expected);
        }
    }

    fn state(slot: Slot, insertion: u64) -> Vec<ReaderState> {
        vec![ReaderState { name: "r".into(), slot, exclusive: false, in_use: false, insertion: insertion.into() }]
    }

    #[test]
    fn a_quick_change_of_cards_is_a_removal_and_an_insertion() {
        let (reader, atr) = ("r".to_owned(), vec![0x3B, 0]);
        assert_eq!(
            diff(&state(Slot::Card(atr.clone()), 1), &state(Slot::Card(atr.clone()), 3)),
            [
                ReaderEvent::CardRemoved { reader: reader.clone() },
                ReaderEvent::CardInserted { reader, atr, insertion: 3.into() }
            ]
        );
    }

    #[test]
    fn an_atr_that_becomes_known_is_no_insertion() {
        assert_eq!(diff(&state(Slot::Card(vec![]), 1), &state(Slot::Card(vec![0x3B, 0]), 1)), []);
        assert_eq!(diff(&state(Slot::Card(vec![0x3B, 1]), 1), &state(Slot::Card(vec![0x3B, 0]), 1)).len(), 2);
    }

    #[test]
    fn a_mute_card_that_answers_is_the_same_card() {
        let (reader, atr) = ("r".to_owned(), vec![0x3B, 0]);
        let card = |insertion| state(Slot::Card(atr.clone()), insertion);
        let woke = ReaderEvent::CardWoke { reader, atr: atr.clone(), insertion: 1.into() };
        assert_eq!(diff(&state(Slot::Mute, 1), &card(1)), [woke]);
        assert_eq!(diff(&card(1), &state(Slot::Mute, 1)), []);
        assert_eq!(diff(&state(Slot::Mute, 1), &card(3)).len(), 2);
    }

    #[test]
    fn a_reader_that_comes_empty_is_told_so_once() {
        let reader = "r".to_owned();
        let came = [ReaderEvent::ReaderAdded { reader: reader.clone() }, ReaderEvent::Vacant { reader }];
        assert_eq!(diff(&[], &state(Slot::Empty, 4)), came);
        assert_eq!(diff(&state(Slot::Empty, 4), &state(Slot::Empty, 6)), []);
        assert_eq!(diff(&[], &state(Slot::Unavailable, 0)).len(), 2, "nobody can tell what lies there");
    }

    #[test]
    fn nobody_lifts_the_card_of_a_reader_that_is_unplugged_or_does_not_work() {
        let reader = "r".to_owned();
        let (card, broken) = (state(Slot::Card(vec![0x3B, 0]), 1), state(Slot::Unavailable, 2));
        let available = |available| ReaderEvent::Available { reader: reader.clone(), available };
        assert_eq!(diff(&card, &[]), [ReaderEvent::ReaderRemoved { reader: reader.clone() }]);
        assert_eq!(diff(&card, &broken), [available(false)]);
        assert_eq!(
            diff(&broken, &state(Slot::Empty, 2)),
            [available(true), ReaderEvent::Vacant { reader: reader.clone() }]
        );
        assert!(
            matches!(&diff(&broken, &card)[..], [told, ReaderEvent::CardInserted { .. }] if *told == available(true))
        );
    }
}
