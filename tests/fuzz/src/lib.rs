//! What each fuzz target does with its input. A target fails by panicking; the invariants are asserted here.
//!
//! `scripts/fuzz` builds and runs them; `cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none TARGET` does as well.

pub mod apdu;
pub mod certificate;
pub mod config;
pub mod input;
pub mod messaging;
pub mod proof;
pub mod proxy_head;
pub mod record;
pub mod resumption;
pub mod tlv;
pub mod token;
pub mod wire;
