//! Lists the readers over PC/SC and translates its errors. Only this module and its children import the crate `pcsc`.
//!
//! How real PC/SC stacks behave, and what this code does about it:
//! - A lost context still reports that it is valid: nothing asks it, and a new one is made after any error that can
//!   mean a lost service.
//! - A context serialises its calls, so every thread has its own.
//! - pcsc-lite before 2.0 keeps one unlocked table of readers per process. Buffers for names are therefore larger than
//!   that table can ever be, and connections avoid the calls that refresh it where possible.
//! - `SCardCancel` ends only `SCardGetStatusChange`, and itself asks the service: it does not help against a call that
//!   hangs.

mod attributes;
mod card;
mod causes;
mod connect;
mod explain;
mod io;
mod limits;
mod signal;
mod startup;
mod stuck;
mod turn;
mod watch;

pub use attributes::{ReaderAttributes, attributes};
pub use card::{Card, Transaction};
pub use limits::{CardLimits, Deadline};
pub use signal::send as send_signal;
pub use stuck::hangs;
pub(super) use watch::{Canceller, Lost, Watcher};

use std::{
    ffi::CString,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pcsc::{Context, Error, Scope, State};

use self::{
    causes::{card as link_error, is_lost, listing},
    startup::{establish_within, until_started},
};
use super::{
    Insertion, ReaderError, ReaderState, Slot, name,
    service::{self, SocketAnswer},
};

/// How long the service may take for a listing.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// How long the socket of the service may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Most readers in one `SCardGetStatusChange`.
const STATES_MAX: usize = if cfg!(windows) { 10 } else { 16 };
/// More than the names of 16 readers need, the limit of most stacks.
const NAMES_ROOM: usize = 8 * 1024;
/// Most bytes for the names of all readers.
const NAMES_MAX: usize = 1024 * 1024;

/// The readers and their contents, now. Without readers an empty list.
///
/// Takes at most 5 s, then [`ReaderError::ServiceHangs`].
///
/// # Errors
/// [`ReaderError::ServiceDown`] and its causes when the service does not let this user ask;
/// [`ReaderError::ServiceHangs`] after 5 s; [`ReaderError::NoThread`].
pub fn list() -> Result<Vec<ReaderState>, ReaderError> {
    list_within(LIST_LIMIT)
}

/// As [`list`], with another limit.
///
/// # Errors
/// As [`list`], with [`ReaderError::ServiceHangs`] after `limit`.
pub fn list_within(limit: Duration) -> Result<Vec<ReaderState>, ReaderError> {
    let (answer, answers) = mpsc::sync_channel(1);
    // Leave time to tell a hanging service from one that is slow to start.
    let until = Instant::now() + limit / 2;
    thread::Builder::new()
        .name("pcsc-list".to_owned())
        .spawn(move || answer.send(until_started(until, list_now)))
        .map_err(|e| ReaderError::NoThread(e.to_string()))?;
    answers.recv_timeout(limit).unwrap_or(Err(ReaderError::ServiceHangs))
}

fn list_now() -> Result<Vec<ReaderState>, ReaderError> {
    let context = match establish() {
        // Windows stops the service with the last reader.
        Err(ReaderError::ServiceDown) if cfg!(windows) => return Ok(Vec::new()),
        other => other?,
    };
    for _ in 0..3 {
        let mut states: Vec<_> = names(&context).map_err(reader_error)?.into_iter().map(unaware).collect();
        match fill(&context, &mut states) {
            // It was unplugged after the names were read.
            Err(Error::UnknownReader) => {}
            Err(error) => return Err(reader_error(error)),
            Ok(()) => {
                return Ok(states.iter().map(|state| reading(state, 0)).collect());
            }
        }
    }
    Err(reader_error(Error::UnknownReader))
}

/// A new context. Tried twice, because a service that is ending closes the connection.
fn establish() -> Result<Context, ReaderError> {
    Context::establish(Scope::System)
        .or_else(|error| if error == Error::CommError { Context::establish(Scope::System) } else { Err(error) })
        .or_else(refused)
}

/// Why there is no context, by asking the socket: the library distinguishes too few causes.
fn refused(error: Error) -> Result<Context, ReaderError> {
    if !causes::is_lost(error) {
        return Err(causes::service(error, SocketAnswer::Unclear, service::missing_gate(), ""));
    }
    let socket = service::own_socket();
    let says = service::ask(&socket, ASK_LIMIT);
    if let SocketAnswer::Agreed(_) = says
        // It may have started just now.
        && let Ok(context) = Context::establish(Scope::System)
    {
        return Ok(context);
    }
    if service::is_missing(&|name| std::env::var_os(name), says) {
        return Err(ReaderError::NotInstalled);
    }
    Err(causes::service(error, says, service::missing_gate(), &socket.display().to_string()))
}

/// What an error of a call in an established context means.
fn reader_error(error: Error) -> ReaderError {
    listing(error, service::missing_gate)
}

/// The names of all readers.
fn names(context: &Context) -> Result<Vec<CString>, Error> {
    let mut room = NAMES_ROOM;
    loop {
        match context.list_readers(&mut vec![0; room]) {
            Err(Error::InsufficientBuffer) if room < NAMES_MAX => room *= 2,
            Err(Error::NoReadersAvailable) => return Ok(Vec::new()),
            Err(error) => return Err(error),
            Ok(found) => return Ok(found.map(ToOwned::to_owned).collect()),
        }
    }
}

/// A reader whose state is not known yet.
fn unaware(name: CString) -> pcsc::ReaderState {
    pcsc::ReaderState::new(name, State::UNAWARE)
}

/// Reads the present state of readers, without waiting.
fn fill(context: &Context, states: &mut [pcsc::ReaderState]) -> Result<(), Error> {
    for states in states.chunks_mut(STATES_MAX) {
        match context.get_status_change(Duration::ZERO, states) {
            Ok(()) | Err(Error::Timeout) => {}
            Err(error) => return Err(error),
        }
        states.iter_mut().for_each(pcsc::ReaderState::sync_current_state);
    }
    Ok(())
}

/// Converts the last reading. `epoch` distinguishes counts of different contexts, or from before and after unplugging.
fn reading(state: &pcsc::ReaderState, epoch: u64) -> ReaderState {
    let flags = state.event_state();
    let slot = if flags.intersects(State::UNAVAILABLE | State::UNKNOWN) {
        Slot::Unavailable
    } else if flags.contains(State::MUTE) {
        Slot::Mute
    } else if flags.contains(State::PRESENT) {
        Slot::Card(state.atr().to_vec())
    } else {
        Slot::Empty
    };
    ReaderState {
        name: name::shown(state.name().to_bytes()),
        slot,
        exclusive: flags.contains(State::EXCLUSIVE),
        in_use: flags.contains(State::INUSE),
        insertion: Insertion::counted(epoch, state.event_count()),
    }
}
