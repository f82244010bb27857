//! Stores what terminals report, and answers who is present according to it.

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Backend, EventMark, EventQuery, EventsKept, NewEvent, Result, ServerStore, ServerStoreError, ShownCertificate,
    fallible, postgres, sqlite,
};
use crate::{
    api::v1::{PresenceSummary, PresentUser, StoredEvent},
    server::presence::PlacedSubject,
};

impl ServerStore {
    /// Stores events.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails; then none is stored.
    pub async fn keep_events(
        &self,
        terminal: &str,
        list: Uuid,
        events: &[NewEvent],
        now: Timestamp,
    ) -> Result<EventsKept> {
        on!(self, writing, queries, |c| queries::events::keep(c, terminal, list, events, now))
    }

    /// At most `limit` events of all terminals, in the order in which they happened, each with its mark.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn search_events(&self, asked: &EventQuery, limit: u32) -> Result<Vec<(EventMark, StoredEvent)>> {
        on!(self, reading, queries, |c| queries::events::search(c, asked, limit))
    }

    /// At most `limit` of the people present now, each once, with and in the order of their keys.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence(&self, now: Timestamp, after: &str, limit: u32) -> Result<Vec<(String, PresentUser)>> {
        on!(self, reading, queries, |c| queries::presence::page(c, now, after, limit))
    }

    /// Which of these people are present now, with their keys.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence_of(&self, now: Timestamp, people: &[String]) -> Result<Vec<(String, PresentUser)>> {
        on!(self, reading, queries, |c| queries::presence::of(c, now, people))
    }

    /// How many people are present now, and the state of the terminals that report them.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence_summary(&self, now: Timestamp) -> Result<PresenceSummary> {
        on!(self, reading, queries, |c| queries::presence::summary(c, now))
    }

    /// The people present at a time in the past, in the order of their keys: a replay of the events up to it.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_presence(&self, at: Timestamp) -> Result<Vec<PlacedSubject>> {
        on!(self, reading, queries, |c| queries::presence::past(c, at))
    }

    /// The users behind some of the people of a past time.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_users(&self, people: &[PlacedSubject]) -> Result<Vec<PresentUser>> {
        on!(self, reading, queries, |c| queries::presence::name(c, people))
    }

    /// The summary of all people of a past time.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_summary(&self, people: &[PlacedSubject], at: Timestamp) -> Result<PresenceSummary> {
        on!(self, reading, queries, |c| queries::presence::past_summary(c, people, at))
    }

    /// Notes when terminals last sent a request.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is noted.
    pub async fn note_heard(&self, all: &[(String, Timestamp)]) -> Result<()> {
        on!(self, writing, queries, |c| queries::terminals::heard(c, all))
    }

    /// Notes the certificates that terminals presented.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is noted.
    pub async fn note_certificates(&self, all: &[ShownCertificate], now: Timestamp) -> Result<()> {
        let _changing = self.terminals.changing();
        on!(self, writing, queries, |c| queries::terminals::shown(c, all, now))
    }
}
