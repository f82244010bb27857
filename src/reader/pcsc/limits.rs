//! How long a card may take, and what is told when that is over.

use std::time::{Duration, Instant};

use crate::card::link::LinkError;

/// How long the card may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardLimits {
    /// For one exchange, one reset, and for the wait on another program's transaction.
    pub exchange: Duration,
    /// For the connection, the wait on another program included.
    pub connect: Duration,
    /// When everything has to be over, whatever the others say.
    pub deadline: Option<Deadline>,
}

/// When everything has to be over, and what is told then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// The time limit of a tap, where it is that one: then it is named.
    pub tap: Option<Duration>,
}

impl Deadline {
    /// A tap that may take so long from now on.
    pub fn of_tap(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, tap: Some(limit) }
    }

    /// So long from now on, which is no setting.
    pub fn within(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, tap: None }
    }

    /// What is told when it is over.
    pub(super) fn error(self) -> LinkError {
        self.tap.map_or(LinkError::TimedOut, |limit| LinkError::TapLimit(ms(limit)))
    }
}

/// In whole milliseconds.
pub(super) fn ms(limit: Duration) -> u64 {
    limit.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Default for CardLimits {
    /// 5 s each, no deadline.
    fn default() -> Self {
        Self { exchange: Duration::from_secs(5), connect: Duration::from_secs(5), deadline: None }
    }
}

impl CardLimits {
    /// When a step of this length has to be over.
    pub(super) fn until(&self, step: Duration) -> Instant {
        let until = Instant::now() + step;
        self.deadline.map_or(until, |deadline| deadline.at.min(until))
    }
}
