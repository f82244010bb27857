//! The part of enrollment that only private tokens need: the set that they join.

use crate::pki::{PkiError, Set};

/// Chooses the set that a card joins.
pub trait SetProvider {
    /// The set of the card with these diversification data, in hex: the one that it was counted in before, or one with
    /// room, in which it is counted from now on.
    ///
    /// # Errors
    /// [`PkiError::SetFull`], [`PkiError::SetReplaced`] or [`PkiError::NoSet`] for a set that was named; errors of the
    /// files of the sets.
    fn join(&mut self, card: &str) -> Result<Set, PkiError>;

    /// Takes the card out again, because no user is left for it.
    ///
    /// # Errors
    /// The [`PkiError`] of the files of the sets.
    fn leave(&mut self, card: &str) -> Result<(), PkiError>;
}

#[cfg(test)]
mod tests;
