//! The pool of reader workers: one worker per connected reader, started and ended as readers come and go.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use crate::{
    card::link::LinkError,
    failure::Failure,
    reader::{Insertion, monitor::ReaderEvent, select::Selection},
    terminal::{
        meant_readers::{MeantEvent, MeantReaders},
        presence::{Input, Policy, PresenceMode, Refused},
        tap::{
            failure::link,
            tap_terminal::TapTerminal,
            worker::{ReaderOrder, ReaderReport, ReaderWorker},
        },
        thread::no_thread,
    },
};

/// The selected readers, and how tokens that stay in them are treated.
#[derive(Clone)]
pub struct PoolPolicy {
    /// The selected readers.
    pub readers: Selection,
    /// The presence rules.
    pub presence: Arc<dyn Policy + Send + Sync>,
    /// How often a token that stays in a reader in mode field is queried over the channel that its tap opened; `None`:
    /// channels are not kept.
    pub heartbeat: Option<Duration>,
}

/// Sends orders to one worker, which ends when this is dropped.
pub type OrderWorker = Box<dyn Fn(ReaderOrder)>;

/// Starts the worker of a reader, with this heartbeat interval.
type StartWorker = Box<dyn Fn(&str, Option<Duration>) -> io::Result<OrderWorker>>;

/// The workers of the connected readers.
pub struct ReaderPool {
    policy: PoolPolicy,
    meant: MeantReaders,
    start: StartWorker,
    workers: BTreeMap<String, OrderWorker>,
}

/// What follows from a reader event.
#[derive(Debug)]
pub enum PoolEffect {
    /// Apply this to the list.
    Input(Input),
    /// Whether this reader is selected cannot be determined until its driver answers: it is left out for now.
    Undecided {
        /// Its name.
        reader: String,
    },
}

impl ReaderPool {
    /// A pool without workers. `report` is called on the threads of the workers.
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

    /// The same with workers supplied by the caller.
    pub fn with_workers(
        policy: PoolPolicy,
        start: impl Fn(&str, Option<Duration>) -> io::Result<OrderWorker> + 'static,
    ) -> Self {
        let meant = MeantReaders::new(policy.readers.clone());
        Self { policy, meant, start: Box::new(start), workers: BTreeMap::new() }
    }

    /// Whether this reader is connected and selected.
    pub fn contains(&self, reader: &str) -> bool {
        self.workers.contains_key(reader)
    }

    /// Handles a reader event: starts, instructs and ends workers, and returns what follows. Undecided readers are
    /// queried again.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn handle(&mut self, event: &ReaderEvent) -> Result<Vec<PoolEffect>, Failure> {
        let counting = self.meant.take(event.clone());
        self.follow(counting)
    }

    /// Queries undecided readers again. One that is selected is treated as if it had just been plugged in.
    ///
    /// # Errors
    /// `system.no-thread` when a thread cannot be started.
    pub fn decide(&mut self) -> Result<Vec<PoolEffect>, Failure> {
        let counting = self.meant.decide();
        self.follow(counting)
    }

    fn follow(&mut self, counting: Vec<MeantEvent>) -> Result<Vec<PoolEffect>, Failure> {
        let mut effects = Vec::new();
        for event in counting {
            match event {
                MeantEvent::Happened(event) => effects.extend(self.take(&event)?),
                MeantEvent::Undecided { reader } => effects.push(PoolEffect::Undecided { reader }),
            }
        }
        Ok(effects)
    }

    /// Handles an event of a selected reader, or of the service.
    fn take(&mut self, event: &ReaderEvent) -> Result<Option<PoolEffect>, Failure> {
        let input = match event {
            ReaderEvent::ReaderAdded { reader } => {
                let worker = self.start(reader)?;
                self.workers.insert(reader.clone(), worker);
                Some(Input::ReaderAdded { reader: reader.clone() })
            }
            ReaderEvent::ReaderRemoved { reader } => {
                self.workers.remove(reader).map(|_| Input::ReaderRemoved { reader: reader.clone() })
            }
            // Otherwise an entry from before a start or a loss would stay unconfirmed, and a return would not count as
            // a new tap.
            ReaderEvent::Vacant { reader } if self.workers.contains_key(reader) => {
                Some(Input::Vacant { reader: reader.clone() })
            }
            ReaderEvent::CardInserted { reader, insertion, .. } => {
                self.order(reader, ReaderOrder::Inserted(*insertion));
                self.works(reader)
            }
            ReaderEvent::CardMute { reader, insertion } => {
                self.order(reader, ReaderOrder::Mute(*insertion));
                self.works(reader)
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
            ReaderEvent::Available { reader, available: true } => self.works(reader),
            ReaderEvent::ServiceLost => {
                self.workers.clear();
                Some(Input::ServiceLost)
            }
            ReaderEvent::ServiceBack => Some(Input::ServiceBack),
            _ => None,
        };
        Ok(input.map(PoolEffect::Input))
    }

    /// A reader that shows a card works, even if the list has it as broken since before a start: the card may never
    /// answer.
    fn works(&self, reader: &str) -> Option<Input> {
        self.contains(reader).then(|| Input::ReaderAvailable { reader: reader.to_owned() })
    }

    /// Has the card of this insertion tapped again.
    pub fn tap_again(&self, reader: &str, insertion: Insertion) {
        self.order(reader, ReaderOrder::Inserted(insertion));
    }

    /// Has the portrait read from the token of this insertion, if it is still there.
    pub fn portrait(&self, reader: &str, insertion: Insertion) {
        self.order(reader, ReaderOrder::Portrait(insertion));
    }

    /// The input for a card that does not answer.
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

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    use super::*;
    use crate::reader::select::ReaderChoice;

    /// A pool whose selection gives `choice`, and the orders to its workers.
    fn pool(choice: &Rc<Cell<ReaderChoice>>) -> (ReaderPool, Rc<RefCell<Vec<ReaderOrder>>>) {
        let (readers, presence) = (Selection::default(), Arc::new(PresenceMode::Field));
        let orders = Rc::default();
        let told = Rc::clone(&orders);
        let start = move |_: &str, _| -> io::Result<OrderWorker> {
            let told: Rc<RefCell<Vec<ReaderOrder>>> = Rc::clone(&told);
            Ok(Box::new(move |order| told.borrow_mut().push(order)))
        };
        let mut pool = ReaderPool::with_workers(PoolPolicy { readers, presence, heartbeat: None }, start);
        let choice = Rc::clone(choice);
        pool.meant = MeantReaders::chosen(move |_| choice.get());
        (pool, orders)
    }

    fn events() -> [ReaderEvent; 5] {
        let reader = || "r".to_owned();
        [
            ReaderEvent::ReaderAdded { reader: reader() },
            ReaderEvent::CardMute { reader: reader(), insertion: 1.into() },
            ReaderEvent::CardRemoved { reader: reader() },
            ReaderEvent::CardInserted { reader: reader(), atr: Vec::new(), insertion: 3.into() },
            ReaderEvent::Exclusive { reader: reader(), exclusive: false },
        ]
    }

    #[test]
    fn a_reader_that_could_not_be_asked_is_asked_at_the_next_event() {
        let choice = Rc::new(Cell::new(ReaderChoice::Undecided));
        let (mut pool, orders) = pool(&choice);
        let [added, mute, removed, inserted, free] = events();
        assert!(matches!(pool.handle(&added).unwrap()[..], [PoolEffect::Undecided { .. }]));
        for event in [&mute, &removed, &inserted] {
            assert!(pool.handle(event).unwrap().is_empty(), "it is said once");
        }
        assert!(!pool.contains("r") && orders.borrow().is_empty());
        choice.set(ReaderChoice::Meant);
        let [added, works] = &pool.handle(&free).unwrap()[..] else { panic!("two effects") };
        assert!(matches!(added, PoolEffect::Input(Input::ReaderAdded { .. })));
        assert!(matches!(works, PoolEffect::Input(Input::ReaderAvailable { .. })));
        assert!(pool.contains("r"));
        assert_eq!(*orders.borrow(), [ReaderOrder::Inserted(3.into())], "what lies there now");
        assert!(pool.decide().unwrap().is_empty());
    }

    #[test]
    fn one_that_turns_out_to_be_ignored_or_leaves_is_never_tapped() {
        let choice = Rc::new(Cell::new(ReaderChoice::Undecided));
        let [added, _, removed, inserted, free] = events();
        let (mut ignored, orders) = pool(&choice);
        pool_takes(&mut ignored, &[&added, &inserted]);
        choice.set(ReaderChoice::Other);
        pool_takes(&mut ignored, &[&free]);
        choice.set(ReaderChoice::Undecided);
        let (mut gone, others) = pool(&choice);
        pool_takes(&mut gone, &[&added, &inserted, &ReaderEvent::ReaderRemoved { reader: "r".to_owned() }]);
        choice.set(ReaderChoice::Meant);
        for pool in [&mut ignored, &mut gone] {
            pool_takes(pool, &[&removed, &inserted]);
            assert!(!pool.contains("r"));
        }
        assert!(orders.borrow().is_empty() && others.borrow().is_empty());
    }

    fn pool_takes(pool: &mut ReaderPool, events: &[&ReaderEvent]) {
        for event in events {
            pool.handle(event).unwrap();
        }
    }
}
