//! Rotates many tokens: card after card, at every selected reader, until all are moved, no card comes for some time, or
//! too many cards fail in a row.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use super::rotation_run::{Move, RotationGoal, RotationRun};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
    reader::{Insertion, causes::link, monitor::ReaderEvent, select::Selection},
    terminal::event_loop::{EventLoop, Handler, Message, Stopper, Wait},
};

/// What happens during a run.
#[derive(Debug)]
pub enum FleetEvent {
    /// The next card may be presented.
    Free,
    /// The PC/SC service is down; the run continues once it is back.
    ServiceLost,
    /// Why the service does not work at the moment.
    ServiceAway(Failure),
    /// A card was moved now, or had been moved before.
    Moved {
        /// The reader.
        reader: String,
        /// The token, and whether it still had to be moved.
        moved: Move,
    },
    /// A card was not moved.
    Failed {
        /// The reader.
        reader: String,
        /// Why.
        failure: Failure,
    },
}

/// Receives the events of a run.
pub trait FleetObserver {
    /// Handles one event; `goal` holds the progress.
    ///
    /// # Errors
    /// Why the observer could not report the event: it ends the run.
    fn event(&mut self, event: FleetEvent, goal: &RotationGoal) -> Result<(), Failure>;

    /// Whether the observer's output is closed: then no further card is started.
    fn is_closed(&self) -> bool;
}

/// When a run ends before all tokens are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetLimits {
    /// This many failures in a row.
    pub failures: u32,
    /// No card for this long; `None` waits forever.
    pub quiet: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetEnd {
    /// Tokens not known to have been moved.
    pub left: usize,
    /// Whether too many cards failed in a row.
    pub has_failed: bool,
}

/// Runs a rotation over several readers.
pub struct FleetRun<'a> {
    rotation: &'a mut RotationRun,
    readers: Selection,
    limits: FleetLimits,
    events: EventLoop,
}

impl<'a> FleetRun<'a> {
    /// A run over the selected readers; nothing happens yet.
    pub fn new(rotation: &'a mut RotationRun, readers: Selection, limits: FleetLimits) -> Self {
        Self { rotation, readers, limits, events: EventLoop::new() }
    }

    /// Stops the run early: no further card is started.
    pub fn stopper(&self) -> Stopper {
        self.events.stopper()
    }

    /// Starts watching the readers.
    ///
    /// # Errors
    /// `system.no-thread` when the thread cannot be started.
    pub fn watch(&mut self) -> Result<(), Failure> {
        self.events.watch_readers()
    }

    /// Runs until all tokens are moved or something stops it.
    ///
    /// # Errors
    /// Errors of the observer, and of the files and the store of the rotation. A card that cannot be moved is reported
    /// as an event instead.
    pub fn run(self, observer: &mut dyn FleetObserver) -> Result<FleetEnd, Failure> {
        let Self { rotation, readers, limits, mut events } = self;
        let mut handler = FleetHandler { rotation, readers, limits, failures: 0, awake: BTreeMap::new(), observer };
        events.run(&mut handler)?;
        Ok(FleetEnd { left: handler.rotation.goal().left(), has_failed: handler.has_failed() })
    }
}

/// A run and its observer.
struct FleetHandler<'a> {
    rotation: &'a mut RotationRun,
    readers: Selection,
    limits: FleetLimits,
    failures: u32,
    /// Cards that looked mute but answered when tried: the insertion at each reader.
    awake: BTreeMap<String, Insertion>,
    observer: &'a mut dyn FleetObserver,
}

impl Handler for FleetHandler<'_> {
    fn wait(&mut self) -> Result<Wait, Failure> {
        if self.rotation.goal().left() == 0 || self.has_failed() || self.observer.is_closed() {
            return Ok(Wait::End);
        }
        self.tell(FleetEvent::Free)?;
        Ok(self.limits.quiet.map_or(Wait::Forever, Wait::AtMost))
    }

    fn message(&mut self, message: Message) -> Result<ControlFlow<()>, Failure> {
        match message {
            Message::Reader(
                ReaderEvent::CardInserted { reader, insertion, .. } | ReaderEvent::CardWoke { reader, insertion, .. },
            ) if self.readers.matches(&reader) && self.is_news(&reader, insertion) => self.one(reader, None)?,
            // The monitor says the card is mute; try it before reporting that.
            Message::Reader(ReaderEvent::CardMute { reader, insertion }) if self.readers.matches(&reader) => {
                self.one(reader, Some(insertion))?;
            }
            Message::Reader(ReaderEvent::Available { reader, available: false }) if self.readers.matches(&reader) => {
                let failure = link(&LinkError::Unavailable, 0);
                self.tell(FleetEvent::Failed { reader, failure })?;
            }
            Message::Reader(ReaderEvent::ServiceLost) => self.tell(FleetEvent::ServiceLost)?,
            Message::Reader(ReaderEvent::ServiceAway(error)) => self.tell(FleetEvent::ServiceAway(error.into()))?,
            Message::Stop => return Ok(ControlFlow::Break(())),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn idle(&mut self) -> Result<ControlFlow<()>, Failure> {
        Ok(ControlFlow::Break(()))
    }
}

impl FleetHandler<'_> {
    const fn has_failed(&self) -> bool {
        self.failures >= self.limits.failures
    }

    /// False for the second event of a card that was mute at first: the attempt itself woke it.
    fn is_news(&self, reader: &str, insertion: Insertion) -> bool {
        self.awake.get(reader) != Some(&insertion)
    }

    /// Moves one card and reports the result at once; `looks_mute` is the insertion when the monitor saw a mute card.
    fn one(&mut self, reader: String, looks_mute: Option<Insertion>) -> Result<(), Failure> {
        let result = self.rotation.rotate(&reader, None);
        let stays_mute = result.as_ref().is_err_and(|failure| failure.code == "token.mute");
        if let Some(insertion) = looks_mute.filter(|_| !stays_mute) {
            self.awake.insert(reader.clone(), insertion);
        }
        match result {
            Ok(moved) => {
                self.tell(FleetEvent::Moved { reader, moved })?;
                self.failures = 0;
            }
            // A failure of the local disk would recur with every card.
            Err(failure) if failure.class == ExitClass::Io => return Err(failure),
            Err(failure) => {
                self.tell(FleetEvent::Failed { reader, failure })?;
                // A mute slot may simply never hold a token, so it is not counted.
                self.failures += u32::from(!(stays_mute && looks_mute.is_some()));
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: FleetEvent) -> Result<(), Failure> {
        self.observer.event(event, self.rotation.goal())
    }
}
