//! One thread for each reader: it taps what is inserted, and keeps an eye on what stays.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Seen, TapError, Tapped, tap_terminal::TapTerminal};
use crate::{
    card::link::LinkError,
    reader::{Insertion, pcsc::Card},
    token::{TokenError, select::LifeCycle, session::Session},
};

/// What a worker is ordered to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderOrder {
    /// A card was inserted; the number differs for each insertion.
    Inserted(Insertion),
    /// The card was lifted.
    Removed,
}

/// What a worker reports.
#[derive(Debug)]
pub enum ReaderReport {
    /// A tap has ended.
    Tapped {
        /// Where.
        reader: String,
        /// Which insertion.
        insertion: Insertion,
        /// When it ended.
        at: Timestamp,
        /// What came of it.
        tapped: Box<Tapped>,
    },
    /// The token that was tapped last still answers over its channel.
    Alive {
        /// Where.
        reader: String,
        /// Which token.
        token_id: Uuid,
    },
}

/// The handle of a worker. When it is dropped, the worker ends after what it is doing.
#[derive(Debug)]
pub struct ReaderWorker {
    orders: Sender<ReaderOrder>,
}

impl ReaderWorker {
    /// Starts a worker for a reader. With a heartbeat interval it keeps the channel of an authenticated token open, and
    /// asks over it as often. `report` is called on the worker's thread.
    pub fn start(
        reader: &str,
        terminal: TapTerminal,
        heartbeat: Option<Duration>,
        report: impl Fn(ReaderReport) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let mut thread =
            ReaderThread { reader: reader.to_owned(), terminal, heartbeat, report: Box::new(report), held: None };
        thread::Builder::new().name("reader".to_owned()).spawn(move || thread.serve(&inbox))?;
        Ok(Self { orders })
    }

    /// Gives an order. A worker that has ended takes none.
    pub fn order(&self, order: ReaderOrder) {
        let _ = self.orders.send(order);
    }
}

struct ReaderThread {
    reader: String,
    terminal: TapTerminal,
    heartbeat: Option<Duration>,
    report: Box<dyn Fn(ReaderReport) + Send>,
    held: Option<Held>,
}

/// A token that lies there with its channel open.
struct Held {
    card: Card,
    session: Session,
    token_id: Uuid,
    insertion: Insertion,
    next: Instant,
}

impl ReaderThread {
    fn serve(&mut self, inbox: &Receiver<ReaderOrder>) {
        loop {
            match self.next(inbox) {
                Ok(ReaderOrder::Inserted(insertion)) => self.tap(insertion),
                Ok(ReaderOrder::Removed) => self.held = None,
                Err(RecvTimeoutError::Timeout) => self.beat(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn next(&self, inbox: &Receiver<ReaderOrder>) -> Result<ReaderOrder, RecvTimeoutError> {
        match &self.held {
            Some(held) => inbox.recv_timeout(held.next.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn tap(&mut self, insertion: Insertion) {
        self.held = None;
        let (mut tapped, card) = self.terminal.tap(&self.reader);
        let session = tapped.session.take();
        if let (Some(interval), Ok(Seen::Authenticated(token)), Some(session), Some(card)) =
            (self.heartbeat, &tapped.result, session, card)
        {
            let next = Instant::now() + interval;
            self.held = Some(Held { card, session, token_id: token.token_id, insertion, next });
        }
        let at = (self.terminal.clock)();
        let reader = self.reader.clone();
        (self.report)(ReaderReport::Tapped { reader, insertion, at, tapped: Box::new(tapped) });
    }

    /// Asks the token that lies there. Whatever breaks the channel while the card stays leads to a new tap: another
    /// program may have reset the card, or another card may lie there.
    fn beat(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        let interval = self.heartbeat.unwrap_or_default();
        match self.terminal.heartbeat(&mut held.card, &mut held.session) {
            Ok(LifeCycle::Issued) => {
                (self.report)(ReaderReport::Alive { reader: self.reader.clone(), token_id: held.token_id });
            }
            Err(TapError::Link(LinkError::SharingViolation)) => {}
            Err(TapError::Link(e) | TapError::Token(TokenError::Link(e))) if gone(&e) => return,
            _ => {
                let insertion = held.insertion;
                drop(held);
                return self.tap(insertion);
            }
        }
        held.next = Instant::now() + interval;
        self.held = Some(held);
    }
}

/// The monitor tells of these by itself.
const fn gone(error: &LinkError) -> bool {
    matches!(error, LinkError::CardRemoved | LinkError::ReaderGone | LinkError::ServiceLost)
}
