//! Rollcall: a terminal for NFC/PC-SC smart cards that knows, with proof, who is here.
//!
//! Imports go downwards only.

pub mod card;
pub mod channel;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod enroll;
pub mod failure;
pub mod files;
pub mod pki;
pub mod proof;
pub mod reader;
pub mod roster;
pub mod tap;
pub mod token;
pub mod virtual_token;
pub mod wire;
