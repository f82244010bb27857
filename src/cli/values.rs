//! Value parsers for the definitions of the command line.

use std::net::SocketAddr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::api::{User, UserFault};
#[cfg(feature = "board")]
use crate::config::BoardSettings;
use crate::config::{SERVER_PORT, listen_address};
use crate::crypto::x509::ServerName;
use crate::emulator::{CardTiming, Uid};
use crate::pki::SET_SIZES;

/// A text that is not blank.
///
/// # Errors
/// In words.
pub fn nonempty(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

/// The identifier of a new user. Surrounding blanks are dropped, because they would be invisible.
///
/// # Errors
/// In words.
pub fn user_id(text: &str) -> Result<String, UserFault> {
    User::check_id(text.trim()).map(|()| text.trim().to_owned())
}

/// The name of a new user, likewise.
///
/// # Errors
/// In words.
pub fn user_name(text: &str) -> Result<String, UserFault> {
    User::check_name(text.trim()).map(|()| text.trim().to_owned())
}

/// The longest note, in characters.
const NOTE: usize = 200;

/// A remark.
///
/// # Errors
/// In words.
pub fn note(text: &str) -> Result<String, String> {
    match text.chars().count() {
        _ if text.trim().is_empty() => Err("it is empty".to_owned()),
        long if long > NOTE => Err(format!("it has {long} characters, and at most {NOTE} are allowed")),
        _ => Ok(text.trim().to_owned()),
    }
}

/// `KEY=VALUE`.
///
/// # Errors
/// In words.
pub fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let taken = User::check_field(key, value).map_err(|fault| fault.to_string());
            taken.map(|()| (key.to_owned(), value.to_owned()))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A DNS name or an address.
///
/// # Errors
/// In words.
pub fn server_name(text: &str) -> Result<ServerName, &'static str> {
    ServerName::parse(text).ok_or("not a DNS name or an address")
}

/// A nonce of 32 bytes.
///
/// # Errors
/// In words.
pub fn nonce(text: &str) -> Result<[u8; 32], &'static str> {
    let mut nonce = [0; 32];
    hex::decode_to_slice(text, &mut nonce).map_err(|_| "expected 64 hex digits").map(|()| nonce)
}

/// The number of tokens in a set.
pub fn set_size() -> impl TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(i64::from(*SET_SIZES.start())..=i64::from(*SET_SIZES.end()))
}

/// How a reader reports a card's UID.
pub fn uid() -> impl TypedValueParser<Value = Uid> {
    PossibleValuesParser::new(["fixed", "random"]).map(|kind| if kind == "fixed" { Uid::Fixed } else { Uid::Random })
}

/// A card with known times.
pub fn card_timing() -> impl TypedValueParser<Value = CardTiming> {
    PossibleValuesParser::new(["j3r180", "j3h145"])
        .map(|card| if card == "j3r180" { CardTiming::J3r180 } else { CardTiming::J3h145 })
}

/// Where the server listens.
///
/// # Errors
/// In words.
pub fn server_address(text: &str) -> Result<SocketAddr, String> {
    listen_address(text, SERVER_PORT)
}

/// The address of a board: typed, or from the configuration.
#[cfg(feature = "board")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardAddress(pub Option<SocketAddr>);

#[cfg(feature = "board")]
impl std::str::FromStr for BoardAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        listen_address(text, BoardSettings::DEFAULT.port()).map(|address| Self(Some(address)))
    }
}
