//! Calls that have not come back in time: their threads are left alone, and others ask here before they make one more.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{io::IoReply, limits::ms, list_within};
use crate::{
    card::link::LinkError,
    reader::{holders::Holders, mark, service::own_socket},
};

/// How long the question who holds a reader may take.
const HOLDER_LIMIT: Duration = Duration::from_millis(500);
/// How long a service that is not stopped may take for a listing on a busy machine.
const SERVICE_LIMIT: Duration = Duration::from_secs(1);

/// A thread that was abandoned in a call. Its end closes `answers`.
pub(super) struct Stuck {
    pub reader: String,
    pub answers: Receiver<IoReply>,
    pub why: LinkError,
}

static STUCK: Mutex<Vec<Stuck>> = Mutex::new(Vec::new());
/// The readers at which a call outlasted its limit, and none was made since that came back.
static HANGING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether the last call to this reader outlasted its limit, in the driver or because another program holds the card: nobody can
/// say what lies there.
pub fn hangs(reader: &str) -> bool {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner).contains(reader)
}

/// Waits for the end of abandoned threads on this reader, so that a reader that hangs does not collect them.
pub(super) fn await_stuck(reader: &str, until: Instant) -> Result<(), LinkError> {
    while let Some(stuck) = take_stuck(reader) {
        let left = until.saturating_duration_since(Instant::now());
        if matches!(stuck.answers.recv_timeout(left), Err(RecvTimeoutError::Timeout)) {
            let why = stuck.why.clone();
            remember_stuck(stuck);
            return Err(why);
        }
    }
    HANGING.lock().unwrap_or_else(PoisonError::into_inner).remove(reader);
    Ok(())
}

pub(super) fn remember_stuck(stuck: Stuck) {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner).insert(stuck.reader.clone());
    STUCK.lock().unwrap_or_else(PoisonError::into_inner).push(stuck);
}

fn take_stuck(reader: &str) -> Option<Stuck> {
    let mut all = STUCK.lock().unwrap_or_else(PoisonError::into_inner);
    let at = all.iter().position(|stuck| stuck.reader == reader)?;
    Some(all.swap_remove(at))
}

/// Whether another program has the reader. Without one it is a call of somebody who is gone, and hangs in the driver; so does
/// one of another rollcall that says so, or has left word that it did.
pub(super) fn held(reader: &str, limit: Duration) -> Option<LinkError> {
    let readers = list_within(HOLDER_LIMIT).ok()?;
    let state = readers.iter().find(|r| r.name == reader).filter(|r| r.in_use || r.exclusive)?;
    let socket = own_socket();
    if !Holders::of(&socket).any() || mark::is_set(&socket, reader) {
        return None;
    }
    Some(if state.exclusive { LinkError::SharingViolation } else { LinkError::Occupied(ms(limit)) })
}

/// What is wrong with the service, where it is the service itself that does not answer.
pub(super) fn silent_service() -> Option<LinkError> {
    list_within(SERVICE_LIMIT).err().map(LinkError::Service)
}
