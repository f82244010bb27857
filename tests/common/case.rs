//! Test cases for programs with their own `main`: each registers itself where it is written, so that there is no list
//! from which it could be missing.
//!
//! ```ignore
//! case!(EachCard, deny_and_clear);
//! pub fn deny_and_clear(card: &str) { … }
//! ```
//! A function that is not registered is dead code, which the programs deny.

/// A function that is a test, under its own name.
pub struct Case {
    pub name: &'static str,
    /// What the program runs it on: its own enum, of functions.
    pub run: crate::Run,
}

inventory::collect!(Case);

/// Registers a function of this variant of the program's `Run`.
macro_rules! case {
    ($run:ident, $function:ident) => {
        inventory::submit! {
            $crate::case::Case { name: stringify!($function), run: $crate::Run::$run($function) }
        }
    };
}

/// Every case, in the order of names.
pub fn all() -> Vec<&'static Case> {
    let mut all: Vec<_> = inventory::iter::<Case>.into_iter().collect();
    all.sort_by_key(|case| case.name);
    assert!(!all.is_empty(), "no case has registered itself");
    for pair in all.windows(2) {
        assert_ne!(pair[0].name, pair[1].name, "two cases of this name");
    }
    all
}
