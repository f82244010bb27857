//! Tracks which card is in which reader, and schedules retries for cards that did not answer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::reader::{Insertion, monitor::ReaderEvent};

/// The pause for a card of somebody on the list, so that it is confirmed within a second of answering again.
const EXPECTED: Duration = Duration::from_millis(500);
/// The first and the longest pause otherwise; each is twice the one before.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The cards in the readers, and the next try of each that did not answer.
#[derive(Debug, Default)]
pub struct Unanswered {
    lying: HashMap<String, Insertion>,
    attempts: HashMap<String, Attempts>,
}

#[derive(Debug)]
struct Attempts {
    insertion: Insertion,
    failed: u32,
    /// Whether exchanges between reader and card failed in the last tap.
    breaks: bool,
    /// `None` while the card is being tried.
    due: Option<Instant>,
}

impl Unanswered {
    /// Processes the arrival or removal of a card, or the loss of the service.
    pub fn note(&mut self, event: &ReaderEvent) {
        match event {
            ReaderEvent::CardInserted { reader, insertion, .. } | ReaderEvent::CardMute { reader, insertion } => {
                self.lying.insert(reader.clone(), *insertion);
            }
            ReaderEvent::CardRemoved { reader }
            | ReaderEvent::ReaderRemoved { reader }
            | ReaderEvent::Available { reader, available: false } => {
                self.lying.remove(reader);
                self.over(reader);
            }
            ReaderEvent::ServiceLost => {
                self.lying.clear();
                self.attempts.clear();
            }
            _ => {}
        }
    }

    /// The insertion of the card in this reader.
    pub fn lying(&self, reader: &str) -> Option<Insertion> {
        self.lying.get(reader).copied()
    }

    /// Processes a finished tap: a card that is present and did not answer is scheduled for another try, any other is
    /// not. Returns whether the result is news.
    pub fn tapped(
        &mut self,
        reader: &str,
        insertion: Insertion,
        is_unanswered: bool,
        is_expected: bool,
        now: Instant,
    ) -> bool {
        if self.lying(reader) != Some(insertion) {
            return true;
        }
        if is_unanswered {
            return self.failed(reader, insertion, is_expected, now);
        }
        self.over(reader);
        true
    }

    /// Schedules another try of a card that did not answer. Returns whether that is news.
    pub fn failed(&mut self, reader: &str, insertion: Insertion, is_expected: bool, now: Instant) -> bool {
        let before = self.attempts.get(reader).filter(|attempts| attempts.insertion == insertion);
        let (is_new, failed) = (before.is_none(), before.map_or(0, |attempts| attempts.failed));
        let doubled = PAUSE.0.saturating_mul(1_u32.checked_shl(failed).unwrap_or(u32::MAX));
        // For somebody on the list the pauses stay short, and do not lengthen later ones.
        let (pause, failed) =
            if is_expected { (EXPECTED, failed) } else { (doubled.min(PAUSE.1), failed.saturating_add(1)) };
        let attempts = Attempts { insertion, failed, breaks: false, due: Some(now + pause) };
        self.attempts.insert(reader.to_owned(), attempts);
        is_new
    }

    /// Records that exchanges with the card in this reader fail, until it is tried again.
    pub fn breaks(&mut self, reader: &str) {
        if let Some(attempts) = self.attempts.get_mut(reader) {
            attempts.breaks = true;
        }
    }

    /// Whether the last exchange with the card in this reader failed.
    pub fn is_broken(&self, reader: &str) -> bool {
        self.attempts.get(reader).is_some_and(|attempts| attempts.breaks)
    }

    /// Whether the card in this reader is being retried.
    pub fn contains(&self, reader: &str) -> bool {
        self.attempts.contains_key(reader)
    }

    /// Ends the retries of a card that has answered, or left.
    pub fn over(&mut self, reader: &str) {
        self.attempts.remove(reader);
    }

    /// The cards to try now; each is returned once until it fails again.
    pub fn due(&mut self, now: Instant) -> Vec<(String, Insertion)> {
        let due = self.attempts.iter_mut().filter(|(_, attempts)| attempts.due.is_some_and(|due| due <= now));
        due.map(|(reader, attempts)| {
            attempts.due = None;
            (reader.clone(), attempts.insertion)
        })
        .collect()
    }

    /// When the next try is due.
    pub fn next(&self) -> Option<Instant> {
        self.attempts.values().filter_map(|attempts| attempts.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_card_is_asked_again_with_growing_pauses_until_it_is_over() {
        let (mut all, start) = (Unanswered::default(), Instant::now());
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(all.failed("r", 1.into(), false, now), now == start, "told once");
            let due = now + SECOND * seconds;
            assert_eq!(all.next(), Some(due));
            assert!(all.due(now + SECOND * seconds / 2).is_empty());
            now = due;
            assert_eq!(all.due(now), [("r".to_owned(), 1.into())]);
            assert!(all.due(now + SECOND * 100).is_empty(), "it is being asked");
            assert_eq!(all.next(), None);
        }
        for _ in 0..100 {
            all.failed("r", 1.into(), false, now);
        }
        assert_eq!(all.next(), Some(now + SECOND * 60));
        assert!(all.contains("r"));
        all.over("r");
        assert!(!all.contains("r") && all.next().is_none());
    }

    #[test]
    fn where_somebody_is_expected_the_pauses_stay_short() {
        let (mut all, now) = (Unanswered::default(), Instant::now());
        for n in 0..10 {
            assert_eq!(all.failed("r", 1.into(), true, now), n == 0);
            assert!(all.next().is_some_and(|due| due < now + SECOND));
        }
        // Somebody who has left the list in the meantime gets the normal pauses.
        assert!(!all.failed("r", 1.into(), false, now));
        assert_eq!(all.next(), Some(now + SECOND));
    }

    #[test]
    fn another_insertion_begins_again() {
        let (mut all, now) = (Unanswered::default(), Instant::now());
        assert!(all.failed("r", 1.into(), false, now));
        assert!(!all.failed("r", 1.into(), false, now));
        assert!(all.failed("r", 2.into(), false, now));
        assert_eq!(all.due(now + SECOND), [("r".to_owned(), 2.into())]);
        all.note(&ReaderEvent::ServiceLost);
        assert!(!all.contains("r"));
    }
}
