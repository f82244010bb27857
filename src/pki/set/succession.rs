//! Another set in the place of one whose key may be known to others: each of its tokens gets the new key, one by one. How
//! far that is stands beside the new set, in `sets/ID.json`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Set, SetId, tally::MembershipFile};
use crate::pki::{PkiDir, PkiError, load::exists};

/// How far the key of a set is replaced.
#[derive(Debug, Clone)]
pub struct Succession {
    /// The set before.
    pub from: SetId,
    /// The set in its place.
    pub to: Set,
    /// How many tokens the one before had.
    pub tokens: usize,
    /// Tokens that were begun, by their ids, and whether they are done.
    moved: BTreeMap<Uuid, bool>,
}

impl Succession {
    /// How many tokens have the new key.
    pub fn done(&self) -> usize {
        self.moved.values().filter(|done| **done).count()
    }

    /// How many tokens are not known to have it: some may be lost or out of use.
    pub fn left(&self) -> usize {
        self.tokens.saturating_sub(self.done())
    }
}

impl PkiDir {
    /// How far it is, or [`PkiError::NoSetRotation`] when no set follows this one.
    pub fn succession(&self, from: SetId) -> Result<Succession, PkiError> {
        self.find_succession(from)?.ok_or(PkiError::NoSetRotation(from))
    }

    /// Puts another set in the place of this one, unless there is one: whoever is killed says it again.
    pub fn begin_succession(
        &self,
        from: SetId,
        create: &mut dyn FnMut() -> Result<Set, PkiError>,
    ) -> Result<Succession, PkiError> {
        let _lock = self.prepare()?;
        if let Some(begun) = self.find_succession(from)? {
            return Ok(begun);
        }
        if !exists(&self.set_path(from, "crt"))? {
            return Err(PkiError::NoSet(from));
        }
        let tally = MembershipFile::following(self.tally(from)?, from);
        self.keep(create()?.id, &tally)?;
        self.succession(from)
    }

    /// Notes that the token is being moved, or that it is; it is on disk when this returns. A token that was not begun
    /// here was enrolled into the new set.
    pub fn note_moved(&self, succession: &mut Succession, token_id: Uuid, done: bool) -> Result<(), PkiError> {
        let known = succession.moved.get(&token_id).copied();
        if known == Some(true) || known == Some(done) || (done && known.is_none()) {
            return Ok(());
        }
        let _lock = self.prepare()?;
        let id = succession.to.id;
        let mut tally = self.tally(id)?.ok_or(PkiError::NoSet(id))?;
        let follows = tally.follows.as_mut().ok_or(PkiError::NoSetRotation(succession.from))?;
        follows.moved.insert(token_id, done);
        succession.moved.clone_from(&follows.moved);
        self.keep(id, &tally)
    }

    /// Destroys the key of the set before: no card gets it any more.
    pub fn finish_succession(&self, from: SetId) -> Result<Succession, PkiError> {
        let _lock = self.prepare()?;
        let succession = self.succession(from)?;
        self.remove_set(from)?;
        Ok(succession)
    }

    /// The set that follows this one, of whatever CA.
    pub(super) fn follower(&self, from: SetId) -> Result<Option<SetId>, PkiError> {
        let name = from.to_string();
        for id in self.sets()? {
            if self.tally(id)?.and_then(|tally| tally.follows).is_some_and(|follows| follows.set == name) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn find_succession(&self, from: SetId) -> Result<Option<Succession>, PkiError> {
        let name = from.to_string();
        for id in self.sets()? {
            let Some(follows) = self.tally(id)?.and_then(|tally| tally.follows).filter(|one| one.set == name) else {
                continue;
            };
            match self.load_set(id) {
                // Of the CA before this one: its tokens go on from there.
                Err(PkiError::Certificate { .. }) => {}
                to => return Ok(Some(Succession { from, to: to?, tokens: follows.tokens, moved: follows.moved })),
            }
        }
        Ok(None)
    }
}
