//! Which cards are Rollcall tokens: all of them are asked at the same time, with SELECT and nothing else.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    card::{apdu::ApduFormat, chaining::exchange, link::LinkError},
    failure::Failure,
    reader::{
        ReaderState, Slot,
        pcsc::{Card, CardLimits},
    },
    terminal::thread::no_thread,
    token::select::{Selected, select},
};

/// How long one card may take to say whether it is a Rollcall token.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of the question whether a card is a Rollcall token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectAnswer {
    /// It is one.
    Ours,
    /// It is another card.
    Foreign,
    /// It does not answer.
    Mute,
    /// It was removed.
    Left,
    /// It was not asked, or something else went wrong: nothing is known.
    Nothing,
}

/// What the card in each of these readers answers, in their order.
///
/// # Errors
/// `system.no-thread` when a card cannot be asked, since no thread can be started.
pub fn survey(readers: &[&ReaderState]) -> Result<Vec<SelectAnswer>, Failure> {
    thread::scope(|scope| {
        let begin = |reader: &&ReaderState| {
            let name = reader.name.clone();
            let thread = || thread::Builder::new().spawn_scoped(scope, move || ask(&name)).map_err(no_thread);
            may_be_asked(reader).then(thread).transpose()
        };
        let asked = readers.iter().map(begin).collect::<Result<Vec<_>, _>>()?;
        let answer = |thread: thread::ScopedJoinHandle<'_, SelectAnswer>| thread.join().ok();
        Ok(asked.into_iter().map(|asked| asked.and_then(answer).unwrap_or(SelectAnswer::Nothing)).collect())
    })
}

/// A card that another program talks to is left alone: the question would end that program's session.
const fn may_be_asked(reader: &ReaderState) -> bool {
    matches!(reader.slot, Slot::Card(_)) && !reader.exclusive && !reader.in_use
}

fn ask(reader: &str) -> SelectAnswer {
    let limits = CardLimits { exchange: PATIENCE, connect: PATIENCE, deadline: Some(Instant::now() + PATIENCE) };
    let answer = Card::connect(reader, limits).and_then(|mut card| {
        let mut transaction = card.begin()?;
        exchange(&mut transaction, &select(), ApduFormat::Short)
    });
    match answer.map(Selected::parse) {
        Ok(Ok(None)) => SelectAnswer::Foreign,
        // What answers to our name, however badly, is none of the others.
        Ok(_) => SelectAnswer::Ours,
        Err(LinkError::CardRemoved) => SelectAnswer::Left,
        Err(LinkError::CardMute | LinkError::Unpowered | LinkError::TimedOut) => SelectAnswer::Mute,
        Err(_) => SelectAnswer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
