//! How long a card may take, and which error is reported after that.

use std::time::{Duration, Instant};

use crate::card::link::LinkError;

/// Time limits for a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardLimits {
    /// For one exchange, one reset, or waiting for another program's transaction.
    pub exchange: Duration,
    /// For the connection, the wait on another program included.
    pub connect: Duration,
    /// The deadline for everything, whatever the other limits say.
    pub deadline: Option<Deadline>,
}

/// A deadline, and which error is reported when it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// The time limit of the tap, if it is one: the error then names it.
    pub tap: Option<Duration>,
}

impl Deadline {
    /// The deadline of a tap that starts now.
    pub fn of_tap(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, tap: Some(limit) }
    }

    /// A deadline after this time, which is not a setting.
    pub fn within(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, tap: None }
    }

    /// The error when it passes.
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
    /// The time limit of a step of this length that starts now.
    pub(super) fn until(&self, step: Duration) -> Instant {
        let until = Instant::now() + step;
        self.deadline.map_or(until, |deadline| deadline.at.min(until))
    }
}
