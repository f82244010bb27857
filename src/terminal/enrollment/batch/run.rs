//! The run of a batch: a card for every row, at as many readers as there are.
//!
//! One thread decides, and says what happens; each card is enrolled by a thread of its own, and takes its row from the ledger
//! when it has proven that it is ours.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use uuid::Uuid;

use super::{BatchCount, BatchLedger};
use crate::{
    api::User,
    card::link::LinkError,
    failure::{ExitClass, Failure},
    reader::{
        monitor::{Monitor, ReaderEvent},
        select::Selection,
    },
    terminal::{
        enrollment::{
            context::{Completion, EnrollFailure, EnrollmentContext},
            failure::EnrollError,
            holder::HolderSource,
            journal::JournalEntry,
            personalizer::EnrollmentReport,
            portrait::Portraits,
            steps::EnrollmentStep,
        },
        memory::remember,
        presence::store::TerminalStore,
        tap::failure::link,
        thread::no_thread,
    },
};

/// What happens in a batch.
#[derive(Debug)]
pub enum BatchEvent {
    /// The readers are watched: the first card may come.
    Begun,
    /// The card in this reader is about to be taken one step further.
    Step {
        /// The reader.
        reader: String,
        /// The step.
        step: EnrollmentStep,
    },
    /// A card came with the public test keys; said once in a run.
    TestKeys,
    /// A token was enrolled.
    Enrolled {
        /// The reader.
        reader: String,
        /// What was done.
        report: EnrollmentReport,
    },
    /// A card was not enrolled.
    Failed {
        /// The reader.
        reader: String,
        /// The token that it is, where that is known.
        token_id: Option<Uuid>,
        /// The user whose token it would have become, or is.
        user: Option<User>,
        /// Why.
        failure: Failure,
    },
    /// The work on a card is over: the next one may come.
    Free,
    /// The PC/SC service is away.
    ServiceLost,
}

/// Who is told of a batch.
pub trait BatchObserver {
    /// Something happened; `count` says how far the batch is.
    fn event(&mut self, event: BatchEvent, count: BatchCount) -> Result<(), Failure>;

    /// Whether nobody hears it any more: then no further card is begun.
    fn is_closed(&self) -> bool;
}

/// Why no further card was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStop {
    /// Somebody asked for it.
    Asked,
    /// So many cards in a row failed.
    Failures(u32),
    /// No card came for the time that was given.
    Quiet,
}

/// When a run is to end before all rows are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// So many failures in a row.
    pub failures: u32,
    /// No card for this long; none: it waits for ever.
    pub quiet: Option<Duration>,
}

/// What the threads of the readers share.
struct BatchShared {
    enrollment: EnrollmentContext,
    portraits: Portraits,
    ledger: Mutex<BatchLedger>,
}

impl BatchShared {
    fn ledger(&self) -> MutexGuard<'_, BatchLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger, and whom it named.
struct LedgerHolder<'a> {
    shared: &'a BatchShared,
    user: Option<User>,
}

impl HolderSource for LedgerHolder<'_> {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let user = self.shared.ledger().user(card, begun)?;
        self.user = Some(user.clone());
        Ok(user)
    }

    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        self.user.as_ref().map_or(Ok(None), |user| self.shared.portraits.of(&user.id))
    }
}

enum BatchMessage {
    Reader(ReaderEvent),
    Step { reader: String, step: EnrollmentStep },
    Over { reader: String, user: Option<User>, result: Box<Result<Completion, EnrollFailure>> },
    Stop,
}

/// Ends a run in order.
pub struct BatchStopper(Sender<BatchMessage>);

impl BatchStopper {
    /// No further card is begun; those that are at work come to their end.
    pub fn stop(&self) {
        // A run that is over needs no stop.
        let _ = self.0.send(BatchMessage::Stop);
    }
}

/// One reader of the batch.
#[derive(Default)]
struct BatchReader {
    /// A thread is at work on its card.
    busy: bool,
    /// The next card lies there already.
    next: bool,
    /// The token that was enrolled there last, while it lies there: to be met again, because it was lifted for a moment
    /// before, it need not be told.
    last: Option<Uuid>,
}

/// A run over the readers.
pub struct BatchRun {
    readers: Selection,
    store: TerminalStore,
    shared: Arc<BatchShared>,
    messages: Sender<BatchMessage>,
    inbox: Receiver<BatchMessage>,
    slots: BTreeMap<String, BatchReader>,
    failures: u32,
    limits: BatchLimits,
    warned: bool,
    stop: Option<BatchStop>,
}

impl BatchRun {
    /// A run over the readers that are meant; nothing happens yet.
    pub fn new(
        enrollment: EnrollmentContext,
        (ledger, portraits): (BatchLedger, Portraits),
        readers: Selection,
        limits: BatchLimits,
    ) -> Result<Self, Failure> {
        let store = enrollment.terminal().store()?;
        let (messages, inbox) = mpsc::channel();
        Ok(Self {
            readers,
            store,
            shared: Arc::new(BatchShared { enrollment, portraits, ledger: Mutex::new(ledger) }),
            messages,
            inbox,
            slots: BTreeMap::new(),
            failures: 0,
            limits,
            warned: false,
            stop: None,
        })
    }

    /// What ends it before its time.
    pub fn stopper(&self) -> BatchStopper {
        BatchStopper(self.messages.clone())
    }

    /// Runs until all rows are done or something stops it: why, and how far the batch is then.
    pub fn run(mut self, observer: &mut dyn BatchObserver) -> Result<(Option<BatchStop>, BatchCount), Failure> {
        let monitor = {
            let messages = self.messages.clone();
            Monitor::start(move |event| messages.send(BatchMessage::Reader(event)).is_ok()).map_err(no_thread)?
        };
        self.tell(observer, BatchEvent::Begun)?;
        while !self.is_over(observer) {
            match self.next() {
                Some(BatchMessage::Reader(event)) => self.reader(event, observer)?,
                Some(BatchMessage::Step { reader, step }) => self.tell(observer, BatchEvent::Step { reader, step })?,
                Some(BatchMessage::Over { reader, user, result }) => self.over(&reader, user, *result, observer)?,
                Some(BatchMessage::Stop) => self.stop = Some(BatchStop::Asked),
                None => self.stop = self.stop.take().or(Some(BatchStop::Quiet)),
            }
        }
        monitor.stop();
        Ok((self.stop, self.shared.ledger().count()))
    }

    fn is_over(&self, observer: &dyn BatchObserver) -> bool {
        let busy = self.slots.values().any(|slot| slot.busy);
        !busy && (self.stop.is_some() || self.shared.ledger().count().is_complete() || observer.is_closed())
    }

    /// Nothing: no card came for the time that was given.
    fn next(&self) -> Option<BatchMessage> {
        let Some(quiet) = self.limits.quiet else { return self.inbox.recv().ok() };
        match self.inbox.recv_timeout(quiet) {
            Ok(message) => Some(message),
            // A card that is being enrolled ends within limits of its own.
            Err(RecvTimeoutError::Timeout) if self.slots.values().any(|slot| slot.busy) => self.inbox.recv().ok(),
            Err(_) => None,
        }
    }

    fn reader(&mut self, event: ReaderEvent, observer: &mut dyn BatchObserver) -> Result<(), Failure> {
        match event {
            ReaderEvent::CardInserted { reader, .. } if self.readers.matches(&reader) => self.begin(reader),
            ReaderEvent::CardMute { reader, .. } if self.readers.matches(&reader) => {
                self.failed(&reader, (None, None), link(&LinkError::CardMute, 0), observer)
            }
            ReaderEvent::CardRemoved { reader } | ReaderEvent::ReaderRemoved { reader } => {
                if let Some(slot) = self.slots.get_mut(&reader) {
                    (slot.next, slot.last) = (false, None);
                }
                Ok(())
            }
            ReaderEvent::ServiceLost => self.tell(observer, BatchEvent::ServiceLost),
            _ => Ok(()),
        }
    }

    /// Begins with the card in this reader, or keeps it for when the one before it is done.
    fn begin(&mut self, reader: String) -> Result<(), Failure> {
        if self.stop.is_some() {
            return Ok(());
        }
        let slot = self.slots.entry(reader.clone()).or_default();
        if slot.busy {
            slot.next = true;
            return Ok(());
        }
        (slot.busy, slot.next) = (true, false);
        let (shared, messages) = (Arc::clone(&self.shared), self.messages.clone());
        let work = move || {
            let mut holder = LedgerHolder { shared: &shared, user: None };
            let mut progress = |step| drop(messages.send(BatchMessage::Step { reader: reader.clone(), step }));
            let result = one(&reader, &shared, &mut holder, &mut progress);
            let user = holder.user;
            drop(messages.send(BatchMessage::Over { reader, user, result: Box::new(result) }));
        };
        thread::Builder::new().name("enroll".to_owned()).spawn(work).map_err(no_thread)?;
        Ok(())
    }

    fn over(
        &mut self,
        reader: &str,
        user: Option<User>,
        result: Result<Completion, EnrollFailure>,
        observer: &mut dyn BatchObserver,
    ) -> Result<(), Failure> {
        match result {
            Ok(done) => {
                self.failures = 0;
                remember(&mut self.store, &done.learned)?;
                if done.report.test_keys && !std::mem::replace(&mut self.warned, true) {
                    self.tell(observer, BatchEvent::TestKeys)?;
                }
                if let Some(slot) = self.slots.get_mut(reader) {
                    slot.last = Some(done.report.token_id);
                }
                self.tell(observer, BatchEvent::Enrolled { reader: reader.to_owned(), report: done.report })?;
            }
            Err(EnrollFailure { error: EnrollError::Batch(error), .. }) => return Err(error.into()),
            Err(failed) => self.refused(reader, user, &failed, observer)?,
        }
        let next = self.slots.get_mut(reader).is_some_and(|slot| {
            slot.busy = false;
            slot.next
        });
        if next {
            self.begin(reader.to_owned())?;
        }
        self.tell(observer, BatchEvent::Free)
    }

    /// A card that is done already, or that nobody is left for, says nothing about the cards to come.
    fn refused(
        &mut self,
        reader: &str,
        user: Option<User>,
        failed: &EnrollFailure,
        observer: &mut dyn BatchObserver,
    ) -> Result<(), Failure> {
        if let EnrollError::AlreadyIssued(Some(token_id)) = failed.error {
            if self.slots.get(reader).is_some_and(|slot| slot.last == Some(token_id)) {
                return Ok(());
            }
            let holder = self.shared.ledger().holder(token_id).cloned();
            if let Some(holder) = holder {
                let message = format!("this card was enrolled for {} in this batch", holder.id);
                let failure = Failure::new(ExitClass::No, "batch.done-already", message).hint("put the next card on");
                return self.tell_failed(reader, (Some(token_id), Some(holder)), failure, observer);
            }
        }
        let failure = failed.to_failure();
        if matches!(failed.error, EnrollError::NobodyLeft) {
            return self.tell_failed(reader, (None, None), failure, observer);
        }
        let token_id = if let EnrollError::AlreadyIssued(token_id) = failed.error { token_id } else { None };
        self.failed(reader, (token_id, user), failure, observer)
    }

    /// One more failure in a row.
    fn failed(
        &mut self,
        reader: &str,
        who: (Option<Uuid>, Option<User>),
        failure: Failure,
        observer: &mut dyn BatchObserver,
    ) -> Result<(), Failure> {
        self.failures += 1;
        if self.failures >= self.limits.failures {
            self.stop.get_or_insert(BatchStop::Failures(self.failures));
        }
        self.tell_failed(reader, who, failure, observer)
    }

    fn tell_failed(
        &self,
        reader: &str,
        (token_id, user): (Option<Uuid>, Option<User>),
        failure: Failure,
        observer: &mut dyn BatchObserver,
    ) -> Result<(), Failure> {
        self.tell(observer, BatchEvent::Failed { reader: reader.to_owned(), token_id, user, failure })
    }

    fn tell(&self, observer: &mut dyn BatchObserver, event: BatchEvent) -> Result<(), Failure> {
        let count = self.shared.ledger().count();
        observer.event(event, count)
    }
}

/// One card: its row is done on disk before its own journal is closed.
fn one(
    reader: &str,
    shared: &BatchShared,
    holder: &mut LedgerHolder<'_>,
    progress: &mut dyn FnMut(EnrollmentStep),
) -> Result<Completion, EnrollFailure> {
    let done = shared.enrollment.enroll(reader, holder, progress)?;
    shared.ledger().finish(&done.report.user, done.report.token_id).map_err(EnrollError::from)?;
    shared.enrollment.journal.close_token(done.report.token_id)?;
    Ok(done)
}
