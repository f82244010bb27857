//! What happens in a batch, who is told, and when it ends.

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
    /// The readers are watched: the first card may come.
    Begun(BatchNext),
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
    Free(BatchNext),
    /// The PC/SC service is away.
    ServiceLost,
    /// What keeps the service from working now.
    ServiceAway(Failure),
}

/// Which cards are awaited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchNext {
    /// Whose token the next blank card becomes; nothing: every row has a card.
    pub user: Option<User>,
    /// Whose card was begun, lies on no reader, and is to come back.
    pub lifted: Vec<User>,
}

/// Who is told of a batch.
pub trait BatchObserver {
    /// Something happened; `count` says how far the batch is.
    ///
    /// # Errors
    /// What keeps the observer from telling it: it ends the run.
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

/// What the thread at a card says of its work.
#[derive(Debug)]
pub enum BatchWork {
    /// It is about to take the card one step further.
    Step {
        /// The reader.
        reader: String,
        /// The step.
        step: EnrollmentStep,
    },
    /// It is done with the card.
    Over {
        /// The reader.
        reader: String,
        /// The user whom the ledger named.
        user: Option<User>,
        /// What came of it.
        result: Box<Result<Completion, EnrollFailure>>,
        /// Keeps other enrollments of this user waiting until the card is in the register.
        reserved: Option<LockedFile>,
    },
}
