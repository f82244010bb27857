//! Runs a batch: one card for every row, at any number of readers.
//!
//! One thread makes the decisions and reports events. Each card is enrolled by its own thread, which takes a row from
//! the ledger once the card has authenticated as one of ours.

use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use uuid::Uuid;

use super::{
    BatchCount, BatchLedger,
    event::{BatchEvent, BatchLimits, BatchNext, BatchObserver, BatchStop, BatchWork},
    portraits::Portraits,
};
use crate::{
    api::User,
    card::link::LinkError,
    failure::{ExitClass, Failure},
    files::LockedFile,
    reader::{causes::link, monitor::ReaderEvent, select::Selection},
    terminal::{
        enrollment::{
            context::{Completion, EnrollFailure, EnrollmentContext},
            failure::EnrollError,
            holder::HolderSource,
            journal::JournalEntry,
            steps::EnrollmentStep,
        },
        event_loop::{EventLoop, Handler, Mailbox, Message, Stopper, Wait},
        presence::store::TerminalStore,
        thread::no_thread,
    },
};

/// State shared by the threads of the readers.
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

/// The ledger, and the user that it named for this card.
struct LedgerHolder<'a> {
    shared: &'a BatchShared,
    user: Option<User>,
    /// Blocks other enrollments of the same user in the meantime.
    reserved: Option<LockedFile>,
}

impl HolderSource for LedgerHolder<'_> {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let user = self.shared.ledger().user(card, begun)?;
        if self.reserved.is_none() {
            self.reserved = Some(self.shared.enrollment.journal.reserve_now(&user.id)?);
        }
        self.user = Some(user.clone());
        Ok(user)
    }

    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        self.user.as_ref().map_or(Ok(None), |user| self.shared.portraits.of(&user.id))
    }
}

/// One reader of the batch.
#[derive(Default)]
struct BatchReader {
    /// A thread is working on its card.
    busy: bool,
    /// The next card is already in the reader.
    next: bool,
    /// The token last enrolled here, while its card stays: if it is seen again because it was briefly lifted, that is
    /// not reported.
    last: Option<Uuid>,
}

/// A batch run over several readers.
pub struct BatchRun {
    events: EventLoop<BatchWork>,
    progress: BatchProgress,
}

impl BatchRun {
    /// A run over the selected readers; nothing happens yet.
    ///
    /// # Errors
    /// As [`TerminalContext::store`](crate::terminal::context::TerminalContext::store).
    pub fn new(
        enrollment: EnrollmentContext,
        (ledger, portraits): (BatchLedger, Portraits),
        readers: Selection,
        limits: BatchLimits,
    ) -> Result<Self, Failure> {
        let store = enrollment.terminal().store()?;
        let events = EventLoop::new();
        let lifted = ledger.begun().map(|user| user.id.clone()).collect();
        let progress = BatchProgress {
            readers,
            store,
            shared: Arc::new(BatchShared { enrollment, portraits, ledger: Mutex::new(ledger) }),
            mailbox: events.mailbox(),
            slots: BTreeMap::new(),
            lifted,
            failures: 0,
            limits,
            warned: false,
            stop: None,
        };
        Ok(Self { events, progress })
    }

    /// Stops the run early: no further card is started, and cards in progress are finished.
    pub fn stopper(&self) -> Stopper<BatchWork> {
        self.events.stopper()
    }

    /// Runs until all rows are finished or something stops it; returns why it stopped, and the final progress.
    ///
    /// # Errors
    /// `system.no-thread`; errors of the observer. A card that cannot be enrolled is reported as an event instead.
    pub fn run(self, observer: &mut dyn BatchObserver) -> Result<(Option<BatchStop>, BatchCount), Failure> {
        let Self { mut events, progress } = self;
        events.watch_readers()?;
        let mut handler = BatchHandler { progress, observer };
        let next = handler.progress.awaited();
        handler.tell(BatchEvent::Begun(next))?;
        events.run(&mut handler)?;
        let BatchProgress { stop, shared, .. } = handler.progress;
        let count = shared.ledger().count();
        Ok((stop, count))
    }
}

/// The progress of a run and of its readers.
struct BatchProgress {
    readers: Selection,
    store: TerminalStore,
    shared: Arc<BatchShared>,
    mailbox: Mailbox<BatchWork>,
    slots: BTreeMap<String, BatchReader>,
    /// The ids of users whose cards were started and removed too early.
    lifted: HashSet<String>,
    failures: u32,
    limits: BatchLimits,
    warned: bool,
    stop: Option<BatchStop>,
}

impl BatchProgress {
    fn is_busy(&self) -> bool {
        self.slots.values().any(|slot| slot.busy)
    }

    /// Records that the reader has no card, as far as can be told.
    fn emptied(&mut self, reader: &str) {
        if let Some(slot) = self.slots.get_mut(reader) {
            (slot.next, slot.last) = (false, None);
        }
    }

    /// The cards that are awaited. Which user a working thread serves is unknown until it ends, so while any is
    /// working, only cards already known to be lifted are reported as such.
    fn awaited(&self) -> BatchNext {
        let ledger = self.shared.ledger();
        let lifted = ledger.begun().filter(|user| !self.is_busy() || self.lifted.contains(&user.id)).cloned().collect();
        BatchNext { user: ledger.next().cloned(), lifted }
    }

    /// Starts on the card in this reader, or remembers it until the current one is finished.
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
        let (shared, mailbox) = (Arc::clone(&self.shared), self.mailbox.clone());
        let work = move || {
            let mut holder = LedgerHolder { shared: &shared, user: None, reserved: None };
            let mut progress = |step| {
                mailbox.send(Message::Work(BatchWork::Step { reader: reader.clone(), step }));
            };
            let result = Box::new(one(&reader, &shared, &mut holder, &mut progress));
            let LedgerHolder { user, reserved, .. } = holder;
            mailbox.send(Message::Work(BatchWork::Over { reader, user, result, reserved }));
        };
        thread::Builder::new().name("enroll".to_owned()).spawn(work).map_err(no_thread).map(drop)
    }

    /// Ends the work at this reader; true when the next card is already there.
    fn end_work(&mut self, reader: &str) -> bool {
        self.slots.get_mut(reader).is_some_and(|slot| {
            slot.busy = false;
            slot.next
        })
    }
}

/// A run and its observer.
struct BatchHandler<'a> {
    progress: BatchProgress,
    observer: &'a mut dyn BatchObserver,
}

impl Handler<BatchWork> for BatchHandler<'_> {
    fn wait(&mut self) -> Result<Wait, Failure> {
        let progress = &self.progress;
        // A card being enrolled has its own time limits.
        Ok(match progress.limits.quiet {
            _ if self.is_over() => Wait::End,
            Some(quiet) if !progress.is_busy() => Wait::AtMost(quiet),
            _ => Wait::Forever,
        })
    }

    fn message(&mut self, message: Message<BatchWork>) -> Result<ControlFlow<()>, Failure> {
        match message {
            Message::Reader(event) => self.reader(event)?,
            Message::Work(BatchWork::Step { reader, step }) => self.tell(BatchEvent::Step { reader, step })?,
            Message::Work(BatchWork::Over { reader, user, result, reserved }) => {
                // Dropped only now, so that an enrollment waiting for this user finds the card in the register.
                let over = self.over(&reader, user, *result);
                drop(reserved);
                over?;
            }
            Message::Stop => self.progress.stop = Some(BatchStop::Asked),
            // No taps or server answers arrive here.
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        self.progress.stop.get_or_insert(BatchStop::Quiet);
        Ok(ControlFlow::Continue(()))
    }
}

impl BatchHandler<'_> {
    fn is_over(&self) -> bool {
        let BatchProgress { stop, shared, .. } = &self.progress;
        let ends = || stop.is_some() || shared.ledger().count().is_complete() || self.observer.is_closed();
        !self.progress.is_busy() && ends()
    }

    fn reader(&mut self, event: ReaderEvent) -> Result<(), Failure> {
        match event {
            // The monitor says the card is mute; try it before reporting that.
            ReaderEvent::CardInserted { reader, .. } | ReaderEvent::CardMute { reader, .. }
                if self.progress.readers.matches(&reader) =>
            {
                self.progress.begin(reader)
            }
            ReaderEvent::CardRemoved { reader } | ReaderEvent::ReaderRemoved { reader } => {
                self.progress.emptied(&reader);
                Ok(())
            }
            ReaderEvent::Available { reader, available: false } if self.progress.readers.matches(&reader) => {
                self.progress.emptied(&reader);
                self.tell_failed(&reader, (None, None), link(&LinkError::Unavailable, 0))
            }
            ReaderEvent::ServiceLost => self.tell(BatchEvent::ServiceLost),
            ReaderEvent::ServiceAway(error) => self.tell(BatchEvent::ServiceAway(error.into())),
            _ => Ok(()),
        }
    }

    fn over(
        &mut self,
        reader: &str,
        user: Option<User>,
        result: Result<Completion, EnrollFailure>,
    ) -> Result<(), Failure> {
        match result {
            Ok(done) => {
                self.progress.failures = 0;
                self.progress.lifted.remove(&done.report.user.id);
                self.keep(&done)?;
                if done.report.test_keys && !std::mem::replace(&mut self.progress.warned, true) {
                    self.tell(BatchEvent::TestKeys)?;
                }
                if let Some(slot) = self.progress.slots.get_mut(reader) {
                    slot.last = Some(done.report.token_id);
                }
                self.tell(BatchEvent::Enrolled { reader: reader.to_owned(), report: done.report })?;
            }
            Err(EnrollFailure { error: EnrollError::Batch(error), .. }) => return Err(error.into()),
            Err(failed) => {
                self.progress.lifted.extend(user.as_ref().map(|user| user.id.clone()));
                self.refused(reader, user, &failed)?;
            }
        }
        if self.progress.end_work(reader) {
            self.progress.begin(reader.to_owned())?;
        }
        let next = self.progress.awaited();
        self.tell(BatchEvent::Free(next))
    }

    /// Registers the card before its own journal is closed.
    fn keep(&mut self, done: &Completion) -> Result<(), Failure> {
        let BatchProgress { store, shared, .. } = &mut self.progress;
        done.remember(store)?;
        shared.enrollment.close(&done.report)
    }

    /// Reports a failed card; failures that say nothing about the next cards are not counted.
    fn refused(&mut self, reader: &str, user: Option<User>, failed: &EnrollFailure) -> Result<(), Failure> {
        if let EnrollError::AlreadyIssued(Some(token_id)) = failed.error {
            if self.progress.slots.get(reader).is_some_and(|slot| slot.last == Some(token_id)) {
                return Ok(());
            }
            let holder = self.progress.shared.ledger().holder(token_id).cloned();
            if let Some(holder) = holder {
                let message = format!("this card was enrolled for {} in this batch", holder.id);
                let failure = Failure::new(ExitClass::No, "batch.done-already", message).hint("put the next card on");
                return self.tell_failed(reader, (Some(token_id), Some(holder)), failure);
            }
        }
        let failure = failed.to_failure();
        // These say nothing about the next cards.
        if matches!(
            failed.error,
            EnrollError::NobodyLeft
                | EnrollError::RowGone(_)
                | EnrollError::BegunForAnother { .. }
                | EnrollError::UserBusy(_)
        ) {
            return self.tell_failed(reader, (None, None), failure);
        }
        let token_id = if let EnrollError::AlreadyIssued(token_id) = failed.error { token_id } else { None };
        self.failed(reader, (token_id, user), failure)
    }

    /// Counts one more failure in a row.
    fn failed(&mut self, reader: &str, who: (Option<Uuid>, Option<User>), failure: Failure) -> Result<(), Failure> {
        self.progress.failures += 1;
        if self.progress.failures >= self.progress.limits.failures {
            self.progress.stop.get_or_insert(BatchStop::Failures(self.progress.failures));
        }
        self.tell_failed(reader, who, failure)
    }

    fn tell_failed(
        &mut self,
        reader: &str,
        (token_id, user): (Option<Uuid>, Option<User>),
        failure: Failure,
    ) -> Result<(), Failure> {
        self.tell(BatchEvent::Failed { reader: reader.to_owned(), token_id, user, failure })
    }

    fn tell(&mut self, event: BatchEvent) -> Result<(), Failure> {
        let count = self.progress.shared.ledger().count();
        self.observer.event(event, count)
    }
}

/// Enrolls one card; its row is recorded as finished on disk when this returns.
fn one(
    reader: &str,
    shared: &BatchShared,
    holder: &mut LedgerHolder<'_>,
    progress: &mut dyn FnMut(EnrollmentStep),
) -> Result<Completion, EnrollFailure> {
    let done = shared.enrollment.enroll(reader, holder, progress)?;
    shared.ledger().finish(&done.report.user, done.report.token_id).map_err(EnrollError::from)?;
    Ok(done)
}
