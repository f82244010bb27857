//! Readings of a scan that cannot be stored yet: they are stored as soon as possible, or reported as lost at the end.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::{
    failure::Failure,
    terminal::presence::{
        Input, Policy,
        store::{Delivery, StoreNotice, TerminalStore, TerminalStoreError},
    },
};

/// The most readings that wait; the oldest are dropped first.
const MOST: usize = 50_000;

/// Readings that are not stored yet, each with its time.
#[derive(Debug, Default)]
pub struct Unstored {
    waiting: VecDeque<(Timestamp, Vec<Input>)>,
    /// Why they wait.
    failure: Option<Failure>,
}

impl Unstored {
    /// Adds one reading.
    pub fn add(&mut self, now: Timestamp, inputs: &[Input]) {
        self.waiting.push_back((now, inputs.to_vec()));
        if self.waiting.len() > MOST {
            self.waiting.pop_front();
        }
    }

    /// Stores what waits, oldest first; returns whether that caused events. What cannot be written now stays.
    ///
    /// # Errors
    /// [`TerminalStoreError`] of a store that cannot be read either.
    pub fn store(&mut self, store: &mut TerminalStore, policy: &dyn Policy) -> Result<bool, TerminalStoreError> {
        let mut has_news = false;
        while let Some((at, inputs)) = self.waiting.front() {
            match store.deliver(inputs, *at, policy)? {
                Delivery::Stored(events) => has_news |= !events.is_empty(),
                Delivery::HandedOver => {}
                Delivery::Waits => break,
            }
            self.waiting.pop_front();
        }
        Ok(has_news)
    }

    /// Why the store cannot be written, according to its notices since the last call.
    pub fn lost(&mut self, store: &mut TerminalStore) -> Option<&Failure> {
        let mut lost = store.notices().into_iter().filter_map(|notice| match notice {
            StoreNotice::Lost(failure) => Some(failure),
            StoreNotice::Back { .. } | StoreNotice::Forgotten => None,
        });
        lost.next_back().map(|failure| &*self.failure.insert(failure))
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Checks that everything is stored.
    ///
    /// # Errors
    /// The reason when something is not.
    pub fn end(&mut self) -> Result<(), Failure> {
        let failure = self.failure.take().filter(|_| !self.waiting.is_empty());
        failure.map_or(Ok(()), |failure| {
            let message = format!("{}; what was read is not stored", failure.message);
            Err(Failure { message, ..failure })
        })
    }
}
