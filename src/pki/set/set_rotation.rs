//! Another set in the place of one whose key may be known to others: each of its tokens gets the new key, one by one. How
//! far that is stands beside the new set, in `sets/ID.json`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Set, membership::MembershipFile};
use crate::pki::{PkiDir, PkiError, SetId, load::exists};

/// How far the key of a set is replaced.
#[derive(Debug, Clone)]
pub struct SetRotation {
    /// The set before.
    pub from: SetId,
    /// The set in its place.
    pub to: Set,
    /// How many tokens the one before had.
    pub tokens: usize,
    /// Tokens that were begun, by their ids, and whether they are done.
    moved: BTreeMap<Uuid, bool>,
}

impl SetRotation {
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
    /// How far it is.
    ///
    /// # Errors
    /// [`PkiError::NoSetRotation`] when no set follows this one; as [`PkiDir::load_set`]; [`PkiError::Io`].
    pub fn set_rotation(&self, from: SetId) -> Result<SetRotation, PkiError> {
        self.find_set_rotation(from)?.ok_or(PkiError::NoSetRotation(from))
    }

    /// Puts another set in the place of this one, unless there is one: whoever is killed says it again.
    ///
    /// # Errors
    /// [`PkiError::NoSet`] for a set that is not here; what `create` answers when it fails; [`PkiError::Io`].
    pub fn begin_set_rotation(
        &self,
        from: SetId,
        create: &mut dyn FnMut() -> Result<Set, PkiError>,
    ) -> Result<SetRotation, PkiError> {
        let _lock = self.prepare()?;
        if let Some(begun) = self.find_set_rotation(from)? {
            return Ok(begun);
        }
        if !exists(&self.set_path(from, "crt"))? {
            return Err(PkiError::NoSet(from));
        }
        let membership = MembershipFile::following(self.membership(from)?, from);
        self.keep(create()?.id, &membership)?;
        self.set_rotation(from)
    }

    /// Notes that the token is being moved, or that it is; it is on disk when this returns. A token that was not begun
    /// here was enrolled into the new set.
    ///
    /// # Errors
    /// [`PkiError::NoSet`] and [`PkiError::NoSetRotation`] when the rotation has ended meanwhile; [`PkiError::Io`].
    pub fn note_moved(&self, rotation: &mut SetRotation, token_id: Uuid, done: bool) -> Result<(), PkiError> {
        let known = rotation.moved.get(&token_id).copied();
        if known == Some(true) || known == Some(done) || (done && known.is_none()) {
            return Ok(());
        }
        let _lock = self.prepare()?;
        let id = rotation.to.id;
        let mut membership = self.membership(id)?.ok_or(PkiError::NoSet(id))?;
        let follows = membership.follows.as_mut().ok_or(PkiError::NoSetRotation(rotation.from))?;
        follows.moved.insert(token_id, done);
        rotation.moved.clone_from(&follows.moved);
        self.keep(id, &membership)
    }

    /// Destroys the key of the set before: no card gets it any more.
    ///
    /// # Errors
    /// [`PkiError::NoSetRotation`] when no set follows this one; [`PkiError::Io`].
    pub fn finish_set_rotation(&self, from: SetId) -> Result<SetRotation, PkiError> {
        let _lock = self.prepare()?;
        let rotation = self.set_rotation(from)?;
        self.remove_set(from)?;
        Ok(rotation)
    }

    /// The set that follows this one, of whatever CA.
    pub(super) fn follower(&self, from: SetId) -> Result<Option<SetId>, PkiError> {
        let name = from.to_string();
        for id in self.sets()? {
            if self.membership(id)?.and_then(|membership| membership.follows).is_some_and(|follows| follows.set == name)
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn find_set_rotation(&self, from: SetId) -> Result<Option<SetRotation>, PkiError> {
        let name = from.to_string();
        for id in self.sets()? {
            let Some(follows) =
                self.membership(id)?.and_then(|membership| membership.follows).filter(|one| one.set == name)
            else {
                continue;
            };
            match self.load_set(id) {
                // Of the CA before this one: its tokens go on from there.
                Err(PkiError::Certificate { .. }) => {}
                to => return Ok(Some(SetRotation { from, to: to?, tokens: follows.tokens, moved: follows.moved })),
            }
        }
        Ok(None)
    }
}
