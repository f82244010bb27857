//! A terminal that runs continuously: taps cards as they come, keeps the list of present users up to date, and reports
//! events.

mod attached;
mod flapping;
mod observer;
mod silence;
mod taps;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use uuid::Uuid;

use self::flapping::Flapping;
pub use self::observer::{TapEffect, WatchEvent, WatchObserver};
use crate::{
    failure::Failure,
    reader::{Insertion, ReaderError, monitor::ReaderEvent},
    server_client::ServerClient,
    terminal::{
        admission::Rules,
        context::{RenewedCertificates, TerminalContext},
        event_loop::{EventLoop, Handler, Mailbox, Message, Stopper, Wait},
        evictions::Evictions,
        hooks::{Hooks, Job},
        lookups::{LookupService, ServerEvent},
        presence::{
            Event, EventKind, Input, PresenceList,
            store::{StoreNotice, TerminalStore, Wakeup, WatchLock},
        },
        reader_pool::{PoolEffect, PoolPolicy, ReaderPool},
        renewal::{Renewal, RenewalEffect},
        tap::{
            Depth, ResumptionCache,
            tap_terminal::{Keys, ReaderResumption, TapTerminal},
            worker::ReaderReport,
        },
        thread::no_thread,
        unanswered::Unanswered,
    },
};

/// How often data past the retention time are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How often the store is checked without a wake-up.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// The command that is run for each event.
pub struct HookCommand {
    /// The text of one `sh -c`.
    pub command: String,
    /// The time limit of one run.
    pub limit: Duration,
    /// Formats the event object for a run, on one line.
    pub object: fn(&Event) -> Result<String, Failure>,
}

/// The configuration of a watch.
pub struct WatchConfig {
    /// This terminal.
    pub context: TerminalContext,
    /// The selected readers.
    pub pool: PoolPolicy,
    /// The time limit of one tap.
    pub tap: Duration,
    /// The rules for applying the server's answers.
    pub rules: Rules,
    /// The command that is run for each event.
    pub hook: Option<HookCommand>,
    /// Whether the observer may want portraits: then cards are held until that is clear.
    pub portraits: bool,
    /// How channels are resumed; `None` for never.
    pub resumption: Option<ReaderResumption>,
}

/// A watch that has locked the store, but taps nothing yet.
pub struct Watch {
    config: WatchConfig,
    events: EventLoop,
    terminal: TapTerminal,
    renewal: Renewal,
    store: TerminalStore,
    lock: WatchLock,
    wakeup: Option<Wakeup>,
    /// The events that happened while no watch was running.
    missed: Vec<Event>,
    lookups: Option<LookupService>,
    hooks: Option<Hooks>,
}

impl Watch {
    /// Loads the keys and locks the store, which only one watch may do at a time.
    ///
    /// # Errors
    /// When the keys or the store cannot be loaded: `pki.…`, `store.…`; `watch.already-running`.
    pub fn open(config: WatchConfig) -> Result<Self, Failure> {
        let events = EventLoop::new();
        let tell = events.mailbox().forward(|done| Message::Renewed(Box::new(done)));
        let renewal = Renewal::prepare(config.context.clone(), tell)?;
        let mut terminal = TapTerminal::open(&config.context, config.tap, Depth::Authenticate)?;
        terminal.portraits = config.portraits;
        terminal.resumption.clone_from(&config.resumption);
        let mut store = config.context.store()?;
        let (lock, wakeup, missed) = store.start_watch(Timestamp::now(), &*config.context.policy)?;
        // Identifying readers may require their drivers, so it is not done inside a store transaction. What cannot be
        // read now is deleted by the next watch.
        let unbounded = |reader: &String| config.context.policy.max_extra(reader).is_none();
        let unbounded: Vec<_> = store.heartbeat_readers().unwrap_or_default().into_iter().filter(unbounded).collect();
        store.forget_heartbeats(&unbounded)?;
        Ok(Self { config, events, terminal, renewal, store, lock, wakeup, missed, lookups: None, hooks: None })
    }

    /// The list before the watch runs, including the missed events.
    ///
    /// # Errors
    /// The error of the store.
    pub fn list(&mut self) -> Result<&PresenceList, Failure> {
        Ok(self.store.list()?)
    }

    /// Stops the watch in an orderly way.
    pub fn stopper(&self) -> Stopper {
        self.events.stopper()
    }

    /// Starts lookups at the server, if there is one, and the command for events.
    ///
    /// # Errors
    /// As [`LookupService::start`]; `system.no-thread`.
    pub fn connect(&mut self, server: Option<ServerClient>) -> Result<(), Failure> {
        if let Some(server) = server {
            let tell = self.events.mailbox().forward(Message::Server);
            let lookups = LookupService::start(server, &self.config.context, true, tell)?;
            self.terminal.nonces = Some(lookups.nonces());
            self.lookups = Some(lookups);
        }
        if let Some(hook) = &self.config.hook {
            let tell = self.events.mailbox().forward(Message::Hook);
            self.hooks = Some(Hooks::start(&hook.command, hook.limit, tell).map_err(no_thread)?);
        }
        Ok(())
    }

    /// Runs until it is stopped, or the observer's output is closed.
    ///
    /// # Errors
    /// The error of the store; `system.no-thread`; errors of the observer. A card that is not admitted is an event.
    pub fn run(self, observer: &mut dyn WatchObserver) -> Result<(), Failure> {
        let tell = self.events.mailbox().forward(Message::Tap);
        let pool = ReaderPool::new(self.config.pool.clone(), self.terminal.clone(), tell);
        let (mut run, mut events, WatchHold { lock, wakeup, missed }) = self.begin(pool, observer);
        wakeup.map_or(Ok(()), |wakeup| events.watch_store(wakeup))?;
        run.publish(missed)?;
        run.attached()?;
        events.watch_readers()?;
        events.run(&mut run)?;
        run.end(lock, &events)
    }

    fn begin(self, pool: ReaderPool, observer: &mut dyn WatchObserver) -> (WatchRun<'_>, EventLoop, WatchHold) {
        let Self { config, events, terminal, renewal, store, lock, wakeup, missed, lookups, hooks } = self;
        let run = WatchRun {
            config,
            store,
            observer,
            pool,
            applied: HashMap::new(),
            unanswered: Unanswered::default(),
            service_hangs: false,
            hung_at_start: false,
            flapping: Flapping::default(),
            evictions: Evictions::default(),
            prune_at: Instant::now(),
            lookups,
            replies: events.mailbox(),
            keys: terminal.keys,
            renewal,
            unknown_ca_taps: Vec::new(),
            hooks,
            clock: terminal.clock,
            resumption: terminal.resumption.map(|resumption| resumption.cache),
        };
        (run, events, WatchHold { lock, wakeup, missed })
    }
}

/// The reader and token of an event by which a token arrived or was confirmed.
fn came(event: &Event) -> Option<(String, Uuid)> {
    let lies_there = matches!(event.event, EventKind::Arrived | EventKind::Confirmed);
    lies_there.then(|| Some((event.reader.clone()?, event.token_id?))).flatten()
}

/// What a watch holds outside of its run.
struct WatchHold {
    lock: WatchLock,
    wakeup: Option<Wakeup>,
    missed: Vec<Event>,
}

struct WatchRun<'a> {
    config: WatchConfig,
    store: TerminalStore,
    observer: &'a mut dyn WatchObserver,
    pool: ReaderPool,
    /// The newest insertion of each reader that was applied to the list.
    applied: HashMap<String, Insertion>,
    /// The cards in the readers, and those that did not answer: a tap that ends after its card was removed does not
    /// count.
    unanswered: Unanswered,
    /// The service hangs, according to its last report: the cards may well still be there.
    service_hangs: bool,
    /// It hung when the readers were first listed, and they have not been compared since.
    hung_at_start: bool,
    /// Detects cards that come and go.
    flapping: Flapping,
    /// Detects tokens that lose their keys for the fast tap.
    evictions: Evictions,
    /// When expired data are deleted next.
    prune_at: Instant,
    /// The lookups at the server, if there is one.
    lookups: Option<LookupService>,
    /// Receives the server's answers.
    replies: Mailbox,
    /// The keys for taps, and the renewal of their certificates.
    keys: Keys,
    renewal: Renewal,
    /// Taps of tokens under an unknown CA, held while this terminal's CA may be changing.
    unknown_ca_taps: Vec<ReaderReport>,
    /// The runs of the command for events.
    hooks: Option<Hooks>,
    /// The clock.
    clock: fn() -> Timestamp,
    /// The keys of full taps; `None` if nothing is resumed.
    resumption: Option<ResumptionCache>,
}

impl Handler for WatchRun<'_> {
    /// Waits until an entry ends or becomes unconfirmed, a card is to be tried again, or the slow tick is due.
    fn wait(&mut self) -> Result<Wait, Failure> {
        self.renewal.tick()?;
        let now = (self.clock)();
        self.keep_at_hanging(now)?;
        let doubt = self.doubt_silent(now)?;
        self.prune(now)?;
        self.report_store()?;
        self.observer.pause();
        let deadline = doubt.into_iter().chain(self.store.next_deadline()?).min();
        let by_clock = deadline.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        let again = self.ask_again(Instant::now());
        let write = self.store.retries_in();
        Ok(Wait::AtMost(by_clock.into_iter().chain(again).chain(write).fold(SLOW_TICK, Duration::min)))
    }

    fn message(&mut self, message: Message) -> Result<ControlFlow<()>, Failure> {
        if self.observer.is_closed() || matches!(message, Message::Stop) {
            return Ok(ControlFlow::Break(()));
        }
        self.handle(message).map(ControlFlow::Continue)
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        if self.observer.is_closed() {
            return Ok(ControlFlow::Break(()));
        }
        let decided = self.pool.decide()?;
        self.follow(decided)?;
        self.keep_at_hanging((self.clock)())?;
        self.apply(&Input::Tick)?;
        self.catch_up().map(ControlFlow::Continue)
    }
}

impl WatchRun<'_> {
    fn handle(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Reader(ReaderEvent::ServiceAway(error)) => {
                self.service_hangs = error == ReaderError::ServiceHangs;
                self.observer.event(WatchEvent::ServiceAway(error.into()))
            }
            Message::Reader(event) => {
                self.service_hangs = false;
                if event == ReaderEvent::ServiceBack && std::mem::take(&mut self.hung_at_start) {
                    self.attached()?;
                }
                self.note(&event)?;
                let effects = self.pool.handle(&event)?;
                self.follow(effects)
            }
            Message::Tap(ReaderReport::Alive { reader, token_id }) => {
                self.unanswered.over(&reader);
                self.apply(&Input::Seen { reader, token_id })
            }
            Message::Tap(ReaderReport::Mute { reader, insertion }) => {
                if self.unanswered.lying(&reader) != Some(insertion) {
                    return Ok(());
                }
                self.fails(&reader, insertion)?;
                self.apply(&ReaderPool::mute(reader, insertion))
            }
            Message::Tap(ReaderReport::Portrait { token_id, portrait }) => {
                self.observer.event(WatchEvent::Portrait(token_id, portrait))
            }
            Message::Tap(report) => self.tapped(report),
            Message::LookupOutcome { report, answered } => self.admit(report, Some(&answered)),
            Message::Server(ServerEvent::NotActive(ids)) => self.bar(&ids),
            Message::Server(event) => self.observer.event(WatchEvent::Server(event)),
            Message::Renewed(done) => self.renewed(*done),
            Message::Hook(report) => self.observer.event(WatchEvent::Hook(report)),
            Message::Woken(_waiter) => self.catch_up(),
            Message::Signalled { reader, insertion } => {
                self.pool.portrait(&reader, insertion);
                Ok(())
            }
            Message::Work(never) => match never {},
            Message::Stop => Ok(()),
        }
    }

    /// Removes those from the list whom the server no longer admits.
    fn bar(&mut self, ids: &[Uuid]) -> Result<(), Failure> {
        if let Some(cache) = &self.resumption {
            for token_id in ids {
                cache.forget(*token_id);
            }
        }
        let here: Vec<_> = self.store.entries()?.into_iter().map(|entry| entry.token_id).collect();
        let mut barred = here.into_iter().filter(|token_id| ids.contains(token_id));
        barred.try_for_each(|token_id| self.apply(&Input::Barred { token_id }))
    }

    /// Switches taps and lookups to the renewed certificates; after a failure, the old ones stay in use.
    fn renewed(&mut self, done: Result<RenewedCertificates, Failure>) -> Result<(), Failure> {
        let effect = self.renewal.ended(done.as_ref().ok().map(|fresh| fresh.time));
        match done {
            Ok(fresh) => {
                self.keys.exchange(fresh.credentials);
                if let Some(cache) = &self.resumption {
                    cache.clear();
                }
                if let (Some(lookups), Some(server)) = (&self.lookups, fresh.server) {
                    lookups.reconnect(server);
                }
                self.observer.event(WatchEvent::Renewed(fresh.time.end))?;
            }
            Err(failure) => self.observer.event(WatchEvent::NotRenewed(self.renewal.end(), failure))?,
        }
        self.release(effect == RenewalEffect::RetapHeld)
    }

    fn follow(&mut self, effects: Vec<PoolEffect>) -> Result<(), Failure> {
        effects.into_iter().try_for_each(|effect| match effect {
            PoolEffect::Input(input) => self.apply(&input),
            PoolEffect::Undecided { reader } => self.observer.event(WatchEvent::Undecided { reader }),
        })
    }

    fn note(&mut self, event: &ReaderEvent) -> Result<(), Failure> {
        self.unanswered.note(event);
        match event {
            ReaderEvent::CardInserted { reader, .. } | ReaderEvent::CardMute { reader, .. } => {
                if let Some(failure) = self.flapping.inserted(reader, Instant::now()) {
                    self.observer.event(WatchEvent::Flapping(failure))?;
                }
            }
            ReaderEvent::ReaderRemoved { reader } | ReaderEvent::Available { reader, available: false } => {
                self.flapping.over(reader);
            }
            _ => {}
        }
        Ok(())
    }

    /// Deletes what is older than the retention time.
    fn prune(&mut self, now: Timestamp) -> Result<(), Failure> {
        let due = Instant::now() >= self.prune_at;
        let Some(before) = self.config.context.policy.kept_from(now).filter(|_| due) else { return Ok(()) };
        self.prune_at = Instant::now() + PRUNE_EVERY;
        if let Some(lookups) = &self.lookups {
            lookups.prune(before);
        }
        Ok(self.store.prune(before).map(drop)?)
    }

    /// Reports changes in the state of the store. Events written only now are uploaded.
    fn report_store(&mut self) -> Result<(), Failure> {
        self.store.notices().into_iter().try_for_each(|notice| {
            if let (StoreNotice::Back { .. }, Some(lookups)) = (&notice, &self.lookups) {
                lookups.events();
            }
            self.observer.event(WatchEvent::Store(notice))
        })
    }

    fn apply(&mut self, input: &Input) -> Result<(), Failure> {
        let events = self.store.apply(input, (self.clock)(), &*self.config.context.policy)?;
        self.publish(events)
    }

    /// Applies what other processes have left in the store.
    fn catch_up(&mut self) -> Result<(), Failure> {
        let events = self.store.catch_up((self.clock)(), &*self.config.context.policy)?;
        if let Some(cache) = &self.resumption {
            let list = self.store.list()?;
            cache.prune(self.clock, |id| list.is_denied(id));
        }
        self.publish(events)
    }

    /// Sends events to the server, the observer and the command.
    fn publish(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        if let Some(lookups) = self.lookups.as_ref().filter(|_| !events.is_empty()) {
            lookups.events();
        }
        events.into_iter().try_for_each(|event| {
            let object = self.config.hook.as_ref().map(|hook| (hook.object)(&event)).transpose()?;
            let (seq, came) = (event.seq, came(&event));
            self.observer.event(WatchEvent::Presence(event))?;
            if let Some((reader, _)) = came.filter(|(_, token_id)| self.observer.wants_portrait(*token_id))
                && let Some(insertion) = self.applied.get(&reader).copied()
            {
                let (replies, at) = (self.replies.clone(), reader.clone());
                let then = move || {
                    // If the loop has ended, nobody needs the message.
                    replies.send(Message::Signalled { reader: at, insertion });
                };
                if !self.observer.after_signal(&reader, Box::new(then)) {
                    self.pool.portrait(&reader, insertion);
                }
            }
            let (Some(hooks), Some(json)) = (&mut self.hooks, object) else { return Ok(()) };
            hooks.give(Job { seq, json }).map_or(Ok(()), |report| self.observer.event(WatchEvent::Hook(report)))
        })
    }

    /// Ends in an orderly way: the list stays as it is, and the last runs of the command are awaited.
    fn end(mut self, lock: WatchLock, events: &EventLoop) -> Result<(), Failure> {
        let lost = match self.store.stop_watch(lock, (self.clock)(), &*self.config.context.policy) {
            Ok(last) => self.publish(last).map(|()| None)?,
            Err(error) => Some(error.with_lost(self.store.unwritten())),
        };
        self.report_store()?;
        let missed = self.hooks.take().and_then(|mut hooks| hooks.finish());
        let reports = events.pending().filter_map(|message| match message {
            Message::Hook(report) => Some(report),
            _ => None,
        });
        let mut reports = reports.chain(missed);
        reports.try_for_each(|report| self.observer.event(WatchEvent::Hook(report)))?;
        if let Some(lookups) = self.lookups.take() {
            lookups.finish();
        }
        lost.map_or(Ok(()), Err)
    }
}
