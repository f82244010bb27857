//! One connection and one transaction with the card that is looked at or changed.

use jiff::Timestamp;

use super::failure::AdministrationError;
use crate::{
    card::{apdu::ApduFormat, link::Link, meter::Metered},
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    reader::pcsc::Card,
    terminal::{
        context::TerminalContext,
        tap::{
            TapError,
            failure::{link, token},
        },
    },
    token::{
        TokenError,
        open::{AuthenticationContext, Credentials, NoMemory, RememberedItem, SlotWish, identify},
        select::Selected,
        session::Session,
    },
};

/// What came of a visit, and the certificates that were read in it.
pub type VisitResult<T> = (T, Vec<(RememberedItem, Option<Vec<u8>>)>);

/// Connects to the card in this reader, and does the work in one transaction, with all that a channel takes.
///
/// # Errors
/// The failure of the link (no card, a mute one, a reader that is gone or taken), or what `work` answers, with how far
/// the exchange had come; `crypto.failed` when there is no randomness.
pub fn in_transaction<T>(
    terminal: &TerminalContext,
    credentials: &Credentials,
    reader: &str,
    work: impl FnOnce(&mut dyn Link, &mut AuthenticationContext<'_>) -> Result<T, AdministrationError>,
) -> Result<VisitResult<T>, Failure> {
    let mut random = SystemRandom;
    let mut context = AuthenticationContext {
        credentials,
        memory: &NoMemory,
        nonce: bytes(&mut random).map_err(|e| token(&TokenError::from(e), 0))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random: &mut random,
        learned: Vec::new(),
        slot: SlotWish::No,
        nonce_shown: false,
    };
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    let mut metered = Metered::new(card.begin().map_err(|e| link(&e, 0))?);
    let worked = work(&mut metered, &mut context);
    let exchanges = metered.exchanges;
    let done = worked.map_err(|e| e.to_failure(exchanges))?;
    Ok((done, context.learned))
}

/// The answer to reset (at most 33 bytes) of the card in this reader, and what it says of itself: nothing of it is
/// proved, and no key of ours is needed.
///
/// # Errors
/// The failure of the link or of SELECT; `token.foreign` for a card without the applet.
pub fn inspect(terminal: &TerminalContext, reader: &str) -> Result<(Vec<u8>, Selected), Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    let atr = card.atr().to_vec();
    let mut transaction = card.begin().map_err(|e| link(&e, 0))?;
    let selected = identify(&mut transaction, ApduFormat::Short).map_err(|e| token(&e, 1))?;
    Ok((atr, selected.ok_or_else(|| TapError::Foreign.to_failure(1))?))
}

/// The portrait on the card, at most 8192 bytes, over the channel of the tap; nothing when there is none.
///
/// # Errors
/// The failure of the link, of the channel, or of an answer of another form.
pub fn read_portrait(session: &mut Session, card: &mut Card) -> Result<Option<Vec<u8>>, Failure> {
    let mut transaction = Metered::new(card.begin().map_err(|e| link(&e, 0))?);
    let read = session.read_portrait(&mut transaction);
    read.map_err(|e| token(&e, transaction.exchanges))
}
