//! A batch of enrollments: the rows that are to become tokens, and a journal that says which card each row went to.
//!
//! The journal is a separate file with one JSON object per line. It is written and synced to disk before a card is
//! touched for a row, and again once the token has authenticated; so when a batch is run again, every card gets the
//! same row, and no row gets two cards.

pub mod difference;
pub mod event;
mod lines;
pub mod portraits;
pub mod resume;
pub mod run;

use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::{
    failure::{BatchError, EnrollError},
    holder::HolderSource,
    journal::JournalEntry,
};
use crate::{api::User, crypto::sha256, files::LockedFile};
use difference::{RowDifference, RowNow, are_alike};
use lines::{LedgerLine, RowEvent, RowText};

/// The progress of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// No card has been assigned.
    Free,
    /// Started with this card (diversification data, hex).
    Begun(String),
    /// Enrolled as this token.
    Done(Uuid),
}

/// The progress of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCount {
    /// The number of rows.
    pub rows: usize,
    /// The number of rows that are enrolled.
    pub done: usize,
    /// The number of rows started with a card and not finished.
    pub begun: usize,
}

impl BatchCount {
    /// Whether every row is enrolled.
    pub const fn is_complete(&self) -> bool {
        self.rows == self.done
    }

    /// The number of rows without a card.
    pub const fn free(&self) -> usize {
        self.rows - self.done - self.begun
    }
}

/// One row of the batch: a user to enroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The user as the row gives it.
    pub user: User,
    /// The same, completed from the server's record: what is written to the card.
    pub whole: User,
    /// SHA-256 of the portrait that is written to the card.
    pub portrait: Option<[u8; 32]>,
}

impl From<User> for Row {
    fn from(user: User) -> Self {
        Self { whole: user.clone(), user, portrait: None }
    }
}

/// A card that can be abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The id of its user.
    pub id: String,
    /// The card (diversification data, hex).
    pub card: String,
    /// It is a finished token, but its user is not in the file.
    pub is_done: bool,
}

/// A row, and what the journal says about it.
#[derive(Debug)]
struct LedgerRow {
    row: Row,
    state: RowState,
    /// The card assigned to it.
    card: Option<String>,
    /// Digest and text of the row when it was assigned.
    begun_as: Option<(String, Option<User>)>,
    /// The row is in the journal but not in the file.
    gone: bool,
    /// This run gives no new card to the row.
    left_out: bool,
}

impl LedgerRow {
    fn new(row: Row, gone: bool) -> Self {
        Self { row, state: RowState::Free, card: None, begun_as: None, gone, left_out: false }
    }

    /// Whether the row was edited after a card was assigned.
    fn is_changed(&self) -> bool {
        let digest = self.begun_as.as_ref().map(|(digest, _)| digest);
        !self.gone && digest.is_some_and(|digest| *digest != digest_of(&self.row))
    }

    fn free(&mut self) {
        (self.state, self.card, self.begun_as) = (RowState::Free, None, None);
    }
}

/// The rows and their journal, locked by one process at a time.
#[derive(Debug)]
pub struct BatchLedger {
    /// The rows of the file, then those that only the journal knows.
    rows: Vec<LedgerRow>,
    by_id: HashMap<String, usize>,
    /// The row of every card that has one.
    by_card: HashMap<String, usize>,
    done: HashMap<Uuid, usize>,
    path: PathBuf,
    /// `None` when opened for reading only.
    file: Option<LockedFile>,
}

impl BatchLedger {
    /// Opens or creates the journal of these rows; `authority` is the key identifier of the CA, hex.
    ///
    /// # Errors
    /// [`BatchError::Io`], [`BatchError::Busy`], [`BatchError::Damaged`] or [`BatchError::OtherAuthority`].
    pub fn open(path: &Path, rows: Vec<Row>, authority: &str) -> Result<Self, BatchError> {
        let (file, lines) = lines::open(path, authority)?;
        Self::of(path, rows, Some(file), lines)
    }

    /// The same read-only: takes no lock and changes nothing.
    ///
    /// # Errors
    /// As [`Self::open`], except [`BatchError::Busy`].
    pub fn read(path: &Path, rows: Vec<Row>, authority: &str) -> Result<Self, BatchError> {
        Self::of(path, rows, None, lines::read(path, authority)?)
    }

    fn of(
        path: &Path,
        rows: Vec<Row>,
        file: Option<LockedFile>,
        lines: Vec<(usize, LedgerLine)>,
    ) -> Result<Self, BatchError> {
        let by_id = rows.iter().enumerate().map(|(at, row)| (row.user.id.clone(), at)).collect();
        let rows = rows.into_iter().map(|row| LedgerRow::new(row, false)).collect();
        let (by_card, done) = (HashMap::new(), HashMap::new());
        let mut book = Self { rows, by_id, by_card, done, path: path.to_owned(), file };
        for (number, line) in lines {
            book.replay(number, line)?;
        }
        Ok(book)
    }

    /// The row of this user; one missing from the file is added too, because a card for it exists somewhere.
    fn at(&mut self, id: &str) -> usize {
        if let Some(&at) = self.by_id.get(id) {
            return at;
        }
        let at = self.rows.len();
        let user = User { id: id.to_owned(), ..User::default() };
        self.rows.push(LedgerRow::new(user.into(), true));
        self.by_id.insert(id.to_owned(), at);
        at
    }

    fn replay(&mut self, number: usize, line: LedgerLine) -> Result<(), BatchError> {
        let at = self.at(&line.user);
        let path = self.path.clone();
        let damaged = |what| BatchError::Damaged { path, line: number, what };
        let row = &mut self.rows[at];
        let same_card = row.card.as_ref() == Some(&line.card);
        match (line.event, &row.state) {
            (RowEvent::Begun { digest, row: text }, RowState::Free) => {
                let id = line.user;
                let text = text.map(|RowText { name, fields }| User { id, name, fields });
                if let Some(text) = text.as_ref().filter(|_| row.gone) {
                    row.row.user = text.clone();
                }
                row.begun_as = Some((digest, text));
                row.state = RowState::Begun(line.card.clone());
                row.card = Some(line.card.clone());
                if self.by_card.insert(line.card, at).is_some() {
                    return Err(damaged("this card had another row"));
                }
            }
            (RowEvent::Done { token_id }, RowState::Begun(_)) if same_card => {
                row.state = RowState::Done(token_id);
                self.done.insert(token_id, at);
            }
            (RowEvent::Abandoned, RowState::Begun(_)) | (RowEvent::Forgotten, RowState::Done(_)) if same_card => {
                self.free(at);
            }
            _ => return Err(damaged("it does not follow from the lines before it")),
        }
        Ok(())
    }

    /// Restricts new cards in this run to these rows.
    ///
    /// # Errors
    /// The first id that has no row.
    pub fn limit_to(&mut self, ids: &[String]) -> Result<(), String> {
        let unknown = |id: &&String| self.by_id.get(*id).is_none_or(|&at| self.rows[at].gone);
        if let Some(unknown) = ids.iter().find(unknown) {
            return Err(unknown.clone());
        }
        for row in &mut self.rows {
            row.left_out = !ids.contains(&row.row.user.id);
        }
        Ok(())
    }

    /// The rows of the file that belong to this run.
    fn of_run(&self) -> impl Iterator<Item = &LedgerRow> {
        self.rows.iter().filter(|row| !row.gone && !row.left_out)
    }

    /// The rows of the file and the progress of each.
    pub fn rows(&self) -> impl Iterator<Item = (&User, &RowState)> {
        self.rows.iter().filter(|row| !row.gone).map(|row| (&row.row.user, &row.state))
    }

    /// The progress of the rows that belong to this run.
    pub fn count(&self) -> BatchCount {
        let mut count = BatchCount { rows: 0, done: 0, begun: 0 };
        for row in self.of_run() {
            count.rows += 1;
            count.done += usize::from(matches!(row.state, RowState::Done(_)));
            count.begun += usize::from(matches!(row.state, RowState::Begun(_)));
        }
        count
    }

    /// The user of the next card: the first row without a card.
    pub fn next(&self) -> Option<&User> {
        self.of_run().find(|row| row.state == RowState::Free).map(|row| &row.row.user)
    }

    /// The users still waiting for a card in this run.
    pub fn waiting(&self) -> impl Iterator<Item = &User> {
        self.of_run().filter(|row| row.state == RowState::Free).map(|row| &row.row.user)
    }

    /// Whether the file has this id, or the journal has a card for it that was not abandoned.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.get(id).is_some_and(|&at| !self.rows[at].gone || self.rows[at].state != RowState::Free)
    }

    /// The users whose cards are started and not finished.
    pub fn begun(&self) -> impl Iterator<Item = &User> {
        self.of_run().filter(|row| matches!(row.state, RowState::Begun(_))).map(|row| &row.row.user)
    }

    /// How the file differs from the journal: changed rows in the order of the file, then rows that are gone.
    pub fn differences(&self) -> Vec<RowDifference> {
        let different = |row: &&LedgerRow| row.state != RowState::Free && (row.gone || row.is_changed());
        let difference = |row: &LedgerRow| {
            let (id, before) = (row.row.user.id.clone(), row.begun_as.as_ref().and_then(|(_, text)| text.clone()));
            let token_id = if let RowState::Done(token_id) = row.state { Some(token_id) } else { None };
            let now = if row.gone {
                let alike = |free: &&LedgerRow| {
                    !free.gone && free.state == RowState::Free && are_alike((&id, before.as_ref()), &free.row.user)
                };
                RowNow::Gone(self.rows.iter().filter(alike).take(3).map(|row| row.row.user.clone()).collect())
            } else {
                RowNow::Changed(row.row.user.clone())
            };
            RowDifference { id, token_id, before, now }
        };
        self.rows.iter().filter(different).map(difference).collect()
    }

    /// The user of this token, if it belongs to this batch.
    pub fn holder(&self, token_id: Uuid) -> Option<&User> {
        self.done.get(&token_id).map(|&at| &self.rows[at].row.user)
    }

    /// Records that this user's token has authenticated. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`BatchError::Io`] when it is not on disk.
    pub fn finish(&mut self, user: &User, token_id: Uuid) -> Result<(), BatchError> {
        let Some(&at) = self.by_id.get(&user.id) else { return Ok(()) };
        let RowState::Begun(card) = &self.rows[at].state else { return Ok(()) };
        let line = LedgerLine { user: user.id.clone(), card: card.clone(), event: RowEvent::Done { token_id } };
        self.append(&line)?;
        self.rows[at].state = RowState::Done(token_id);
        self.done.insert(token_id, at);
        Ok(())
    }

    /// The cards that can be abandoned: those started, and those whose rows are not in the file.
    pub fn to_abandon(&self) -> Vec<GivenUp> {
        let given_up = |row: &&LedgerRow| match row.state {
            RowState::Free => false,
            RowState::Begun(_) => row.gone || !row.left_out,
            RowState::Done(_) => row.gone,
        };
        let named = |row: &LedgerRow| {
            let is_done = matches!(row.state, RowState::Done(_));
            Some(GivenUp { id: row.row.user.id.clone(), card: row.card.clone()?, is_done })
        };
        self.rows.iter().filter(given_up).filter_map(named).collect()
    }

    /// Abandons the card that a row was started with, which frees the row for any card. A finished row that is no
    /// longer in the file is forgotten; its token stays as it is.
    ///
    /// # Errors
    /// [`BatchError::Io`] when it is not on disk.
    pub fn abandon(&mut self, id: &str) -> Result<(), BatchError> {
        let Some(&at) = self.by_id.get(id) else { return Ok(()) };
        let event = match self.rows[at].state {
            RowState::Begun(_) => RowEvent::Abandoned,
            RowState::Done(_) if self.rows[at].gone => RowEvent::Forgotten,
            _ => return Ok(()),
        };
        let card = self.rows[at].card.clone().unwrap_or_default();
        self.append(&LedgerLine { user: id.to_owned(), card, event })?;
        self.free(at);
        Ok(())
    }

    /// The row of this card: the one started with it, the one that a single enrollment started, or the next free one.
    fn row(&self, card: &str, begun: Option<&JournalEntry>) -> Option<usize> {
        if let Some(&at) = self.by_card.get(card) {
            return Some(at);
        }
        let is_free = |at: &usize| {
            let row = &self.rows[*at];
            row.state == RowState::Free && !row.gone && !row.left_out
        };
        let before = begun.and_then(|entry| self.by_id.get(&entry.user.id).copied()).filter(is_free);
        before.or_else(|| (0..self.rows.len()).find(is_free))
    }

    fn free(&mut self, at: usize) {
        if let Some(card) = &self.rows[at].card {
            self.by_card.remove(card);
        }
        if let RowState::Done(token_id) = self.rows[at].state {
            self.done.remove(&token_id);
        }
        self.rows[at].free();
    }

    /// Appends one line with a single write, and syncs it to disk.
    fn append(&mut self, line: &LedgerLine) -> Result<(), BatchError> {
        let failed = |error| BatchError::Io(self.path.clone(), error);
        let text = serde_json::to_string(line).map_err(|e| failed(e.into()))? + "\n";
        let Some(file) = &mut self.file else { return Err(failed(io::ErrorKind::PermissionDenied.into())) };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed)
    }
}

impl HolderSource for BatchLedger {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let nobody = || begun.map_or(EnrollError::NobodyLeft, JournalEntry::of_another);
        let at = self.row(card, begun).ok_or_else(nobody)?;
        let row = &self.rows[at];
        if row.gone {
            return Err(EnrollError::RowGone(row.row.user.id.clone()));
        }
        // A card started for somebody else must be abandoned before it can go to a user of this file.
        if let Some(entry) = begun.filter(|entry| entry.user.id != row.row.user.id) {
            return Err(entry.of_another());
        }
        if matches!(row.state, RowState::Begun(_)) {
            // The card is finished as it was started; a separate command writes the text of an edited row.
            if let Some(entry) = begun.filter(|entry| entry.user.id == row.row.user.id) {
                return Ok(entry.user.clone());
            }
            // Nothing is on the card yet, so it starts over with the new text.
            if row.is_changed() {
                let id = row.row.user.id.clone();
                self.abandon(&id)?;
            }
        }
        let Row { user, whole, .. } = self.rows[at].row.clone();
        if self.rows[at].state == RowState::Free {
            let digest = digest_of(&self.rows[at].row);
            let text = RowText { name: user.name.clone(), fields: user.fields.clone() };
            let event = RowEvent::Begun { digest: digest.clone(), row: Some(text) };
            self.append(&LedgerLine { user: user.id.clone(), card: card.to_owned(), event })?;
            let row = &mut self.rows[at];
            (row.state, row.card) = (RowState::Begun(card.to_owned()), Some(card.to_owned()));
            row.begun_as = Some((digest, Some(user)));
            self.by_card.insert(card.to_owned(), at);
        }
        Ok(whole)
    }
}

/// A digest of a row, 16 hexadecimal digits: enough to notice an edit.
fn digest_of(row: &Row) -> String {
    let Row { user, portrait, .. } = row;
    let mut parts: Vec<&[u8]> = vec![user.id.as_bytes(), b"\0", user.name.as_bytes()];
    for (key, value) in &user.fields {
        parts.extend([b"\0".as_slice(), key.as_bytes(), b"\0", value.as_bytes()]);
    }
    if let Some(portrait) = portrait {
        parts.extend([b"\0portrait\0".as_slice(), portrait]);
    }
    hex::encode(&sha256(&parts)[..8])
}

#[cfg(test)]
mod tests;
