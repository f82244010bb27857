//! Limits the warnings of a long-running command: each is given once, and then counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long equal warnings are counted before their number is given: initially and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// How many are distinguished; a further one replaces the one that is due first.
const KEPT: usize = 256;

/// The recent warnings.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<String, Repeated>);

#[derive(Debug)]
struct Repeated {
    text: String,
    times: u32,
    pause: Duration,
    due: Instant,
}

impl Complaints {
    /// Whether a warning is new: equal ones have the same key.
    pub fn is_new(&mut self, key: &str, text: &str, now: Instant) -> bool {
        if let Some(known) = self.0.get_mut(key) {
            known.times = known.times.saturating_add(1);
            return false;
        }
        if self.0.len() >= KEPT {
            let first = self.0.iter().min_by_key(|(_, known)| known.due).map(|(key, _)| key.clone());
            first.and_then(|key| self.0.remove(&key));
        }
        let fresh = Repeated { text: text.to_owned(), times: 0, pause: PAUSE.0, due: now + PAUSE.0 };
        self.0.insert(key.to_owned(), fresh);
        true
    }

    /// The warnings that are due: text, number of repetitions, and in which time. Those that were not repeated are
    /// forgotten.
    pub fn due(&mut self, now: Instant) -> Vec<(String, u32, Duration)> {
        let mut counted = Vec::new();
        self.0.retain(|_, known| {
            if known.due > now {
                return true;
            }
            let times = std::mem::take(&mut known.times);
            if times > 0 {
                counted.push((known.text.clone(), times, known.pause));
                known.pause = (known.pause * 10).min(PAUSE.1);
                known.due = now + known.pause;
            }
            times > 0
        });
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ones_are_given_once_and_then_counted_in_growing_spans() {
        let (mut all, mut now) = (Complaints::default(), Instant::now());
        assert!(all.is_new("a", "A", now) && all.is_new("b", "B", now));
        for pause in [60, 600, 3600, 3600].map(Duration::from_secs) {
            for _ in 0..5 {
                assert!(!all.is_new("a", "A", now));
            }
            assert_eq!(all.due(now + pause / 2), []);
            now += pause;
            assert_eq!(all.due(now), [("A".to_owned(), 5, pause)]);
        }
        assert!(all.is_new("b", "B", now), "what did not come again is new when it does");
        assert_eq!(all.due(now + PAUSE.1), []);
        assert!(all.is_new("a", "A", now));
    }

    #[test]
    fn not_more_are_kept_than_fit() {
        let (mut all, now) = (Complaints::default(), Instant::now());
        for n in 0..1000_u32 {
            assert!(all.is_new(&n.to_string(), "", now + Duration::from_millis(n.into())));
        }
        assert_eq!(all.0.len(), KEPT);
        assert!(!all.is_new("999", "", now) && all.is_new("0", "", now));
    }
}
