//! A connection to the card in one reader, which never blocks its caller beyond a limit.

use std::{
    ffi::CString,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{
    io::{self, Answer, Ask},
    list_within,
};
use crate::card::link::{Link, LinkError, Privacy};

/// How long a closing connection is waited for: usually well under a millisecond.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// How long the question who holds a reader may take.
const HOLDER_LIMIT: Duration = Duration::from_millis(500);

/// How long the card may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For one exchange, one reset, and for the wait on another program's transaction.
    pub exchange: Duration,
    /// For the connection, the wait on another program included.
    pub connect: Duration,
    /// When everything has to be over, whatever the others say.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    /// 5 s each, no deadline.
    fn default() -> Self {
        Self { exchange: Duration::from_secs(5), connect: Duration::from_secs(5), deadline: None }
    }
}

impl Limits {
    /// When a step of this length has to be over.
    fn until(&self, step: Duration) -> Instant {
        let until = Instant::now() + step;
        self.deadline.map_or(until, |deadline| deadline.min(until))
    }
}

/// An open, shared connection to the card in one reader.
///
/// The blocking calls are made by a thread of its own. When a limit runs out, the connection is dead and the thread is
/// abandoned: it ends by itself when the call returns. Until then the reader counts as stuck, and a new connection to
/// it waits, within its own limit, before it starts another thread.
///
/// After an error that ends a connection (the card left, the reader or the service is gone, a limit ran out) every
/// later call returns that same error. Dropping it leaves the card powered and as it is.
pub struct Card {
    reader: String,
    atr: Vec<u8>,
    limits: Limits,
    line: Option<Line>,
    dead: Option<LinkError>,
}

/// Both ends of the talk with the thread.
struct Line {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
}

impl Card {
    /// Connects to the card in the reader of exactly this name.
    ///
    /// Errors: [`LinkError::CardRemoved`] without a card, [`LinkError::CardMute`], [`LinkError::ReaderGone`],
    /// [`LinkError::ServiceLost`], [`LinkError::SharingViolation`] when another program still held the reader at the
    /// end of the limit, [`LinkError::TimedOut`].
    pub fn connect(reader: &str, limits: Limits) -> Result<Self, LinkError> {
        let until = limits.until(limits.connect);
        await_stuck(reader, until)?;
        let name = CString::new(reader).map_err(|_| LinkError::ReaderGone)?;
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("pcsc-card".to_owned())
            .spawn(move || io::run(name, until, &asked, &answer))
            .map_err(|e| LinkError::Other(e.to_string()))?;
        let mut card =
            Self { reader: reader.to_owned(), atr: Vec::new(), limits, line: Some(Line { asks, answers }), dead: None };
        card.atr = card
            .answer(until, |reader| if is_held(reader) { LinkError::SharingViolation } else { LinkError::TimedOut })?;
        Ok(card)
    }

    /// The name of the reader.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// The answer to reset.
    pub fn atr(&self) -> &[u8] {
        &self.atr
    }

    /// Sets when everything has to be over: one deadline for a tap, another for a later heartbeat.
    pub const fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.limits.deadline = deadline;
    }

    /// Why this connection is of no more use, if so.
    pub const fn dead(&self) -> Option<&LinkError> {
        self.dead.as_ref()
    }

    /// Begins a transaction: nobody else talks to the card until it is dropped.
    ///
    /// Errors: as [`Card::connect`]; [`LinkError::CardReset`] when another program reset the card since the last
    /// transaction (the session is gone; the next `begin` works).
    pub fn begin(&mut self) -> Result<Transaction<'_>, LinkError> {
        // Nothing goes to the card here, so what takes long is another program's transaction.
        self.ask(Ask::Begin, LinkError::SharingViolation)?;
        Ok(Transaction { card: self })
    }

    fn ask(&mut self, ask: Ask, expired: LinkError) -> Answer {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        let until = self.limits.until(self.limits.exchange);
        if until <= Instant::now() {
            // The deadline is over, and nothing was asked: the connection stays good.
            return Err(LinkError::TimedOut);
        }
        if let Some(line) = &self.line {
            // A thread that ended shows as a closed line in the answer.
            let _ = line.asks.send(ask);
        }
        self.answer(until, |_| expired)
    }

    fn answer(&mut self, until: Instant, expired: impl FnOnce(&str) -> LinkError) -> Answer {
        let left = until.saturating_duration_since(Instant::now());
        let result = match self.line.as_ref().map(|line| line.answers.recv_timeout(left)) {
            Some(Ok(answer)) => answer,
            Some(Err(RecvTimeoutError::Timeout)) => return Err(self.abandon(expired)),
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                Err(LinkError::Other("the reader's thread ended".to_owned()))
            }
        };
        if let Err(error @ (LinkError::CardRemoved | LinkError::ReaderGone | LinkError::ServiceLost)) = &result {
            self.dead = Some(error.clone());
        }
        result
    }

    /// Leaves the thread alone with its call.
    fn abandon(&mut self, expired: impl FnOnce(&str) -> LinkError) -> LinkError {
        let error = expired(&self.reader);
        self.dead = Some(error.clone());
        if let Some(Line { answers, .. }) = self.line.take() {
            let stuck = Stuck { reader: self.reader.clone(), answers, why: error.clone() };
            STUCK.lock().unwrap_or_else(PoisonError::into_inner).push(stuck);
        }
        error
    }
}

impl Drop for Card {
    /// Waits a bounded time for the connection to be closed: a process that ends before would reset the card.
    fn drop(&mut self) {
        if let Some(Line { asks, answers }) = self.line.take() {
            drop(asks);
            let _ = answers.recv_timeout(CLOSE_LIMIT);
        }
    }
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({})", self.reader)
    }
}

/// A transaction: one tap, or one heartbeat. It ends when it is dropped, and leaves the card as it is.
#[derive(Debug)]
pub struct Transaction<'c> {
    card: &'c mut Card,
}

impl Transaction<'_> {
    /// Resets the card, which loses every session on it, and returns its answer to reset.
    pub fn reset(&mut self) -> Result<&[u8], LinkError> {
        self.card.atr = self.card.ask(Ask::Reset, LinkError::TimedOut)?;
        Ok(&self.card.atr)
    }

    /// Ends the transaction; the same as dropping it.
    pub fn end(self) {}
}

impl Link for Transaction<'_> {
    fn transmit(&mut self, command: &[u8], _: Privacy) -> Result<Vec<u8>, LinkError> {
        self.card.ask(Ask::Exchange(Zeroizing::new(command.to_vec())), LinkError::TimedOut)
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(line) = &self.card.line {
            let _ = line.asks.send(Ask::End);
        }
    }
}

/// A thread that was abandoned in a call. Its end closes `answers`.
struct Stuck {
    reader: String,
    answers: Receiver<Answer>,
    why: LinkError,
}

static STUCK: Mutex<Vec<Stuck>> = Mutex::new(Vec::new());

/// Waits for the end of abandoned threads on this reader, so that a reader that hangs does not collect them.
fn await_stuck(reader: &str, until: Instant) -> Result<(), LinkError> {
    while let Some(stuck) = take_stuck(reader) {
        let left = until.saturating_duration_since(Instant::now());
        if matches!(stuck.answers.recv_timeout(left), Err(RecvTimeoutError::Timeout)) {
            let why = stuck.why.clone();
            STUCK.lock().unwrap_or_else(PoisonError::into_inner).push(stuck);
            return Err(why);
        }
    }
    Ok(())
}

fn take_stuck(reader: &str) -> Option<Stuck> {
    let mut all = STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    let at = all.iter().position(|stuck| stuck.reader == reader)?;
    Some(all.swap_remove(at))
}

fn is_held(reader: &str) -> bool {
    list_within(HOLDER_LIMIT).is_ok_and(|readers| readers.iter().any(|r| r.name == reader && (r.in_use || r.exclusive)))
}
