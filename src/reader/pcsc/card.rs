//! A connection to the card in one reader that never blocks its caller beyond a limit.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{
    connect::Contact,
    io::{self, IoAnswer, IoReply, IoRequest},
    limits::{CardLimits, Deadline, ms},
    stuck::{Stuck, await_stuck, held, remember_stuck, silent_service},
};
use crate::card::{
    link::{Link, LinkError, Sensitivity},
    t0::T0,
    trace::{Tape, TraceRecord, write},
};
use crate::reader::{mark::ThreadMark, service::own_socket};

/// How long to wait for a connection to close: usually well under a millisecond.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// An open, shared connection to the card in one reader.
///
/// A thread of its own makes the blocking calls. When an exchange exceeds its limit, the connection is dead and the
/// thread is abandoned: it ends by itself when the call returns. Until then the reader counts as stuck, and a new
/// connection to it waits, within its own limit, before it starts another thread.
///
/// After an error that ends a connection (the card left, the reader or the service is gone, an exchange timed out)
/// every later call returns the same error. Dropping it leaves the card powered and in its state.
pub struct Card {
    reader: String,
    contact: Contact,
    /// The card's known T=0 behaviour.
    t0: T0,
    limits: CardLimits,
    line: Option<IoThread>,
    /// A `begin` timed out and has not been answered yet.
    waiting: bool,
    dead: Option<LinkError>,
}

/// The caller's end of the channels to the thread.
struct IoThread {
    mark: ThreadMark,
    asks: Sender<IoRequest>,
    answers: Receiver<IoReply>,
}

impl Card {
    /// Connects to the card in the reader of exactly this name.
    ///
    /// # Errors
    /// [`LinkError::CardRemoved`] without a card, [`LinkError::CardMute`], [`LinkError::ReaderGone`],
    /// [`LinkError::ServiceLost`], [`LinkError::SharingViolation`] when another program still held the reader at the
    /// end of the limit, [`LinkError::Occupied`] when it may have been waiting for the driver itself,
    /// [`LinkError::TimedOut`].
    pub fn connect(reader: &str, limits: CardLimits) -> Result<Self, LinkError> {
        let until = limits.until(limits.connect);
        await_stuck(reader, until)?;
        let name = reader.to_owned();
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = mpsc::sync_channel(1);
        let mark = ThreadMark::default();
        let own = mark.clone();
        let run = move || {
            own.here();
            io::run(&name, until, &asked, &answer);
        };
        thread::Builder::new()
            .name("pcsc-card".to_owned())
            .spawn(run)
            .map_err(|e| LinkError::NoThread(e.to_string()))?;
        let line = Some(IoThread { mark, asks, answers });
        let mut card = Self {
            reader: reader.to_owned(),
            contact: Contact::default(),
            t0: T0::default(),
            limits,
            line,
            waiting: false,
            dead: None,
        };
        let Some(answer) = card.receive(until) else {
            let error = held(reader, limits.connect).unwrap_or_else(|| card.late(until, limits.connect));
            return Err(card.abandon(error));
        };
        card.touched(answer?);
        Ok(card)
    }

    /// The reader's name.
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// The answer to reset, at most 33 bytes.
    pub fn atr(&self) -> &[u8] {
        &self.contact.atr
    }

    /// Whether the card is connected with the protocol T=0, which has no extended length.
    pub const fn is_t0(&self) -> bool {
        self.contact.is_t0
    }

    /// Notes how the card is connected now.
    fn touched(&mut self, answer: IoAnswer) {
        if let IoAnswer::Contact(contact) = answer
            && contact != self.contact
        {
            self.contact = contact;
            self.t0 = T0::default();
        }
    }

    /// Sets the deadline for everything: one for a tap, another for a later heartbeat.
    pub const fn set_deadline(&mut self, deadline: Option<Deadline>) {
        self.limits.deadline = deadline;
    }

    /// Why this connection is no longer usable, if so.
    pub const fn dead(&self) -> Option<&LinkError> {
        self.dead.as_ref()
    }

    /// Begins a transaction: no other program talks to the card until it is dropped.
    ///
    /// # Errors
    /// As [`Card::connect`]; [`LinkError::CardReset`] when another program reset the card since the last transaction
    /// (the session is gone; the next `begin` works); [`LinkError::Occupied`] when another program's
    /// transaction outlasts the limit (the connection stays good, and the next `begin` goes on waiting).
    pub fn begin(&mut self) -> Result<Transaction<'_>, LinkError> {
        let until = self.ready()?;
        if self.waiting {
            self.waited(until)?;
        }
        self.send(IoRequest::Begin);
        match self.receive(until) {
            Some(answer) => self.touched(answer?),
            None => return Err(self.give_way()),
        }
        let tape = write::current().map(|trace| trace.begin(&self.reader, &self.contact.atr));
        Ok(Transaction { card: self, tape, is_raw: false })
    }

    /// Waits for the end of an earlier `begin` that timed out, and reports its error, if any.
    fn waited(&mut self, until: Instant) -> Result<(), LinkError> {
        match self.receive(until) {
            None => Err(match silent_service() {
                Some(error) => self.abandon(error),
                None => self.occupied(),
            }),
            Some(answer) => {
                self.waiting = false;
                answer.map(drop)
            }
        }
    }

    /// `begin` sends nothing to the card, so a delay comes from another program's transaction, or from the service.
    fn give_way(&mut self) -> LinkError {
        if let Some(error) = silent_service() {
            return self.abandon(error);
        }
        // When our turn comes, the thread finds this request and gives the card back at once.
        self.send(IoRequest::End);
        self.waiting = true;
        self.occupied()
    }

    /// Another program's transaction exceeds the limit.
    fn occupied(&self) -> LinkError {
        LinkError::Occupied(ms(self.limits.exchange))
    }

    /// Makes a request of the thread, inside a transaction.
    fn ask(&mut self, ask: IoRequest) -> IoReply {
        let until = self.ready()?;
        self.send(ask);
        match self.receive(until) {
            Some(answer) => answer,
            None => Err(self.abandon(self.late(until, self.limits.exchange))),
        }
    }

    /// Why no answer came by then: the service is silent, the call hangs, or less than the whole limit was left for it.
    fn late(&self, until: Instant, limit: Duration) -> LinkError {
        let deadline = self.limits.deadline.filter(|deadline| deadline.at == until);
        let hangs = || deadline.map_or(LinkError::ExchangeLimit(ms(limit)), Deadline::error);
        silent_service().unwrap_or_else(hangs)
    }

    /// Sends bytes to the card, and returns its answer, both unchanged.
    fn transmit(&mut self, bytes: &[u8]) -> Result<Vec<u8>, LinkError> {
        match self.ask(IoRequest::Exchange(Zeroizing::new(bytes.to_vec())))? {
            IoAnswer::Bytes(answer) => Ok(answer),
            IoAnswer::Contact(_) => Ok(Vec::new()),
        }
    }

    /// The time limit of the next step. A deadline that has passed leaves the connection usable: nothing is sent.
    fn ready(&self) -> Result<Instant, LinkError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        let until = self.limits.until(self.limits.exchange);
        if until > Instant::now() {
            Ok(until)
        } else {
            Err(self.limits.deadline.map_or(LinkError::TimedOut, Deadline::error))
        }
    }

    fn send(&self, ask: IoRequest) {
        if let Some(line) = &self.line {
            // If the thread has ended, the caller sees it by the closed answer channel.
            let _ = line.asks.send(ask);
        }
    }

    /// The next answer, or `None` on a timeout.
    fn receive(&mut self, until: Instant) -> Option<IoReply> {
        let left = until.saturating_duration_since(Instant::now());
        let answer = match self.line.as_ref().map(|line| line.answers.recv_timeout(left)) {
            Some(Ok(answer)) => answer,
            Some(Err(RecvTimeoutError::Timeout)) => return None,
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                Err(LinkError::Other("the reader's thread ended".to_owned()))
            }
        };
        if let Err(error @ (LinkError::CardRemoved | LinkError::ReaderGone | LinkError::ServiceLost)) = &answer {
            self.dead = Some(error.clone());
        }
        Some(answer)
    }

    /// Abandons the thread in its call.
    fn abandon(&mut self, error: LinkError) -> LinkError {
        self.dead = Some(error.clone());
        if let Some(IoThread { mark, answers, .. }) = self.line.take() {
            if !matches!(error, LinkError::SharingViolation | LinkError::Occupied(_)) {
                mark.set(&own_socket(), &self.reader);
            }
            remember_stuck(Stuck { reader: self.reader.clone(), answers, why: error.clone() });
        }
        error
    }
}

impl Drop for Card {
    /// Waits a bounded time for the connection to close: a process that exits before would reset the card.
    fn drop(&mut self) {
        let Some(IoThread { asks, answers, .. }) = self.line.take() else { return };
        drop(asks);
        let until = Instant::now() + CLOSE_LIMIT;
        // Remaining answers do not matter; the end of the thread closes the channel.
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match answers.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        // The reader is held by our own call, not by another program.
        remember_stuck(Stuck { reader: self.reader.clone(), answers, why: LinkError::Hung });
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
    /// Where its exchanges are traced.
    tape: Option<Tape>,
    /// Whether the rules of T=0 are left to the caller.
    is_raw: bool,
}

impl Transaction<'_> {
    /// Resets the card, which ends every session on it, and returns its answer to reset, at most 33 bytes.
    ///
    /// # Errors
    /// As [`Card::connect`]: the card is gone or mute, the reader hangs, or the exchange exceeds its limit.
    pub fn reset(&mut self) -> Result<&[u8], LinkError> {
        let answer = self.card.ask(IoRequest::Reset)?;
        self.card.touched(answer);
        Ok(self.card.atr())
    }

    /// The reader's feature list, as in PC/SC part 10, 2.2; empty where it gives none.
    pub fn features(&mut self) -> Vec<u8> {
        match self.card.ask(IoRequest::Features) {
            Ok(IoAnswer::Bytes(list)) => list,
            _ => Vec::new(),
        }
    }

    /// Powers the card down and up again (at a contactless reader, the field): it is as if just inserted.
    ///
    /// # Errors
    /// As [`Self::reset`].
    pub fn renew(&mut self) -> Result<&[u8], LinkError> {
        let answer = self.card.ask(IoRequest::Renew)?;
        self.card.touched(answer);
        Ok(self.card.atr())
    }

    /// From now on commands and answers pass unchanged, whatever the protocol.
    pub const fn raw(&mut self) {
        self.is_raw = true;
    }

    /// Whether the card is connected with the protocol T=0, which has no extended length.
    pub const fn is_t0(&self) -> bool {
        self.card.is_t0()
    }

    /// Applies the rules of T=0 where needed: one command may be several exchanges, each with its own time limit.
    fn carry(&mut self, command: &[u8]) -> Result<Vec<u8>, LinkError> {
        if !self.card.is_t0() || self.is_raw {
            return self.card.transmit(command);
        }
        let mut t0 = self.card.t0;
        let answer = t0.exchange(command, &mut |tpdu| self.card.transmit(tpdu));
        self.card.t0 = t0;
        answer
    }

    /// Its number in the trace; zero if none is written.
    pub fn traced(&self) -> u32 {
        self.tape.as_ref().map_or(0, Tape::id)
    }

    /// Ends the transaction; the same as dropping it.
    pub fn end(self) {}
}

impl Link for Transaction<'_> {
    fn transmit(&mut self, command: &[u8], sensitivity: Sensitivity) -> Result<Vec<u8>, LinkError> {
        let start = Instant::now();
        let answer = self.carry(command);
        if let Some(tape) = &mut self.tape {
            tape.exchange(command, sensitivity, &answer, start.elapsed());
        }
        answer
    }

    fn note(&mut self, record: &dyn Fn() -> TraceRecord) {
        if let Some(tape) = &mut self.tape {
            tape.record(record());
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // Give the card back before writing the trace.
        self.card.send(IoRequest::End);
    }
}
