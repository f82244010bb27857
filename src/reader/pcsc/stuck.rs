//! Tracks calls that have not returned in time: their threads are abandoned, and nobody starts another one without
//! asking.

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

/// How long finding out who holds a reader may take.
const HOLDER_LIMIT: Duration = Duration::from_millis(500);
/// How long a listing may take on a busy machine before the service counts as silent.
const SERVICE_LIMIT: Duration = Duration::from_secs(1);

/// A thread that was abandoned in a call. When it ends, `answers` closes.
pub(super) struct Stuck {
    pub reader: String,
    pub answers: Receiver<IoReply>,
    pub why: LinkError,
}

static STUCK: Mutex<Vec<Stuck>> = Mutex::new(Vec::new());
/// The readers whose last call exceeded its limit.
static HANGING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether the last call to this reader exceeded its limit, in the driver or because another program holds the card:
/// its contents are unknown.
pub fn hangs(reader: &str) -> bool {
    HANGING.lock().unwrap_or_else(PoisonError::into_inner).contains(reader)
}

/// Waits for abandoned threads at this reader to end, so that a hanging reader does not accumulate them.
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

/// Whether another program holds the reader. If none does, a call by a program that is gone hangs in the driver;
/// likewise if another rollcall shows, or has left a file saying, that its call hangs.
pub(super) fn held(reader: &str, limit: Duration) -> Option<LinkError> {
    let readers = list_within(HOLDER_LIMIT).ok()?;
    let state = readers.iter().find(|r| r.name == reader).filter(|r| r.in_use || r.exclusive)?;
    let socket = own_socket();
    if !Holders::of(&socket).any() || mark::is_set(&socket, reader) {
        return None;
    }
    Some(if state.exclusive { LinkError::SharingViolation } else { LinkError::Occupied(ms(limit)) })
}

/// Why the service itself does not answer, if so.
pub(super) fn silent_service() -> Option<LinkError> {
    list_within(SERVICE_LIMIT).err().map(LinkError::Service)
}
