//! The thread that makes the blocking calls of one connection.
//!
//! It ends when its [`Card`](super::Card) is gone: at once, or when the call that hangs returns. It leaves the card as
//! it is, so that other programs keep their state.

use std::{
    ffi::CString,
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use pcsc::{Context, Disposition, Error, Protocol, Protocols, ShareMode};
use zeroize::Zeroizing;

use super::{establish, fill, is_lost, link_error, reading, unaware};
use crate::{
    card::link::LinkError,
    reader::{ReaderError, Slot},
};

/// Twice the time in which pcsc-lite looks for cards (400 ms): so long an unexplained failure may turn out a removal.
const EXPLANATION: Duration = Duration::from_millis(800);

/// How long a reader is left alone that refuses to be shared without looking held.
const RETRY: Duration = Duration::from_millis(100);

/// `CM_IOCTL_GET_FEATURE_REQUEST`, before the system makes it a control code.
const FEATURE_REQUEST: u16 = 3400;
/// How everything ends.
const LEAVE: Disposition = Disposition::LeaveCard;

/// What the thread is asked. All but `End` are answered.
pub(super) enum IoRequest {
    /// Begin a transaction.
    Begin,
    /// One APDU, inside a transaction.
    Exchange(Zeroizing<Vec<u8>>),
    /// Reset the card, inside a transaction; the answer is its ATR.
    Reset,
    /// What the reader can do beside cards (PC/SC part 10, 2.2), inside a transaction.
    Features,
    /// Take the power away and give it back, which at a contactless reader is the field; the answer is the ATR.
    Renew,
    /// End the transaction.
    End,
}

/// What it answers.
pub(super) type IoReply = Result<IoAnswer, LinkError>;

/// What went well.
pub(super) enum IoAnswer {
    /// The card as it is connected now: after the connection, a reset, and at the beginning of each transaction.
    Contact(Contact),
    /// What the card, or the reader, said.
    Bytes(Vec<u8>),
}

/// How the card is connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contact {
    /// Its answer to reset.
    pub atr: Vec<u8>,
    /// Whether the protocol is T=0.
    pub is_t0: bool,
}

/// Connects, answers with the ATR, and serves until the asking end is closed.
pub(super) fn run(reader: CString, until: Instant, asks: &Receiver<IoRequest>, answers: &SyncSender<IoReply>) {
    let mut connection = match Connection::open(reader, until) {
        Ok(connection) => connection,
        Err(error) => {
            let _ = answers.send(Err(error));
            return;
        }
    };
    let answer = Ok(IoAnswer::Contact(connection.contact.clone()));
    if answers.send(answer).is_ok() {
        serve(&mut connection, asks, answers);
    }
    connection.close();
}

struct Connection {
    context: Context,
    reader: CString,
    card: pcsc::Card,
    contact: Contact,
    room: Vec<u8>,
}

fn serve(connection: &mut Connection, asks: &Receiver<IoRequest>, answers: &SyncSender<IoReply>) {
    while let Ok(ask) = asks.recv() {
        if !matches!(ask, IoRequest::Begin) {
            // Only a transaction sends anything else, and its End comes last.
            continue;
        }
        let Connection { context, reader, card, contact, room } = &mut *connection;
        match card.transaction2() {
            Ok(transaction) => {
                if answers.send(Ok(IoAnswer::Contact(contact.clone()))).is_err() {
                    return;
                }
                transact((context, reader), transaction, contact, room, (asks, answers));
            }
            Err((card, error)) => {
                let error = after((context, reader), error, |how| {
                    card.reconnect(ShareMode::Shared, Protocols::ANY, how)?;
                    *contact = touch(card)?;
                    Ok(())
                });
                if answers.send(Err(error)).is_err() {
                    return;
                }
            }
        }
    }
}

/// Serves one transaction, which ends, leaving the card, when this function returns.
fn transact(
    place: (&Context, &CString),
    mut transaction: pcsc::Transaction<'_>,
    contact: &mut Contact,
    room: &mut [u8],
    (asks, answers): (&Receiver<IoRequest>, &SyncSender<IoReply>),
) {
    while let Ok(ask) = asks.recv() {
        let result = match ask {
            IoRequest::Begin => Ok(IoAnswer::Contact(contact.clone())),
            IoRequest::End => return,
            IoRequest::Exchange(command) => match transaction.transmit(&command, room) {
                // A virtual reader whose card leaves in mid-exchange reports success, and nothing.
                Ok(answer) if answer.len() < 2 => Err(Error::NotTransacted),
                other => other.map(|answer| IoAnswer::Bytes(answer.to_vec())),
            },
            IoRequest::Features => {
                // A reader that has none may say so by any error.
                let list = transaction.control(pcsc::ctl_code(FEATURE_REQUEST.into()), &[], room).unwrap_or_default();
                Ok(IoAnswer::Bytes(list.to_vec()))
            }
            IoRequest::Reset => restart(&mut transaction, contact, Disposition::ResetCard),
            IoRequest::Renew => restart(&mut transaction, contact, Disposition::UnpowerCard),
        };
        let answer =
            result.map_err(|error| after(place, error, |how| restart(&mut transaction, contact, how).map(drop)));
        if answers.send(answer).is_err() {
            return;
        }
    }
}

fn restart(
    transaction: &mut pcsc::Transaction<'_>,
    contact: &mut Contact,
    how: Disposition,
) -> Result<IoAnswer, Error> {
    transaction.reconnect(ShareMode::Shared, Protocols::ANY, how)?;
    *contact = touch(transaction)?;
    Ok(IoAnswer::Contact(contact.clone()))
}

/// What an error was, after what can be done about it: a card that was reset is reconnected, so that the next
/// transaction can begin, and the caller learns that the old session is gone.
///
/// So is one whose exchange failed: the driver may have lost its place in the protocol T=1, for new connections too, and
/// only a reset brings it back.
fn after(
    (context, reader): (&Context, &CString),
    error: Error,
    reconnect: impl FnOnce(Disposition) -> Result<(), Error>,
) -> LinkError {
    let (how, told) = match error {
        Error::ResetCard => (LEAVE, LinkError::CardReset),
        Error::UnpoweredCard => (Disposition::ResetCard, LinkError::CardReset),
        // More than any answer may be.
        Error::InsufficientBuffer => return LinkError::Malformed(pcsc::MAX_BUFFER_SIZE_EXTENDED),
        error => match explain(context, reader, error) {
            told @ LinkError::Transmission(_) => (Disposition::ResetCard, told),
            told => return told,
        },
    };
    match reconnect(how) {
        Ok(()) => told,
        Err(error) => explain(context, reader, error),
    }
}

/// The drivers report a card removed in mid-exchange in many ways, and the service notices the removal later. So an
/// error whose name says too little is explained by what the reader says next.
fn explain(context: &Context, reader: &CString, error: Error) -> LinkError {
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

fn fill_or_wait(context: &Context, states: &mut [pcsc::ReaderState], wait: bool, until: Instant) -> Result<(), Error> {
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

/// Whether the error says that bytes were lost between reader and card, as the drivers report it.
const fn is_failed_exchange(error: Error) -> bool {
    matches!(error, Error::NotTransacted | Error::CommDataLost | Error::CommError)
}

fn touch(card: &pcsc::Card) -> Result<Contact, Error> {
    let (mut names, mut atr) = ([0; 1024], [0; pcsc::MAX_ATR_SIZE]);
    let status = card.status2(&mut names, &mut atr)?;
    Ok(Contact { atr: status.atr().to_vec(), is_t0: status.protocol2() == Some(Protocol::T0) })
}

impl Connection {
    fn open(reader: CString, until: Instant) -> Result<Self, LinkError> {
        let context = establish().map_err(|error| match error {
            ReaderError::ServiceDown => LinkError::ServiceLost,
            other => LinkError::Other(other.to_string()),
        })?;
        let card = loop {
            match context.connect(&reader, ShareMode::Shared, Protocols::ANY) {
                Ok(card) => break card,
                Err(Error::SharingViolation) => released(&context, &reader, until)?,
                Err(error) => return Err(explain(&context, &reader, error)),
            }
        };
        let contact = touch(&card).map_err(|error| explain(&context, &reader, error))?;
        Ok(Self { context, reader, card, contact, room: vec![0; pcsc::MAX_BUFFER_SIZE_EXTENDED] })
    }

    /// Left to itself, the crate would reset the card.
    fn close(self) {
        if let Err((card, _)) = self.card.disconnect(LEAVE) {
            // It cannot be left: the service is gone, or takes it back with the context.
            drop(card);
        }
    }
}

/// Waits until the program that holds the reader exclusively lets go of it.
fn released(context: &Context, reader: &CString, until: Instant) -> Result<(), LinkError> {
    let mut states = [unaware(reader.clone())];
    fill(context, &mut states).map_err(link_error)?;
    loop {
        // A reader that does not look held is tried again after a while: what it tells may be late.
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
