//! A scan: taps the cards on the readers now, or waits until enough tokens were read, and records who is present.

pub mod record_file;
mod unstored;

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    card::link::LinkError,
    crypto::random::{self, SystemRandom},
    failure::{ExitClass, Failure, summary},
    reader::{self, Insertion, ReaderState, Slot, monitor::ReaderEvent, select::ReaderChoice},
    server_client::ServerClient,
    terminal::{
        admission::{Rules, TapOutcome},
        context::TerminalContext,
        event_loop::{EventLoop, Handler, Message, Wait},
        lookups::{LookupService, ServerEvent},
        presence::{Input, store::TerminalStore},
        reader_pool::{PoolEffect, PoolPolicy, ReaderPool},
        readers::nobody,
        survey::is_bystander,
        tap::{Depth, Tapped, tap_terminal::TapTerminal, worker::ReaderReport},
        thread::no_thread,
        unanswered::Unanswered,
    },
};

use self::unstored::Unstored;

/// An event of a scan.
#[derive(Debug)]
pub enum ScanEvent<'a> {
    /// These readers are there. A scan that waits does not list them.
    Listed(&'a [ReaderState]),
    /// The readers are about to be read.
    Begun,
    /// A waiting scan has read this many different tokens.
    Waiting {
        /// The number of tokens.
        found: usize,
    },
    /// Whether this reader is selected cannot be determined until its driver answers: it is left out for now.
    Undecided {
        /// Its name.
        reader: &'a str,
    },
    /// Readings cannot be stored; a waiting scan continues, and stores them once it can.
    StoreLost(&'a Failure),
    /// The PC/SC service was lost; a waiting scan continues once it is back.
    ServiceLost,
    /// The service is still down, for another reason.
    ServiceAway(Failure),
    /// A change in the state of the server connection.
    Server(ServerEvent),
    /// A tap has ended; [`ScanEvent::Outcome`] follows, unless it is a token that was read before.
    Tap(&'a TapOutcome),
    /// A card that failed, or a token that was not read before.
    Outcome(&'a TapOutcome),
}

/// Receives the events of a scan.
pub trait ScanObserver {
    /// Handles one event.
    ///
    /// # Errors
    /// Why the observer could not report the event: it ends the scan.
    fn event(&mut self, event: ScanEvent<'_>) -> Result<(), Failure>;

    /// Whether the observer's output is closed: then a waiting scan ends.
    fn is_closed(&self) -> bool;
}

/// The configuration of a scan.
pub struct ScanConfig {
    /// This terminal.
    pub context: TerminalContext,
    /// The selected readers.
    pub pool: PoolPolicy,
    /// The rules for applying the server's answers.
    pub rules: Rules,
}

/// The results of a scan.
#[derive(Debug, Default)]
pub struct ScanTally {
    /// The class of each failure.
    pub failures: Vec<ExitClass>,
    /// The class of each failure of a card that cannot be a token, and may stay in its reader permanently.
    pub bystanders: Vec<ExitClass>,
    /// The number of taps that did not fail.
    pub succeeded: usize,
    /// Every token that was authenticated, in this run or in the one it resumes.
    pub distinct: HashSet<Uuid>,
}

impl ScanTally {
    /// The exit status of a scan of the cards present. If any token was read, cards that cannot be tokens do not count.
    pub fn exit_status(&self) -> u8 {
        let bystanders = if self.succeeded == 0 { self.bystanders.as_slice() } else { &[] };
        summary(&[&self.failures, bystanders].concat(), self.succeeded)
    }
}

/// How a waiting scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// It has enough tokens, its time is over, or its output is closed.
    Over,
    /// It was stopped.
    Stopped,
}

/// A scan with its server connection started, and nothing tapped yet.
pub struct Scan {
    config: ScanConfig,
    terminal: TapTerminal,
    store: TerminalStore,
    unstored: Unstored,
    lookups: Option<LookupService>,
    server_events: Receiver<ServerEvent>,
    tally: ScanTally,
    /// Whether events were written that the server has to receive.
    has_news: bool,
}

type Finished = (Timestamp, ReaderState, Tapped);

impl Scan {
    /// Opens the store, and starts lookups at the server, if there is one.
    ///
    /// # Errors
    /// The error of the store, and of [`LookupService::start`].
    pub fn open(config: ScanConfig, terminal: TapTerminal, server: Option<ServerClient>) -> Result<Self, Failure> {
        let (tell, server_events) = mpsc::channel();
        let tell = move |event| drop(tell.send(event));
        let start = |server| LookupService::start(server, &config.context, false, tell);
        let lookups = server.map(start).transpose()?;
        let terminal = TapTerminal { nonces: lookups.as_ref().map(LookupService::nonces), ..terminal };
        let mut store = config.context.store()?;
        store.read_on();
        let (unstored, tally) = (Unstored::default(), ScanTally::default());
        Ok(Self { config, terminal, store, unstored, lookups, server_events, tally, has_news: false })
    }

    /// Counts tokens that an earlier run read; they are not reported again.
    pub fn resume(&mut self, distinct: HashSet<Uuid>) {
        self.tally.distinct = distinct;
    }

    /// The results so far.
    pub const fn tally(&self) -> &ScanTally {
        &self.tally
    }

    /// Taps the cards present, all readers in parallel; each outcome is reported as soon as it is available.
    ///
    /// # Errors
    /// `scan.nobody` when no card is there, or the error for a named reader that does not exist; `pcsc.…` when the
    /// service does not answer; the error of the store; `system.no-thread`; errors of the observer. A card that is not
    /// admitted is an event, and so is a store that cannot be written before the remaining readers are done: its
    /// failure comes last.
    pub fn now(&mut self, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        self.prune()?;
        let listed = reader::pcsc::list()?;
        observer.event(ScanEvent::Listed(&listed))?;
        let readers = reader::reachable(listed);
        let meant = &self.config.pool.readers;
        let unknown = if readers.is_empty() { None } else { meant.pick(&readers).err() };
        let nobody = nobody(meant, &readers);
        let undecided = readers.iter().map(|r| &r.name).filter(|name| meant.choice(name) == ReaderChoice::Undecided);
        undecided.into_iter().try_for_each(|reader| observer.event(ScanEvent::Undecided { reader }))?;
        let (occupied, others): (Vec<_>, Vec<_>) =
            readers.into_iter().filter(|r| meant.matches(&r.name)).partition(|r| r.slot.is_occupied());
        let (broken, empty): (Vec<_>, Vec<_>) = others.into_iter().partition(|r| r.slot == Slot::Unavailable);
        observer.event(ScanEvent::Begun)?;
        if self.terminal.depth == Depth::Authenticate {
            let empty: Vec<_> = empty.into_iter().map(|r| Input::Empty { reader: r.name }).collect();
            self.deliver(&empty)?;
        }
        if occupied.is_empty() && broken.is_empty() {
            if self.has_news || !self.unstored.is_empty() {
                self.finish(observer)?;
            }
            // If a given name matches no reader, that is the cause.
            return Err(unknown.map_or(nobody, Into::into));
        }
        for reader in broken {
            let tapped = Tapped::failed(LinkError::Unavailable.into());
            let outcome = self.decide((self.terminal.clock)(), reader.name, reader.insertion, tapped, observer)?;
            self.admit(&outcome, true, observer)?;
        }
        for (at, reader, tapped) in tap_all(&self.terminal, occupied)? {
            let before = self.tally.failures.len();
            let outcome = self.decide(at, reader.name, reader.insertion, tapped, observer)?;
            self.admit(&outcome, true, observer)?;
            if is_bystander(&reader.slot) {
                self.tally.bystanders.extend(self.tally.failures.drain(before..));
            }
        }
        self.finish(observer)
    }

    /// Waits until this many different tokens were authenticated, or `wait` returns `None`.
    ///
    /// # Errors
    /// The error of the store; `system.no-thread`; errors of the observer. A card that is not admitted is an event.
    pub fn wait(
        &mut self,
        mut events: EventLoop,
        count: Option<usize>,
        wait: &dyn Fn() -> Option<Duration>,
        observer: &mut dyn ScanObserver,
    ) -> Result<ScanEnd, Failure> {
        self.prune()?;
        observer.event(ScanEvent::Begun)?;
        events.watch_readers()?;
        let tell = events.mailbox().forward(Message::Tap);
        let pool = ReaderPool::new(self.config.pool.clone(), self.terminal.clone(), tell);
        let (unanswered, end) = (Unanswered::default(), ScanEnd::Over);
        let mut waiting = WaitingScan { scan: self, pool, unanswered, count, wait, observer, end };
        events.run(&mut waiting)?;
        let end = waiting.end;
        self.finish(observer)?;
        Ok(end)
    }

    /// Decides about a tap, after a lookup if there is a server; other readers continue in parallel on their own
    /// threads.
    fn decide(
        &mut self,
        at: Timestamp,
        reader: String,
        insertion: Insertion,
        tapped: Tapped,
        observer: &mut dyn ScanObserver,
    ) -> Result<TapOutcome, Failure> {
        let answered = self.lookups.as_ref().and_then(|lookups| lookups.ask_and_wait(&tapped));
        self.tell_of_server(observer)?;
        let server = answered.as_ref().map(|answered| (answered, &self.config.rules));
        Ok(TapOutcome::of(&mut self.store, at, reader, insertion, tapped, server)?)
    }

    /// Reports an outcome, and records who is present. `is_news` is false for a repeated failure of the same card.
    fn admit(&mut self, outcome: &TapOutcome, is_news: bool, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        observer.event(ScanEvent::Tap(outcome))?;
        if is_news {
            match outcome.class() {
                Some(class) => self.tally.failures.push(class),
                None => self.tally.succeeded += 1,
            }
            if outcome.authenticated().is_none_or(|token_id| self.tally.distinct.insert(token_id)) {
                observer.event(ScanEvent::Outcome(outcome))?;
            }
        }
        // A card that was only asked for its id says nothing about who is here, whatever the result.
        if self.terminal.depth == Depth::Identify {
            return Ok(());
        }
        self.deliver(outcome.input().as_slice())
    }

    /// Lets a scan that waits for hours upload its events while it waits.
    fn send_events(&self) {
        if let Some(lookups) = &self.lookups {
            lookups.events();
        }
    }

    fn tell_of_store(&mut self, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        self.unstored.lost(&mut self.store).map_or(Ok(()), |failure| observer.event(ScanEvent::StoreLost(failure)))
    }

    fn tell_of_server(&self, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        self.server_events.try_iter().try_for_each(|event| observer.event(ScanEvent::Server(event)))
    }

    /// Uploads the remaining events, for some seconds; the next scan uploads the rest. The readings were already
    /// reported.
    fn finish(&mut self, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        self.unstored.lost(&mut self.store);
        self.store.retry_at_once();
        self.store()?;
        if let Some(lookups) = self.lookups.take() {
            if self.terminal.depth != Depth::Identify {
                lookups.events();
            }
            lookups.finish();
        }
        self.tell_of_server(observer)?;
        self.unstored.end()
    }

    /// Deletes what is older than the retention time, as a watch does; a scan that only asks for ids changes nothing.
    fn prune(&mut self) -> Result<(), Failure> {
        if self.terminal.depth == Depth::Identify {
            return Ok(());
        }
        let Some(before) = self.config.context.policy.kept_from(Timestamp::now()) else { return Ok(()) };
        if let Some(lookups) = &self.lookups {
            lookups.prune(before);
        }
        Ok(self.store.prune(before).map(drop)?)
    }

    fn deliver(&mut self, inputs: &[Input]) -> Result<(), Failure> {
        if !inputs.is_empty() {
            self.unstored.add(Timestamp::now(), inputs);
            self.store()?;
        }
        Ok(())
    }

    /// Stores waiting readings, if an attempt is due. Returns the time until the next attempt.
    fn retry(&mut self) -> Result<Option<Duration>, Failure> {
        if !self.unstored.is_empty() && self.store.retries_in().is_none_or(|left| left.is_zero()) {
            self.store()?;
            self.send_events();
        }
        Ok(self.store.retries_in().filter(|_| !self.unstored.is_empty()))
    }

    fn store(&mut self) -> Result<(), Failure> {
        self.has_news |= self.unstored.store(&mut self.store, &*self.config.context.policy)?;
        Ok(())
    }
}

/// A scan that waits for tokens.
struct WaitingScan<'a> {
    scan: &'a mut Scan,
    pool: ReaderPool,
    /// Cards that are present and have not answered: they are tried again automatically.
    unanswered: Unanswered,
    count: Option<usize>,
    wait: &'a dyn Fn() -> Option<Duration>,
    observer: &'a mut dyn ScanObserver,
    end: ScanEnd,
}

impl Handler for WaitingScan<'_> {
    fn wait(&mut self) -> Result<Wait, Failure> {
        let found = self.scan.tally.distinct.len();
        if self.count.is_some_and(|count| found >= count) || self.observer.is_closed() {
            return Ok(Wait::End);
        }
        self.observer.event(ScanEvent::Waiting { found })?;
        let now = Instant::now();
        for (reader, insertion) in self.unanswered.due(now) {
            self.pool.tap_again(&reader, insertion);
        }
        let due = self.unanswered.next().map(|due| due.saturating_duration_since(now));
        let dues = due.into_iter().chain(self.scan.retry()?);
        Ok((self.wait)().map_or(Wait::End, |left| Wait::AtMost(dues.fold(left, Duration::min))))
    }

    fn message(&mut self, message: Message) -> Result<ControlFlow<()>, Failure> {
        match message {
            Message::Reader(event) => {
                if matches!(event, ReaderEvent::ServiceLost) {
                    self.observer.event(ScanEvent::ServiceLost)?;
                }
                if let ReaderEvent::ServiceAway(error) = &event {
                    self.observer.event(ScanEvent::ServiceAway(error.clone().into()))?;
                }
                if let ReaderEvent::Available { reader, available: false } = &event
                    && self.scan.config.pool.readers.matches(reader)
                {
                    let tapped = Tapped::failed(LinkError::Unavailable.into());
                    self.tapped(Timestamp::now(), reader.clone(), Insertion::default(), tapped)?;
                }
                self.unanswered.note(&event);
                let effects = self.pool.handle(&event)?;
                self.tell_of_undecided(effects)?;
            }
            Message::Tap(ReaderReport::Tapped { reader, insertion, at, tapped }) => {
                self.tapped(at, reader, insertion, *tapped)?;
                self.scan.send_events();
            }
            Message::Tap(ReaderReport::Mute { reader, insertion }) => {
                let tapped = Tapped::failed(LinkError::CardMute.into());
                self.tapped(Timestamp::now(), reader, insertion, tapped)?;
            }
            Message::Stop => {
                self.end = ScanEnd::Stopped;
                return Ok(ControlFlow::Break(()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        let decided = self.pool.decide()?;
        self.tell_of_undecided(decided).map(ControlFlow::Continue)
    }
}

impl WaitingScan<'_> {
    /// Handles a finished tap: a card that did not answer is tried again while it stays, and reported once.
    fn tapped(&mut self, at: Timestamp, reader: String, insertion: Insertion, tapped: Tapped) -> Result<(), Failure> {
        let outcome = self.scan.decide(at, reader, insertion, tapped, self.observer)?;
        let is_news =
            self.unanswered.tapped(&outcome.reader, insertion, outcome.is_unanswered(), false, Instant::now());
        self.scan.admit(&outcome, is_news, self.observer)?;
        self.scan.tell_of_store(self.observer)
    }

    fn tell_of_undecided(&mut self, effects: Vec<PoolEffect>) -> Result<(), Failure> {
        for effect in effects {
            if let PoolEffect::Undecided { reader } = effect {
                self.observer.event(ScanEvent::Undecided { reader: &reader })?;
            }
        }
        Ok(())
    }
}

/// Taps each reader on its own thread, so that none waits for another.
fn tap_all(terminal: &TapTerminal, readers: Vec<ReaderState>) -> Result<Receiver<Finished>, Failure> {
    let (done, finished) = mpsc::channel();
    for reader in readers {
        let (terminal, done) = (terminal.clone(), done.clone());
        let work = move || {
            let (tapped, _) = terminal.tap(&reader.name);
            let _ = done.send(((terminal.clock)(), reader, tapped));
        };
        thread::Builder::new().name("reader".to_owned()).spawn(work).map_err(no_thread)?;
    }
    if terminal.depth == Depth::Authenticate {
        // OpenSSL needs half a millisecond for its first random number; spend that now, while cards are being
        // connected.
        let _ = random::bytes::<1>(&mut SystemRandom);
    }
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_token_what_can_be_no_token_counts_for_nothing() {
        let status = |failures: &[ExitClass], bystanders: &[ExitClass], succeeded| {
            let (failures, bystanders) = (failures.to_vec(), bystanders.to_vec());
            ScanTally { failures, bystanders, succeeded, distinct: HashSet::new() }.exit_status()
        };
        let mute = [ExitClass::CardLeft];
        assert_eq!(status(&[], &mute, 1), 0);
        assert_eq!(status(&[], &mute, 0), 74);
        assert_eq!(status(&mute, &[], 1), 1);
        assert_eq!(status(&[ExitClass::Refused], &mute, 0), 1);
        assert_eq!(status(&[], &[], 2), 0);
    }
}
