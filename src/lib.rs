//! Rollcall: a terminal for NFC/PC-SC smart cards that knows, with proof, who is here.
//!
//! Imports go downwards only.

pub mod card;
pub mod channel;
pub mod crypto;
pub mod failure;
pub mod proof;
pub mod token;
pub mod virtual_token;
pub mod wire;
