//! Finds the slot whose token fits a URI, and says why each of the others does not.
//!
//! Nothing here logs in, so that no PIN is used up. Only what the URI names is read of a slot and its token, so that an
//! unreadable slot does not hide the others.

use std::fmt;

use cryptoki::{
    error::Error,
    mechanism::MechanismType,
    slot::{Slot, TokenInfo},
};

use super::{
    Pkcs11Error, Uri,
    module::{Module, said},
    rights,
};

/// Most slots that an error lists.
const LISTED: usize = 16;

/// What a token reports about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    pub label: String,
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    pub initialized: bool,
    /// Some of its functions need a login.
    pub needs_login: bool,
    pub pin: PinState,
}

/// How close a token is to locking because of wrong PINs, as it reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PinState {
    /// No wrong PIN since the last right one, or the token does not say.
    #[default]
    Fresh,
    /// At least one wrong PIN.
    Low,
    /// One more wrong PIN locks it.
    FinalTry,
    /// It is locked.
    Locked,
}

/// A slot whose token fits.
#[derive(Debug)]
pub struct Fitting {
    pub slot: Slot,
    /// `None` when the token's information cannot be read, and the URI names the slot.
    pub token: Option<Token>,
}

/// A slot that does not fit.
#[derive(Debug, PartialEq, Eq)]
struct Skipped {
    slot: u64,
    why: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} {}", self.slot, self.why)
    }
}

impl From<&TokenInfo> for Token {
    fn from(info: &TokenInfo) -> Self {
        let pin = match () {
            () if info.user_pin_locked() => PinState::Locked,
            () if info.user_pin_final_try() => PinState::FinalTry,
            () if info.user_pin_count_low() => PinState::Low,
            () => PinState::Fresh,
        };
        Self {
            label: info.label().to_owned(),
            manufacturer: info.manufacturer_id().to_owned(),
            model: info.model().to_owned(),
            serial: info.serial_number().to_owned(),
            initialized: info.token_initialized(),
            needs_login: info.login_required(),
            pin,
        }
    }
}

impl Fitting {
    /// A URI that fits this token and no other here.
    pub fn uri(&self) -> Uri {
        let slot_id = self.token.as_ref().map_or(Some(self.slot.id()), |_| None);
        let token = self.token.clone().unwrap_or_default();
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        Uri {
            slot_id,
            token: named(token.label),
            manufacturer: named(token.manufacturer),
            model: named(token.model),
            serial: named(token.serial),
            ..Uri::default()
        }
    }

    /// Its name for messages.
    pub fn label(&self) -> String {
        self.token.as_ref().map_or_else(|| format!("in slot {}", self.slot.id()), |token| token.label.clone())
    }
}

/// The one token that fits. If several fit, those are left out that need no login and, according to `holds`, do not
/// have the key. If several remain, none is tried: the PIN would be wrong for all but one.
///
/// # Errors
/// [`Pkcs11Error::NoToken`] with the reason of every slot, [`Pkcs11Error::SeveralTokens`],
/// [`Pkcs11Error::Rights`], [`Pkcs11Error::Library`].
pub fn find(module: &Module, uri: &Uri, holds: impl Fn(&Fitting) -> bool) -> Result<Fitting, Pkcs11Error> {
    let library = &module.library;
    let slots = library.get_slots_with_token().map_err(|error| module.failed(&error))?;
    let (mut fitting, mut skipped) = (Vec::new(), Vec::new());
    for slot in slots.iter().copied() {
        match judge(module, uri, slot) {
            Ok(token) => fitting.push(Fitting { slot, token }),
            Err(why) => skipped.push(Skipped { slot: slot.id(), why }),
        }
    }
    if fitting.len() > 1 {
        let (kept, without): (Vec<_>, Vec<_>) =
            fitting.into_iter().partition(|one| one.token.as_ref().is_none_or(|token| token.needs_login) || holds(one));
        fitting = kept;
        let why = |one: &Fitting| format!("has the token {:?} without such a key", one.label());
        skipped.extend(without.iter().map(|one| Skipped { slot: one.slot.id(), why: why(one) }));
    }
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => {
            if let Some(denied) = rights::denied(&module.path) {
                return Err(Pkcs11Error::Rights(denied));
            }
            let empty = library.get_all_slots().unwrap_or_default().into_iter().filter(|slot| !slots.contains(slot));
            skipped.extend(empty.map(|slot| Skipped { slot: slot.id(), why: "has no token in it".into() }));
            Err(Pkcs11Error::NoToken { uri: uri.to_string(), slots: listed(&skipped) })
        }
        _ => {
            let tokens: Vec<_> = fitting.iter().take(LISTED).map(|one| one.uri().to_string()).collect();
            Err(Pkcs11Error::SeveralTokens { uri: uri.to_string(), tokens: tokens.join(" and ") })
        }
    }
}

fn listed(skipped: &[Skipped]) -> String {
    if skipped.is_empty() {
        return "the library has no slots".to_owned();
    }
    let mut list: Vec<_> = skipped.iter().take(LISTED).map(ToString::to_string).collect();
    if skipped.len() > LISTED {
        list.push(format!("{} more slots", skipped.len() - LISTED));
    }
    list.join("; ")
}

/// The token of a slot if it fits, or why it does not.
fn judge(module: &Module, uri: &Uri, slot: Slot) -> Result<Option<Token>, String> {
    let library = &module.library;
    if uri.slot_id.is_some_and(|wanted| wanted != slot.id()) {
        return Err("has another number".into());
    }
    if uri.slot_description.is_some() || uri.slot_manufacturer.is_some() {
        let info = library.get_slot_info(slot).map_err(|error| format!("cannot be read: {}", said(&error)))?;
        let named = [
            ("description", &uri.slot_description, info.slot_description()),
            ("manufacturer", &uri.slot_manufacturer, info.manufacturer_id()),
        ];
        if let Some(unlike) = unlike(&named) {
            return Err(unlike);
        }
    }
    let token = token_fits(uri, library.get_token_info(slot).as_ref().map(Token::from))?;
    // If the list cannot be read, the token is not excluded.
    match library.get_mechanism_list(slot) {
        Ok(list) if !list.contains(&MechanismType::AES_CMAC) => {
            let name = token.map(|token| format!("{:?} ", token.label)).unwrap_or_default();
            Err(format!("has a token {name}without AES-CMAC (CKM_AES_CMAC)"))
        }
        _ => Ok(token),
    }
}

/// The token if its information fits. An unreadable one fits if the URI names its slot and nothing of the token.
fn token_fits(uri: &Uri, token: Result<Token, &Error>) -> Result<Option<Token>, String> {
    let named = [&uri.token, &uri.manufacturer, &uri.model, &uri.serial];
    let names_slot = uri.slot_id.is_some() || uri.slot_description.is_some() || uri.slot_manufacturer.is_some();
    let token = match token {
        Ok(token) => token,
        Err(Error::ParseInt(_) | Error::Utf8(_)) if names_slot && named.iter().all(|one| one.is_none()) => {
            return Ok(None);
        }
        Err(Error::ParseInt(_) | Error::Utf8(_)) => {
            return Err("has a token whose token information has no valid time (name it by slot-id alone)".into());
        }
        Err(error) => return Err(format!("has a token that cannot be read: {}", said(error))),
    };
    if !token.initialized {
        return Err("has a token that is not initialised".into());
    }
    let named = [
        ("label", &uri.token, token.label.as_str()),
        ("manufacturer", &uri.manufacturer, &token.manufacturer),
        ("model", &uri.model, &token.model),
        ("serial number", &uri.serial, &token.serial),
    ];
    match unlike(&named) {
        Some(why) if named[0].1.as_ref().is_none_or(|wanted| *wanted == token.label) => {
            Err(format!("has the token {:?}, and {why}", token.label))
        }
        Some(why) => Err(why),
        None => Ok(Some(token)),
    }
}

/// The first attribute that differs from the URI.
fn unlike(named: &[(&str, &Option<String>, &str)]) -> Option<String> {
    let (what, _, is) = named.iter().find(|(_, wanted, is)| wanted.as_deref().is_some_and(|wanted| wanted != *is))?;
    Some(format!("has the {what} {is:?}"))
}

#[cfg(test)]
mod tests;
