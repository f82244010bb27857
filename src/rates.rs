//! Limits how often one peer may send requests: a token bucket for each, in memory. Every process has its own buckets.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// How many requests a peer may accumulate, in seconds of its rate.
const BURST: f64 = 2.0;
/// The maximum number of buckets; while all of them belong to active peers, new peers are refused.
const BUCKETS: usize = 4096;

/// The buckets of all peers.
pub struct Rates {
    rate: Option<f64>,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    filled: f64,
    at: Instant,
}

impl Rates {
    /// This many requests per second; `None` for no limit.
    pub fn new(rate: Option<u32>) -> Self {
        Self { rate: rate.map(f64::from), buckets: Mutex::default() }
    }

    /// Whether this peer may make one more request now.
    pub fn admit(&self, peer: &str, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = rate * BURST;
        if buckets.len() >= BUCKETS && !buckets.contains_key(peer) {
            // A full bucket is equivalent to no bucket.
            buckets.retain(|_, bucket| bucket.after(now, rate) < full);
            if buckets.len() >= BUCKETS {
                return false;
            }
        }
        let bucket = buckets.entry(peer.to_owned()).or_insert(Bucket { filled: full, at: now });
        bucket.filled = bucket.after(now, rate).min(full);
        bucket.at = now;
        let admitted = bucket.filled >= 1.0;
        if admitted {
            bucket.filled -= 1.0;
        }
        admitted
    }
}

impl Bucket {
    fn after(&self, now: Instant, rate: f64) -> f64 {
        self.filled + now.saturating_duration_since(self.at).as_secs_f64() * rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_terminal_that_asks_too_often_waits_and_others_do_not() {
        let (rates, start) = (Rates::new(Some(10)), Instant::now());
        let admitted = (0..30).filter(|_| rates.admit("a", start)).count();
        assert_eq!(admitted, 20);
        assert!(rates.admit("b", start));
        assert!(!rates.admit("a", start + Duration::from_millis(50)));
        assert!(rates.admit("a", start + Duration::from_millis(150)));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..30).filter(|_| rates.admit("a", later)).count(), 20);
        assert!((0..1000).all(|_| Rates::new(None).admit("a", start)));
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let (rates, start) = (Rates::new(Some(1)), Instant::now());
        let admitted = (0..2 * BUCKETS).filter(|peer| rates.admit(&peer.to_string(), start)).count();
        assert_eq!((admitted, rates.buckets.lock().unwrap().len()), (BUCKETS, BUCKETS));
        // A known peer is still admitted, and makes room as soon as its bucket would be full again.
        assert!(rates.admit("0", start));
        assert!(!rates.admit("later", start + Duration::from_millis(999)));
        assert!(rates.admit("later", start + Duration::from_secs(1)));
    }

    #[test]
    fn memory_is_bounded_by_the_terminals_that_are_busy() {
        let (rates, start) = (Rates::new(Some(1)), Instant::now());
        for terminal in 0..2 * BUCKETS {
            let at = start + Duration::from_secs(10 * terminal as u64);
            assert!(rates.admit(&terminal.to_string(), at));
        }
        assert!(rates.buckets.lock().unwrap().len() <= BUCKETS);
    }
}
