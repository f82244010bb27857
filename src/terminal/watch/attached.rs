//! Compares the readers plugged in when a watch starts with the list: some may have been unplugged since the last
//! watch.

use std::{collections::BTreeSet, thread, time::Duration};

use super::WatchRun;
use crate::{
    failure::Failure,
    reader::{ReaderError, monitor::ReaderEvent, pcsc, select::ReaderChoice},
    terminal::{event_loop::Message, presence::Input, thread::no_thread},
};

/// How long one listing waits for a hanging service.
const HANG_LIMIT: Duration = Duration::from_secs(3600);

impl WatchRun<'_> {
    /// Applies the connected readers to the list, so that those unplugged while no watch was running are reported.
    pub(super) fn attached(&mut self) -> Result<(), Failure> {
        match pcsc::list() {
            Ok(readers) => {
                let names = readers.into_iter().map(|reader| reader.name).collect();
                self.plugged_in(names)
            }
            // The monitor reports a missing service and its return, but a hanging one blocks it.
            Err(error) => {
                self.service_hangs = error == ReaderError::ServiceHangs;
                self.hung_at_start = self.service_hangs;
                if self.service_hangs { self.await_service() } else { Ok(()) }
            }
        }
    }

    /// Waits for the service: the monitor reports nothing when a service recovers without readers. A single thread
    /// waits, because each call blocks until then.
    fn await_service(&self) -> Result<(), Failure> {
        let replies = self.replies.clone();
        let wait = move || {
            loop {
                match pcsc::list_within(HANG_LIMIT) {
                    Err(ReaderError::ServiceHangs) => {}
                    Err(_) => return,
                    // If the loop has ended, nobody needs the message.
                    Ok(_) => {
                        replies.send(Message::Reader(ReaderEvent::ServiceBack));
                        return;
                    }
                }
            }
        };
        thread::Builder::new().name("pcsc-await".to_owned()).spawn(wait).map_err(no_thread).map(drop)
    }

    /// Applies the names of the connected readers. An undecided reader has not been unplugged, nor has one that this
    /// watch leaves out but an earlier one reported. A left-out reader no longer counts as broken, since nothing would
    /// clear that later.
    pub(super) fn plugged_in(&mut self, mut names: BTreeSet<String>) -> Result<(), Failure> {
        // Clears an outage recorded by an earlier watch; otherwise the next outage would not be reported.
        self.apply(&Input::ServiceBack)?;
        let choice = |name: &String| self.config.pool.readers.choice(name);
        let list = self.store.list()?;
        let was_told = |name: &String| list.slot(name).is_some_and(|slot| slot.attached);
        names.retain(|name| choice(name) != ReaderChoice::Other || was_told(name));
        let is_broken = |name: &String| list.slot(name).is_some_and(|slot| slot.unavailable);
        let left_out = |name: &&String| is_broken(name) && choice(name) == ReaderChoice::Other;
        let mended: Vec<_> = names.iter().filter(left_out).cloned().collect();
        for reader in mended {
            self.apply(&Input::ReaderAvailable { reader })?;
        }
        self.apply(&Input::Readers { attached: names })
    }
}
