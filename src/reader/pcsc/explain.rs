//! What went wrong with a card, where the name of the error says too little.

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use pcsc::{Context, Error};

use super::{fill, is_lost, link_error, reading, unaware};
use crate::{card::link::LinkError, reader::Slot};

/// Twice the time in which pcsc-lite looks for cards (400 ms): so long an unexplained failure may turn out a removal.
const EXPLANATION: Duration = Duration::from_millis(800);

/// The drivers report a card removed in mid-exchange in many ways, and the service notices the removal later. So an
/// error whose name says too little is explained by what the reader says next.
pub(super) fn explain(context: &Context, reader: &CString, error: Error) -> LinkError {
    let known = link_error(error);
    let vague = is_failed_exchange(error) || matches!(known, LinkError::Other(_)) || is_lost(error);
    if !vague {
        return known;
    }
    let mut states = [unaware(reader.clone())];
    let until = Instant::now() + EXPLANATION;
    let mut first = None;
    loop {
        match fill_or_wait(context, &mut states, first.is_some(), until) {
            Err(Error::UnknownReader) => return LinkError::ReaderGone,
            Err(Error::Timeout) => break,
            Err(error) => return link_error(error),
            Ok(()) => {}
        }
        let now = reading(&states[0], 0);
        match now.slot {
            Slot::Empty => return LinkError::CardRemoved,
            Slot::Unavailable => return LinkError::Unavailable,
            _ if first.is_some_and(|insertion| insertion != now.insertion) => return LinkError::CardRemoved,
            _ => first = Some(now.insertion),
        }
    }
    // The service answers and the card is still there.
    if is_failed_exchange(error) || is_lost(error) { LinkError::Transmission(error.to_string()) } else { known }
}

/// Whether the error says that bytes were lost between reader and card, as the drivers report it. One that says that there
/// is no card may come of a single exchange, while the card stays.
pub(super) const fn is_failed_exchange(error: Error) -> bool {
    matches!(error, Error::NotTransacted | Error::NoSmartcard | Error::CommDataLost | Error::CommError)
}

/// Reads the states, or waits until one changes.
pub(super) fn fill_or_wait(
    context: &Context,
    states: &mut [pcsc::ReaderState],
    wait: bool,
    until: Instant,
) -> Result<(), Error> {
    if !wait {
        return fill(context, states);
    }
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::Timeout);
    }
    context.get_status_change(left, states)?;
    states.iter_mut().for_each(pcsc::ReaderState::sync_current_state);
    Ok(())
}
