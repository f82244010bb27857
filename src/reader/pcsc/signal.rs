//! Sends commands to a reader itself: over the connection to a card in it, or without a card by an escape.

use pcsc::{Card, Error, Protocols, ShareMode};

use super::{
    connect::{leave, resolve},
    establish, link_error,
    turn::in_turn,
};
use crate::{
    card::link::LinkError,
    reader::feedback::{ReaderCommand, SignalError},
};

/// The control code of `PC_to_RDR_Escape`, before the platform converts it: pcsc-lite's driver has
/// `IOCTL_SMARTCARD_VENDOR_IFD_EXCHANGE`, and that of Windows `IOCTL_CCID_ESCAPE`.
const ESCAPE: u32 = if cfg!(windows) { 3500 } else { 1 };

/// Answers to such commands are short.
const ROOM: usize = 264;

/// Sends the commands to the reader of this name, in order. May block for as long as the driver does.
///
/// # Errors
/// [`SignalError::Link`] with `SharingViolation` while another program has a transaction;
/// [`SignalError::EscapeRefused`],
/// [`SignalError::Answer`].
pub fn send(reader: &str, commands: &[ReaderCommand]) -> Result<(), SignalError> {
    let takes_apdus = commands.iter().all(|command| command.apdu.is_some());
    if takes_apdus && let Some(sent) = over_card(reader, commands)? {
        return sent;
    }
    let card = connect(reader, ShareMode::Direct, Protocols::UNDEFINED)?.map_err(link_error)?;
    let sent = commands.iter().try_for_each(|command| escape(&card, command));
    leave(card);
    sent
}

fn connect(reader: &str, mode: ShareMode, protocols: Protocols) -> Result<Result<Card, Error>, LinkError> {
    let name = resolve(reader)?;
    in_turn(|| Ok(establish().map_err(LinkError::Service)?.connect(&name, mode, protocols)))
}

/// Sends them over the card; `None` if there is no card (any more).
fn over_card(reader: &str, commands: &[ReaderCommand]) -> Result<Option<Result<(), SignalError>>, LinkError> {
    let card = match connect(reader, ShareMode::Shared, Protocols::ANY)? {
        Ok(card) => card,
        Err(error @ Error::SharingViolation) => return Ok(Some(Err(link_error(error).into()))),
        Err(_) => return Ok(None),
    };
    let mut sent = Some(Ok(()));
    for apdu in commands.iter().filter_map(|command| command.apdu.as_ref()) {
        sent = match card.transmit(apdu, &mut [0; ROOM]) {
            Ok(answer) => Some(accepted(answer, 0x90)),
            Err(error @ Error::SharingViolation) => Some(Err(link_error(error).into())),
            Err(_) => None,
        };
        if !matches!(sent, Some(Ok(()))) {
            break;
        }
    }
    leave(card);
    Ok(sent)
}

fn escape(card: &Card, command: &ReaderCommand) -> Result<(), SignalError> {
    match card.control(pcsc::ctl_code(ESCAPE.into()), &command.escape, &mut [0; ROOM]) {
        Ok(answer) => accepted(answer, command.escape_success),
        // What drivers report when escapes are disabled, or the reader has none.
        Err(Error::NotTransacted | Error::UnsupportedFeature) => Err(SignalError::EscapeRefused),
        Err(error) => Err(link_error(error).into()),
    }
}

fn accepted(answer: &[u8], success: u8) -> Result<(), SignalError> {
    if answer.first() == Some(&success) { Ok(()) } else { Err(SignalError::Answer(answer.to_vec())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_by_its_first_byte() {
        assert_eq!(accepted(&[0x90, 0x02], 0x90), Ok(()));
        assert_eq!(accepted(&[0x00], 0x00), Ok(()));
        assert_eq!(accepted(&[0x63, 0x00], 0x90), Err(SignalError::Answer(vec![0x63, 0x00])));
        assert_eq!(accepted(&[], 0x90), Err(SignalError::Answer(vec![])));
    }
}
