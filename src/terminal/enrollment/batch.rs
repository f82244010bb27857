//! A batch of enrollments: the rows that are to become tokens, and a journal that says which card each row went to.
//!
//! The journal is a file of its own, of one JSON object a line. It is written and on disk before a card is touched for a
//! row, and again when that token has proven itself; so whoever runs the batch again gives every card the same row, and no
//! row two cards.

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
use lines::{LedgerLine, RowEvent};

/// How far one row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// No card was given to it.
    Free,
    /// It was begun with this card (diversification data, hex).
    Begun(String),
    /// It is this token.
    Done(Uuid),
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchCount {
    /// How many rows there are.
    pub rows: usize,
    /// How many of them are a token.
    pub done: usize,
    /// How many were begun with a card.
    pub begun: usize,
}

impl BatchCount {
    /// Whether every row is a token.
    pub const fn is_complete(&self) -> bool {
        self.rows == self.done
    }

    /// How many rows no card was given to.
    pub const fn free(&self) -> usize {
        self.rows - self.done - self.begun
    }
}

/// What is to become a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose, as the row says it.
    pub user: User,
    /// The same with what the server knows besides: what comes onto the card.
    pub whole: User,
    /// SHA-256 of the portrait that comes onto the card.
    pub portrait: Option<[u8; 32]>,
}

impl From<User> for Row {
    fn from(user: User) -> Self {
        Self { whole: user.clone(), user, portrait: None }
    }
}

/// The rows and the journal. One process at a time has it.
#[derive(Debug)]
pub struct BatchLedger {
    rows: Vec<(Row, RowState)>,
    by_id: HashMap<String, usize>,
    /// The row of every card that was given one.
    by_card: HashMap<String, usize>,
    done: HashMap<Uuid, usize>,
    /// How many rows are begun.
    begun: usize,
    /// Rows before this one are not free.
    next: usize,
    path: PathBuf,
    /// Nothing: it was opened to look only.
    file: Option<LockedFile>,
}

impl BatchLedger {
    /// Opens or begins the journal of these rows; `authority` is the key identifier of the CA, hex.
    ///
    /// # Errors
    /// [`BatchError::Io`], [`BatchError::Busy`], [`BatchError::Damaged`], [`BatchError::OtherAuthority`];
    /// [`BatchError::Changed`] for a row that is another now than when its card was begun.
    pub fn open(path: &Path, rows: Vec<Row>, authority: &str) -> Result<Self, BatchError> {
        let (file, lines) = lines::open(path, authority)?;
        Self::of(path, rows, Some(file), lines)
    }

    /// The same without a lock or a change: for who only looks.
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
        let rows = rows.into_iter().map(|row| (row, RowState::Free)).collect();
        let (by_card, done) = (HashMap::new(), HashMap::new());
        let mut book = Self { rows, by_id, by_card, done, begun: 0, next: 0, path: path.to_owned(), file };
        let mut changed = Vec::new();
        for (number, line) in lines {
            book.replay(number, line, &mut changed)?;
        }
        if changed.is_empty() { Ok(book) } else { Err(BatchError::Changed { users: changed }) }
    }

    /// Users that are in the journal and no longer among the rows are left alone.
    fn replay(&mut self, number: usize, line: LedgerLine, changed: &mut Vec<String>) -> Result<(), BatchError> {
        let Some(&at) = self.by_id.get(&line.user) else { return Ok(()) };
        let damaged = |what| BatchError::Damaged { path: self.path.clone(), line: number, what };
        let row = &self.rows[at];
        match (line.event, &row.1) {
            (RowEvent::Begun { digest }, RowState::Free) => {
                if digest != digest_of(&row.0) && !changed.contains(&line.user) {
                    changed.push(line.user);
                }
                if self.by_card.insert(line.card.clone(), at).is_some() {
                    return Err(damaged("this card had another row"));
                }
                self.rows[at].1 = RowState::Begun(line.card);
                self.begun += 1;
            }
            (RowEvent::Done { token_id }, RowState::Begun(card)) if *card == line.card => self.mark(at, token_id),
            (RowEvent::Abandoned, RowState::Begun(card)) if *card == line.card => self.free(at, &line.card),
            _ => return Err(damaged("it does not follow from the lines before it")),
        }
        Ok(())
    }

    /// The rows, and how far each is.
    pub fn rows(&self) -> impl Iterator<Item = (&User, &RowState)> {
        self.rows.iter().map(|(row, state)| (&row.user, state))
    }

    /// How far the rows are.
    pub fn count(&self) -> BatchCount {
        BatchCount { rows: self.rows.len(), done: self.done.len(), begun: self.begun }
    }

    /// Whose token of this batch it is.
    pub fn holder(&self, token_id: Uuid) -> Option<&User> {
        self.done.get(&token_id).map(|&at| &self.rows[at].0.user)
    }

    /// The token of this user has proven itself. To say it again changes nothing.
    ///
    /// # Errors
    /// [`BatchError::Io`] when it is not on disk.
    pub fn finish(&mut self, user: &User, token_id: Uuid) -> Result<(), BatchError> {
        let Some(&at) = self.by_id.get(&user.id) else { return Ok(()) };
        let RowState::Begun(card) = &self.rows[at].1 else { return Ok(()) };
        let line = LedgerLine { user: user.id.clone(), card: card.clone(), event: RowEvent::Done { token_id } };
        self.append(&line)?;
        self.mark(at, token_id);
        Ok(())
    }

    /// Gives up the card that a row was begun with: the row is free again, for any card.
    ///
    /// # Errors
    /// [`BatchError::Io`] when it is not on disk.
    pub fn abandon(&mut self, user: &User) -> Result<(), BatchError> {
        let Some(&at) = self.by_id.get(&user.id) else { return Ok(()) };
        let RowState::Begun(card) = self.rows[at].1.clone() else { return Ok(()) };
        self.append(&LedgerLine { user: user.id.clone(), card: card.clone(), event: RowEvent::Abandoned })?;
        self.free(at, &card);
        Ok(())
    }

    /// The row of this card: the one that it was begun with, the one that a single enrollment began, or the next.
    fn row(&mut self, card: &str, begun: Option<&JournalEntry>) -> Option<usize> {
        if let Some(&at) = self.by_card.get(card) {
            return Some(at);
        }
        let is_free = |at: &usize| self.rows[*at].1 == RowState::Free;
        let before = begun.and_then(|entry| self.by_id.get(&entry.user.id).copied()).filter(is_free);
        before.or_else(|| {
            while self.rows.get(self.next).is_some_and(|row| row.1 != RowState::Free) {
                self.next += 1;
            }
            (self.next < self.rows.len()).then_some(self.next)
        })
    }

    /// The row was begun.
    fn mark(&mut self, at: usize, token_id: Uuid) {
        self.rows[at].1 = RowState::Done(token_id);
        self.begun -= 1;
        self.done.insert(token_id, at);
    }

    /// The row was begun.
    fn free(&mut self, at: usize, card: &str) {
        self.rows[at].1 = RowState::Free;
        self.begun -= 1;
        self.by_card.remove(card);
        self.next = self.next.min(at);
    }

    /// One write, on disk when this returns.
    fn append(&mut self, line: &LedgerLine) -> Result<(), BatchError> {
        let failed = |error| BatchError::Io(self.path.clone(), error);
        let text = serde_json::to_string(line).map_err(|e| failed(e.into()))? + "\n";
        let Some(file) = &mut self.file else { return Err(failed(io::ErrorKind::PermissionDenied.into())) };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed)
    }
}

impl HolderSource for BatchLedger {
    fn user(&mut self, card: &str, begun: Option<&JournalEntry>) -> Result<User, EnrollError> {
        let at = self.row(card, begun).ok_or(EnrollError::NobodyLeft)?;
        let Row { user, whole, .. } = self.rows[at].0.clone();
        if self.rows[at].1 == RowState::Free {
            let event = RowEvent::Begun { digest: digest_of(&self.rows[at].0) };
            self.append(&LedgerLine { user: user.id.clone(), card: card.to_owned(), event })?;
            self.rows[at].1 = RowState::Begun(card.to_owned());
            self.begun += 1;
            self.by_card.insert(card.to_owned(), at);
        }
        Ok(whole)
    }
}

/// What a row said, in 16 hexadecimal digits: enough to notice that somebody edited it.
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
