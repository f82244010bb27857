//! Checks the architecture: who may import whom, names, who prints, which crate is used where, what may panic, and that
//! no file is left out.
//!
//! It reads the text of `src/`, without test modules, which may use everything.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails
#![deny(dead_code)] // a check that nobody calls

mod circles;
#[path = "../common/files.rs"]
mod files;
mod names;
mod order;
mod reach;
mod source;
mod words;

#[test]
fn the_binary_is_thin() {
    let (_, main) = files::files("src", "rs").into_iter().find(|(path, _)| path == "src/main.rs").unwrap();
    assert!(main.lines().count() <= 30);
}
