//! The users that this terminal knows by itself, for terminals without a server: their data fill in what a change
//! omits.

use std::{collections::HashMap, path::Path};

use super::presence::store::{TerminalStore, TerminalStoreError};
use crate::api::User;

/// The users in the register of cards and in the history, each in its latest version. Forgotten users are not included.
#[derive(Debug, Default)]
pub struct KnownUsers {
    users: HashMap<String, User>,
}

impl KnownUsers {
    /// Reads the store of this folder, if there is one. The register takes precedence over the history, which also
    /// holds the user information of cards issued elsewhere.
    ///
    /// # Errors
    /// As [`TerminalStore::open`] and [`TerminalStore::list`].
    pub fn load(home: &Path) -> Result<Self, TerminalStoreError> {
        let Some(store) = TerminalStore::open_if_there(home)? else { return Ok(Self::default()) };
        // The history has the latest first; here the latest must come last.
        let history = store.known()?.into_iter().rev().map(|entry| entry.user);
        let mut cards = store.cards(None)?;
        cards.sort_by_key(|card| card.changed);
        let users = history.chain(cards.into_iter().map(|card| card.user));
        Ok(Self { users: users.map(|user| (user.id.clone(), user)).collect() })
    }

    /// The user with this id, if known.
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.get(id)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::terminal::{
        forget,
        presence::{
            Hand, Holder, Input, PresenceMode, Source, Tap,
            store::{CardState, IssuedCard},
        },
    };

    const MODE: PresenceMode = PresenceMode::Field;

    fn user(id: &str, name: &str, fields: &[(&str, &str)]) -> User {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        User { id: id.to_owned(), name: name.to_owned(), fields }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_register_counts_before_the_history_and_the_last_before_the_first() {
        let home = tempfile::tempdir().unwrap();
        assert!(KnownUsers::load(home.path()).unwrap().user("7").is_none());
        assert!(!home.path().join("terminal.db").exists(), "to look makes nothing");
        let mut store = TerminalStore::open(home.path()).unwrap();
        let card = |n: u8, user: &User, second, state| IssuedCard {
            token_id: Uuid::from_bytes([n; 16]),
            user: user.clone(),
            card: None,
            state,
            issued: at(i64::from(n)),
            changed: at(second),
        };
        let ada = user("7", "Ada Lovelace", &[("room", "B17")]);
        // Issued first and written last; lost since then.
        store.register_card(&card(1, &ada, 9, CardState::Replaced), None).unwrap();
        store.register_card(&card(2, &user("7", "Ada", &[]), 2, CardState::Issued), None).unwrap();
        let eve = user("9", "Eve", &[("team", "red")]);
        for (n, user) in [(1, &user("7", "Somebody", &[])), (3, &user("9", "Ev", &[])), (4, &eve)] {
            let holder = Holder {
                token_id: Uuid::from_bytes([n; 16]),
                user: user.clone(),
                source: Source::Card,
                authenticated: true,
                resumed: false,
            };
            let tap = Input::Tap(Tap { reader: "R".to_owned(), insertion: u64::from(n).into(), holder });
            store.apply(&tap, at(20 + i64::from(n)), &MODE).unwrap();
        }
        let known = KnownUsers::load(home.path()).unwrap();
        assert_eq!([known.user("7"), known.user("9"), known.user("8")], [Some(&ada), Some(&eve), None]);

        let (hand, now) = (Hand { by: "desk".to_owned(), note: None }, at(60));
        for id in ["7", "9"] {
            let found = forget::find(&store, home.path(), id).unwrap();
            forget::forget(&mut store, home.path(), found, &hand, now, &MODE, false).unwrap();
        }
        let known = KnownUsers::load(home.path()).unwrap();
        assert_eq!([known.user("7"), known.user("9")], [None, None], "who is forgotten comes on no new card");
    }
}
