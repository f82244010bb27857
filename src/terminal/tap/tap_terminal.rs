//! Taps over PC/SC: connect, run one transaction, and retry when another program has reset the card.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Depth, DistanceBound, FastTap, ResumptionCache, TapError, Tapped, distance::HEARTBEATS, tap_card};
use crate::{
    card::{
        apdu::ApduFormat,
        link::{Link, LinkError},
        trace::{self, TraceRecord},
    },
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    reader::pcsc::{Card, CardLimits, Deadline},
    terminal::{
        attempts::AGAIN,
        context::{TerminalContext, credentials},
        memory::StoreMemory,
        presence::Policy,
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, SlotWish, TokenMemory},
        resume::ResumeRule,
        select::LifeCycle,
        session::Session,
    },
};

/// What all taps of a terminal share.
#[derive(Clone)]
pub struct TapTerminal {
    /// The terminal's keys.
    pub keys: Keys,
    /// What it remembers about tokens.
    pub memory: Arc<dyn TokenMemory + Send + Sync>,
    /// The time limit of one exchange.
    pub exchange: Duration,
    /// The time limit of one tap.
    pub tap: Duration,
    /// The APDU format for the readers.
    pub format: ApduFormat,
    /// How far taps go.
    pub depth: Depth,
    /// The source of the server's nonces; without one, or when it is empty, a tap generates its own.
    pub nonces: Option<Arc<dyn NonceSupply + Send + Sync>>,
    /// Whether a watch may ask for portraits: then the channel is kept open for a while.
    pub portraits: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// How channels are resumed; `None` for never.
    pub resumption: Option<ReaderResumption>,
    /// The policy with the distance bounds of the readers.
    pub policy: Arc<dyn Policy + Send + Sync>,
}

/// The keys of full taps, and the rule for each reader.
#[derive(Clone)]
pub struct ReaderResumption {
    /// The cached keys.
    pub cache: ResumptionCache,
    /// What may be resumed at this reader.
    pub rule: Arc<dyn Fn(&str) -> ResumeRule + Send + Sync>,
}

/// The settings for one reader.
#[derive(Clone, Copy)]
struct ReaderRules {
    /// What may be resumed there.
    resume: ResumeRule,
    /// The distance bound.
    max_extra: Option<Duration>,
}

/// The current keys for the taps of a terminal, which a renewal replaces. Clones share the same keys.
#[derive(Clone)]
pub struct Keys(Arc<RwLock<Arc<Credentials>>>);

impl Keys {
    /// Starts with these keys.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(credentials))))
    }

    /// The current keys; a tap uses the same ones from beginning to end.
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the keys from the next tap on.
    pub fn exchange(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }
}

/// The nonces that a server has given this terminal.
pub trait NonceSupply {
    /// Takes a nonce, which is never handed out again. May access the disk, but never the network.
    fn take(&self) -> Option<SuppliedNonce>;

    /// Returns a nonce that was shown to no card, for the next tap.
    fn give_back(&self, nonce: SuppliedNonce);
}

/// A nonce from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppliedNonce {
    /// Its bytes.
    pub bytes: [u8; 32],
    /// When it expires.
    pub use_by: Timestamp,
}

impl TapTerminal {
    /// With the local keys of the role READ and the local memory. `tap` is the time limit of one tap.
    ///
    /// # Errors
    /// When the keys or the store cannot be loaded: `pki.…` and `store.…`.
    pub fn open(context: &TerminalContext, tap: Duration, depth: Depth) -> Result<Self, Failure> {
        Ok(Self {
            keys: Keys::new(credentials(context.pki.load_terminal(Timestamp::now())?)),
            memory: Arc::new(StoreMemory(Mutex::new(context.store()?))),
            exchange: context.exchange,
            tap,
            format: ApduFormat::Short,
            depth,
            nonces: None,
            portraits: false,
            clock: Timestamp::now,
            resumption: None,
            policy: Arc::clone(&context.policy),
        })
    }

    /// Taps the card in this reader. Also returns the connection, for a watch that keeps the channel open.
    pub fn tap(&self, reader: &str) -> (Tapped, Option<Card>) {
        let start = Instant::now();
        // Before connecting: a driver asked to identify the reader waits until the transaction ends.
        let rules = self.rules(reader);
        let deadline = Deadline::of_tap(self.tap);
        let mut card = match Card::connect(reader, self.limits(deadline)) {
            Ok(card) => card,
            Err(e) => return (unreached(reader, e, false), None),
        };
        let connect = start.elapsed();
        let mut tapped = self.over(&mut card, rules, false);
        for _ in 0..AGAIN {
            if !tapped.result.as_ref().is_err_and(TapError::worth_another_try) || Instant::now() > deadline.at {
                break;
            }
            tapped = self.over(&mut card, rules, true);
        }
        tapped.timings.connect = connect;
        tapped.timings.total = start.elapsed();
        (tapped, Some(card))
    }

    fn rules(&self, reader: &str) -> ReaderRules {
        let resume = self.resumption.as_ref().map_or(ResumeRule::Never, |resumes| (resumes.rule)(reader));
        // A tap that only asks for an id times nothing, so no driver is asked.
        let is_timed = self.depth == Depth::Authenticate;
        ReaderRules { resume, max_extra: is_timed.then(|| self.policy.max_extra(reader)).flatten() }
    }

    fn limits(&self, deadline: Deadline) -> CardLimits {
        CardLimits { exchange: self.exchange, connect: self.exchange, deadline: Some(deadline) }
    }

    /// Runs one transaction; `again` says that it is a repeated attempt of this tap.
    fn over(&self, card: &mut Card, rules: ReaderRules, again: bool) -> Tapped {
        let mut random = SystemRandom;
        let given = self.nonces.as_ref().filter(|_| self.depth == Depth::Authenticate).and_then(|nonces| nonces.take());
        let nonce = match given.map_or_else(|| bytes(&mut random), |given| Ok(given.bytes)) {
            Ok(nonce) => nonce,
            Err(e) => return Tapped::failed(TokenError::from(e).into()),
        };
        let reader = card.reader().to_owned();
        let mut transaction = match card.begin() {
            Ok(transaction) => transaction,
            Err(e) => {
                self.give_back(given);
                return unreached(&reader, e, again);
            }
        };
        transaction.note(&|| TraceRecord::Tap { server_nonce: given.is_some(), again });
        let traced = transaction.traced();
        // Before reading the keys: a key made under keys that a renewal replaces in the meantime is then not kept.
        let era = self.resumption.as_ref().map(|resumes| resumes.cache.begin());
        let credentials = self.keys.current();
        let mut context = AuthenticationContext {
            credentials: &credentials,
            memory: &*self.memory,
            nonce,
            now: (self.clock)(),
            format: if transaction.is_t0() { ApduFormat::Short } else { self.format },
            random: &mut random,
            learned: Vec::new(),
            slot: SlotWish::No,
            nonce_shown: false,
        };
        // A trace must be replayable without its keys, so all taps are full ones while one is written. A repeated
        // attempt is a full tap too: whatever broke the first might break every resumption.
        let resumes = self.resumption.as_ref().zip(era).filter(|_| traced == 0);
        let fast = resumes.map(|(resumes, era)| FastTap {
            cache: &resumes.cache,
            rule: if again { ResumeRule::Never } else { rules.resume },
            era,
            clock: self.clock,
        });
        let least = |token_id| self.memory.least_heartbeat(token_id, &reader);
        let bound = rules.max_extra.map(|max_extra| DistanceBound { max_extra, least: &least, heartbeats: HEARTBEATS });
        let tapped = tap_card(&mut transaction, &mut context, self.depth, fast, bound);
        if !tapped.nonce_shown {
            self.give_back(given);
        }
        Tapped { server_nonce: given.is_some() && tapped.nonce_shown, traced, ..tapped }
    }

    /// Returns a nonce that was shown to no card.
    fn give_back(&self, given: Option<SuppliedNonce>) {
        if let (Some(nonces), Some(unused)) = (&self.nonces, given) {
            nonces.give_back(unused);
        }
    }

    /// Sends one heartbeat over an open channel, in a short transaction of its own.
    ///
    /// # Errors
    /// [`TapError::Link`] when the transaction cannot begin; [`TapError::Token`] when the exchange or the channel
    /// fails: the channel can no longer be used then.
    pub fn heartbeat(&self, card: &mut Card, session: &mut Session) -> Result<LifeCycle, TapError> {
        // Each step has the limit of an exchange, so that its error names that limit.
        card.set_deadline(None);
        let mut transaction = card.begin().map_err(TapError::Link)?;
        Ok(session.heartbeat(&mut transaction)?)
    }

    /// Reads the portrait, at most 8192 bytes, over an open channel; `None` when there is none.
    ///
    /// # Errors
    /// As [`Self::heartbeat`].
    pub fn portrait(&self, card: &mut Card, session: &mut Session) -> Result<Option<Vec<u8>>, TapError> {
        card.set_deadline(Some(Deadline::within(self.tap)));
        let mut transaction = card.begin().map_err(TapError::Link)?;
        Ok(session.read_portrait(&mut transaction)?)
    }
}

/// A tap that got no transaction; it is recorded in the trace too.
fn unreached(reader: &str, error: LinkError, again: bool) -> Tapped {
    let traced = trace::write::current().map_or(0, |trace| trace.unreached(reader, &error, again));
    Tapped { traced, ..Tapped::failed(error.into()) }
}
