//! Checks whether a card can be recognised without any key of ours: nothing around the applet may identify the card.

use crate::{
    card::{
        apdu::{ApduFormat, Command},
        chaining::exchange,
        link::{self, Link, LinkError},
    },
    reader::causes::is_final,
};

/// A card whose reader field can be reset.
pub trait FieldReset: Link {
    /// Turns the field off and on: the card starts afresh.
    ///
    /// # Errors
    /// [`LinkError`] when the card is gone or does not answer to reset.
    fn renew(&mut self) -> Result<(), LinkError>;
}

/// Something by which a card can be recognised without any key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackableTrait {
    /// The anticollision UID does not change after a field reset.
    Uid,
    /// The reader does not report the UID, so whether it changes cannot be determined.
    UidUnknown,
    /// The card production life cycle data contain serial numbers.
    Cplc,
    /// The issuer's security domain answers INITIALIZE UPDATE with diversification data.
    Diversification,
    /// The card gives an issuer identification number.
    Iin,
    /// The card gives a card image number.
    Cin,
    /// The card failed on a query that anyone may send, so what it reveals cannot be determined.
    Unanswered,
}

impl TrackableTrait {
    /// The description shown to a user.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uid => "its UID stays the same",
            Self::UidUnknown => "this reader does not report its UID",
            Self::Cplc => "its CPLC data hold a serial number",
            Self::Diversification => "its security domain gives diversification data",
            Self::Iin => "it gives an issuer identification number (IIN)",
            Self::Cin => "it gives a card image number (CIN)",
            Self::Unanswered => "it refused a question that any card should answer, and may reveal more to others",
        }
    }
}

/// The descriptions of these traits, joined.
pub fn list(traces: &[TrackableTrait]) -> String {
    traces.iter().map(|trace| trace.word()).collect::<Vec<_>>().join("; ")
}

/// The default AID of an issuer security domain, which an issuer may change (GP Card Specification, H.1.3).
const SECURITY_DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// Looks for everything by which a stranger could recognise this card; it only reads. A query that cannot be made
/// counts as a finding. The field is reset three times, so nothing is selected afterwards.
///
/// # Errors
/// [`LinkError`] when the card leaves, or an exchange fails. A refusal by the card is not an error.
pub fn traces(card: &mut dyn FieldReset, format: ApduFormat) -> Result<Vec<TrackableTrait>, LinkError> {
    let mut found = Vec::new();
    // Our own applet may still be selected, and reveals its diversification data as long as it is blank.
    let first = uid(card)?;
    // On most cards the application selected by default is the security domain.
    platform(card, format, &mut found)?;
    let second = uid(card)?;
    let select = Command::new(0x00, 0xA4, 0x04, 0x00).data(SECURITY_DOMAIN).answered();
    match ask(card, format, &select)? {
        TraitAnswer::NotTaken => unanswered(card, &mut found)?,
        TraitAnswer::Told(_) | TraitAnswer::Nothing => platform(card, format, &mut found)?,
    }
    let third = uid(card)?;
    match (first, second, third) {
        (Some(a), Some(b), Some(c)) if a != b && b != c && a != c => {}
        (Some(_), Some(_), Some(_)) => found.insert(0, TrackableTrait::Uid),
        _ => found.insert(0, TrackableTrait::UidUnknown),
    }
    Ok(found)
}

/// The UID after a field reset, as the reader reports it (PC/SC part 3, 3.2.2.1.3).
fn uid(card: &mut dyn FieldReset) -> Result<Option<Vec<u8>>, LinkError> {
    card.renew()?;
    let answer = match card.transmit(&[0xFF, 0xCA, 0x00, 0x00, 0x00], link::Sensitivity::Plain) {
        Ok(answer) => answer,
        Err(error) if is_final(&error) => return Err(error),
        // The reader passed the command on to the card, which failed on it: reset the field before further queries.
        Err(_) => {
            card.renew()?;
            return Ok(None);
        }
    };
    Ok(match answer.split_last_chunk::<2>() {
        Some((uid, [0x90, 0x00])) if !uid.is_empty() => Some(uid.to_vec()),
        _ => None,
    })
}

/// Collects what the selected application tells a stranger. An error status means that it tells nothing.
fn platform(card: &mut dyn FieldReset, format: ApduFormat, found: &mut Vec<TrackableTrait>) -> Result<(), LinkError> {
    let data = |p1, p2| Command::new(0x80, 0xCA, p1, p2).answered();
    let initialize = Command::new(0x80, 0x50, 0x00, 0x00).data([0; 8]).answered();
    for (trace, command, is_telling) in [
        (TrackableTrait::Cplc, data(0x9F, 0x7F), is_serial as fn(&[u8]) -> bool),
        (TrackableTrait::Iin, data(0x00, 0x42), is_anything),
        (TrackableTrait::Cin, data(0x00, 0x45), is_anything),
        (TrackableTrait::Diversification, initialize, is_diversified),
    ] {
        match ask(card, format, &command)? {
            TraitAnswer::Told(told) if is_telling(&told) && !found.contains(&trace) => found.push(trace),
            TraitAnswer::Told(_) | TraitAnswer::Nothing => {}
            // The exchange failed, so the application is no longer selected and the other queries are pointless.
            TraitAnswer::NotTaken => return unanswered(card, found),
        }
    }
    Ok(())
}

/// Records that a query failed, and resets the card to its initial state.
fn unanswered(card: &mut dyn FieldReset, found: &mut Vec<TrackableTrait>) -> Result<(), LinkError> {
    if !found.contains(&TrackableTrait::Unanswered) {
        found.push(TrackableTrait::Unanswered);
    }
    card.renew()
}

/// The result of a query.
enum TraitAnswer {
    /// The card returned this.
    Told(Vec<u8>),
    /// The card returned nothing.
    Nothing,
    /// The exchange failed, though the card is still there.
    NotTaken,
}

fn ask(card: &mut dyn FieldReset, format: ApduFormat, command: &Command) -> Result<TraitAnswer, LinkError> {
    match exchange(card, command, format) {
        Ok(answer) if answer.status.is_ok() || answer.status.carries_mac() => Ok(TraitAnswer::Told(answer.data)),
        Ok(_) => Ok(TraitAnswer::Nothing),
        Err(error) if is_final(&error) => Err(error),
        Err(_) => Ok(TraitAnswer::NotTaken),
    }
}

fn is_anything(told: &[u8]) -> bool {
    !told.is_empty()
}

/// After the type of chip and operating system (10 bytes), everything identifies this card or its batch; a manufacturer
/// may have zeroed it.
fn is_serial(told: &[u8]) -> bool {
    const LENGTH: usize = 42;
    const KIND: usize = 10;
    let bare = told.strip_prefix(&[0x9F, 0x7F, 0x2A]).unwrap_or(told);
    !bare.is_empty() && (bare.len() != LENGTH || bare[KIND..].iter().any(|byte| *byte != 0))
}

/// The first 10 bytes (GP Card Specification, E.5.1.6), unless they are all 00 or all FF.
fn is_diversified(told: &[u8]) -> bool {
    const LENGTH: usize = 10;
    match told.first_chunk::<LENGTH>() {
        Some(data) => *data != [0; LENGTH] && *data != [0xFF; LENGTH],
        None => !told.is_empty(),
    }
}

#[cfg(test)]
mod tests;
