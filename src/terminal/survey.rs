//! Finds out which cards are Rollcall tokens, by sending SELECT, and nothing else, to all of them in parallel. Also
//! recognises bystanders without any exchange: a mute card or a memory card is no token, and may stay in its slot
//! permanently.

use std::{collections::BTreeSet, thread, time::Duration};

use crate::{
    card::{apdu::ApduFormat, chaining::exchange, link::LinkError},
    failure::Failure,
    reader::{
        ReaderState, Slot,
        atr::Atr,
        pcsc::{Card, CardLimits, Deadline},
    },
    terminal::{attempts::attempts, thread::no_thread},
    token::select::{Selected, select},
};

/// The result of asking a card whether it is a Rollcall token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectAnswer {
    /// It is a Rollcall token.
    Ours,
    /// It is another card.
    Foreign,
    /// It does not answer.
    Mute,
    /// It was removed.
    Left,
    /// It was not asked, or something else went wrong: nothing is known about it.
    Nothing,
}

/// The answers of the cards in these readers, in the same order. Each may take as long as one exchange.
///
/// # Errors
/// `system.no-thread` when no thread can be started to ask a card.
pub fn survey(readers: &[&ReaderState], exchange: Duration) -> Result<Vec<SelectAnswer>, Failure> {
    answers(readers, exchange, may_be_asked)
}

/// The readers whose card looks mute but answers when connected to. If only one slot is occupied, it is not asked.
///
/// # Errors
/// As [`survey`].
pub fn woken(readers: &[&ReaderState], exchange: Duration) -> Result<BTreeSet<String>, Failure> {
    let is_mute = |reader: &ReaderState| reader.slot == Slot::Mute && !reader.exclusive && !reader.in_use;
    if readers.iter().filter(|reader| reader.slot.is_occupied()).count() < 2 {
        return Ok(BTreeSet::new());
    }
    let answers = answers(readers, exchange, is_mute)?;
    let awake = |answer: SelectAnswer| matches!(answer, SelectAnswer::Ours | SelectAnswer::Foreign);
    let asked = readers.iter().zip(answers);
    Ok(asked.filter(|(_, answer)| awake(*answer)).map(|(reader, _)| reader.name.clone()).collect())
}

fn answers(
    readers: &[&ReaderState],
    exchange: Duration,
    may_be_asked: fn(&ReaderState) -> bool,
) -> Result<Vec<SelectAnswer>, Failure> {
    // Of several readers with one name, only the first can be asked.
    let mut names = BTreeSet::new();
    thread::scope(|scope| {
        let begin = |reader: &&ReaderState| {
            let name = reader.name.clone();
            let thread = || thread::Builder::new().spawn_scoped(scope, move || ask(&name, exchange)).map_err(no_thread);
            (may_be_asked(reader) && names.insert(reader.name.clone())).then(thread).transpose()
        };
        let asked = readers.iter().map(begin).collect::<Result<Vec<_>, _>>()?;
        let answer = |thread: thread::ScopedJoinHandle<'_, SelectAnswer>| thread.join().ok();
        Ok(asked.into_iter().map(|asked| asked.and_then(answer).unwrap_or(SelectAnswer::Nothing)).collect())
    })
}

/// Whether the content of the slot, by its looks, cannot be a token: a mute card or a memory card.
pub fn is_bystander(slot: &Slot) -> bool {
    match slot {
        Slot::Mute => true,
        Slot::Card(atr) => Atr::parse(atr).is_ok_and(|atr| atr.storage_card().is_some()),
        Slot::Empty | Slot::Unavailable => false,
    }
}

/// The readers that may hold a token, including `woken` ones; if there are none, all occupied readers.
pub fn candidates<'a>(meant: &[&'a ReaderState], woken: &BTreeSet<String>) -> Vec<&'a ReaderState> {
    let occupied: Vec<_> = meant.iter().copied().filter(|reader| reader.slot.is_occupied()).collect();
    let may_be = |reader: &&ReaderState| !is_bystander(&reader.slot) || woken.contains(&reader.name);
    let cards: Vec<_> = occupied.iter().copied().filter(may_be).collect();
    if cards.is_empty() { occupied } else { cards }
}

/// A card in use by another program is left alone: asking it would end that program's session.
const fn may_be_asked(reader: &ReaderState) -> bool {
    matches!(reader.slot, Slot::Card(_)) && !reader.exclusive && !reader.in_use
}

fn ask(reader: &str, limit: Duration) -> SelectAnswer {
    let limits = CardLimits { exchange: limit, connect: limit, deadline: Some(Deadline::within(limit)) };
    let answer = Card::connect(reader, limits).and_then(|mut card| {
        attempts(LinkError::worth_another_try, || exchange(&mut card.begin()?, &select(), ApduFormat::Short))
    });
    match answer.map(Selected::parse) {
        Ok(Ok(None)) => SelectAnswer::Foreign,
        // A card that knows our AID is ours, however wrong its answer.
        Ok(_) => SelectAnswer::Ours,
        Err(LinkError::CardRemoved) => SelectAnswer::Left,
        Err(
            LinkError::CardMute
            | LinkError::Unpowered
            | LinkError::TimedOut
            | LinkError::Hung
            | LinkError::ExchangeLimit(_),
        ) => SelectAnswer::Mute,
        Err(_) => SelectAnswer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_slot_and_a_memory_card_are_no_second_card() {
        let reader = |name: &str, slot| ReaderState {
            name: name.into(),
            slot,
            exclusive: false,
            in_use: false,
            insertion: 0.into(),
        };
        let memory = hex::decode("3B8F8001804F0CA000000306030001000000006A").unwrap();
        let all = [
            reader("card", Slot::Card(vec![0x3B, 0])),
            reader("sam", Slot::Mute),
            reader("memory", Slot::Card(memory)),
            reader("empty", Slot::Empty),
            reader("broken", Slot::Unavailable),
        ];
        let names = |from: usize| {
            let meant: Vec<_> = all[from..].iter().collect();
            candidates(&meant, &BTreeSet::new()).iter().map(|reader| reader.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["card"]);
        assert_eq!(names(1), ["sam", "memory"]);
        assert_eq!(names(3), Vec::<String>::new());
    }

    #[test]
    fn a_card_that_somebody_talks_to_is_not_asked() {
        let reader =
            |slot, exclusive, in_use| ReaderState { name: "r".into(), slot, exclusive, in_use, insertion: 0.into() };
        let card = || Slot::Card(vec![0x3B, 0]);
        assert!(may_be_asked(&reader(card(), false, false)));
        for other in [
            reader(card(), false, true),
            reader(card(), true, false),
            reader(Slot::Mute, false, false),
            reader(Slot::Empty, false, false),
            reader(Slot::Unavailable, false, false),
        ] {
            assert!(!may_be_asked(&other), "{other:?}");
        }
    }
}
