//! The bound on distance: how long a token takes for a heartbeat, against the least time that it ever took at this reader.
//! Whoever relays a tap over a network is slower than the card by the way there and back.
//!
//! Specification: docs/protocol.md, "A bound on distance".

use std::time::Duration;

use uuid::Uuid;

use crate::{
    card::{link::Link, meter::Metered, trace::TraceRecord},
    token::{TokenError, session::Session},
};

/// So many heartbeats are timed at most, and the least counts: one slow answer refuses nobody, and a relay is slow each time.
pub const HEARTBEATS: usize = 3;

/// The bound at one reader.
#[derive(Clone, Copy)]
pub struct DistanceBound<'a> {
    /// How much longer than the least a heartbeat may take.
    pub max_extra: Duration,
    /// The least time of this token at this reader; none before its first tap there.
    pub least: &'a dyn Fn(Uuid) -> Option<Duration>,
    /// So many heartbeats are timed at most.
    pub heartbeats: usize,
}

impl DistanceBound<'_> {
    /// Times heartbeats until one is quick enough; all of them where nothing is known of the token. Only an answer under a
    /// good R-MAC has a time.
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

/// The least time that a token took for a heartbeat of this tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedHeartbeat {
    /// The time of the exchange alone.
    pub took: Duration,
    /// How much longer than the least it may be.
    pub max_extra: Duration,
}

impl TimedHeartbeat {
    /// How far it is above the bound, where it is; nothing is known of a token that has no least time yet.
    pub fn beyond(self, least: Option<Duration>) -> Option<TooFar> {
        let most = least?.saturating_add(self.max_extra);
        (self.took > most).then_some(TooFar { took: self.took, most })
    }
}

/// A token that took longer for its heartbeats than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFar {
    /// The least time that it took.
    pub took: Duration,
    /// The most that was allowed.
    pub most: Duration,
}

impl std::fmt::Display for TooFar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // To the tenth of a millisecond, up and down: what is above the bound is shown above it.
        let ms = |tenths: u128| format!("{}.{}", tenths / 10, tenths % 10);
        let (took, most) = (self.took.as_nanos().div_ceil(100_000), self.most.as_nanos() / 100_000);
        write!(f, "the token answered after {} ms, and at most {} ms is allowed here", ms(took), ms(most))
    }
}
