//! Waits for readers and cards to come and go, within one PC/SC context.

use std::{ffi::CString, time::Duration};

use pcsc::{Context, Error, PNP_NOTIFICATION};

use super::{ReaderError, ReaderState, STATES_MAX, establish, fill, is_lost, names, reading, unaware};

/// The service went away, and the context with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// Watches every reader of the last listing, and the list itself where the stack supports that.
pub struct Watcher {
    context: Context,
    states: Vec<Watched>,
    list: Option<pcsc::ReaderState>,
    refused: bool,
    epoch: u64,
}

struct Watched {
    state: pcsc::ReaderState,
    epoch: u64,
}

/// Ends another thread's wait.
pub struct Canceller(Context);

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canceller")
    }
}

impl Canceller {
    /// Ends a wait in progress; a later one is not affected.
    pub fn cancel(&self) {
        let _ = self.0.cancel();
    }
}

impl Watcher {
    /// Makes a new context. `epoch` is the first number for insertions: higher than any seen before.
    ///
    /// # Errors
    /// [`ReaderError`] when the service refuses this user.
    pub fn new(epoch: u64) -> Result<Self, ReaderError> {
        let list = Some(unaware(PNP_NOTIFICATION().to_owned()));
        Ok(Self { context: establish()?, states: Vec::new(), list, refused: false, epoch })
    }

    /// A way to end [`Watcher::wait`].
    pub fn canceller(&self) -> Canceller {
        Canceller(self.context.clone())
    }

    /// Whether there is nothing to wait for: no reader, and a stack that does not report the first.
    pub const fn is_blind(&self) -> bool {
        self.states.is_empty() && self.list.is_none()
    }

    /// The highest epoch in use.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The readers as last read.
    pub fn readings(&self) -> Vec<ReaderState> {
        self.states.iter().map(|w| reading(&w.state, w.epoch)).collect()
    }

    /// Lists the readers again, and reads the state of new ones.
    ///
    /// # Errors
    /// [`Lost`] when the service is gone: start again with a new watcher.
    pub fn relist(&mut self) -> Result<(), Lost> {
        let names = match names(&self.context) {
            Err(error) => return lost(error),
            Ok(names) => names,
        };
        self.states.retain(|w| names.iter().any(|name| name.as_c_str() == w.state.name()));
        for name in names {
            if self.states.iter().all(|w| w.state.name() != name.as_c_str()) {
                self.add(name)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: CString) -> Result<(), Lost> {
        let mut state = [unaware(name)];
        if let Err(error) = fill(&self.context, &mut state) {
            // It was unplugged again after the list was read.
            return lost(error);
        }
        self.epoch += 1;
        let epoch = self.epoch;
        self.states.extend(state.map(|state| Watched { state, epoch }));
        Ok(())
    }

    /// Waits until something changes, at most this long; returns whether something did.
    ///
    /// More readers than fit into one call are waited for in turn.
    ///
    /// # Errors
    /// [`Lost`] when the service is gone: start again with a new watcher.
    pub fn wait(&mut self, limit: Duration) -> Result<bool, Lost> {
        let (epochs, mut raw): (Vec<_>, Vec<_>) = self.states.drain(..).map(|w| (w.epoch, w.state)).unzip();
        let result = self.wait_raw(&mut raw, limit);
        self.states.extend(raw.into_iter().zip(epochs).map(|(state, epoch)| Watched { state, epoch }));
        result
    }

    fn wait_raw(&mut self, raw: &mut Vec<pcsc::ReaderState>, limit: Duration) -> Result<bool, Lost> {
        let list = if raw.len() < STATES_MAX { self.list.take() } else { None };
        let listed = list.is_some();
        raw.extend(list);
        let turns = raw.len().div_ceil(STATES_MAX).max(1);
        let turn = limit / u32::try_from(turns).unwrap_or(u32::MAX);
        let mut result = Err(Error::Timeout);
        for states in raw.chunks_mut(STATES_MAX) {
            result = self.context.get_status_change(turn, states);
            if result.is_ok() {
                states.iter_mut().for_each(pcsc::ReaderState::sync_current_state);
            }
            if result != Err(Error::Timeout) {
                break;
            }
        }
        if listed {
            self.list = raw.pop();
            self.doubt(result);
        }
        match result {
            Ok(()) => Ok(true),
            Err(Error::Timeout | Error::Cancelled) => Ok(false),
            Err(error) => lost(error).map(|()| true),
        }
    }

    /// A stack without notifications about the list reports it as an unknown reader. A single such error may be about a
    /// real reader that was just unplugged.
    fn doubt(&mut self, result: Result<(), Error>) {
        let refused = result == Err(Error::UnknownReader);
        if refused && self.refused {
            self.list = None;
        }
        self.refused = refused;
    }
}

/// Errors that a reader can cause by being unplugged are not a loss: the next listing shows it.
fn lost(error: Error) -> Result<(), Lost> {
    if is_lost(error) { Err(Lost) } else { Ok(()) }
}
