//! One connection and one transaction with a card in a reader, for commands that inspect or change a single card.

use jiff::Timestamp;

use super::failure::AdministrationError;
use crate::{
    card::{apdu::ApduFormat, link::Link, meter::Metered},
    crypto::random::{SystemRandom, bytes},
    failure::Failure,
    reader::pcsc::Card,
    terminal::{
        attempts::attempts,
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

/// The result of the work, and the certificates that were read during it.
pub type VisitResult<T> = (T, Vec<(RememberedItem, Option<Vec<u8>>)>);

/// Connects to the card in this reader and runs `work` in one transaction, with everything a channel needs. If another
/// program resets the card, or an exchange fails, `work` is retried on the same card.
///
/// # Errors
/// The failure of the link (no card, a mute card, a reader that is missing or in use), or the error of `work` with the
/// number of exchanges completed; `crypto.failed` when there is no randomness.
pub fn in_transaction<T>(
    terminal: &TerminalContext,
    credentials: &Credentials,
    reader: &str,
    mut work: impl FnMut(&mut dyn Link, &mut AuthenticationContext<'_>) -> Result<T, AdministrationError>,
) -> Result<VisitResult<T>, Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    let passes = |(error, _): &(AdministrationError, u32)| error.worth_another_try();
    let visited = attempts(passes, || visit(&mut card, credentials, &mut work));
    visited.map_err(|(error, exchanges)| error.to_failure(exchanges))
}

/// Like [`in_transaction`], but without retries, for work that must not be repeated automatically.
///
/// # Errors
/// As [`in_transaction`].
pub fn in_one_attempt<T>(
    terminal: &TerminalContext,
    credentials: &Credentials,
    reader: &str,
    work: impl FnOnce(&mut dyn Link, &mut AuthenticationContext<'_>) -> Result<T, AdministrationError>,
) -> Result<VisitResult<T>, Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    visit(&mut card, credentials, work).map_err(|(error, exchanges)| error.to_failure(exchanges))
}

/// Runs the work in one transaction; an error comes with the number of exchanges.
fn visit<T>(
    card: &mut Card,
    credentials: &Credentials,
    work: impl FnOnce(&mut dyn Link, &mut AuthenticationContext<'_>) -> Result<T, AdministrationError>,
) -> Result<VisitResult<T>, (AdministrationError, u32)> {
    let unbegun = |error: TokenError| (error.into(), 0);
    let mut random = SystemRandom;
    let mut context = AuthenticationContext {
        credentials,
        memory: &NoMemory,
        nonce: bytes(&mut random).map_err(|e| unbegun(e.into()))?,
        now: Timestamp::now(),
        format: ApduFormat::Short,
        random: &mut random,
        learned: Vec::new(),
        slot: SlotWish::No,
        nonce_shown: false,
    };
    let mut metered = Metered::new(card.begin().map_err(|e| unbegun(e.into()))?);
    let worked = work(&mut metered, &mut context);
    let exchanges = metered.exchanges;
    Ok((worked.map_err(|error| (error, exchanges))?, context.learned))
}

/// The answer to reset (at most 33 bytes) of the card in this reader and its answer to SELECT. Nothing in it is
/// authenticated, and no key of ours is needed.
///
/// # Errors
/// The failure of the link or of SELECT; `token.foreign` for a card without the applet.
pub fn inspect(terminal: &TerminalContext, reader: &str) -> Result<(Vec<u8>, Selected), Failure> {
    let mut card = Card::connect(reader, terminal.card_limits()).map_err(|e| link(&e, 0))?;
    let atr = card.atr().to_vec();
    let passes = |error: &TokenError| matches!(error, TokenError::Link(error) if error.worth_another_try());
    let selected = attempts(passes, || identify(&mut card.begin()?, ApduFormat::Short));
    Ok((atr, selected.map_err(|e| token(&e, 1))?.ok_or_else(|| TapError::Foreign.to_failure(1))?))
}

/// The portrait on the card, at most 8192 bytes, read over the tap's channel; `None` when there is none.
///
/// # Errors
/// The failure of the link or of the channel, or a malformed answer.
pub fn read_portrait(session: &mut Session, card: &mut Card) -> Result<Option<Vec<u8>>, Failure> {
    let mut transaction = Metered::new(card.begin().map_err(|e| link(&e, 0))?);
    let read = session.read_portrait(&mut transaction);
    read.map_err(|e| token(&e, transaction.exchanges))
}
