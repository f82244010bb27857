//! Whose token a card becomes.

use uuid::Uuid;

use super::{failure::EnrollError, journal::JournalEntry};
use crate::api::User;

/// Who says whose token a card becomes. It is asked when the card has proven that it is ours.
pub trait HolderSource {
    /// The user for the card with these diversification data, in hex; `begun` is what an earlier run began with it.
    ///
    /// # Errors
    /// [`EnrollError::NobodyLeft`] when there is no user for the card, [`EnrollError::BegunForAnother`] when it was begun
    /// for somebody else, and what keeps the source from noting its choice.
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError>;

    /// The portrait of that user, at most 8192 bytes; asked after [`Self::user`].
    ///
    /// # Errors
    /// [`EnrollError::Batch`] when the picture is not the one from before.
    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        Ok(None)
    }

    /// The token that this one is to stand for.
    fn replaces(&self) -> Option<Uuid> {
        None
    }
}

/// One user, with all that may come along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The user.
    pub user: User,
    /// The portrait that comes onto the card.
    pub portrait: Option<Vec<u8>>,
    /// The token that is refused from now on.
    pub lost: Option<Uuid>,
    /// What was begun with this card (diversification data, hex) for somebody else is given up.
    pub gives_up: Option<String>,
}

impl HolderSource for &Applicant {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let is_given_up = self.gives_up.as_deref() == Some(card);
        match begun.filter(|entry| entry.user.id != self.user.id && !is_given_up) {
            Some(entry) => Err(entry.of_another()),
            None => Ok(self.user.clone()),
        }
    }

    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        Ok(self.portrait.clone())
    }

    fn replaces(&self) -> Option<Uuid> {
        self.lost
    }
}

/// Whatever card it is, it becomes the token of this user.
impl HolderSource for &User {
    fn user(&mut self, _: &str, _: Option<&JournalEntry>) -> Result<User, EnrollError> {
        Ok(self.clone())
    }
}
