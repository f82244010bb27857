//! One tap: connect once, one PC/SC transaction (repeated when another program has reset the card), handshake and
//! proof, and an outcome.
//!
//! Deliberately absent: network, prompts and disk writes between the first and the last exchange, and any printing.
//! What is remembered about a token is read from the store, where a writer does not block readers.

pub mod distance;
pub mod failure;
pub mod replay;
pub mod resumption;
pub mod tap_terminal;
pub mod worker;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    card::{link::Link, meter::Metered},
    failure::Failure,
    token::{
        TokenError,
        open::{
            AuthenticatedToken, AuthenticationContext, Evidence, RememberedItem, ResumptionKey, SlotWish, identify,
        },
        resume::ResumeRule,
        select::{LifeCycle, Selected, TokenMode},
        session::Session,
        trace_points,
    },
};
pub use distance::{DistanceBound, TimedHeartbeat, TooFar};
pub use failure::TapError;
pub use resumption::{KeptKey, ResumptionCache, TapEra};

/// How far a tap goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Only the id from SELECT: "identified", never "authenticated".
    Identify,
    /// Handshake, proof and user information.
    Authenticate,
}

/// What a tap found out about a card.
#[derive(Debug)]
pub enum Seen {
    /// It gave this id, and nothing was proved.
    Identified(Uuid),
    /// Handshake and proof are valid.
    Authenticated(Box<AuthenticatedToken>),
}

/// How long each phase of a tap took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the request to the connection.
    pub connect: Duration,
    /// From SELECT to the verified proof.
    pub authenticate: Duration,
    /// Reading what the proof does not contain.
    pub read: Duration,
    /// The whole tap.
    pub total: Duration,
    /// The part spent inside the link.
    pub inside: Duration,
}

/// One finished tap, successful or not.
#[derive(Debug)]
pub struct Tapped {
    /// The id from SELECT, whether or not anything was proved afterwards.
    pub told: Option<Uuid>,
    /// The result.
    pub result: Result<Seen, TapError>,
    /// Exchanges with the card.
    pub exchanges: u32,
    /// How long each phase took; the caller fills in `connect`.
    pub timings: Timings,
    /// The open channel of an authenticated token.
    pub session: Option<Session>,
    /// Whether the card was shown a nonce of the server's instead of this terminal's own.
    pub server_nonce: bool,
    /// Whether the card was shown the nonce, which must not be used again then.
    pub nonce_shown: bool,
    /// What to remember, and what to forget.
    pub learned: Vec<(RememberedItem, Option<Vec<u8>>)>,
    /// The number of the transaction in the trace; zero when none is written.
    pub traced: u32,
    /// The key under which the token's next channel may be resumed, if the token is admitted.
    pub kept: Option<KeptKey>,
    /// Whether the token did not hold the key that was kept for it.
    pub missed: bool,
    /// The time of a heartbeat, if the reader has a distance bound.
    pub heartbeat: Option<TimedHeartbeat>,
}

/// How channels are resumed at this reader.
#[derive(Debug, Clone, Copy)]
pub struct FastTap<'a> {
    /// The cached keys.
    pub cache: &'a ResumptionCache,
    /// Which tokens may resume.
    pub rule: ResumeRule,
    /// The era of the cache when the tap began.
    pub era: TapEra,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl Tapped {
    /// A tap that failed before the first exchange.
    pub fn failed(error: TapError) -> Self {
        Self {
            told: None,
            result: Err(error),
            exchanges: 0,
            timings: Timings::default(),
            session: None,
            server_nonce: false,
            nonce_shown: false,
            learned: Vec::new(),
            traced: 0,
            kept: None,
            missed: false,
            heartbeat: None,
        }
    }

    /// The failure to show, if there is one.
    pub fn failure(&self) -> Option<Failure> {
        self.result.as_ref().err().map(|e| e.to_failure(self.exchanges))
    }
}

/// Taps the card behind a link, inside a transaction of the caller; `fast` is present where channels are resumed, and
/// `bound` where distance is bounded.
pub fn tap_card(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    depth: Depth,
    fast: Option<FastTap<'_>>,
    bound: Option<DistanceBound<'_>>,
) -> Tapped {
    let start = Instant::now();
    let mut link = Metered::new(link);
    trace_points::record_visit(&mut link, context, depth == Depth::Identify);
    let mut tapped = Tapped::failed(TapError::Foreign);
    tapped.result = run(&mut link, context, depth, fast, &mut tapped);
    if let (Ok(Seen::Authenticated(token)), Some(bound)) = (&tapped.result, bound) {
        let token_id = token.token_id;
        if let Err(error) = time_heartbeat(&mut link, bound, fast, token_id, &mut tapped) {
            tapped.result = Err(error.into());
        }
    }
    tapped.exchanges = link.exchanges;
    tapped.timings.inside = link.inside;
    tapped.timings.total = start.elapsed();
    tapped.timings.authenticate = tapped.timings.total.saturating_sub(tapped.timings.read);
    tapped.learned = std::mem::take(&mut context.learned);
    tapped.nonce_shown = context.nonce_shown;
    tapped
}

fn run(
    link: &mut dyn Link,
    context: &mut AuthenticationContext<'_>,
    depth: Depth,
    fast: Option<FastTap<'_>>,
    tapped: &mut Tapped,
) -> Result<Seen, TapError> {
    let selected = identify(link, context.format)?.ok_or(TapError::Foreign)?;
    if let Some(TokenMode::Open(id)) = selected.mode {
        tapped.told = Some(id);
    }
    if selected.state != LifeCycle::Issued {
        return Err(TokenError::NotIssued(selected.state).into());
    }
    match (depth, selected.mode) {
        (Depth::Identify, Some(TokenMode::Open(id))) => Ok(Seen::Identified(id)),
        (Depth::Identify, _) => Err(TapError::Private),
        (Depth::Authenticate, mode) => {
            let fast = fast.zip(mode);
            if let Some((fast, mode)) = fast {
                if let Some(token) = fast.resume(link, context, &selected, mode, tapped)? {
                    return Ok(Seen::Authenticated(Box::new(token)));
                }
                if fast.cache.wants_slot(mode, fast.rule) {
                    context.slot = SlotWish::Wanted;
                }
            }
            let proved = context.prove(link, &selected)?;
            let reading = Instant::now();
            let (token, session) = proved.read(link)?;
            tapped.timings.read = reading.elapsed();
            tapped.session = Some(session);
            if let Some((fast, mode)) = fast {
                tapped.kept = fast.full(&token, std::mem::take(&mut context.slot), mode, context.now);
            }
            Ok(Seen::Authenticated(Box::new(token)))
        }
    }
}

/// Times a heartbeat over the channel of the tap. If an exchange fails, a resumed key is still good and is kept.
fn time_heartbeat(
    link: &mut dyn Link,
    bound: DistanceBound<'_>,
    fast: Option<FastTap<'_>>,
    token_id: Uuid,
    tapped: &mut Tapped,
) -> Result<(), TokenError> {
    let Some(session) = &mut tapped.session else { return Ok(()) };
    let resumed = matches!(&tapped.result, Ok(Seen::Authenticated(token)) if token.is_resumed());
    match bound.time(link, session, token_id) {
        Ok(timed) => tapped.heartbeat = timed,
        Err(error) => {
            tapped.session = None;
            let kept = tapped.kept.take().filter(|_| resumed && matches!(error, TokenError::Link(_)));
            if let (Some(fast), Some(own)) = (fast, kept) {
                fast.cache.keep(own);
            }
            return Err(error);
        }
    }
    Ok(())
}

impl FastTap<'_> {
    /// Tries the keys that the selected token may hold. After a miss or a failed exchange the keys are kept; if the
    /// token holds a key but then does not follow the protocol, that key is dropped.
    fn resume(
        self,
        link: &mut dyn Link,
        context: &mut AuthenticationContext<'_>,
        selected: &Selected,
        mode: TokenMode,
        tapped: &mut Tapped,
    ) -> Result<Option<AuthenticatedToken>, TapError> {
        let mut candidates = self.cache.take(mode, self.rule, self.clock);
        if candidates.is_empty() {
            return Ok(None);
        }
        let keys: Vec<ResumptionKey> = candidates.iter().map(|kept| kept.key().clone()).collect();
        let mut held = None;
        let resumed = context.resume(link, selected, &keys, &mut held);
        let own = held.map(|place| candidates.swap_remove(place));
        for other in candidates {
            self.cache.keep(other);
        }
        let mut token = match (resumed, own) {
            (Ok(Some(token)), Some(own)) => {
                tapped.kept = Some(own.used(token.key.clone()));
                token
            }
            (Ok(_), _) => {
                tapped.missed = matches!(mode, TokenMode::Open(_));
                return Ok(None);
            }
            (Err(error), own) => {
                if let (TokenError::Link(_), Some(own)) = (&error, own) {
                    self.cache.keep(own);
                }
                return Err(error.into());
            }
        };
        let reading = Instant::now();
        let user = match token.user(link) {
            Ok(user) => user,
            Err(error) => {
                if let (TokenError::Link(_), Some(own)) = (&error, tapped.kept.take()) {
                    self.cache.keep(own);
                }
                return Err(error.into());
            }
        };
        tapped.timings.read = reading.elapsed();
        tapped.session = Some(token.session);
        let evidence = Evidence::Resumed { counter: token.key.counter };
        Ok(Some(AuthenticatedToken { token_id: token.key.token_id, evidence, user }))
    }

    /// Handles the result of a full tap: the key of a new slot, or none.
    fn full(self, token: &AuthenticatedToken, slot: SlotWish, mode: TokenMode, now: Timestamp) -> Option<KeptKey> {
        match slot {
            SlotWish::Filled(key) => return Some(self.cache.made(key, mode, &token.user.id, now, self.era)),
            SlotWish::Unknown => self.cache.has_no_slots(token.token_id),
            SlotWish::No | SlotWish::Wanted => {}
        }
        self.cache.forget(token.token_id);
        None
    }
}

#[cfg(test)]
mod tests;
