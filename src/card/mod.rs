//! Talking to any ISO 7816-4 card over any link: commands, status words, TLV, chaining, scripts, traces.
//!
//! Deliberately absent: PC/SC, our applet, cryptography.

pub mod apdu;
pub mod chaining;
pub mod error;
pub mod link;
pub mod meter;
pub mod record;
pub mod script;
pub mod service;
pub mod status;
pub mod t0;
pub mod tlv;
pub mod trace;
