//! Hints that say who makes a terminal's bundle, and how.

use crate::failure::Remedy;

/// Makes a bundle if there is a server, which accepts no terminal added in any other way.
pub const ADD_TERMINAL: &str = "rollcall server terminal add NAME --out FILE";
/// Makes a bundle on the machine with the CA key, if there is no server.
pub const ISSUE_TERMINAL: &str = "rollcall pki issue terminal NAME --out FILE";
/// What to do with either bundle.
pub const IMPORT: &str = "then, here: rollcall pki import FILE";

/// How to get a new bundle, without a server and with one.
pub fn new_bundle(words: &str) -> Remedy {
    Remedy::with(words, ISSUE_TERMINAL).and(&format!("with a server by an administrator: {ADD_TERMINAL}"))
}

/// How to get a new bundle from an administrator of the server, and what to do with it here.
pub fn bundle_from_server(words: &str) -> Remedy {
    Remedy::with(words, ADD_TERMINAL).and(IMPORT)
}
