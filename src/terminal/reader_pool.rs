//! The workers of the readers that are there: one for each, started and ended as readers come and go.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use crate::{
    card::link::LinkError,
    failure::Failure,
    reader::{Insertion, monitor::ReaderEvent, select::Selection},
    terminal::{
        presence::{Input, Policy, PresenceMode, Refused},
        tap::{
            failure::link,
            tap_terminal::TapTerminal,
            worker::{ReaderOrder, ReaderReport, ReaderWorker},
        },
        thread::no_thread,
    },
};

/// The readers that are meant, and how tokens that stay are treated there.
#[derive(Clone)]
pub struct PoolPolicy {
    /// Which readers.
    pub readers: Selection,
    /// Who counts as present there.
    pub presence: Arc<dyn Policy + Send + Sync>,
    /// How often a token that lies at a reader in mode field is asked over the channel that its tap opened; none: channels
    /// are not kept.
    pub heartbeat: Option<Duration>,
}

/// Where the orders to one worker go. It ends when this is dropped.
pub type OrderWorker = Box<dyn Fn(ReaderOrder)>;

/// Starts the worker of a reader, with its heartbeat.
type StartWorker = Box<dyn Fn(&str, Option<Duration>) -> io::Result<OrderWorker>>;

/// The workers of the readers that are there.
pub struct ReaderPool {
    policy: PoolPolicy,
    start: StartWorker,
    workers: BTreeMap<String, OrderWorker>,
}

impl ReaderPool {
    /// No workers yet. `report` is called on the threads of the workers.
    pub fn new(
        policy: PoolPolicy,
        terminal: TapTerminal,
        report: impl Fn(ReaderReport) + Send + Sync + 'static,
    ) -> Self {
        let report = Arc::new(report);
        Self::with_workers(policy, move |reader, heartbeat| {
            let report = Arc::clone(&report);
            let worker = ReaderWorker::start(reader, terminal.clone(), heartbeat, move |said| report(said))?;
            Ok(Box::new(move |order| worker.order(order)))
        })
    }

    /// The same with workers of the caller's.
    pub fn with_workers(
        policy: PoolPolicy,
        start: impl Fn(&str, Option<Duration>) -> io::Result<OrderWorker> + 'static,
    ) -> Self {
        Self { policy, start: Box::new(start), workers: BTreeMap::new() }
    }

    /// Whether this reader is there and meant.
    pub fn contains(&self, reader: &str) -> bool {
        self.workers.contains_key(reader)
    }

    /// Takes an event of the readers: starts, orders and ends workers, and says what the list is to be told.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn handle(&mut self, event: &ReaderEvent) -> Result<Option<Input>, Failure> {
        Ok(match event {
            ReaderEvent::ReaderAdded { reader } if self.policy.readers.matches(reader) => {
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
            ReaderEvent::CardMute { reader, insertion } => {
                self.order(reader, ReaderOrder::Mute(*insertion));
                None
            }
            ReaderEvent::CardWoke { reader, insertion, .. } => {
                self.order(reader, ReaderOrder::Woke(*insertion));
                None
            }
            ReaderEvent::CardRemoved { reader } if self.workers.contains_key(reader) => {
                self.order(reader, ReaderOrder::Removed);
                Some(Input::Lifted { reader: reader.clone() })
            }
            ReaderEvent::Available { reader, available: false } if self.workers.contains_key(reader) => {
                self.order(reader, ReaderOrder::Removed);
                Some(Input::ReaderUnavailable {
                    reader: reader.clone(),
                    error: link(&LinkError::Unavailable, 0).to_json(),
                })
            }
            ReaderEvent::Available { reader, available: true } if self.workers.contains_key(reader) => {
                Some(Input::ReaderAvailable { reader: reader.clone() })
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
    pub fn tap_again(&self, reader: &str, insertion: Insertion) {
        self.order(reader, ReaderOrder::Inserted(insertion));
    }

    /// What the list is told of a card that does not answer.
    pub fn mute(reader: String, insertion: Insertion) -> Input {
        let error = link(&LinkError::CardMute, 0).to_json();
        let (insertion, silent) = (insertion.shared(), true);
        Input::Refused(Refused { reader, insertion, error, silent, barred: false, token_id: None, user: None })
    }

    fn order(&self, reader: &str, order: ReaderOrder) {
        if let Some(worker) = self.workers.get(reader) {
            worker(order);
        }
    }

    fn start(&self, reader: &str) -> Result<OrderWorker, Failure> {
        let heartbeat = self.policy.heartbeat.filter(|_| self.policy.presence.presence(reader) == PresenceMode::Field);
        (self.start)(reader, heartbeat).map_err(no_thread)
    }
}
