//! Counts the exchanges over a link and the time spent in them.

use std::time::{Duration, Instant};

use super::{
    link::{Link, LinkError, Sensitivity},
    trace::{Question, RecordedVerdict, TraceRecord},
};

/// A link that counts.
#[derive(Debug)]
pub struct Metered<L> {
    /// The metered link.
    pub link: L,
    /// Exchanges so far, including failed ones.
    pub exchanges: u32,
    /// Time spent inside `transmit`.
    pub inside: Duration,
}

impl<L> Metered<L> {
    /// Counts from zero.
    pub const fn new(link: L) -> Self {
        Self { link, exchanges: 0, inside: Duration::ZERO }
    }
}

impl<L: Link> Link for Metered<L> {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let start = Instant::now();
        let answer = self.link.transmit(command, sensitivity);
        self.inside += start.elapsed();
        self.exchanges += 1;
        answer
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        self.link.note(record);
    }

    fn recorded(&mut self, question: Question) -> Option<RecordedVerdict> {
        self.link.recorded(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works until the clock has advanced, echoes the command, and knows how long it took.
    struct Slow(Duration);

    impl Link for Slow {
        fn transmit(&mut self, command: &[u8], _: Sensitivity) -> Result<Vec<u8>, LinkError> {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(1) {}
            self.0 += start.elapsed();
            if command.is_empty() { Err(LinkError::CardMute) } else { Ok(command.to_vec()) }
        }
    }

    #[test]
    fn every_exchange_counts_and_so_does_its_time() {
        let mut metered = Metered::new(Slow(Duration::ZERO));
        assert_eq!((metered.exchanges, metered.inside), (0, Duration::ZERO));
        assert_eq!(metered.transmit(&[1, 2], Sensitivity::Plain), Ok(vec![1, 2]));
        assert_eq!(metered.transmit(&[], Sensitivity::Plain), Err(LinkError::CardMute));
        assert_eq!(metered.transmit(&[3], Sensitivity::Sensitive), Ok(vec![3]));
        assert_eq!(metered.exchanges, 3);
        assert!(metered.inside >= metered.link.0);
    }
}
