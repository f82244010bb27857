//! `rollcall watch`: stay, and keep the current user list true.

use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    inquiry::{self, LookupService},
    interrupt::Interrupt,
    json,
    outcome::account,
    printer::{Printer, form},
    renewal::{Fresh, Renewal},
    station::{self, Message, ReaderPool},
};
use crate::{
    config::Settings,
    failure::Failure,
    reader::{
        self, Insertion,
        monitor::{Monitor, ReaderEvent},
    },
    terminal::admission::TapOutcome,
    terminal::hooks::{HookReport, Hooks, How, Job},
    terminal::lookups::LookupOutcome,
    terminal::presence::{
        Event, Input, Policy, Presence,
        store::{TerminalStore, Wakeup},
    },
    terminal::tap::{Depth, TapError, terminal::Keys, worker::ReaderReport},
    token::TokenError,
};

/// How often the store is looked at without a ring.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// Runs the command until a signal ends it. Each event is given to `on_event`, or to the command of the configuration.
pub fn run(on_event: Option<&str>, settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    let (messages, inbox) = mpsc::channel();
    let renewal = Renewal::prepare(settings, messages.clone())?;
    let mut terminal = station::terminal(settings, Depth::Authenticate)?;
    let keys = terminal.keys.clone();
    let mut store = station::store(settings)?;
    let (lock, wakeup, events) = store.start_watch(Timestamp::now(), settings)?;
    let signal = {
        let messages = messages.clone();
        Interrupt::install(move || drop(messages.send(Message::Signal)))?
    };
    let tell = messages.clone();
    let inquiry = LookupService::start(settings, true, move |news| drop(tell.send(Message::Server(news))))?;
    terminal.nonces = inquiry.as_ref().map(LookupService::nonces);
    let hooks = start_hooks(on_event.or(settings.on_event.as_deref()), settings, &messages)?;
    let replies = messages.clone();
    out.begin::<json::EventView>()?;
    listen(wakeup, messages.clone())?;
    let mut watch = Watch {
        settings,
        store,
        out,
        insertions: HashMap::new(),
        applied: HashMap::new(),
        inquiry,
        replies,
        keys,
        renewal,
        strangers: Vec::new(),
        hooks,
    };
    watch.tell(events)?;
    watch.attached()?;
    let monitor = Monitor::start(station::teller(&messages)).map_err(station::no_thread)?;
    let mut station = ReaderPool::new(settings, terminal, messages, true);
    watch.until_ended(&inbox, &mut station)?;
    monitor.stop();
    drop(station);
    let events = watch.store.stop_watch(lock, Timestamp::now(), settings)?;
    watch.tell(events)?;
    watch.end_hooks(&inbox);
    if let Some(inquiry) = watch.inquiry.take() {
        inquiry.finish();
    }
    Ok(signal.exit_status().unwrap_or_default())
}

fn start_hooks(
    command: Option<&str>,
    settings: &Settings,
    messages: &Sender<Message>,
) -> Result<Option<Hooks>, Failure> {
    let messages = messages.clone();
    let tell = move |news| drop(messages.send(Message::Hook(news)));
    command.map(|command| Hooks::start(command, settings.limits.hook, tell)).transpose().map_err(station::no_thread)
}

/// Waits for calls on a thread of its own.
fn listen(wakeup: Wakeup, messages: Sender<Message>) -> Result<(), Failure> {
    let wait = move || {
        while let Ok(waiter) = wakeup.wait() {
            if messages.send(Message::Woken(waiter)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("wakeup".to_owned()).spawn(wait).map_err(station::no_thread).map(drop)
}

struct Watch<'a> {
    settings: &'a Settings,
    store: TerminalStore,
    out: &'a mut Printer,
    /// The insertion that lies on each reader now: a tap that ends after the card was lifted counts for nothing.
    insertions: HashMap<String, Insertion>,
    /// The newest insertion of each reader that the list was told of.
    applied: HashMap<String, Insertion>,
    /// The server, where there is one.
    inquiry: Option<LookupService>,
    /// Where its answers come in.
    replies: Sender<Message>,
    /// The keys of the taps, and what keeps their certificates fresh.
    keys: Keys,
    renewal: Renewal,
    /// Taps of tokens that know another CA than the one that was loaded, while the one here has become another.
    strangers: Vec<ReaderReport>,
    /// The command that events are given to.
    hooks: Option<Hooks>,
}

impl Watch<'_> {
    /// Tells the list which readers are there, so that those unplugged while nobody watched are told.
    fn attached(&mut self) -> Result<(), Failure> {
        match reader::pcsc::list() {
            Ok(readers) => {
                let names = readers.into_iter().map(|r| r.name).filter(|name| self.settings.readers.matches(name));
                self.apply(&Input::Readers { attached: names.collect() })
            }
            // The monitor tells of a service that is not there, and of its return.
            Err(_) => Ok(()),
        }
    }

    /// Until a signal comes, or nobody reads what is told any more.
    fn until_ended(&mut self, inbox: &Receiver<Message>, station: &mut ReaderPool<'_>) -> Result<(), Failure> {
        loop {
            self.renewal.look(Timestamp::now())?;
            match self.next(inbox)? {
                _ if self.out.is_closed() => return Ok(()),
                Some(Message::Signal) => return Ok(()),
                Some(message) => self.handle(message, station)?,
                None => {
                    self.apply(&Input::Tick)?;
                    let events = self.store.catch_up(Timestamp::now(), self.settings)?;
                    self.tell(events)?;
                }
            }
        }
    }

    /// The next message, or nothing when time ends an entry or the slow tick is due.
    fn next(&mut self, inbox: &Receiver<Message>) -> Result<Option<Message>, Failure> {
        let now = Timestamp::now();
        let wait = match self.store.next_deadline()? {
            Some(deadline) => Duration::try_from(deadline.duration_since(now)).unwrap_or_default().min(SLOW_TICK),
            None => SLOW_TICK,
        };
        match inbox.recv_timeout(wait) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(Message::Signal)),
        }
    }

    fn handle(&mut self, message: Message, station: &mut ReaderPool<'_>) -> Result<(), Failure> {
        match message {
            Message::Reader(event) => {
                self.note(&event);
                match station.reader(&event)? {
                    Some(input) => self.apply(&input),
                    None => Ok(()),
                }
            }
            Message::Worker(report @ ReaderReport::Tapped { .. }) if self.is_too_early(&report) => {
                self.strangers.push(report);
                // With the keys of now, where they are those already.
                if self.renewal.is_behind() || self.renewal.is_asking() {
                    return Ok(());
                }
                self.strangers_again(true, station)
            }
            Message::Worker(report @ ReaderReport::Tapped { .. }) => self.ask(report),
            Message::LookupOutcome { report, answered } => self.judge(report, Some(&answered)),
            Message::Server(news) => {
                inquiry::tell(&news, self.out);
                Ok(())
            }
            Message::Renewed(done) => {
                let fresh = done.is_ok();
                self.renewed(*done);
                self.strangers_again(fresh, station)
            }
            Message::Hook(news) => {
                self.tell_of_hook(&news);
                Ok(())
            }
            Message::Worker(ReaderReport::Alive { reader, token_id }) => self.apply(&Input::Seen { reader, token_id }),
            Message::Woken(_ring) => {
                let events = self.store.catch_up(Timestamp::now(), self.settings)?;
                self.tell(events)
            }
            Message::Signal => Ok(()),
        }
    }

    /// A token that was moved to the new CA before this terminal has read it is no stranger: the rotation is seen here, and
    /// read on another thread.
    fn is_too_early(&mut self, report: &ReaderReport) -> bool {
        let ReaderReport::Tapped { tapped, .. } = report else { return false };
        let stranger = matches!(tapped.result, Err(TapError::Token(TokenError::OtherAuthority)));
        let renewal = &mut self.renewal;
        stranger && (renewal.is_behind() || renewal.has_just_read() || renewal.ask_about_stranger())
    }

    /// They are tapped once more with what was read, or are strangers after all.
    fn strangers_again(&mut self, fresh: bool, station: &ReaderPool<'_>) -> Result<(), Failure> {
        for report in std::mem::take(&mut self.strangers) {
            match &report {
                ReaderReport::Tapped { reader, insertion, .. } if fresh => station.again(reader, *insertion),
                _ => self.judge(report, None)?,
            }
        }
        Ok(())
    }

    /// Tokens and server see the fresh certificates from now on; who has none yet goes on with the old ones.
    fn renewed(&mut self, done: Result<Fresh, Failure>) {
        self.renewal.done(&done);
        match done {
            Ok(fresh) => {
                self.keys.exchange(fresh.credentials);
                if let (Some(inquiry), Some(server)) = (&self.inquiry, fresh.server) {
                    inquiry.reconnect(server);
                }
                self.out.note(&format!("this terminal's certificates are renewed, and end at {}", fresh.end));
            }
            Err(failure) => {
                let end = self.renewal.end();
                let text = format!("this terminal's certificates end at {end} and were not renewed: {failure}");
                self.out.warning(&text, failure.hint.as_deref());
            }
        }
    }

    /// The server is asked about a token that has proved who it is; the readers go on meanwhile.
    fn ask(&mut self, report: ReaderReport) -> Result<(), Failure> {
        let question = match &report {
            ReaderReport::Tapped { tapped, .. } => inquiry::question(tapped),
            ReaderReport::Alive { .. } => None,
        };
        let (Some(inquiry), Some(question)) = (&self.inquiry, question) else { return self.judge(report, None) };
        let replies = self.replies.clone();
        inquiry.ask(question, move |answered| {
            let _ = replies.send(Message::LookupOutcome { report, answered: Box::new(answered) });
        });
        Ok(())
    }

    fn judge(&mut self, report: ReaderReport, answered: Option<&LookupOutcome>) -> Result<(), Failure> {
        let ReaderReport::Tapped { reader, insertion, at, tapped } = report else { return Ok(()) };
        let lies_there = self.insertions.get(&reader) == Some(&insertion);
        let newer = self.applied.get(&reader).is_some_and(|applied| *applied > insertion);
        let said = answered.zip(self.inquiry.as_ref().map(|inquiry| &inquiry.rules));
        let outcome = TapOutcome::of(&mut self.store, at, reader.clone(), insertion, *tapped, said)?;
        if let Some(warning) = outcome.decision.warning() {
            self.out.warning(&format!("{reader}: {warning}"), None);
        }
        self.out.detail(&account(&outcome));
        let stays = self.settings.presence(&reader) == Presence::Field;
        match outcome.input() {
            Some(input) if lies_there => {
                self.applied.insert(reader, insertion);
                self.apply(&input)
            }
            // Where a tap enters, it counts also when the card was gone before the server had answered.
            Some(input @ Input::Tap(_)) if !stays && !newer => {
                self.applied.insert(reader.clone(), insertion);
                self.apply(&input)?;
                self.apply(&Input::Lifted { reader })
            }
            _ => {
                self.broken(&outcome);
                Ok(())
            }
        }
    }

    fn note(&mut self, event: &ReaderEvent) {
        match event {
            ReaderEvent::CardInserted { reader, insertion, .. } | ReaderEvent::CardMute { reader, insertion } => {
                self.insertions.insert(reader.clone(), *insertion);
            }
            ReaderEvent::CardRemoved { reader } | ReaderEvent::ReaderRemoved { reader } => {
                self.insertions.remove(reader);
            }
            ReaderEvent::ServiceLost => self.insertions.clear(),
            _ => {}
        }
    }

    /// An exchange that broke is no event, but whoever stands there wants to know.
    fn broken(&mut self, outcome: &TapOutcome) {
        if let Some(failure) = outcome.failure() {
            self.out.warning(&format!("{}: {}", outcome.reader, failure.message), failure.hint.as_deref());
        }
    }

    fn apply(&mut self, input: &Input) -> Result<(), Failure> {
        let events = self.store.apply(input, Timestamp::now(), self.settings)?;
        self.tell(events)
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        if let Some(inquiry) = self.inquiry.as_ref().filter(|_| !events.is_empty()) {
            inquiry.events();
        }
        events.into_iter().try_for_each(|event| {
            let seq = event.seq;
            let object = json::EventView::from(event);
            self.out.item(&object)?;
            let Some(hooks) = &mut self.hooks else { return Ok(()) };
            let news = hooks.give(Job { seq, json: form::json(&object)? });
            if let Some(news) = news {
                self.tell_of_hook(&news);
            }
            Ok(())
        })
    }

    /// The last runs, and what came of them.
    fn end_hooks(&mut self, inbox: &Receiver<Message>) {
        let missed = self.hooks.take().and_then(|mut hooks| hooks.finish());
        let told = inbox.try_iter().filter_map(|message| match message {
            Message::Hook(news) => Some(news),
            _ => None,
        });
        told.chain(missed).for_each(|news| self.tell_of_hook(&news));
    }

    fn tell_of_hook(&mut self, news: &HookReport) {
        let text = match news {
            HookReport::Failed { seq, how, said } => {
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                format!("the command for events, at event {seq}: {}{said}", manner(how))
            }
            HookReport::Full { seq } => {
                format!("the command for events is too slow: event {seq} and what comes until it catches up get no run")
            }
            HookReport::Missed(count) => {
                return self.out.note(&format!("{count} events got no run of the command for events"));
            }
        };
        self.out.warning(&text, None);
    }
}

fn manner(how: &How) -> String {
    match how {
        How::NotStarted(error) => format!("it could not be started: {error}"),
        How::Status(status) => format!("exit status {status}"),
        How::Signal(signal) => format!("it was ended by signal {signal}"),
        How::Late => "it took too long and was ended".to_owned(),
        How::Ended => "it was ended, because watch ends".to_owned(),
    }
}
