//! Finds out what went wrong with a card when the error's name says too little.

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use pcsc::{Context, Error};

use super::{
    causes::{is_vague, refused_card, settled},
    fill, link_error, reading, unaware,
};
use crate::{
    card::link::LinkError,
    reader::{Slot, service::missing_gate},
};

/// Twice pcsc-lite's polling interval for cards (400 ms): within it an unexplained failure may prove to be a removal.
pub(super) const EXPLANATION: Duration = Duration::from_millis(800);

/// Explains a vague error by the reader's next state: drivers report a card removed in mid-exchange in many ways, and
/// the service notices the removal later.
pub(super) fn explain(context: &Context, reader: &CString, error: Error) -> LinkError {
    if !is_vague(error) {
        return refused_card(link_error(error), missing_gate);
    }
    let mut states = [unaware(reader.clone())];
    let until = Instant::now() + EXPLANATION;
    let (mut first, mut slot) = (None, Slot::Unavailable);
    loop {
        match fill_or_wait(context, &mut states, first.is_some(), until) {
            Err(Error::UnknownReader) => return LinkError::ReaderGone,
            Err(Error::Timeout) => break,
            Err(error) => return link_error(error),
            Ok(()) => {}
        }
        let now = reading(&states[0], 0);
        slot = now.slot;
        match slot {
            Slot::Empty => break,
            // It may be about to go.
            Slot::Unavailable => first = first.or(Some(now.insertion)),
            _ if first.is_some_and(|insertion| insertion != now.insertion) => return LinkError::CardRemoved,
            _ => first = Some(now.insertion),
        }
    }
    settled(error, &slot)
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
