//! The source of the user for whom a card is enrolled.

use uuid::Uuid;

use super::{failure::EnrollError, journal::JournalEntry};
use crate::api::User;

/// Names the user for whom a card is enrolled. It is asked once the card has authenticated as one of ours.
pub trait HolderSource {
    /// The user for the card with these diversification data, in hex; `begun` is what an earlier run started with it.
    ///
    /// # Errors
    /// [`EnrollError::NobodyLeft`] when there is no user for the card, [`EnrollError::BegunForAnother`] when it was
    /// started for somebody else, and an error when the source cannot record its choice.
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError>;

    /// The portrait of that user, at most 8192 bytes; asked after [`Self::user`].
    ///
    /// # Errors
    /// [`EnrollError::Batch`] when the picture has changed.
    fn portrait(&mut self) -> Result<Option<Vec<u8>>, EnrollError> {
        Ok(None)
    }

    /// The token that this one replaces.
    fn replaces(&self) -> Option<Uuid> {
        None
    }
}

/// One user to enroll, with the optional extras.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The user.
    pub user: User,
    /// The portrait for the card.
    pub portrait: Option<Vec<u8>>,
    /// The lost token, which is refused from now on.
    pub lost: Option<Uuid>,
    /// The card (diversification data, hex) whose unfinished enrollment for somebody else is abandoned.
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

/// Any card becomes the token of this user.
impl HolderSource for &User {
    fn user(&mut self, _: &str, _: Option<&JournalEntry>) -> Result<User, EnrollError> {
        Ok(self.clone())
    }
}
