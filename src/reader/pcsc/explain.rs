//! What went wrong with a card, where the name of the error says too little.

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use pcsc::{Context, Error};

use super::{
    causes::{is_vague, settled},
    fill, link_error, reading, unaware,
};
use crate::{
    card::link::LinkError,
    reader::{
        ReaderError, Slot,
        service::{MissingGate, missing_gate},
    },
};

/// Twice the time in which pcsc-lite looks for cards (400 ms): so long an unexplained failure may turn out a removal.
pub(super) const EXPLANATION: Duration = Duration::from_millis(800);

/// The drivers report a card removed in mid-exchange in many ways, and the service notices the removal later. So an
/// error whose name says too little is explained by what the reader says next.
pub(super) fn explain(context: &Context, reader: &CString, error: Error) -> LinkError {
    if !is_vague(error) {
        return refused(link_error(error), missing_gate);
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

/// A refusal by a service that cannot ask polkit is no answer of polkit's.
fn refused(error: LinkError, missing: impl FnOnce() -> Option<MissingGate>) -> LinkError {
    match error {
        LinkError::AccessDenied => missing().map_or(error, |gate| LinkError::Service(ReaderError::NoPolkit(gate))),
        other => other,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_cannot_ask_has_not_been_told_no() {
        let masked = || Some(MissingGate::Masked);
        let expected = LinkError::Service(ReaderError::NoPolkit(MissingGate::Masked));
        assert_eq!(refused(LinkError::AccessDenied, masked), expected);
        assert_eq!(refused(LinkError::AccessDenied, || None), LinkError::AccessDenied);
        assert_eq!(refused(LinkError::CardMute, masked), LinkError::CardMute);
    }
}
