//! The register of the cards issued at this terminal.

use jiff::Timestamp;
use rusqlite::{Row, params};
use uuid::Uuid;

use super::{Sync, TerminalStore, TerminalStoreError, begin, rows};
use crate::api::User;

/// The state of an issued card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// It is in use.
    Issued,
    /// It is temporarily out of use.
    Blocked,
    /// It is permanently out of use.
    Terminated,
    /// Another card replaced it.
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

    /// Whether the card is or may again be in use.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Issued | Self::Blocked)
    }
}

/// A card that was issued here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCard {
    /// The token on it.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// What identifies the card itself: its diversification data, hex.
    pub card: Option<String>,
    /// Its state.
    pub state: CardState,
    /// When it was issued.
    pub issued: Timestamp,
    /// When the record last changed.
    pub changed: Timestamp,
}

impl TerminalStore {
    /// Records an issued card, and that it replaces another one.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn register_card(&mut self, card: &IssuedCard, replaces: Option<Uuid>) -> Result<(), TerminalStoreError> {
        self.synchronise(Sync::Full)?;
        self.query(|db| {
            let tx = begin(db, rusqlite::TransactionBehavior::Immediate)?;
            if let Some(card) = &card.card {
                // A card whose enrollment was restarted has another token; the previous token was never used.
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

    /// Records a new state or user of a card, if it was issued here.
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

    /// The cards issued here, ordered by user, latest first for each; `user` restricts them to one user.
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
        // A state from a later release counts as not usable here.
        state: state.unwrap_or(CardState::Replaced),
        issued: rows::time(row.get("issued")?)?,
        changed: rows::time(row.get("changed")?)?,
    })
}
