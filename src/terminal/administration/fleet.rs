//! A whole fleet of tokens: card after card, at every reader that is meant, until none is left, nobody brings one, or too
//! many fail in a row.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use super::rotation_run::{Move, RotationGoal, RotationRun};
use crate::{
    card::link::LinkError,
    failure::{ExitClass, Failure},
    reader::{Insertion, causes::link, monitor::ReaderEvent, select::Selection},
    terminal::event_loop::{EventLoop, Handler, Message, Stopper, Wait},
};

/// What happens in a fleet.
#[derive(Debug)]
pub enum FleetEvent {
    /// The next card may come.
    Free,
    /// The PC/SC service is away; the run goes on once it is back.
    ServiceLost,
    /// What keeps the service from working now.
    ServiceAway(Failure),
    /// A card was moved, or had been before.
    Moved {
        /// The reader.
        reader: String,
        /// Which token, and whether there was something to do.
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

/// Who is told of a fleet.
pub trait FleetObserver {
    /// Something happened; `goal` says how far the fleet is.
    ///
    /// # Errors
    /// What keeps the observer from telling it: it ends the run.
    fn event(&mut self, event: FleetEvent, goal: &RotationGoal) -> Result<(), Failure>;

    /// Whether nobody hears it any more: then no further card is begun.
    fn is_closed(&self) -> bool;
}

/// When a run is to end before all tokens are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetLimits {
    /// So many failures in a row.
    pub failures: u32,
    /// No card for this long; none: it waits for ever.
    pub quiet: Option<Duration>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetEnd {
    /// Tokens that are not known to be moved.
    pub left: usize,
    /// Whether too many cards in a row failed.
    pub has_failed: bool,
}

/// A run over the readers.
pub struct FleetRun<'a> {
    rotation: &'a mut RotationRun,
    readers: Selection,
    limits: FleetLimits,
    events: EventLoop,
}

impl<'a> FleetRun<'a> {
    /// A run over the readers that are meant; nothing happens yet.
    pub fn new(rotation: &'a mut RotationRun, readers: Selection, limits: FleetLimits) -> Self {
        Self { rotation, readers, limits, events: EventLoop::new() }
    }

    /// What ends it before its time: no further card is begun.
    pub fn stopper(&self) -> Stopper {
        self.events.stopper()
    }

    /// Begins to watch the readers.
    ///
    /// # Errors
    /// `system.no-thread` when the thread cannot be started.
    pub fn watch(&mut self) -> Result<(), Failure> {
        self.events.watch_readers()
    }

    /// Runs until all tokens are moved or something stops it.
    ///
    /// # Errors
    /// What the observer answers, and what the files and the store of the rotation answer. A card that cannot be moved
    /// is an event.
    pub fn run(self, observer: &mut dyn FleetObserver) -> Result<FleetEnd, Failure> {
        let Self { rotation, readers, limits, mut events } = self;
        let mut handler = FleetHandler { rotation, readers, limits, failures: 0, awake: BTreeMap::new(), observer };
        events.run(&mut handler)?;
        Ok(FleetEnd { left: handler.rotation.goal().left(), has_failed: handler.has_failed() })
    }
}

/// A run, and who is told of it.
struct FleetHandler<'a> {
    rotation: &'a mut RotationRun,
    readers: Selection,
    limits: FleetLimits,
    failures: u32,
    /// What looked mute and answered all the same: the insertion at each reader.
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
            // A card that looks mute is asked itself before it is called so.
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

    /// The monitor tells of a card, too, that the question after something mute has woken.
    fn is_news(&self, reader: &str, insertion: Insertion) -> bool {
        self.awake.get(reader) != Some(&insertion)
    }

    /// One card, reported at once; which insertion it is when it looks mute.
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
            // What is wrong here would be wrong with every card.
            Err(failure) if failure.class == ExitClass::Io => return Err(failure),
            Err(failure) => {
                self.tell(FleetEvent::Failed { reader, failure })?;
                // It may be a slot that never has a token.
                self.failures += u32::from(!(stays_mute && looks_mute.is_some()));
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: FleetEvent) -> Result<(), Failure> {
        self.observer.event(event, self.rotation.goal())
    }
}
