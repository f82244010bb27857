//! The JSON messages between terminal and server.

use rollcall::api::v1;
use serde::{Serialize, de::DeserializeOwned};

/// The first byte says which message it is meant to be.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    match which % 16 {
        0 => round::<v1::Problem>(text),
        1 => round::<v1::NonceRequest>(text),
        2 => round::<v1::Nonces>(text),
        3 => round::<v1::LookupRequest>(text),
        4 => round::<v1::Lookup>(text),
        5 => round::<v1::SignedUser>(text),
        6 => round::<v1::SignedFeed>(text),
        7 => round::<v1::Feed>(text),
        8 => round::<v1::TokenRequest>(text),
        9 => round::<v1::StatusRequest>(text),
        10 => round::<v1::Page<v1::RegisteredToken>>(text),
        11 => round::<v1::UserBatch>(text),
        12 => round::<v1::TerminalRequest>(text),
        13 => round::<v1::RenewalRequest>(text),
        14 => round::<v1::RegisteredTerminal>(text),
        _ => round::<v1::EventBatch>(text),
    }
}

/// What was read is written so that it is read again as the same.
fn round<T: Serialize + DeserializeOwned>(text: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(text) else { return };
    let written = serde_json::to_vec(&value).expect("written");
    let again: T = serde_json::from_slice(&written).expect("read again");
    assert_eq!(serde_json::to_vec(&again).expect("written"), written);
}
