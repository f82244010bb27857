//! Who makes the bundle of a terminal, in the words of a hint.

use crate::failure::Remedy;

/// Makes a bundle where there is a server, which knows no terminal that was added in another way.
pub const ADD_TERMINAL: &str = "rollcall server terminal add NAME --out FILE";
/// Makes a bundle where the CA key lies and there is no server.
pub const ISSUE_TERMINAL: &str = "rollcall pki issue terminal NAME --out FILE";
/// What is done with either of them.
pub const IMPORT: &str = "then, here: rollcall pki import FILE";

/// A new bundle, by what makes it with a server and without one.
pub fn new_bundle(words: &str) -> Remedy {
    Remedy::with(words, ISSUE_TERMINAL).and(&format!("with a server by an administrator: {ADD_TERMINAL}"))
}

/// A new bundle from an administrator of the server, and what to do with it here.
pub fn bundle_from_server(words: &str) -> Remedy {
    Remedy::with(words, ADD_TERMINAL).and(IMPORT)
}
