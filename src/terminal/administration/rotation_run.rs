//! A key rotation: moves cards, one by one, to the new CA or to the new key of their set.
//!
//! The cards themselves hold the progress; a list stored with the CA or the set says which tokens are left. So the next
//! run continues wherever an earlier one ended.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    RotationTarget,
    card::{in_one_attempt, in_transaction},
    failure::AdministrationError,
    rotate::{RotationAuthority, find, rotate},
    sets::{self, SetKey},
};
use crate::{
    crypto::{ec::Point, random::SystemRandom},
    failure::Failure,
    pki::{Ca, PkiDir, PkiError, Rotation, Set, SetId, SetRotation},
    terminal::{context::TerminalContext, memory::remember, presence::store::TerminalStore},
    token::open::Credentials,
};

/// What the tokens are moved to, and the progress so far.
#[derive(Debug)]
pub enum RotationGoal {
    /// To the current CA.
    Ca(Rotation),
    /// To the key of a new set.
    Set(Box<SetRotation>),
}

impl RotationGoal {
    /// Loads the rotation of the CA, or of the key of this set, that is in progress.
    ///
    /// # Errors
    /// [`PkiError::NoRotation`] or [`PkiError::NoSetRotation`] when none is in progress; errors of the files that hold
    /// the progress.
    pub fn load(pki: &PkiDir, set: Option<SetId>) -> Result<Self, PkiError> {
        Ok(match set {
            Some(set) => Self::Set(Box::new(pki.set_rotation(set)?)),
            None => Self::Ca(pki.rotation()?),
        })
    }

    /// The number of tokens in the rotation.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.done.len() + rotation.left.len(),
            Self::Set(rotation) => rotation.tokens,
        }
    }

    /// The number of tokens not known to have been moved.
    pub fn left(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.left.len(),
            Self::Set(rotation) => rotation.left(),
        }
    }
}

/// The result for one card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The token.
    pub token_id: Uuid,
    /// Whether it still had to be moved.
    pub was_old: bool,
}

/// A running rotation and the keys and store that it needs.
pub struct RotationRun {
    terminal: TerminalContext,
    ca: Ca,
    credentials: Credentials,
    store: TerminalStore,
    goal: RotationGoal,
}

impl RotationRun {
    /// Loads the current CA, the administration keys, and the store.
    ///
    /// # Errors
    /// When the CA, the administration keys or the store cannot be loaded: `pki.…` and `store.…`.
    pub fn open(terminal: TerminalContext, goal: RotationGoal) -> Result<Self, Failure> {
        Ok(Self {
            ca: terminal.pki.load_ca(terminal.clock_check)?,
            credentials: terminal.admin_credentials(Timestamp::now())?,
            store: terminal.store()?,
            terminal,
            goal,
        })
    }

    /// What the tokens are moved to.
    pub const fn goal(&self) -> &RotationGoal {
        &self.goal
    }

    /// Identifies the card in this reader without changing it.
    ///
    /// # Errors
    /// As [`in_transaction`], and the errors of identifying the card.
    pub fn find(&self, reader: &str) -> Result<RotationTarget, Failure> {
        let look = in_transaction(&self.terminal, &self.credentials, reader, |link, context| match &self.goal {
            RotationGoal::Ca(_) => find(link, context),
            RotationGoal::Set(set) => sets::find(link, context, *set.from.as_bytes(), &key_of(&set.to)),
        });
        Ok(look?.0)
    }

    /// Moves the card in this reader; `meant` is the token that was confirmed.
    ///
    /// # Errors
    /// As [`Self::find`]; an error when the move cannot be recorded on disk.
    pub fn rotate(&mut self, reader: &str, meant: Option<Uuid>) -> Result<Move, Failure> {
        let (terminal, credentials, pki) = (&self.terminal, &self.credentials, &self.terminal.pki);
        let ((token_id, was_old), learned) = match &mut self.goal {
            RotationGoal::Ca(_) => {
                let mut authority = RotationCertifier { ca: &mut self.ca, pki };
                in_one_attempt(terminal, credentials, reader, |link, context| {
                    rotate(link, context, meant, &mut authority)
                })?
            }
            RotationGoal::Set(set) => {
                let (from, to) = (*set.from.as_bytes(), key_of(&set.to));
                let mut begin = |id| {
                    if meant.is_some_and(|meant| meant != id) {
                        return Err(AdministrationError::OtherCard);
                    }
                    pki.note_moved(set, id, false).map_err(|error| AdministrationError::NotNoted(error.to_string()))
                };
                in_one_attempt(terminal, credentials, reader, |link, context| {
                    sets::replace(link, context, (from, &to), &mut begin)
                })?
            }
        };
        remember(&mut self.store, &learned)?;
        self.note(token_id)?;
        if was_old {
            // Updates its date in the register of the cards issued here.
            self.store.note_card(token_id, None, None, Timestamp::now())?;
        }
        Ok(Move { token_id, was_old })
    }

    fn note(&mut self, id: Uuid) -> Result<(), PkiError> {
        let pki = &self.terminal.pki;
        match &mut self.goal {
            RotationGoal::Set(rotation) => pki.note_moved(rotation, id, true)?,
            RotationGoal::Ca(rotation) => {
                if rotation.left.remove(&id) {
                    rotation.done.insert(id);
                    pki.note_rotated(id)?;
                }
            }
        }
        Ok(())
    }
}

/// The current CA as the [`RotationAuthority`] of the tokens moved to it.
struct RotationCertifier<'a> {
    ca: &'a mut Ca,
    pki: &'a PkiDir,
}

impl RotationAuthority for RotationCertifier<'_> {
    fn certify(&mut self, id: Uuid, ecka: &Point, identity: &Point) -> Result<(Vec<u8>, Vec<u8>), AdministrationError> {
        let now = Timestamp::now();
        let ecka = self.ca.certify_token_ecka(id, ecka, now, &mut SystemRandom).map_err(|e| refused(&e))?;
        let identity = self.ca.certify_identity(id, identity, now, &mut SystemRandom).map_err(|e| refused(&e))?;
        Ok((ecka, identity))
    }

    fn follower(&mut self, announced: [u8; 8]) -> Result<SetKey, AdministrationError> {
        let (id, pki, ca) = (announced.into(), self.pki, &mut *self.ca);
        match pki.load_set(id) {
            Ok(set) => Ok(key_of(&set)),
            // A set of the previous CA: all its tokens move to one new set.
            Err(PkiError::Certificate { .. }) => {
                let mut create = || pki.create_set(ca, Timestamp::now(), &mut SystemRandom);
                Ok(key_of(&pki.begin_set_rotation(id, &mut create).map_err(|e| refused(&e))?.to))
            }
            Err(error) => Err(refused(&error)),
        }
    }
}

fn refused(error: &PkiError) -> AdministrationError {
    AdministrationError::NotCertified(error.to_string())
}

fn key_of(set: &Set) -> SetKey {
    SetKey { id: *set.id.as_bytes(), key: set.key.clone(), certificate: set.certificate.clone() }
}
