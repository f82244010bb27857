//! The events of a batch, the observer that receives them, and the conditions that end a run.

use std::time::Duration;

use uuid::Uuid;

use super::BatchCount;
use crate::{
    api::User,
    failure::Failure,
    files::LockedFile,
    terminal::enrollment::{
        context::{Completion, EnrollFailure},
        personalizer::EnrollmentReport,
        steps::EnrollmentStep,
    },
};

/// What happens in a batch.
#[derive(Debug)]
pub enum BatchEvent {
    /// The readers are being watched: the first card may be presented.
    Begun(BatchNext),
    /// The card in this reader is about to take the next step.
    Step {
        /// The reader.
        reader: String,
        /// The step.
        step: EnrollmentStep,
    },
    /// A card came with the public test keys; reported once per run.
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
        /// The token, if the card is known to be one.
        token_id: Option<Uuid>,
        /// The user for whom the card was to be enrolled, or already is.
        user: Option<User>,
        /// Why.
        failure: Failure,
    },
    /// The work on a card has ended: the next one may be presented.
    Free(BatchNext),
    /// The PC/SC service is down.
    ServiceLost,
    /// Why the service does not work at the moment.
    ServiceAway(Failure),
}

/// The cards that are awaited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchNext {
    /// The user of the next blank card; `None` when every row has a card.
    pub user: Option<User>,
    /// The users whose cards were started, are on no reader, and have to come back.
    pub lifted: Vec<User>,
}

/// Receives the events of a batch.
pub trait BatchObserver {
    /// Handles one event; `count` is the progress of the batch.
    ///
    /// # Errors
    /// Why the observer could not report the event: it ends the run.
    fn event(&mut self, event: BatchEvent, count: BatchCount) -> Result<(), Failure>;

    /// Whether the observer's output is closed: then no further card is started.
    fn is_closed(&self) -> bool;
}

/// Why no further card was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStop {
    /// A stop was requested.
    Asked,
    /// This many cards failed in a row.
    Failures(u32),
    /// No card came within the given time.
    Quiet,
}

/// When a run ends before all rows are finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// This many failures in a row.
    pub failures: u32,
    /// No card for this long; `None` waits forever.
    pub quiet: Option<Duration>,
}

/// A message from the thread that works on a card.
#[derive(Debug)]
pub enum BatchWork {
    /// The card is about to take the next step.
    Step {
        /// The reader.
        reader: String,
        /// The step.
        step: EnrollmentStep,
    },
    /// The work on the card has ended.
    Over {
        /// The reader.
        reader: String,
        /// The user named by the ledger.
        user: Option<User>,
        /// The result.
        result: Box<Result<Completion, EnrollFailure>>,
        /// Blocks other enrollments of this user until the card is in the register.
        reserved: Option<LockedFile>,
    },
}
