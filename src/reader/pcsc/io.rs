//! The thread that makes the blocking calls of one connection.
//!
//! It ends when its [`Card`](super::Card) is gone: at once, or when the call that hangs returns. It leaves the card as
//! it is, so that other programs keep their state.

use std::{
    ffi::CString,
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use pcsc::{Context, Disposition, Error, Protocols, ShareMode};
use zeroize::Zeroizing;

use super::{
    connect::{Connection, Contact, LEAVE, PAUSES, may_pass, settle, touch, unconnected},
    explain::explain,
};
use crate::card::link::LinkError;

/// `CM_IOCTL_GET_FEATURE_REQUEST`, before the system makes it a control code.
const FEATURE_REQUEST: u16 = 3400;

/// How often a reset that fails is tried again.
const RESETS: usize = 3;

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

/// Connects, answers with the ATR, and serves until the asking end is closed.
pub(super) fn run(reader: &str, until: Instant, asks: &Receiver<IoRequest>, answers: &SyncSender<IoReply>) {
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
    mut reconnect: impl FnMut(Disposition) -> Result<(), Error>,
) -> LinkError {
    let (how, told) = match error {
        Error::ResetCard => (LEAVE, LinkError::CardReset),
        Error::UnpoweredCard => (Disposition::ResetCard, LinkError::CardReset),
        // More than any answer may be.
        Error::InsufficientBuffer => return LinkError::Malformed(pcsc::MAX_BUFFER_SIZE_EXTENDED),
        // The driver says that the card has left, and so will the service, until it is lifted; a reset tells whether it has.
        Error::NoSmartcard => {
            return match reconnect(Disposition::ResetCard) {
                Ok(()) => LinkError::Transmission(error.to_string()),
                Err(_) => LinkError::CardRemoved,
            };
        }
        error => match explain(context, reader, error) {
            told @ LinkError::Transmission(_) => (Disposition::ResetCard, told),
            told => return told,
        },
    };
    let mut pauses = PAUSES.into_iter().take(RESETS).map(Duration::from_millis);
    loop {
        let Err(error) = reconnect(how) else { return told };
        let pause = pauses.next().filter(|_| may_pass(error));
        let Some(pause) = pause else { return unconnected(context, reader, error) };
        if let Err(gone) = settle(context, reader, Instant::now() + pause) {
            return gone;
        }
    }
}
