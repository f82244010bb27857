//! A whole fleet of tokens: card after card, at every reader that is meant, until none is left, nobody brings one, or too
//! many fail in a row.

use std::{
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use super::rotation_run::{Move, RotationGoal, RotationRun};
use crate::{
    failure::{ExitClass, Failure},
    reader::{
        monitor::{Monitor, ReaderEvent},
        select::Selection,
    },
    terminal::thread::no_thread,
};

/// What happens in a fleet.
#[derive(Debug)]
pub enum FleetEvent {
    /// The next card may come.
    Free,
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

enum FleetMessage {
    Reader(ReaderEvent),
    Stop,
}

/// Ends a run in order.
pub struct FleetStopper(Sender<FleetMessage>);

impl FleetStopper {
    /// No further card is begun.
    pub fn stop(&self) {
        // A run that is over needs no stop.
        let _ = self.0.send(FleetMessage::Stop);
    }
}

/// A run over the readers.
pub struct FleetRun<'a> {
    rotation: &'a mut RotationRun,
    readers: Selection,
    limits: FleetLimits,
    messages: Sender<FleetMessage>,
    inbox: Receiver<FleetMessage>,
    monitor: Option<Monitor>,
    failures: u32,
}

impl<'a> FleetRun<'a> {
    /// A run over the readers that are meant; nothing happens yet.
    pub fn new(rotation: &'a mut RotationRun, readers: Selection, limits: FleetLimits) -> Self {
        let (messages, inbox) = mpsc::channel();
        Self { rotation, readers, limits, messages, inbox, monitor: None, failures: 0 }
    }

    /// What ends it before its time.
    pub fn stopper(&self) -> FleetStopper {
        FleetStopper(self.messages.clone())
    }

    /// Begins to watch the readers.
    pub fn watch(&mut self) -> Result<(), Failure> {
        let messages = self.messages.clone();
        let monitor = Monitor::start(move |event| messages.send(FleetMessage::Reader(event)).is_ok());
        self.monitor = Some(monitor.map_err(no_thread)?);
        Ok(())
    }

    /// Runs until all tokens are moved or something stops it.
    pub fn run(mut self, observer: &mut dyn FleetObserver) -> Result<FleetEnd, Failure> {
        while self.rotation.goal().left() > 0 && !self.has_failed() && !observer.is_closed() {
            observer.event(FleetEvent::Free, self.rotation.goal())?;
            match self.next() {
                Some(FleetMessage::Reader(ReaderEvent::CardInserted { reader, .. }))
                    if self.readers.matches(&reader) =>
                {
                    self.one(reader, observer)?;
                }
                Some(FleetMessage::Reader(_)) => {}
                Some(FleetMessage::Stop) | None => break,
            }
        }
        if let Some(monitor) = self.monitor.take() {
            monitor.stop();
        }
        Ok(FleetEnd { left: self.rotation.goal().left(), has_failed: self.has_failed() })
    }

    const fn has_failed(&self) -> bool {
        self.failures >= self.limits.failures
    }

    fn next(&self) -> Option<FleetMessage> {
        let Some(quiet) = self.limits.quiet else { return self.inbox.recv().ok() };
        self.inbox.recv_timeout(quiet).ok()
    }

    /// One card, reported at once.
    fn one(&mut self, reader: String, observer: &mut dyn FleetObserver) -> Result<(), Failure> {
        match self.rotation.rotate(&reader, None) {
            Ok(moved) => {
                observer.event(FleetEvent::Moved { reader, moved }, self.rotation.goal())?;
                self.failures = 0;
            }
            // What is wrong here would be wrong with every card.
            Err(failure) if failure.class == ExitClass::Io => return Err(failure),
            Err(failure) => {
                observer.event(FleetEvent::Failed { reader, failure }, self.rotation.goal())?;
                self.failures += 1;
            }
        }
        Ok(())
    }
}
