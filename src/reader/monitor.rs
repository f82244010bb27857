//! Reports reader and card events from a thread of its own, for as long as somebody listens.
//!
//! It waits for events, and lists the readers again after each one and on a slow tick, because no stack reports a
//! reader that appears between two calls. It survives a restart of the PC/SC service.

use std::{
    io, mem,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

pub use super::diff::ReaderEvent;
use super::{
    ReaderError, ReaderState,
    diff::diff,
    pcsc::{Canceller, Lost, Watcher},
};

/// How often the readers are listed without an event.
const TICK: Duration = Duration::from_secs(3);
/// Pause after a stack reported an event but nothing new.
const PAUSE: Duration = Duration::from_millis(50);
/// Time until the next listing where there is nothing to wait for.
const BLIND: Duration = Duration::from_secs(1);
/// How soon a lost service is looked for again: initially and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long [`Monitor::stop`] waits for the thread at a time, and how many times.
const STOP: (Duration, u32) = (Duration::from_millis(20), 50);

/// The running monitor. Dropping it stops it.
#[derive(Debug)]
pub struct Monitor {
    stop: Option<Sender<()>>,
    done: Receiver<()>,
    canceller: MonitorState,
}

/// Ends the wait that is in progress.
type MonitorState = Arc<Mutex<Option<Canceller>>>;

impl Monitor {
    /// Starts to report: first what is there now, then what happens. Ends by itself once `sink` returns false.
    ///
    /// Without a PC/SC service the first event is [`ReaderEvent::ServiceLost`]. Each outage is one `ServiceLost` and
    /// one `ServiceBack`, and between them one [`ReaderEvent::ServiceAway`] for each cause that lasts.
    ///
    /// # Errors
    /// What the system says when the thread cannot be started.
    pub fn start(sink: impl FnMut(ReaderEvent) -> bool + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let canceller = MonitorState::default();
        let mut run = MonitorRun {
            sink: Box::new(sink),
            stopped,
            canceller: Arc::clone(&canceller),
            known: Vec::new(),
            epoch: 0,
            back_off: BACK_OFF.0,
        };
        thread::Builder::new().name("pcsc-monitor".to_owned()).spawn(move || {
            run.until_stopped();
            drop(finished);
        })?;
        Ok(Self { stop: Some(stop), done, canceller })
    }

    /// Stops it, and waits (at most about a second) until nothing more will be reported.
    pub fn stop(self) {}

    fn stop_and_wait(&mut self) {
        drop(self.stop.take());
        for _ in 0..STOP.1 {
            // Asking the service to end a wait can itself block, so another thread asks.
            let canceller = Arc::clone(&self.canceller);
            let ask = move || canceller.try_lock().map(|c| c.as_ref().map(Canceller::cancel)).is_ok();
            if thread::Builder::new().spawn(ask).is_err() {
                return;
            }
            if self.done.recv_timeout(STOP.0) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop_and_wait();
    }
}

fn lock(canceller: &MonitorState) -> std::sync::MutexGuard<'_, Option<Canceller>> {
    canceller.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread has nothing more to do: stopped, or nobody listens.
struct Stopped;

/// Why watching with one context ended.
enum ContextEnd {
    Stopped,
    Lost,
}

impl From<Stopped> for ContextEnd {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<Lost> for ContextEnd {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

/// Why the service stays away. A cause is reported once it occurs twice in a row: a service that is starting or ending
/// briefly shows other causes.
#[derive(Default)]
struct OutageCause {
    met: Option<ReaderError>,
    told: Option<ReaderError>,
}

impl OutageCause {
    /// The cause to report now, if any.
    fn lasting(&mut self, error: ReaderError) -> Option<ReaderError> {
        let is_lasting = self.met.as_ref() == Some(&error);
        self.met = Some(error.clone());
        if !is_lasting || self.told.as_ref() == Some(&error) {
            return None;
        }
        self.told = Some(error.clone());
        Some(error)
    }
}

struct MonitorRun {
    sink: Box<dyn FnMut(ReaderEvent) -> bool + Send>,
    stopped: Receiver<()>,
    canceller: MonitorState,
    known: Vec<ReaderState>,
    epoch: u64,
    back_off: Duration,
}

impl MonitorRun {
    /// One iteration for each life of the service.
    fn until_stopped(&mut self) {
        let mut watcher = Watcher::new(self.epoch).ok();
        loop {
            let end = match watcher.take() {
                Some(watcher) => self.watch(watcher),
                None => Err(ContextEnd::Lost),
            };
            *lock(&self.canceller) = None;
            if let Err(ContextEnd::Stopped) = end {
                return;
            }
            match self.outage() {
                Ok(again) => watcher = Some(again),
                Err(Stopped) => return,
            }
        }
    }

    fn outage(&mut self) -> Result<Watcher, Stopped> {
        let known = mem::take(&mut self.known);
        if cfg!(windows) {
            // Windows stops the service with the last reader: that is not an outage.
            diff(&known, &[]).into_iter().try_for_each(|event| self.report(event))?;
            return self.await_service();
        }
        self.report(ReaderEvent::ServiceLost)?;
        let watcher = self.await_service()?;
        self.report(ReaderEvent::ServiceBack)?;
        Ok(watcher)
    }

    /// The pauses grow until a wait succeeds, so that a service that only pretends to be back causes no busy loop.
    fn await_service(&mut self) -> Result<Watcher, Stopped> {
        let mut cause = OutageCause::default();
        loop {
            self.pause(self.back_off)?;
            let may_be_starting = self.back_off < BACK_OFF.1;
            self.back_off = BACK_OFF.1.min(self.back_off * 2);
            match Watcher::new(self.epoch) {
                Ok(mut watcher) => {
                    if watcher.relist().is_ok() {
                        return Ok(watcher);
                    }
                }
                Err(_) if may_be_starting => {}
                Err(error) => {
                    if let Some(lasting) = cause.lasting(error) {
                        self.report(ReaderEvent::ServiceAway(lasting))?;
                    }
                }
            }
        }
    }

    /// Reports events until the service is lost.
    fn watch(&mut self, mut watcher: Watcher) -> Result<std::convert::Infallible, ContextEnd> {
        *lock(&self.canceller) = Some(watcher.canceller());
        loop {
            watcher.relist()?;
            self.epoch = watcher.epoch();
            let now = watcher.readings();
            let known = mem::replace(&mut self.known, now);
            diff(&known, &self.known).into_iter().try_for_each(|event| self.report(event))?;
            self.pause(if watcher.is_blind() { BLIND } else { Duration::ZERO })?;
            let woken = watcher.wait(TICK)?;
            self.back_off = BACK_OFF.0;
            if woken && known == self.known && watcher.readings() == known {
                self.pause(PAUSE)?;
            }
        }
    }

    fn report(&mut self, event: ReaderEvent) -> Result<(), Stopped> {
        if (self.sink)(event) { Ok(()) } else { Err(Stopped) }
    }

    /// Waits, unless the monitor is stopped.
    fn pause(&self, limit: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_of_an_outage_is_told_once_and_one_of_a_moment_never() {
        let mut cause = OutageCause::default();
        let mut told = |error: &ReaderError| cause.lasting(error.clone()).is_some();
        let (down, old, hangs) = (ReaderError::ServiceDown, ReaderError::Version(None), ReaderError::ServiceHangs);
        assert_eq!([&down, &down, &down].map(&mut told), [false, true, false]);
        assert_eq!([&hangs, &down, &down].map(&mut told), [false, false, false], "it hung for a moment");
        assert_eq!([&old, &old, &old].map(&mut told), [false, true, false]);
        assert_eq!([&down, &down].map(&mut told), [false, true], "it is another one again");
    }
}
