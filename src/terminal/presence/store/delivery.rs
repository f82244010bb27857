//! Delivers the outcomes of a scan: stores them, or hands them over to the watch that is running.

use jiff::Timestamp;

use super::{Sync, TerminalStore, TerminalStoreError, outage, wakeup, watch_lock};
use crate::terminal::presence::{Event, Input, Policy};

/// What became of the delivered outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// They are stored; these events are new, including those of other processes.
    Stored(Vec<Event>),
    /// A watch is running, and has applied them or will.
    HandedOver,
    /// They cannot be written at the moment, and have to be delivered again.
    Waits,
}

impl TerminalStore {
    /// Stores the outcomes of a scan, or hands them over to a running watch. Returns when the watch has applied them,
    /// or after two seconds.
    ///
    /// # Errors
    /// As [`Self::apply`]: all outcomes are delivered, or none. After [`Self::read_on`] only the error of a store that
    /// cannot be read either.
    pub fn deliver(
        &mut self,
        inputs: &[Input],
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Delivery, TerminalStoreError> {
        if self.retries_in().is_some_and(|left| !left.is_zero()) {
            return Ok(Delivery::Waits);
        }
        let handed_over = match self.try_deliver(inputs, now, policy) {
            Ok(handed_over) => handed_over,
            Err(error) => {
                self.endure(error)?;
                return Ok(Delivery::Waits);
            }
        };
        self.outage = None;
        if handed_over == Some(true) {
            wakeup::call(&self.home);
            return Ok(Delivery::HandedOver);
        }
        self.news().map(Delivery::Stored)
    }

    /// `Some(true)` when a running watch has them now.
    fn try_deliver(
        &mut self,
        inputs: &[Input],
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Option<bool>, TerminalStoreError> {
        self.reopen()?;
        let home = self.home.clone();
        let waiting = self.outage.as_ref().map(|outage| (outage.counters.clone(), outage.heartbeats.clone()));
        let (counters, heartbeats) = waiting.unwrap_or_default();
        self.transact(Sync::Full, |work| {
            work.wrap(outage::write_counters(work.db, &counters))?;
            work.wrap(outage::write_heartbeats(work.db, &heartbeats))?;
            if watch_lock::is_running(&home)? {
                inputs.iter().try_for_each(|input| work.hand_over(input, now))?;
                return Ok(Some(true));
            }
            work.recover(now, policy)?;
            inputs.iter().try_for_each(|input| work.apply(input, now, policy))?;
            Ok(Some(false))
        })
    }
}
