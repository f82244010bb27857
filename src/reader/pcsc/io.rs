//! The thread that makes the blocking calls of one connection.
//!
//! It ends when its [`Card`](super::Card) is gone: at once, or when a hanging call returns. It leaves the card in its
//! state, for the sake of other programs.

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

/// `CM_IOCTL_GET_FEATURE_REQUEST`, before the platform turns it into a control code.
const FEATURE_REQUEST: u16 = 3400;

/// How often a failed reset is retried.
const RESETS: usize = 3;

/// A request to the thread. All but `End` are answered.
pub(super) enum IoRequest {
    /// Begin a transaction.
    Begin,
    /// One APDU, inside a transaction.
    Exchange(Zeroizing<Vec<u8>>),
    /// Reset the card, inside a transaction; the answer is its ATR.
    Reset,
    /// The reader's features (PC/SC part 10, 2.2), inside a transaction.
    /// Power the card down and up again (at a contactless reader, the field); the answer is the ATR.
    Features,
    /// Power the card down and up again (at a contactless reader, the field); the answer is the ATR.
    Renew,
    /// End the transaction.
    End,
}

/// The thread's answer.
pub(super) type IoReply = Result<IoAnswer, LinkError>;

/// A successful answer.
pub(super) enum IoAnswer {
    /// How the card is connected now: after connecting, after a reset, and at the beginning of each transaction.
    Contact(Contact),
    /// The card's or the reader's answer.
    Bytes(Vec<u8>),
}

/// Connects, answers with the ATR, and serves requests until the other end is closed.
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
            // Only a transaction sends other requests, and its End comes last.
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

/// Serves one transaction, which ends, leaving the card in its state, when this function returns.
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
                // A virtual reader whose card leaves in mid-exchange reports success and an empty answer.
                Ok(answer) if answer.len() < 2 => Err(Error::NotTransacted),
                other => other.map(|answer| IoAnswer::Bytes(answer.to_vec())),
            },
            IoRequest::Features => {
                // A reader without features may report that by any error.
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

/// Recovers from an error, and says what it was: a card that was reset is reconnected, so that the next transaction can
/// begin, and the caller learns that the old session is gone.
///
/// A card whose exchange failed is reconnected, too: the driver may have lost its place in the protocol T=1, even for
/// new connections, and only a reset restores it.
fn after(
    (context, reader): (&Context, &CString),
    error: Error,
    mut reconnect: impl FnMut(Disposition) -> Result<(), Error>,
) -> LinkError {
    let (how, told) = match error {
        Error::ResetCard => (LEAVE, LinkError::CardReset),
        Error::UnpoweredCard => (Disposition::ResetCard, LinkError::CardReset),
        // Longer than any answer may be.
        Error::InsufficientBuffer => return LinkError::Malformed(pcsc::MAX_BUFFER_SIZE_EXTENDED),
        // The driver reports that the card has left, and the service will repeat that until it does leave; a reset
        // shows the truth.
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
