//! What `scan` and `watch` share: the terminal's keys and memory, and one worker for each reader.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc::Sender},
};

use jiff::{SignedDuration, Timestamp};

use super::{printer::Printer, renewal::Fresh};
pub use crate::terminal::thread::no_thread;
use crate::{
    card::apdu::ApduFormat,
    config::Settings,
    failure::Failure,
    pki,
    reader::{Insertion, monitor::ReaderEvent},
    terminal::hooks::HookReport,
    terminal::lookups::{LookupOutcome, ServerEvent},
    terminal::memory::StoreMemory,
    terminal::presence::{
        Input, Presence, Refused,
        store::{TerminalStore, Waiter},
    },
    terminal::tap::{
        Depth,
        failure::link,
        terminal::{Keys, TapTerminal},
        worker::{ReaderOrder, ReaderReport, ReaderWorker},
    },
    token::open::Credentials,
};

/// Everything that can wake a long-running command.
#[derive(Debug)]
pub enum Message {
    /// Something happened to the readers.
    Reader(ReaderEvent),
    /// A tap has ended, or a token that stays has answered.
    Worker(ReaderReport),
    /// The server has said what it knows of a token that was tapped.
    LookupOutcome {
        /// What the tap told.
        report: ReaderReport,
        /// What the server said.
        answered: Box<LookupOutcome>,
    },
    /// Something happened to the server.
    Server(ServerEvent),
    /// This terminal's certificates were renewed, or were not.
    Renewed(Box<Result<Fresh, Failure>>),
    /// Another process has left something in the store.
    Woken(Waiter),
    /// Something happened to the command that events are given to.
    Hook(HookReport),
    /// A signal asks us to end.
    Signal,
}

/// The store of this terminal.
pub fn store(settings: &Settings) -> Result<TerminalStore, Failure> {
    Ok(TerminalStore::open(&settings.state_folder)?)
}

/// The terminal with its keys, as the role READ.
pub fn terminal(settings: &Settings, depth: Depth) -> Result<TapTerminal, Failure> {
    let credentials = credentials(pki::PkiDir::new(settings.pki_folder()).load_terminal(Timestamp::now())?);
    Ok(TapTerminal {
        keys: Keys::new(credentials),
        memory: Arc::new(StoreMemory(Mutex::new(store(settings)?))),
        exchange: settings.limits.exchange,
        tap: settings.limits.tap,
        format: ApduFormat::Short,
        depth,
        nonces: None,
        clock: Timestamp::now,
    })
}

/// How long before its end a terminal's certificate is renewed, or warned of: from the fourth of its seven days.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Whether a certificate that ends then is to be renewed now.
pub fn ends_soon(end: Timestamp, now: Timestamp) -> bool {
    end.duration_since(now) <= ENDS_SOON
}

/// Warns of a certificate that ends soon, while it still can be renewed at leisure.
pub fn warn_of_end(terminal: &TapTerminal, out: &mut Printer) {
    let end = terminal.keys.current().certificate.not_after();
    if ends_soon(end, (terminal.clock)()) {
        let text = format!("this terminal's certificate ends at {end}");
        out.warning(&text, Some("renew it where the CA key lies: rollcall pki renew"));
    }
}

/// The keys as a handshake takes them.
pub fn credentials(keys: pki::TerminalIdentity) -> Credentials {
    let previous = keys.previous.map(|previous| Box::new(credentials(*previous)));
    Credentials { ca: *keys.authority.point(), key: keys.key, certificate: keys.certificate, previous }
}

/// Hands the monitor's events on.
pub fn teller(messages: &Sender<Message>) -> impl FnMut(ReaderEvent) -> bool + Send + 'static + use<> {
    let messages = messages.clone();
    move |event| messages.send(Message::Reader(event)).is_ok()
}

/// The workers of the readers that are there.
pub struct ReaderPool<'a> {
    settings: &'a Settings,
    terminal: TapTerminal,
    messages: Sender<Message>,
    keep: bool,
    workers: BTreeMap<String, ReaderWorker>,
}

impl<'a> ReaderPool<'a> {
    /// No workers yet. With `keep`, tokens at readers in mode field keep their channel, and are asked over it.
    pub fn new(settings: &'a Settings, terminal: TapTerminal, messages: Sender<Message>, keep: bool) -> Self {
        Self { settings, terminal, messages, keep, workers: BTreeMap::new() }
    }

    /// Takes an event of the readers: starts, orders and ends workers, and says what the list is to be told.
    pub fn reader(&mut self, event: &ReaderEvent) -> Result<Option<Input>, Failure> {
        Ok(match event {
            ReaderEvent::ReaderAdded { reader } if self.settings.readers.matches(reader) => {
                let worker = self.start(reader)?;
                self.workers.insert(reader.clone(), worker);
                Some(Input::ReaderAdded { reader: reader.clone() })
            }
            ReaderEvent::ReaderRemoved { reader } => {
                self.workers.remove(reader).map(|_| Input::ReaderRemoved { reader: reader.clone() })
            }
            // Otherwise who lay there before a start or a loss would stay in doubt, and a return would be no new tap.
            ReaderEvent::Vacant { reader } if self.workers.contains_key(reader) => {
                Some(Input::Vacant { reader: reader.clone() })
            }
            ReaderEvent::CardInserted { reader, insertion, .. } => {
                self.order(reader, ReaderOrder::Inserted(*insertion));
                None
            }
            ReaderEvent::CardMute { reader, insertion } if self.workers.contains_key(reader) => {
                let error = link(&crate::card::link::LinkError::CardMute, 0).to_json();
                let insertion = insertion.shared();
                Some(Input::Refused(Refused { reader: reader.clone(), insertion, error, token_id: None, user: None }))
            }
            ReaderEvent::CardRemoved { reader } if self.workers.contains_key(reader) => {
                self.order(reader, ReaderOrder::Removed);
                Some(Input::Lifted { reader: reader.clone() })
            }
            ReaderEvent::ServiceLost => {
                self.workers.clear();
                Some(Input::ServiceLost)
            }
            ReaderEvent::ServiceBack => Some(Input::ServiceBack),
            _ => None,
        })
    }

    /// Has the card tapped once more that lies in this reader since this insertion.
    pub fn again(&self, reader: &str, insertion: Insertion) {
        self.order(reader, ReaderOrder::Inserted(insertion));
    }

    fn order(&self, reader: &str, order: ReaderOrder) {
        if let Some(worker) = self.workers.get(reader) {
            worker.order(order);
        }
    }

    fn start(&self, reader: &str) -> Result<ReaderWorker, Failure> {
        let stays = self.keep && self.settings.presence.at(reader) == Presence::Field;
        let messages = self.messages.clone();
        let tell = move |report| drop(messages.send(Message::Worker(report)));
        ReaderWorker::start(reader, self.terminal.clone(), stays.then_some(self.settings.heartbeat), tell)
            .map_err(no_thread)
    }
}
