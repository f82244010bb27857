//! What tells a card from others without any key of ours: the card around the applet must not give away which one it is.

use crate::{
    card::{
        apdu::{ApduFormat, Command},
        chaining::exchange,
        link::{self, Link, LinkError},
    },
    reader::causes::is_final,
};

/// A card in a field that can be taken away from it.
pub trait FieldReset: Link {
    /// Takes the field away and gives it back: the card starts anew.
    ///
    /// # Errors
    /// [`LinkError`] when the card is gone or does not answer to reset.
    fn renew(&mut self) -> Result<(), LinkError>;
}

/// What tells a card from others without any key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackableTrait {
    /// The UID of the anticollision is the same after the field was gone.
    Uid,
    /// The reader does not tell the UID, so that nobody here can say whether it changes.
    UidUnknown,
    /// The card production life cycle data hold serial numbers.
    Cplc,
    /// The issuer's security domain answers INITIALIZE UPDATE with diversification data.
    Diversification,
    /// It tells an issuer identification number.
    Iin,
    /// It tells a card image number.
    Cin,
    /// It did not take a question that a stranger may ask, so that nobody here can say what it tells.
    Unanswered,
}

impl TrackableTrait {
    /// What a user is told of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uid => "its UID stays the same",
            Self::UidUnknown => "this reader does not tell its UID",
            Self::Cplc => "its CPLC data hold a serial number",
            Self::Diversification => "its security domain gives diversification data",
            Self::Iin => "it gives an issuer identification number (IIN)",
            Self::Cin => "it gives a card image number (CIN)",
            Self::Unanswered => "it refused a question that any card should answer, and may tell others more",
        }
    }
}

/// The traces in words, one after the other.
pub fn list(traces: &[TrackableTrait]) -> String {
    traces.iter().map(|trace| trace.word()).collect::<Vec<_>>().join("; ")
}

/// The AID of an issuer's security domain, unless the issuer has given it another (GP Card Specification, H.1.3).
const SECURITY_DOMAIN: [u8; 8] = [0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00];

/// Looks for everything by which a stranger could tell this card from others; it reads only. Whatever cannot be asked
/// counts as found. The field is taken away three times, so nothing is selected afterwards.
///
/// # Errors
/// [`LinkError`] when the card leaves, or an exchange fails. What the card refuses is no error.
pub fn traces(card: &mut dyn FieldReset, format: ApduFormat) -> Result<Vec<TrackableTrait>, LinkError> {
    let mut found = Vec::new();
    // Our own applet may be selected, and tells its diversification data as long as it is blank.
    let first = uid(card)?;
    // What is selected by itself, without a name, is the security domain on most cards.
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

/// The UID in a new field, as the reader tells it (PC/SC part 3, 3.2.2.1.3).
fn uid(card: &mut dyn FieldReset) -> Result<Option<Vec<u8>>, LinkError> {
    card.renew()?;
    let answer = match card.transmit(&[0xFF, 0xCA, 0x00, 0x00, 0x00], link::Sensitivity::Plain) {
        Ok(answer) => answer,
        Err(error) if is_final(&error) => return Err(error),
        // The reader gave it to the card, which does not take it: it is asked other things in a field of its own.
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

/// What the selected application tells a stranger. An error status is the answer that nothing is told.
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
            // What was selected is so no more: there is nobody left to ask.
            TraitAnswer::NotTaken => return unanswered(card, found),
        }
    }
    Ok(())
}

/// The card is as it was, and what it would have said stays unknown.
fn unanswered(card: &mut dyn FieldReset, found: &mut Vec<TrackableTrait>) -> Result<(), LinkError> {
    if !found.contains(&TrackableTrait::Unanswered) {
        found.push(TrackableTrait::Unanswered);
    }
    card.renew()
}

/// What comes of a question.
enum TraitAnswer {
    /// The card tells this.
    Told(Vec<u8>),
    /// The card tells nothing.
    Nothing,
    /// The exchange failed, and the card is still there.
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

/// Behind the kind of chip and of operating system (10 bytes) everything is of this one card or of its batch; a maker may
/// have set it to zeros.
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
