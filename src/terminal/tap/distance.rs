//! The distance bound: compares how long a token takes for a heartbeat with the least time it ever took at this reader.
//! A tap relayed over a network is slower by the time the data travel there and back.
//!
//! Specification: docs/protocol.md, "A bound on distance".

use std::time::Duration;

use uuid::Uuid;

use crate::{
    card::{link::Link, meter::Metered, trace::TraceRecord},
    token::{TokenError, session::Session},
};

/// The most heartbeats timed per tap. The least time counts: one slow answer refuses nobody, but a relay is always
/// slow.
pub const HEARTBEATS: usize = 3;

/// The bound at one reader.
#[derive(Clone, Copy)]
pub struct DistanceBound<'a> {
    /// How much longer than the least time a heartbeat may take.
    pub max_extra: Duration,
    /// The least time of this token at this reader; `None` before its first tap there.
    pub least: &'a dyn Fn(Uuid) -> Option<Duration>,
    /// The most heartbeats to time.
    pub heartbeats: usize,
}

impl DistanceBound<'_> {
    /// Times heartbeats until one is fast enough; all of them if nothing is known about the token. Only answers with a
    /// valid R-MAC are timed.
    ///
    /// # Errors
    /// As [`Session::heartbeat`].
    pub fn time(
        self,
        link: &mut dyn Link,
        session: &mut Session,
        token_id: Uuid,
    ) -> Result<Option<TimedHeartbeat>, TokenError> {
        let least = (self.least)(token_id);
        let mut timed: Option<TimedHeartbeat> = None;
        for _ in 0..self.heartbeats {
            link.note(&|| TraceRecord::Heartbeat);
            let mut metered = Metered::new(&mut *link);
            session.heartbeat(&mut metered)?;
            let took = timed.map_or(metered.inside, |before| before.took.min(metered.inside));
            let now = TimedHeartbeat { took, max_extra: self.max_extra };
            timed = Some(now);
            if least.is_some() && now.beyond(least).is_none() {
                break;
            }
        }
        Ok(timed)
    }
}

/// The least heartbeat time of a token in this tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedHeartbeat {
    /// The time of the exchange alone.
    pub took: Duration,
    /// How much it may exceed the least time.
    pub max_extra: Duration,
}

impl TimedHeartbeat {
    /// How far it exceeds the bound; `None` if it does not, or if the token has no least time yet.
    pub fn beyond(self, least: Option<Duration>) -> Option<TooFar> {
        let most = least?.saturating_add(self.max_extra);
        (self.took > most).then_some(TooFar { took: self.took, most })
    }
}

/// A token whose heartbeats took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar {
    /// The least time it took.
    pub took: Duration,
    /// The longest time allowed.
    pub most: Duration,
}

impl std::fmt::Display for TooFar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rounded up and down to tenths of a millisecond, so that a time above the bound is also shown above it.
        let ms = |tenths: u128| format!("{}.{}", tenths / 10, tenths % 10);
        let (took, most) = (self.took.as_nanos().div_ceil(100_000), self.most.as_nanos() / 100_000);
        write!(f, "the token answered after {} ms, and at most {} ms is allowed here", ms(took), ms(most))
    }
}
