//! The worker thread of a reader: taps inserted cards, and monitors tokens that stay by heartbeats.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Seen, TapError, Tapped, tap_terminal::TapTerminal};
use crate::{
    card::link::LinkError,
    reader::{Insertion, pcsc::Card},
    token::{TokenError, select::LifeCycle, session::Session},
};

/// The pauses before each further try of a tap that failed between reader and card.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];

/// How long a card is held for a portrait request when there is no heartbeat: a lookup at the server may come first.
const PORTRAIT_WITHIN: Duration = Duration::from_secs(10);

/// An order to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderOrder {
    /// A card was inserted; the number differs for each insertion.
    Inserted(Insertion),
    /// A card was inserted that the reader reports as mute.
    Mute(Insertion),
    /// A card reported as mute has since answered to somebody.
    Woke(Insertion),
    /// The card was removed.
    Removed,
    /// The token of this insertion was admitted, and its portrait is wanted.
    Portrait(Insertion),
}

/// A report of a worker.
#[derive(Debug)]
pub enum ReaderReport {
    /// A tap has ended.
    Tapped {
        /// The reader.
        reader: String,
        /// The insertion.
        insertion: Insertion,
        /// When it ended.
        at: Timestamp,
        /// The result.
        tapped: Box<Tapped>,
    },
    /// A card that the reader reports as mute did not answer when tried either.
    Mute {
        /// The reader.
        reader: String,
        /// The insertion.
        insertion: Insertion,
    },
    /// The last tapped token still answers over its channel.
    Alive {
        /// The reader.
        reader: String,
        /// The token.
        token_id: Uuid,
    },
    /// The portrait of a token, if it has one and the card has not changed.
    Portrait {
        /// The token.
        token_id: Uuid,
        /// The picture as stored on the card.
        portrait: Portrait,
    },
}

/// A portrait as stored on a card: unvalidated bytes, kept in memory only.
pub struct Portrait(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Portrait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Portrait({} bytes)", self.0.len())
    }
}

/// The handle of a worker. Dropping it ends the worker after its current work.
#[derive(Debug)]
pub struct ReaderWorker {
    orders: Sender<ReaderOrder>,
}

impl ReaderWorker {
    /// Starts a worker for a reader. With a heartbeat interval, it keeps the channel of an authenticated token open,
    /// and sends a heartbeat over it at that interval. `report` is called on the worker's thread.
    ///
    /// # Errors
    /// The error of the system when the thread cannot be started.
    pub fn start(
        reader: &str,
        terminal: TapTerminal,
        heartbeat: Option<Duration>,
        report: impl Fn(ReaderReport) + Send + 'static,
    ) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let mut thread = ReaderThread {
            reader: reader.to_owned(),
            portraits: terminal.portraits,
            terminal: Box::new(terminal),
            heartbeat,
            report: Box::new(report),
            held: None,
            again: None,
        };
        thread::Builder::new().name("reader".to_owned()).spawn(move || thread.serve(&inbox))?;
        Ok(Self { orders })
    }

    /// Gives an order. A worker that has ended ignores it.
    pub fn order(&self, order: ReaderOrder) {
        let _ = self.orders.send(order);
    }
}

/// The operations on the card in a reader; replaced in tests.
trait CardWork {
    fn tap(&self, reader: &str) -> (Tapped, Option<Card>);
    fn heartbeat(&self, held: &mut Held) -> Result<LifeCycle, TapError>;
    fn portrait(&self, held: &mut Held) -> Result<Option<Vec<u8>>, TapError>;
    fn now(&self) -> Timestamp;
}

impl CardWork for TapTerminal {
    fn tap(&self, reader: &str) -> (Tapped, Option<Card>) {
        self.tap(reader)
    }

    fn heartbeat(&self, held: &mut Held) -> Result<LifeCycle, TapError> {
        self.heartbeat(&mut held.card, &mut held.session)
    }

    fn portrait(&self, held: &mut Held) -> Result<Option<Vec<u8>>, TapError> {
        self.portrait(&mut held.card, &mut held.session)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

struct ReaderThread {
    reader: String,
    terminal: Box<dyn CardWork + Send>,
    heartbeat: Option<Duration>,
    /// Whether portraits may be requested.
    portraits: bool,
    report: Box<dyn Fn(ReaderReport) + Send>,
    held: Option<Held>,
    again: Option<NextTry>,
}

/// A tap that failed between reader and card, to be repeated unless the card leaves; its holder stays on the list in
/// the meantime.
struct NextTry {
    insertion: Insertion,
    at: Instant,
    tries: usize,
}

/// A token that stays, with its channel open.
struct Held {
    card: Card,
    session: Session,
    token_id: Uuid,
    insertion: Insertion,
    next: Instant,
}

impl ReaderThread {
    fn serve(&mut self, inbox: &Receiver<ReaderOrder>) {
        // The last insertion whose card answered when tapped.
        let mut awake = None;
        loop {
            match self.next(inbox) {
                Ok(ReaderOrder::Woke(insertion)) if awake == Some(insertion) => {}
                Ok(ReaderOrder::Inserted(insertion) | ReaderOrder::Woke(insertion)) => {
                    awake = self.tap(insertion, 0, false);
                }
                Ok(ReaderOrder::Mute(insertion)) => awake = self.tap(insertion, 0, true),
                Ok(ReaderOrder::Removed) => (self.held, self.again) = (None, None),
                Ok(ReaderOrder::Portrait(insertion)) => self.portrait(insertion),
                Err(RecvTimeoutError::Timeout) => match self.again.take() {
                    Some(again) => awake = self.tap(again.insertion, again.tries, false),
                    None => self.beat(),
                },
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn next(&self, inbox: &Receiver<ReaderOrder>) -> Result<ReaderOrder, RecvTimeoutError> {
        let due = self.again.as_ref().map(|again| again.at).or(self.held.as_ref().map(|held| held.next));
        match due {
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Taps the card, after this many failed tries. Returns the insertion unless the card is mute.
    fn tap(&mut self, insertion: Insertion, tries: usize, looks_mute: bool) -> Option<Insertion> {
        (self.held, self.again) = (None, None);
        let (mut tapped, card) = self.terminal.tap(&self.reader);
        let session = tapped.session.take();
        let holds = self.heartbeat.or(self.portraits.then_some(PORTRAIT_WITHIN));
        if let (Some(interval), Ok(Seen::Authenticated(token)), Some(session), Some(card)) =
            (holds, &tapped.result, session, card)
        {
            let next = Instant::now() + interval;
            self.held = Some(Held { card, session, token_id: token.token_id, insertion, next });
        }
        let pause = PAUSES.get(tries).filter(|_| tapped.result.as_ref().is_err_and(TapError::worth_another_try));
        if let Some(pause) = pause {
            self.again = Some(NextTry { insertion, at: Instant::now() + *pause, tries: tries + 1 });
            return Some(insertion);
        }
        let at = self.terminal.now();
        let reader = self.reader.clone();
        let is_mute = tapped.result.as_ref().is_err_and(TapError::is_mute);
        (self.report)(if is_mute && looks_mute {
            ReaderReport::Mute { reader, insertion }
        } else {
            ReaderReport::Tapped { reader, insertion, at, tapped: Box::new(tapped) }
        });
        (!is_mute).then_some(insertion)
    }

    /// Reads the portrait over the channel of the tap. If that fails there is none, and the next heartbeat finds the
    /// cause.
    fn portrait(&mut self, insertion: Insertion) {
        let Some(held) = self.held.as_mut().filter(|held| held.insertion == insertion) else { return };
        if let Ok(Some(portrait)) = self.terminal.portrait(held) {
            let portrait = Portrait(Zeroizing::new(portrait));
            (self.report)(ReaderReport::Portrait { token_id: held.token_id, portrait });
        }
        if self.heartbeat.is_none() {
            self.held = None;
        }
    }

    /// Sends a heartbeat to the token. If the channel breaks while the card stays, the card is tapped again: another
    /// program may have reset it, or it may be another card.
    fn beat(&mut self) {
        let (Some(mut held), Some(interval)) = (self.held.take(), self.heartbeat) else { return };
        match self.terminal.heartbeat(&mut held) {
            Ok(LifeCycle::Issued) => {
                (self.report)(ReaderReport::Alive { reader: self.reader.clone(), token_id: held.token_id });
            }
            Err(TapError::Link(LinkError::SharingViolation | LinkError::Occupied(_))) => {}
            Err(TapError::Link(e) | TapError::Token(TokenError::Link(e))) if gone(&e) => return,
            _ => {
                let insertion = held.insertion;
                drop(held);
                self.tap(insertion, 0, false);
                return;
            }
        }
        held.next = Instant::now() + interval;
        self.held = Some(held);
    }
}

/// Errors that the monitor reports by itself.
const fn gone(error: &LinkError) -> bool {
    matches!(error, LinkError::CardRemoved | LinkError::ReaderGone | LinkError::ServiceLost)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Arc, Mutex},
    };

    use super::*;

    /// Taps that end with these errors, one after the other.
    struct Taps(Mutex<VecDeque<LinkError>>);

    impl CardWork for Taps {
        fn tap(&self, _: &str) -> (Tapped, Option<Card>) {
            let error = self.0.lock().unwrap().pop_front();
            (Tapped::failed(error.map_or(TapError::Foreign, TapError::Link)), None)
        }

        fn heartbeat(&self, _: &mut Held) -> Result<LifeCycle, TapError> {
            Err(TapError::Foreign)
        }

        fn portrait(&self, _: &mut Held) -> Result<Option<Vec<u8>>, TapError> {
            Err(TapError::Foreign)
        }

        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    fn lost() -> LinkError {
        LinkError::Transmission("lost".to_owned())
    }

    /// A worker whose taps end with these errors, and its reports.
    fn worker(errors: impl IntoIterator<Item = LinkError>) -> (ReaderThread, Arc<Mutex<Vec<String>>>) {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reports);
        let report = move |report| {
            told.lock().unwrap().push(match report {
                ReaderReport::Tapped { tapped, .. } => tapped.result.err().unwrap().to_failure(0).code.to_owned(),
                other => format!("{other:?}"),
            });
        };
        let thread = ReaderThread {
            reader: "r".to_owned(),
            terminal: Box::new(Taps(Mutex::new(errors.into_iter().collect()))),
            heartbeat: None,
            portraits: false,
            report: Box::new(report),
            held: None,
            again: None,
        };
        (thread, reports)
    }

    /// Runs every further try that is due, and returns the pause before each.
    fn tries(thread: &mut ReaderThread) -> Vec<Duration> {
        let mut pauses = Vec::new();
        while let Some(again) = thread.again.take() {
            pauses.push(PAUSES[again.tries - 1]);
            let left = again.at.saturating_duration_since(Instant::now());
            assert!(left <= PAUSES[again.tries - 1] && left + Duration::from_millis(150) > PAUSES[again.tries - 1]);
            thread.tap(again.insertion, again.tries, false);
        }
        pauses
    }

    #[test]
    fn a_tap_that_failed_on_the_way_is_made_again_with_growing_pauses() {
        let (mut thread, reports) = worker([lost(), LinkError::CardReset, lost()]);
        assert_eq!(thread.tap(1.into(), 0, false), Some(1.into()));
        assert!(reports.lock().unwrap().is_empty(), "nobody hears of it yet");
        assert_eq!(tries(&mut thread), PAUSES);
        assert_eq!(*reports.lock().unwrap(), ["token.foreign"], "what the card says in the end");
    }

    #[test]
    fn a_reader_that_goes_on_failing_is_told_once() {
        let (mut thread, reports) = worker([(); 10].map(|()| lost()));
        thread.tap(1.into(), 0, false);
        assert_eq!(tries(&mut thread).len(), PAUSES.len());
        assert_eq!(*reports.lock().unwrap(), ["reader.error"]);
    }

    #[test]
    fn what_the_card_says_is_not_asked_again() {
        for error in [LinkError::CardRemoved, LinkError::TimedOut, LinkError::SharingViolation, LinkError::Hung] {
            let (mut thread, reports) = worker([error.clone()]);
            thread.tap(1.into(), 0, false);
            assert!(thread.again.is_none(), "{error:?}");
            assert_eq!(reports.lock().unwrap().len(), 1, "{error:?}");
        }
    }

    #[test]
    fn a_card_that_left_is_not_tried_again_and_a_new_one_is() {
        let (mut thread, reports) = worker([(); 4].map(|()| lost()));
        let (orders, inbox) = mpsc::channel();
        for order in [ReaderOrder::Inserted(1.into()), ReaderOrder::Removed, ReaderOrder::Inserted(2.into())] {
            orders.send(order).unwrap();
        }
        drop(orders);
        thread.serve(&inbox);
        assert!(reports.lock().unwrap().is_empty());
        assert!(thread.again.as_ref().is_some_and(|again| again.insertion == 2.into() && again.tries == 1));
    }

    #[test]
    fn what_looks_mute_and_is_mute_is_told_as_such() {
        let (mut thread, reports) = worker([LinkError::Unpowered, LinkError::CardMute]);
        assert_eq!(thread.tap(1.into(), 0, true), None);
        assert_eq!(thread.tap(2.into(), 0, false), None);
        assert!(reports.lock().unwrap()[0].starts_with("Mute"));
        assert_eq!(reports.lock().unwrap()[1], "token.mute");
    }
}
