//! One connection and one transaction with the card that is changed.

use jiff::Timestamp;

use super::failure::AdministrationError;
use crate::{
    card::{apdu::ApduFormat, link::Link, meter::Metered},
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    reader::pcsc::Card,
    terminal::{
        context::TerminalContext,
        tap::failure::{link, token},
    },
    token::{
        TokenError,
        open::{Credentials, NoMemory, RememberedItem, Visit},
    },
};

/// What came of a visit, and the certificates that were read in it.
pub type Visited<T> = (T, Vec<(RememberedItem, Option<Vec<u8>>)>);

/// Connects to the card in this reader, and does the work in one transaction, with all that a channel takes.
pub fn visit<T>(
    terminal: &TerminalContext,
    credentials: &Credentials,
    reader: &str,
    work: impl FnOnce(&mut dyn Link, &mut Visit<'_>) -> Result<T, AdministrationError>,
) -> Result<Visited<T>, Failure> {
    let mut random = SystemRandom;
    let mut visit = Visit {
        credentials,
        memory: &NoMemory,
        nonce: bytes(&mut random).map_err(|e| token(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random: &mut random,
        learned: Vec::new(),
    };
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    let mut metered = Metered::new(card.begin().map_err(|e| link(&e, 0))?);
    let worked = work(&mut metered, &mut visit);
    let exchanges = metered.exchanges;
    let done = worked.map_err(|e| e.to_failure(exchanges))?;
    Ok((done, visit.learned))
}
