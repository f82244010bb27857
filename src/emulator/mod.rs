//! The software token: the same state machine as the applet, byte for byte and status for status.
//!
//! [`SoftwareToken`] takes an APDU and returns an APDU; [`vpcd`] is one front end, the tests are another. It shares
//! cryptography and codecs with the terminal, so independent clients are needed to prove it correct.
//!
//! Deliberately absent: faults. A token that is mute, slow or lying is built around it.
//!
//! Specification: docs/protocol.md, "Session"; docs/protocol.md, "Order of checks".

mod card_timing;
mod certificate;
mod channels;
mod command;
mod core;
mod encoding;
mod handshake;
mod keys;
mod lifecycle;
mod objects;
mod persistent;
mod platform;
mod resumption;
mod session;
mod slots;
mod start_keys;
mod state;
mod store;
mod transport;
pub mod vpcd;

pub use self::{
    card_timing::CardTiming,
    core::SoftwareToken,
    platform::{CardPlatform, PlatformAnswer, Uid},
    start_keys::{StartKeyError, parse_start_keys},
    state::{PersistentState, StateError},
    store::{FileStore, StateStore, StateStoreError, VolatileStore},
};

#[cfg(test)]
mod tests;
