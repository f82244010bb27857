//! What is particular to private tokens: the set that they join.

use crate::pki::{PkiError, Set};

/// Which set a card joins.
pub trait SetProvider {
    /// The set of the card with these diversification data, in hex: the one that it was counted in before, or one that
    /// has room, in which it is counted from now on.
    ///
    /// # Errors
    /// [`PkiError::SetFull`], [`PkiError::SetReplaced`] or [`PkiError::NoSet`] for a set that was named; those of the
    /// files of the sets.
    fn join(&mut self, card: &str) -> Result<Set, PkiError>;

    /// Takes the card out again: nobody is left whose token it could become.
    ///
    /// # Errors
    /// [`PkiError`] of the files of the sets.
    fn leave(&mut self, card: &str) -> Result<(), PkiError>;
}

#[cfg(test)]
mod tests;
