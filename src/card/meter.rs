//! Counts the exchanges and the time that a link spends inside them.

use std::time::{Duration, Instant};

use super::link::{Link, LinkError, Privacy};

/// A link that counts.
#[derive(Debug)]
pub struct Metered<L> {
    link: L,
    /// Exchanges so far, failed ones included.
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
    fn transmit(&mut self, command: &[u8], privacy: Privacy) -> Result<Vec<u8>, LinkError> {
        let start = Instant::now();
        let answer = self.link.transmit(command, privacy);
        self.inside += start.elapsed();
        self.exchanges += 1;
        answer
    }
}
