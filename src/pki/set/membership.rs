//! Which cards were counted in which set: `sets/ID.json`, written before a card is touched. So a set never has more tokens
//! than it may, and a card that comes again joins the set that it was meant for.

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

/// How many tokens a set may be made for.
pub const SET_SIZES: RangeInclusive<u16> = 32..=256;

/// The content of `sets/ID.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MembershipFile {
    /// The most tokens that it is to have.
    size: u16,
    /// The diversification data of its cards, in hex.
    cards: Vec<String>,
    /// The set whose place it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) follows: Option<Follows>,
}

/// How far the tokens of a set have the key of the one that follows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Follows {
    /// Its identifier, 16 hex digits.
    pub set: String,
    /// How many tokens it had.
    pub tokens: usize,
    /// Tokens that were begun, by their ids, and whether they are done.
    pub moved: BTreeMap<Uuid, bool>,
}

impl MembershipFile {
    /// A set that nobody is counted in yet.
    const fn of(size: u16) -> Self {
        Self { size, cards: Vec::new(), follows: None }
    }

    /// What takes the place of a set with this membership: it has room for the same cards.
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
    /// [`PkiError::NoSet`]; else as [`Self::load_set`].
    pub fn find_set(&self, id: SetId) -> Result<Set, PkiError> {
        if exists(&self.set_path(id, "crt"))? { self.load_set(id) } else { Err(PkiError::NoSet(id)) }
    }

    /// Counts this card in the set, unless it is in it already.
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

    /// Counts this card in a set for `size` tokens: the one that it is in, or one that has room, or a new one.
    ///
    /// # Errors
    /// What `create` answers when it fails; as [`Self::load_set`]; [`PkiError::Io`].
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
                // Of the CA before this one.
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

    /// The card was given up: its place in any set is free again.
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

    /// The sets in whose place there is another one.
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
