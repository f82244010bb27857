//! The register of the cards that were issued at this terminal.

use jiff::Timestamp;
use rusqlite::{Row, params};
use uuid::Uuid;

use super::{Sync, TerminalStore, TerminalStoreError, begin, rows};
use crate::api::User;

/// What became of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// It is in use.
    Issued,
    /// It was taken out of use for now.
    Blocked,
    /// It was taken out of use for ever.
    Terminated,
    /// Another one was issued in its place.
    Replaced,
}

impl CardState {
    const ALL: [Self; 4] = [Self::Issued, Self::Blocked, Self::Terminated, Self::Replaced];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Blocked => "blocked",
            Self::Terminated => "terminated",
            Self::Replaced => "replaced",
        }
    }

    /// Whether the card may be used again.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Issued | Self::Blocked)
    }
}

/// A card that was issued here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCard {
    /// The token on it.
    pub token_id: Uuid,
    /// Whose it is.
    pub user: User,
    /// What the card itself is told apart by: its diversification data, hex.
    pub card: Option<String>,
    /// What became of it.
    pub state: CardState,
    /// When it was issued.
    pub issued: Timestamp,
    /// When that last changed.
    pub changed: Timestamp,
}

impl TerminalStore {
    /// Notes a card that was issued, and that another one is replaced by it.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn register_card(&mut self, card: &IssuedCard, replaces: Option<Uuid>) -> Result<(), TerminalStoreError> {
        self.synchronise(Sync::Full)?;
        self.query(|db| {
            let tx = begin(db, rusqlite::TransactionBehavior::Immediate)?;
            if let Some(card) = &card.card {
                // A card that was begun again has another token, and the one before was never used.
                tx.execute("UPDATE cards SET card = NULL WHERE card = ?1", [card])?;
            }
            tx.execute(
                "REPLACE INTO cards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    card.token_id.as_bytes(),
                    card.user.id,
                    rows::json(&card.user)?,
                    card.card,
                    card.state.as_str(),
                    card.issued.as_millisecond(),
                    card.changed.as_millisecond(),
                ],
            )?;
            if let Some(replaced) = replaces {
                let sql = "UPDATE cards SET state = ?2, changed = ?3 WHERE token_id = ?1 AND state <> 'terminated'";
                tx.execute(sql, params![replaced.as_bytes(), "replaced", card.changed.as_millisecond()])?;
            }
            tx.commit()
        })
    }

    /// Notes what became of a card, if it was issued here.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn note_card(
        &mut self,
        token_id: Uuid,
        state: Option<CardState>,
        user: Option<&User>,
        now: Timestamp,
    ) -> Result<(), TerminalStoreError> {
        self.synchronise(Sync::Full)?;
        self.query(|db| {
            let sql = "UPDATE cards SET state = ifnull(?2, state), user_id = ifnull(?3, user_id), user = ifnull(?4, user), \
                changed = ?5 WHERE token_id = ?1";
            let (id, whole) = (user.map(|user| &user.id), user.map(rows::json).transpose()?);
            db.execute(
                sql,
                params![token_id.as_bytes(), state.map(CardState::as_str), id, whole, now.as_millisecond()],
            )
            .map(drop)
        })
    }

    /// The cards that were issued here, by user, the last one of each first; `user` limits them to those of one.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn cards(&self, user: Option<&str>) -> Result<Vec<IssuedCard>, TerminalStoreError> {
        self.query(|db| {
            let sql = "SELECT * FROM cards WHERE ?1 IS NULL OR user_id = ?1 ORDER BY user_id, issued DESC";
            db.prepare_cached(sql)?.query_map([user], card)?.collect()
        })
    }
}

fn card(row: &Row<'_>) -> rusqlite::Result<IssuedCard> {
    let word: String = row.get("state")?;
    let state = CardState::ALL.into_iter().find(|state| state.as_str() == word);
    Ok(IssuedCard {
        token_id: Uuid::from_bytes(row.get("token_id")?),
        user: rows::parsed(row, "user")?,
        card: row.get("card")?,
        // What a later release calls it is not usable here.
        state: state.unwrap_or(CardState::Replaced),
        issued: rows::time(row.get("issued")?)?,
        changed: rows::time(row.get("changed")?)?,
    })
}
