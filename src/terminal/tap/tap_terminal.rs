//! A tap over PC/SC: connect, one transaction, and whatever a card that was reset in between needs.

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

/// Everything that the taps of a terminal share.
#[derive(Clone)]
pub struct TapTerminal {
    /// The terminal's keys.
    pub keys: Keys,
    /// What it remembers of tokens.
    pub memory: Arc<dyn TokenMemory + Send + Sync>,
    /// The time limit of one exchange.
    pub exchange: Duration,
    /// The time limit of one tap.
    pub tap: Duration,
    /// How commands go to the readers.
    pub format: ApduFormat,
    /// How far taps go.
    pub depth: Depth,
    /// Where the server's nonces come from; without one, or when there are none, a tap makes its own.
    pub nonces: Option<Arc<dyn NonceSupply + Send + Sync>>,
    /// Whether a watch may ask for portraits: then the channel is kept for a moment.
    pub portraits: bool,
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// Where channels are resumed; none: nowhere.
    pub resumption: Option<ReaderResumption>,
    /// Which readers have a bound on distance.
    pub policy: Arc<dyn Policy + Send + Sync>,
}

/// The keys of full taps, and at which readers channels are resumed under them.
#[derive(Clone)]
pub struct ReaderResumption {
    /// The keys.
    pub cache: ResumptionCache,
    /// What is resumed at this reader.
    pub rule: Arc<dyn Fn(&str) -> ResumeRule + Send + Sync>,
}

/// What the configuration says of one reader.
#[derive(Clone, Copy)]
struct ReaderRules {
    /// What is resumed there.
    resume: ResumeRule,
    /// The bound on distance.
    max_extra: Option<Duration>,
}

/// The keys that the taps of a terminal use from now on: a renewal exchanges them meanwhile. A clone is the same place.
#[derive(Clone)]
pub struct Keys(Arc<RwLock<Arc<Credentials>>>);

impl Keys {
    /// These, until they are exchanged.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(credentials))))
    }

    /// Those of now; a tap uses the same from its beginning to its end.
    pub fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others, from the next tap on.
    pub fn exchange(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
    }
}

/// The nonces that a server has given this terminal.
pub trait NonceSupply {
    /// One that nobody gets again, if there is one; this is a matter of the disk, never of the network.
    fn take(&self) -> Option<SuppliedNonce>;

    /// Takes one back that no card was shown, for the next tap.
    fn give_back(&self, nonce: SuppliedNonce);
}

/// A nonce of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuppliedNonce {
    /// Its bytes.
    pub bytes: [u8; 32],
    /// Until when it may be used.
    pub use_by: Timestamp,
}

impl TapTerminal {
    /// With the keys of the role READ and the memory that are here. `tap` is the time limit of one tap.
    ///
    /// # Errors
    /// What keeps the keys or the store from being loaded: `pki.…` and `store.…`.
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

    /// Taps the card in this reader. The connection is given back, for a watch that keeps the channel open.
    pub fn tap(&self, reader: &str) -> (Tapped, Option<Card>) {
        let start = Instant::now();
        // Before the card is held: a driver that is asked which reader this is waits until the transaction ends.
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
        // Who only asks for an id times nothing: no driver is asked for it.
        let is_timed = self.depth == Depth::Authenticate;
        ReaderRules { resume, max_extra: is_timed.then(|| self.policy.max_extra(reader)).flatten() }
    }

    fn limits(&self, deadline: Deadline) -> CardLimits {
        CardLimits { exchange: self.exchange, connect: self.exchange, deadline: Some(deadline) }
    }

    /// One transaction; `again` says that it is the second of this tap.
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
        // Before the keys are looked at: a key that is made under those that a renewal replaces meanwhile is not kept.
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
        // A trace can be played again, and its keys are not in it: while one is written all taps are full ones. So is a tap
        // that begins again: what broke the first may break each that resumes.
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

    /// What no card was shown serves the next tap.
    fn give_back(&self, given: Option<SuppliedNonce>) {
        if let (Some(nonces), Some(unused)) = (&self.nonces, given) {
            nonces.give_back(unused);
        }
    }

    /// One heartbeat over an open channel, in a short transaction of its own.
    ///
    /// # Errors
    /// [`TapError::Link`] when the transaction cannot begin; [`TapError::Token`] when the exchange or the channel
    /// fails: the channel is over then.
    pub fn heartbeat(&self, card: &mut Card, session: &mut Session) -> Result<LifeCycle, TapError> {
        // Each step has the limit of an exchange, which its error then names.
        card.set_deadline(None);
        let mut transaction = card.begin().map_err(TapError::Link)?;
        Ok(session.heartbeat(&mut transaction)?)
    }

    /// The portrait on the card, at most 8192 bytes, over an open channel; none where it has none.
    ///
    /// # Errors
    /// As [`Self::heartbeat`].
    pub fn portrait(&self, card: &mut Card, session: &mut Session) -> Result<Option<Vec<u8>>, TapError> {
        card.set_deadline(Some(Deadline::within(self.tap)));
        let mut transaction = card.begin().map_err(TapError::Link)?;
        Ok(session.read_portrait(&mut transaction)?)
    }
}

/// A tap without a transaction, which is written into the trace too.
fn unreached(reader: &str, error: LinkError, again: bool) -> Tapped {
    let traced = trace::write::current().map_or(0, |trace| trace.unreached(reader, &error, again));
    Tapped { traced, ..Tapped::failed(error.into()) }
}
