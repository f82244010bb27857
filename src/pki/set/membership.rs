//! Counts which cards belong to which set, in `sets/ID.json`, written before a card is touched. So a set never has more
//! tokens than it may, and a card that is presented again joins the set it was meant for.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Set;
use crate::{
    files,
    pki::{
        PkiDir, PkiError, SetId,
        load::{exists, private},
    },
};

/// The sizes that a set may have.
pub const SET_SIZES: RangeInclusive<u16> = 32..=256;

/// The content of `sets/ID.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MembershipFile {
    /// The most tokens of the set.
    size: u16,
    /// The diversification data of its cards, in hex.
    cards: Vec<String>,
    /// The set that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) follows: Option<Follows>,
}

/// The progress of moving the tokens of a replaced set to the key of the set that follows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Follows {
    /// Its identifier, 16 hex digits.
    pub set: String,
    /// How many tokens it had.
    pub tokens: usize,
    /// The tokens whose move has begun, and whether it is complete.
    pub moved: BTreeMap<Uuid, bool>,
}

impl MembershipFile {
    /// A set in which no card is counted yet.
    const fn of(size: u16) -> Self {
        Self { size, cards: Vec::new(), follows: None }
    }

    /// The membership of the set that replaces one with this membership: it has room for the same cards.
    pub(super) fn following(before: Option<Self>, set: SetId) -> Self {
        let before = before.unwrap_or(Self::of(*SET_SIZES.end()));
        let follows = Follows { set: set.to_string(), tokens: before.cards.len(), moved: BTreeMap::new() };
        Self { follows: Some(follows), ..before }
    }

    fn has(&self, card: &str) -> bool {
        self.cards.iter().any(|one| one == card)
    }

    fn is_full(&self) -> bool {
        self.cards.len() >= self.size.into()
    }
}

impl PkiDir {
    /// The set with this identifier.
    ///
    /// # Errors
    /// [`PkiError::NoSet`]; otherwise as [`Self::load_set`].
    pub fn find_set(&self, id: SetId) -> Result<Set, PkiError> {
        if exists(&self.set_path(id, "crt"))? { self.load_set(id) } else { Err(PkiError::NoSet(id)) }
    }

    /// Counts this card in the set, unless it already is.
    ///
    /// # Errors
    /// [`PkiError::NoSet`], [`PkiError::SetReplaced`] or [`PkiError::SetFull`]; as [`Self::load_set`];
    /// [`PkiError::Io`].
    pub fn join_set(&self, id: SetId, card: &str) -> Result<Set, PkiError> {
        let _lock = self.prepare()?;
        let set = self.find_set(id)?;
        if let Some(by) = self.follower(id)? {
            return Err(PkiError::SetReplaced { id, by });
        }
        let membership = self.membership(id)?.unwrap_or(MembershipFile::of(*SET_SIZES.end()));
        self.count(id, membership, card)?;
        Ok(set)
    }

    /// Counts this card in a set for `size` tokens: the one in which it is counted already, or one with room, or a new
    /// one.
    ///
    /// # Errors
    /// The error of `create`; as [`Self::load_set`]; [`PkiError::Io`].
    pub fn join_set_of(
        &self,
        size: u16,
        card: &str,
        create: &mut dyn FnMut() -> Result<Set, PkiError>,
    ) -> Result<Set, PkiError> {
        let _lock = self.prepare()?;
        let (mut with_room, replaced) = (None, self.replaced()?);
        for id in self.sets()? {
            if replaced.contains(&id.to_string()) {
                continue;
            }
            let Some(membership) = self.membership(id)?.filter(|membership| membership.size == size) else { continue };
            if !membership.has(card) && (membership.is_full() || with_room.is_some()) {
                continue;
            }
            let set = match self.load_set(id) {
                // The set belongs to the previous CA.
                Err(PkiError::Certificate { .. }) => continue,
                set => set?,
            };
            if membership.has(card) {
                return Ok(set);
            }
            with_room = Some((set, membership));
        }
        let (set, membership) = match with_room {
            Some(found) => found,
            None => (create()?, MembershipFile::of(size)),
        };
        self.count(set.id, membership, card)?;
        Ok(set)
    }

    /// Frees the place of a card that was given up, in any set.
    ///
    /// # Errors
    /// [`PkiError::Io`] and [`PkiError::KeyPermissions`] of the files that say which cards are counted.
    pub fn leave_sets(&self, card: &str) -> Result<(), PkiError> {
        if !exists(&self.path("sets"))? {
            return Ok(());
        }
        let _lock = self.prepare()?;
        for id in self.sets()? {
            let Some(mut membership) = self.membership(id)?.filter(|membership| membership.has(card)) else { continue };
            membership.cards.retain(|one| one != card);
            self.keep(id, &membership)?;
        }
        Ok(())
    }

    fn count(&self, id: SetId, mut membership: MembershipFile, card: &str) -> Result<(), PkiError> {
        if membership.has(card) {
            return Ok(());
        }
        if membership.is_full() {
            return Err(PkiError::SetFull { id, size: membership.size });
        }
        membership.cards.push(card.to_owned());
        self.keep(id, &membership)
    }

    /// The sets that were replaced by another one.
    fn replaced(&self) -> Result<BTreeSet<String>, PkiError> {
        let mut replaced = BTreeSet::new();
        for id in self.sets()? {
            replaced.extend(self.membership(id)?.and_then(|membership| membership.follows).map(|follows| follows.set));
        }
        Ok(replaced)
    }

    pub(super) fn membership(&self, id: SetId) -> Result<Option<MembershipFile>, PkiError> {
        let path = self.set_path(id, "json");
        if !exists(&path)? {
            return Ok(None);
        }
        let membership: MembershipFile = serde_json::from_slice(&private(&path)?)
            .map_err(|error| PkiError::Io { path: path.clone(), error: error.into() })?;
        Ok(Some(membership))
    }

    pub(super) fn keep(&self, id: SetId, membership: &MembershipFile) -> Result<(), PkiError> {
        let path = self.set_path(id, "json");
        let text = serde_json::to_vec(membership).map_err(std::io::Error::from);
        text.and_then(|text| files::replace(&path, &text)).map_err(|error| PkiError::Io { path, error })
    }
}
