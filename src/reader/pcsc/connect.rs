//! Makes the first connection to a card. It may fail for passing reasons: another program used the card with another
//! protocol, the card wakes up late, or its answer to reset was lost. So it is retried with growing pauses, and the
//! reader's reports on the card are not believed until the card itself was asked.

use std::{
    ffi::CString,
    time::{Duration, Instant},
};

use pcsc::{Context, Disposition, Error, Protocol, Protocols, ShareMode};

use super::{
    causes::is_failed_exchange,
    establish_within,
    explain::{EXPLANATION, explain, fill_or_wait},
    fill, link_error, reading,
    turn::in_turn,
    unaware,
};
use crate::{
    card::link::LinkError,
    reader::{ReaderError, Slot, atr::Atr, name},
};

/// How every connection ends.
pub(super) const LEAVE: Disposition = Disposition::LeaveCard;
/// Pause before retrying a reader that refuses to be shared although it does not look held.
const RETRY: Duration = Duration::from_millis(100);
/// Pauses before retrying a card, in ms.
pub(super) const PAUSES: [u64; 4] = [100, 200, 400, 800];

/// How the card is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contact {
    /// Its answer to reset.
    pub atr: Vec<u8>,
    /// Whether the protocol is T=0.
    pub is_t0: bool,
}

/// How the card is connected now.
pub(super) fn touch(card: &pcsc::Card) -> Result<Contact, Error> {
    let (atr, protocol) = status(card)?;
    // Just after a reset the service may report neither correctly, once.
    let (atr, protocol) = if is_known(protocol) { (atr, protocol) } else { status(card)? };
    let is_t0 = is_t0(protocol, &atr);
    Ok(Contact { atr, is_t0 })
}

/// The answer to reset, and the protocol in use.
fn status(card: &pcsc::Card) -> Result<(Vec<u8>, Option<Protocol>), Error> {
    let (mut names, mut atr) = ([0; 1024], [0; pcsc::MAX_ATR_SIZE]);
    let status = card.status2(&mut names, &mut atr)?;
    Ok((status.atr().to_vec(), status.protocol2()))
}

/// Whether the protocol carries APDUs.
const fn is_known(protocol: Option<Protocol>) -> bool {
    matches!(protocol, Some(Protocol::T0 | Protocol::T1))
}

/// Whether to apply the rules of T=0: where the service does not know the protocol, the ATR decides, because a card
/// that offers only T=0 can be connected in no other.
fn is_t0(protocol: Option<Protocol>, atr: &[u8]) -> bool {
    match protocol {
        Some(Protocol::T0) => true,
        Some(Protocol::T1) => false,
        _ => Atr::parse(atr).is_ok_and(|atr| atr.protocols == [0]),
    }
}

/// A connected card, and everything needed to talk to it.
pub(super) struct Connection {
    pub context: Context,
    pub reader: CString,
    pub card: pcsc::Card,
    pub contact: Contact,
    pub room: Vec<u8>,
}

impl Connection {
    /// Connects to the card in the reader with this displayed name.
    pub(super) fn open(reader: &str, until: Instant) -> Result<Self, LinkError> {
        match Self::attempt(reader, until) {
            // The service ended between two calls; if it is started on demand, it is back.
            Err(LinkError::ServiceLost) => Self::attempt(reader, until),
            other => other,
        }
    }

    fn attempt(reader: &str, until: Instant) -> Result<Self, LinkError> {
        let reader = resolve(reader)?;
        let mut pauses = PAUSES.into_iter().map(Duration::from_millis);
        let mut slowest = Duration::ZERO;
        let (context, card, contact) = loop {
            let begun = Instant::now();
            let (context, connected) = in_turn(|| {
                let context = establish(until)?;
                let connected = connect(&context, &reader);
                Ok::<_, LinkError>((context, connected))
            })?;
            match connected {
                Ok((card, contact)) => break (context, card, contact),
                Err(Error::SharingViolation) => released(&context, &reader, until)?,
                Err(error) => {
                    let now = Instant::now();
                    // Allow for a slow service: being late counts as a hang.
                    slowest = slowest.max(now - begun);
                    let in_time = |pause: &Duration| now + *pause + slowest * 2 < until;
                    let pause = pauses.next().filter(|pause| may_pass(error) && in_time(pause));
                    let Some(pause) = pause else { return Err(unconnected(&context, &reader, error)) };
                    settle(&context, &reader, now + pause)?;
                    slowest = slowest.max(begun.elapsed().saturating_sub(pause));
                }
            }
        };
        Ok(Self { context, reader, card, contact, room: vec![0; pcsc::MAX_BUFFER_SIZE_EXTENDED] })
    }

    pub(super) fn close(self) {
        leave(self.card);
    }
}

fn establish(until: Instant) -> Result<Context, LinkError> {
    establish_within(until).map_err(|error| match error {
        ReaderError::ServiceDown => LinkError::ServiceLost,
        ReaderError::NoThread(reason) => LinkError::NoThread(reason),
        other => LinkError::Service(other),
    })
}

/// Disconnects without a reset, which the crate would otherwise make.
pub(super) fn leave(card: pcsc::Card) {
    if let Err((card, _)) = card.disconnect(LEAVE) {
        // The disconnect failed: the service is gone, or cleans up with the context.
        drop(card);
    }
}

/// The name as PC/SC knows it of the reader with this displayed name: it is not always UTF-8.
pub(super) fn resolve(reader: &str) -> Result<CString, LinkError> {
    CString::new(name::bytes(reader)).map_err(|_| LinkError::ReaderGone)
}

/// The final reason for the lack of a connection. The service also calls a card unresponsive that has answered to reset
/// but failed afterwards. If the protocol of a card in use fits nobody else, another program has connected it without
/// APDUs (RAW).
pub(super) fn unconnected(context: &Context, reader: &CString, error: Error) -> LinkError {
    let mut states = [unaware(reader.clone())];
    let is_doubtful = matches!(error, Error::UnresponsiveCard | Error::ProtoMismatch);
    if !is_doubtful || fill(context, &mut states).is_err() {
        return explain(context, reader, error);
    }
    let now = reading(&states[0], 0);
    match (error, &now.slot) {
        (Error::UnresponsiveCard, Slot::Card(atr)) if !atr.is_empty() => LinkError::ProtocolRefused,
        (Error::ProtoMismatch, _) if now.in_use => LinkError::SharingViolation,
        _ => explain(context, reader, error),
    }
}

/// Whether an attempt that failed like this may soon succeed.
pub(super) const fn may_pass(error: Error) -> bool {
    is_failed_exchange(error)
        || matches!(error, Error::UnresponsiveCard | Error::UnpoweredCard | Error::ResetCard | Error::ProtoMismatch)
}

/// Uses the protocol that the stack prefers, or else one that works: a card may refuse to change to the first, and the
/// drivers do not fall back.
fn connect(context: &Context, reader: &CString) -> Result<(pcsc::Card, Contact), Error> {
    let refused = match connect_with(context, reader, Protocols::ANY) {
        Err(error @ (Error::UnresponsiveCard | Error::ProtoMismatch)) => error,
        other => return other,
    };
    for protocol in [Protocols::T0, Protocols::T1] {
        // A program that has ended leaves its protocol (RAW) behind until the card loses power.
        if refused == Error::UnresponsiveCard || !is_in_use(context, reader) {
            unpower(context, reader);
        }
        if let Ok(connected) = connect_with(context, reader, protocol) {
            return Ok(connected);
        }
    }
    Err(refused)
}

fn connect_with(context: &Context, reader: &CString, protocols: Protocols) -> Result<(pcsc::Card, Contact), Error> {
    let card = context.connect(reader, ShareMode::Shared, protocols)?;
    match touch(&card) {
        Ok(contact) => Ok((card, contact)),
        Err(error) => {
            leave(card);
            Err(error)
        }
    }
}

/// Whether any program is connected to the card, or it is unknown.
fn is_in_use(context: &Context, reader: &CString) -> bool {
    let mut states = [unaware(reader.clone())];
    fill(context, &mut states).is_err() || reading(&states[0], 0).in_use
}

/// Cuts the card's power: after refusing one protocol, a card accepts another only after a new answer to reset.
fn unpower(context: &Context, reader: &CString) {
    if let Ok(card) = context.connect(reader, ShareMode::Direct, Protocols::UNDEFINED)
        && let Err((card, _)) = card.disconnect(Disposition::UnpowerCard)
    {
        drop(card);
    }
}

/// Waits until then, or until the card's state changes.
pub(super) fn settle(context: &Context, reader: &CString, until: Instant) -> Result<(), LinkError> {
    let empty_until = until.max(Instant::now() + EXPLANATION);
    let mut states = [unaware(reader.clone())];
    fill(context, &mut states).map_err(link_error)?;
    let before = reading(&states[0], 0).slot;
    loop {
        let slot = reading(&states[0], 0).slot;
        let limit = if slot == Slot::Empty { empty_until } else { until };
        if let Some(settled) = settled(&before, &slot, limit <= Instant::now()) {
            return settled;
        }
        match fill_or_wait(context, &mut states, true, limit) {
            Ok(()) | Err(Error::Timeout) => {}
            Err(error) => return Err(link_error(error)),
        }
    }
}

/// What to do with these contents of the reader; `None` while there is time to wait. That it is empty may be the
/// service's guess after a failed exchange: it checks a moment later.
fn settled(before: &Slot, now: &Slot, is_over: bool) -> Option<Result<(), LinkError>> {
    match now {
        Slot::Empty => is_over.then_some(Err(LinkError::CardRemoved)),
        now => (is_over || now != before).then_some(Ok(())),
    }
}

/// Waits until the program that holds the reader exclusively releases it.
fn released(context: &Context, reader: &CString, until: Instant) -> Result<(), LinkError> {
    let mut states = [unaware(reader.clone())];
    fill(context, &mut states).map_err(link_error)?;
    loop {
        // A reader that does not look held is retried after a while: its report may be late.
        let exclusive = reading(&states[0], 0).exclusive;
        let turn = if exclusive { until } else { until.min(Instant::now() + RETRY) };
        match fill_or_wait(context, &mut states, true, turn) {
            Ok(()) if exclusive && !reading(&states[0], 0).exclusive => return Ok(()),
            Ok(()) => {}
            Err(Error::Timeout) if Instant::now() < until => return Ok(()),
            Err(error) => {
                return Err(if error == Error::Timeout { LinkError::SharingViolation } else { link_error(error) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_service_knows_no_protocol_the_answer_to_reset_decides() {
        let (t0, t1, both) = (&[0x3B, 0x00][..], &[0x3B, 0x80, 0x01, 0x81][..], &[0x3B, 0x80, 0x80, 0x01, 0x01][..]);
        for atr in [t0, t1, both, &[]] {
            assert!(is_t0(Some(Protocol::T0), atr), "{atr:02X?}");
            assert!(!is_t0(Some(Protocol::T1), atr), "{atr:02X?}");
        }
        for unknown in [None, Some(Protocol::RAW)] {
            assert!(!is_known(unknown));
            assert!(is_t0(unknown, t0));
            assert!(!is_t0(unknown, t1) && !is_t0(unknown, both), "T=1 takes every form");
            assert!(!is_t0(unknown, &[]) && !is_t0(unknown, &[0x3B]), "no answer to reset says nothing");
        }
    }

    #[test]
    fn a_reader_that_looks_empty_once_is_not_believed() {
        let card = Slot::Card(vec![0x3B, 0]);
        assert_eq!(settled(&card, &Slot::Empty, false), None);
        assert_eq!(settled(&Slot::Empty, &Slot::Empty, false), None);
        assert_eq!(settled(&Slot::Empty, &card, false), Some(Ok(())), "it was there all the time");
        assert_eq!(settled(&Slot::Empty, &Slot::Empty, true), Some(Err(LinkError::CardRemoved)));
        assert_eq!(settled(&Slot::Mute, &Slot::Mute, false), None);
        assert_eq!(settled(&Slot::Mute, &Slot::Mute, true), Some(Ok(())));
        assert_eq!(settled(&Slot::Mute, &card, false), Some(Ok(())), "it woke up");
    }
}
