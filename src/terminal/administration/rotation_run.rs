//! Moves cards, one by one, to the new CA or to the new key of their set.
//!
//! What is done stands on the cards themselves; a list beside the CA or the set says which tokens are left. So whatever
//! ends a run, the next one goes on.

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

/// What the tokens are moved to, and how far that is.
#[derive(Debug)]
pub enum RotationGoal {
    /// To the CA that is here.
    Ca(Rotation),
    /// To the key of another set.
    Set(Box<SetRotation>),
}

impl RotationGoal {
    /// The rotation of the CA, or of the key of this set, that is under way.
    ///
    /// # Errors
    /// [`PkiError::NoRotation`] or [`PkiError::NoSetRotation`] when none is under way; those of the files that say how
    /// far it is.
    pub fn load(pki: &PkiDir, set: Option<SetId>) -> Result<Self, PkiError> {
        Ok(match set {
            Some(set) => Self::Set(Box::new(pki.set_rotation(set)?)),
            None => Self::Ca(pki.rotation()?),
        })
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.done.len() + rotation.left.len(),
            Self::Set(rotation) => rotation.tokens,
        }
    }

    /// How many are not known to be moved.
    pub fn left(&self) -> usize {
        match self {
            Self::Ca(rotation) => rotation.left.len(),
            Self::Set(rotation) => rotation.left(),
        }
    }
}

/// What came of one card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The token.
    pub token_id: Uuid,
    /// Whether there was something to do.
    pub was_old: bool,
}

/// A rotation at work, with what it takes.
pub struct RotationRun {
    terminal: TerminalContext,
    ca: Ca,
    credentials: Credentials,
    store: TerminalStore,
    goal: RotationGoal,
}

impl RotationRun {
    /// Loads the CA that is here, the keys for administration, and the store.
    ///
    /// # Errors
    /// What keeps the CA, the keys for administration or the store from being loaded: `pki.…` and `store.…`.
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

    /// Looks at the card in this reader, which changes nothing on it.
    ///
    /// # Errors
    /// As [`in_transaction`], with what the look at the card answers.
    pub fn find(&self, reader: &str) -> Result<RotationTarget, Failure> {
        let look = in_transaction(&self.terminal, &self.credentials, reader, |link, context| match &self.goal {
            RotationGoal::Ca(_) => find(link, context),
            RotationGoal::Set(set) => sets::find(link, context, *set.from.as_bytes(), &key_of(&set.to)),
        });
        Ok(look?.0)
    }

    /// Moves the card in this reader; `meant` is the one that was confirmed.
    ///
    /// # Errors
    /// As [`Self::find`]; what keeps it from being noted on disk that the token has moved.
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
            // Its date in the register of the cards that were issued here.
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

/// The CA that is here, for a token that is moved to it.
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
            // Of the CA before: all its tokens go to one new set.
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
