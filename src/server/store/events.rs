//! What terminals report, and who is here by that.

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
    /// Keeps events.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails; then none is kept.
    pub async fn keep_events(
        &self,
        terminal: &str,
        list: Uuid,
        events: &[NewEvent],
        now: Timestamp,
    ) -> Result<EventsKept> {
        on!(self, writing, queries, |c| queries::events::keep(c, terminal, list, events, now))
    }

    /// At most `limit` events of all terminals, in the order in which they happened, each with its place.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn search_events(&self, asked: &EventQuery, limit: u32) -> Result<Vec<(EventMark, StoredEvent)>> {
        on!(self, reading, queries, |c| queries::events::search(c, asked, limit))
    }

    /// At most `limit` of the people who are here now, each once, in the order of their keys, which come with them.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence(&self, now: Timestamp, after: &str, limit: u32) -> Result<Vec<(String, PresentUser)>> {
        on!(self, reading, queries, |c| queries::presence::page(c, now, after, limit))
    }

    /// Those of these people who are here now, with their keys.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence_of(&self, now: Timestamp, people: &[String]) -> Result<Vec<(String, PresentUser)>> {
        on!(self, reading, queries, |c| queries::presence::of(c, now, people))
    }

    /// How many people are here now, and what is known of the terminals that say so.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn presence_summary(&self, now: Timestamp) -> Result<PresenceSummary> {
        on!(self, reading, queries, |c| queries::presence::summary(c, now))
    }

    /// The people who were here at a moment that is over, in the order of their keys: a replay of the events up to it.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_presence(&self, at: Timestamp) -> Result<Vec<PlacedSubject>> {
        on!(self, reading, queries, |c| queries::presence::past(c, at))
    }

    /// Who they are, some of the people of a past moment.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_users(&self, people: &[PlacedSubject]) -> Result<Vec<PresentUser>> {
        on!(self, reading, queries, |c| queries::presence::name(c, people))
    }

    /// How many people they are, all of those of a past moment.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`] when the database fails.
    pub async fn past_summary(&self, people: &[PlacedSubject], at: Timestamp) -> Result<PresenceSummary> {
        on!(self, reading, queries, |c| queries::presence::past_summary(c, people, at))
    }

    /// Notes when terminals asked last.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is noted.
    pub async fn note_heard(&self, all: &[(String, Timestamp)]) -> Result<()> {
        on!(self, writing, queries, |c| queries::terminals::heard(c, all))
    }

    /// Notes certificates that terminals came with.
    ///
    /// # Errors
    /// [`ServerStoreError::Database`]: then none is noted.
    pub async fn note_certificates(&self, all: &[ShownCertificate], now: Timestamp) -> Result<()> {
        let _changing = self.terminals.changing();
        on!(self, writing, queries, |c| queries::terminals::shown(c, all, now))
    }
}
