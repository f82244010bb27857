//! `rollcall watch`: stay, and keep the current user list true.

use std::{
    collections::HashMap,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    interrupt::Interrupt,
    json,
    outcome::Outcome,
    printer::Printer,
    station::{self, Message, Station},
};
use crate::{
    config::Settings,
    failure::Failure,
    reader::{
        self,
        monitor::{Event as ReaderEvent, Monitor},
    },
    roster::{
        Event, Input,
        store::{Bell, Store},
    },
    tap::{Depth, worker::Report},
};

/// How often the store is looked at without a ring.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// Runs the command until a signal ends it.
pub fn run(settings: &Settings, out: &mut Printer) -> Result<u8, Failure> {
    station::require_source(settings)?;
    let terminal = station::terminal(settings, Depth::Authenticate)?;
    station::warn_of_end(&terminal, out);
    let mut store = station::store(settings)?;
    let (lock, bell, events) = store.start_watch(Timestamp::now(), settings)?;
    let (messages, inbox) = mpsc::channel();
    let signal = {
        let messages = messages.clone();
        Interrupt::install(move || drop(messages.send(Message::Signal)))?
    };
    out.begin::<json::Event>()?;
    listen(bell, messages.clone())?;
    let mut watch = Watch { settings, store, out, insertions: HashMap::new() };
    watch.tell(events)?;
    watch.attached()?;
    let monitor = Monitor::start(station::teller(&messages)).map_err(station::no_thread)?;
    let mut station = Station::new(settings, terminal, messages, true);
    watch.until_ended(&inbox, &mut station)?;
    monitor.stop();
    drop(station);
    let events = watch.store.stop_watch(lock, Timestamp::now(), settings)?;
    watch.tell(events)?;
    Ok(signal.exit_status().unwrap_or_default())
}

/// Waits for the bell on a thread of its own.
fn listen(bell: Bell, messages: Sender<Message>) -> Result<(), Failure> {
    let wait = move || {
        while let Ok(ring) = bell.wait() {
            if messages.send(Message::Rung(ring)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("bell".to_owned()).spawn(wait).map_err(station::no_thread).map(drop)
}

struct Watch<'a> {
    settings: &'a Settings,
    store: Store,
    out: &'a mut Printer,
    /// The insertion that lies on each reader now: a tap that ends after the card was lifted counts for nothing.
    insertions: HashMap<String, u64>,
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
    fn until_ended(&mut self, inbox: &Receiver<Message>, station: &mut Station<'_>) -> Result<(), Failure> {
        loop {
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

    fn handle(&mut self, message: Message, station: &mut Station<'_>) -> Result<(), Failure> {
        match message {
            Message::Reader(event) => {
                self.note(&event);
                match station.reader(&event)? {
                    Some(input) => self.apply(&input),
                    None => Ok(()),
                }
            }
            Message::Worker(Report::Tapped { reader, insertion, at, tapped }) => {
                let lies_there = self.insertions.get(&reader) == Some(&insertion);
                let outcome = Outcome::judge(&mut self.store, at, reader, insertion, *tapped)?;
                if let Some(input) = outcome.input().filter(|_| lies_there) {
                    return self.apply(&input);
                }
                self.broken(&outcome);
                Ok(())
            }
            Message::Worker(Report::Alive { reader, token_id }) => self.apply(&Input::Seen { reader, token_id }),
            Message::Rung(_ring) => {
                let events = self.store.catch_up(Timestamp::now(), self.settings)?;
                self.tell(events)
            }
            Message::Signal => Ok(()),
        }
    }

    fn note(&mut self, event: &ReaderEvent) {
        match event {
            ReaderEvent::CardInserted { reader, generation, .. } | ReaderEvent::CardMute { reader, generation } => {
                self.insertions.insert(reader.clone(), *generation);
            }
            ReaderEvent::CardRemoved { reader } | ReaderEvent::ReaderRemoved { reader } => {
                self.insertions.remove(reader);
            }
            ReaderEvent::ServiceLost => self.insertions.clear(),
            _ => {}
        }
    }

    /// An exchange that broke is no event, but whoever stands there wants to know.
    fn broken(&mut self, outcome: &Outcome) {
        if let Some(failure) = outcome.failure() {
            self.out.warning(&format!("{}: {}", outcome.reader, failure.message), failure.hint.as_deref());
        }
    }

    fn apply(&mut self, input: &Input) -> Result<(), Failure> {
        let events = self.store.apply(input, Timestamp::now(), self.settings)?;
        self.tell(events)
    }

    fn tell(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        events.into_iter().try_for_each(|event| self.out.item(&json::Event::from(event)))
    }
}
