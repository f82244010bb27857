//! A scan: taps what lies on the readers now, or waits for tokens until there are enough, and notes who is here.

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

/// What happens in a scan.
#[derive(Debug)]
pub enum ScanEvent<'a> {
    /// The readers are about to be looked at.
    Begun,
    /// A scan that waits has read so many different tokens.
    Waiting {
        /// How many.
        found: usize,
    },
    /// Nobody can say of this reader whether it is meant, until its driver is asked again: it is left out.
    Undecided {
        /// Its name.
        reader: &'a str,
    },
    /// What is read cannot be stored; a scan that waits goes on, and stores it once it can.
    StoreLost(&'a Failure),
    /// The PC/SC service is away; a scan that waits goes on once it is back.
    ServiceLost,
    /// It is still away, for another reason.
    ServiceAway(Failure),
    /// Something happened to the server.
    Server(ServerEvent),
    /// A tap has ended; [`ScanEvent::Outcome`] follows, unless it is a token that was read before.
    Tap(&'a TapOutcome),
    /// A card that failed, or a token that was not read before.
    Outcome(&'a TapOutcome),
}

/// Who is told of a scan.
pub trait ScanObserver {
    /// Something happened.
    ///
    /// # Errors
    /// What keeps the observer from telling it: it ends the scan.
    fn event(&mut self, event: ScanEvent<'_>) -> Result<(), Failure>;

    /// Whether nobody hears it any more: then a scan that waits ends.
    fn is_closed(&self) -> bool;
}

/// What a scan is to do.
pub struct ScanConfig {
    /// This terminal.
    pub context: TerminalContext,
    /// The readers that are meant.
    pub pool: PoolPolicy,
    /// Whose word about a user counts.
    pub rules: Rules,
}

/// What a scan has read.
#[derive(Debug, Default)]
pub struct ScanTally {
    /// The class of each failure.
    pub failures: Vec<ExitClass>,
    /// The class of each failure of what can be no token, and may lie there for ever.
    pub bystanders: Vec<ExitClass>,
    /// Taps that did not fail.
    pub succeeded: usize,
    /// Every token that was authenticated, in this run or in the one that it resumes.
    pub distinct: HashSet<Uuid>,
}

impl ScanTally {
    /// The exit status of a scan that took what lay there. Beside a token that was read, what can be no token counts for
    /// nothing.
    pub fn exit_status(&self) -> u8 {
        let bystanders = if self.succeeded == 0 { self.bystanders.as_slice() } else { &[] };
        summary(&[&self.failures, bystanders].concat(), self.succeeded)
    }
}

/// How a scan that waited ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// It has enough, its time is over, or nobody hears it any more.
    Over,
    /// Somebody stopped it.
    Stopped,
}

/// A scan that has begun to ask the server, and has tapped nothing yet.
pub struct Scan {
    config: ScanConfig,
    terminal: TapTerminal,
    store: TerminalStore,
    unstored: Unstored,
    lookups: Option<LookupService>,
    server_events: Receiver<ServerEvent>,
    tally: ScanTally,
    /// Whether events were written that the server has to hear of.
    has_news: bool,
}

type Finished = (Timestamp, ReaderState, Tapped);

impl Scan {
    /// Opens the store, and begins to ask the server, where there is one.
    ///
    /// # Errors
    /// That of the store, and of [`LookupService::start`].
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

    /// Tokens that were read in a run before count, and are not told again.
    pub fn resume(&mut self, distinct: HashSet<Uuid>) {
        self.tally.distinct = distinct;
    }

    /// What was read.
    pub const fn tally(&self) -> &ScanTally {
        &self.tally
    }

    /// Takes the readers with a card now, side by side; each outcome is told as soon as it is there.
    ///
    /// # Errors
    /// `scan.nobody` when no card is there, or that of a reader that was named and is not there; `pcsc.…` when the
    /// service does not answer; that of the store; `system.no-thread`; what the observer answers. A card that is not
    /// let in is an event, and so is a store that cannot be written before the others are read: its failure comes last.
    pub fn now(&mut self, observer: &mut dyn ScanObserver) -> Result<(), Failure> {
        self.prune()?;
        let readers = reader::reachable(reader::pcsc::list()?);
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
            // A name that fits no reader is why nobody is there.
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

    /// Waits until so many different tokens were authenticated, or `wait` says that it is over.
    ///
    /// # Errors
    /// That of the store; `system.no-thread`; what the observer answers. A card that is not let in is an event.
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

    /// Asks the server where there is one; the readers go on meanwhile, each on its own thread.
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

    /// Tells of it, and notes who is here. What is no news is the same failure of the same card.
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
        // A card that was only asked for its id says nothing about who is here, however that ended.
        if self.terminal.depth == Depth::Identify {
            return Ok(());
        }
        self.deliver(outcome.input().as_slice())
    }

    /// A scan that waits for hours tells the server of who comes while it waits.
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

    /// What has happened here goes to the server, within seconds, and what does not with the next scan: what was read is told
    /// already.
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

    /// Removes what is older than the configuration keeps it, as a watch does; a scan that only asks for ids changes nothing.
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

    /// Stores what waits, if that is due. Says how long it is until it is to be tried again.
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
    /// What lies there and has not answered: it is asked again by itself.
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
    /// A tap has ended: the same card is asked again where it lies there and has not answered, and that is told once.
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

/// One thread for each reader, so that none waits for another.
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
        // OpenSSL takes half a millisecond before it gives its first number: now, while cards are connected.
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
