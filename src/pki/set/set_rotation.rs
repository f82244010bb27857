//! Replaces a set whose key may be known to others: each of its tokens gets the key of the new set, one by one. The
//! progress is stored beside the new set, in `sets/ID.json`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Set, membership::MembershipFile};
use crate::pki::{PkiDir, PkiError, SetId, load::exists};

/// The progress of replacing the key of a set.
#[derive(Debug, Clone)]
pub struct SetRotation {
    /// The replaced set.
    pub from: SetId,
    /// The set that replaces it.
    pub to: Set,
    /// How many tokens the replaced set had.
    pub tokens: usize,
    /// The tokens whose move has begun, and whether it is complete.
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
    /// The progress of the rotation.
    ///
    /// # Errors
    /// [`PkiError::NoSetRotation`] when no set follows this one; as [`PkiDir::load_set`]; [`PkiError::Io`].
    pub fn set_rotation(&self, from: SetId) -> Result<SetRotation, PkiError> {
        self.find_set_rotation(from)?.ok_or(PkiError::NoSetRotation(from))
    }

    /// Replaces this set by another one, unless that has happened already, so that an interrupted run can be repeated.
    ///
    /// # Errors
    /// [`PkiError::NoSet`] for a set that is not here; the error of `create`; [`PkiError::Io`].
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

    /// Records that the move of a token has begun, or is complete; it is on disk when this returns. A token whose move
    /// was not begun here was enrolled into the new set, and is not recorded.
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

    /// Destroys the key of the replaced set, so that no card can get it any more.
    ///
    /// # Errors
    /// [`PkiError::NoSetRotation`] when no set follows this one; [`PkiError::Io`].
    pub fn finish_set_rotation(&self, from: SetId) -> Result<SetRotation, PkiError> {
        let _lock = self.prepare()?;
        let rotation = self.set_rotation(from)?;
        self.remove_set(from)?;
        Ok(rotation)
    }

    /// The set that follows this one, of any CA.
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
                // It belongs to the previous CA: its tokens continue from there.
                Err(PkiError::Certificate { .. }) => {}
                to => return Ok(Some(SetRotation { from, to: to?, tokens: follows.tokens, moved: follows.moved })),
            }
        }
        Ok(None)
    }
}
