//! Detects cards that come and go: one that is badly placed, or a worn contact.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::failure::{ExitClass, Failure};

/// This many insertions within this time count as one flapping card.
const TIMES: usize = 5;
const WITHIN: Duration = Duration::from_secs(10);

/// The recent insertions of each reader.
#[derive(Debug, Default)]
pub(super) struct Flapping(HashMap<String, Insertions>);

#[derive(Debug, Default)]
struct Insertions {
    at: VecDeque<Instant>,
    token: Option<Uuid>,
}

impl Flapping {
    /// Records an insertion. Returns a failure if there were too many.
    pub fn inserted(&mut self, reader: &str, now: Instant) -> Option<Failure> {
        let seen = self.0.entry(reader.to_owned()).or_default();
        seen.at.push_back(now);
        while seen.at.front().is_some_and(|at| now.duration_since(*at) > WITHIN) {
            seen.at.pop_front();
        }
        if seen.at.len() < TIMES {
            return None;
        }
        seen.at.clear();
        let text = format!("the card on {reader} comes and goes: {TIMES} times within {} s", WITHIN.as_secs());
        let hint = "lay it flat and leave it there; if other cards do the same, clean the reader or try another";
        Some(Failure::new(ExitClass::CardLeft, "card.flapping", text).hint(hint))
    }

    /// Records which token it is: insertions of other tokens before it do not count.
    pub fn identified(&mut self, reader: &str, token_id: Uuid) {
        if let Some(seen) = self.0.get_mut(reader)
            && seen.token.replace(token_id).is_some_and(|before| before != token_id)
        {
            seen.at.drain(..seen.at.len().saturating_sub(1));
        }
    }

    /// Forgets a reader that is gone.
    pub fn over(&mut self, reader: &str) {
        self.0.remove(reader);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_card_that_comes_and_goes_flaps_and_a_queue_of_people_does_not() {
        let (mut flapping, now) = (Flapping::default(), Instant::now());
        let mut told = |ms: u32, card: u128| {
            let told = flapping.inserted("door", now + Duration::from_millis(ms.into()));
            flapping.identified("door", Uuid::from_u128(card));
            told.map(|failure| failure.code)
        };
        assert_eq!([0, 500, 900, 2000, 9000].map(|ms| told(ms, 1)), [None, None, None, None, Some("card.flapping")]);
        assert_eq!([10_000, 10_100, 10_200, 10_300].map(|ms| told(ms, 1)), [None; 4]);
        for n in 0..20 {
            assert_eq!(told(40_000 + n * 200, n.into()), None, "a queue");
        }
        flapping.over("door");
        for n in 0..20 {
            assert_eq!(flapping.inserted("door", now + SECOND * 3 * n), None, "slowly");
        }
    }

    #[test]
    fn each_reader_counts_by_itself() {
        let (mut flapping, now) = (Flapping::default(), Instant::now());
        for n in 0..8 {
            assert_eq!(flapping.inserted(if n % 2 == 0 { "a" } else { "b" }, now), None);
        }
        assert!(flapping.inserted("a", now).is_some());
    }
}
