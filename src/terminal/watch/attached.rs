//! Which readers are plugged in when a watch starts: what another one knew may have been unplugged since.

use std::{collections::BTreeSet, thread, time::Duration};

use super::WatchRun;
use crate::{
    failure::Failure,
    reader::{ReaderError, monitor::ReaderEvent, pcsc, select::ReaderChoice},
    terminal::{event_loop::Message, presence::Input, thread::no_thread},
};

/// How long one listing waits for a service that hangs.
const HANG_LIMIT: Duration = Duration::from_secs(3600);

impl WatchRun<'_> {
    /// Tells the list which readers are there, so that those unplugged while nobody watched are told.
    pub(super) fn attached(&mut self) -> Result<(), Failure> {
        match pcsc::list() {
            Ok(readers) => {
                let names = readers.into_iter().map(|reader| reader.name).collect();
                self.plugged_in(names)
            }
            // The monitor tells of a service that is not there, and of its return; one that hangs keeps it waiting.
            Err(error) => {
                self.service_hangs = error == ReaderError::ServiceHangs;
                self.hung_at_start = self.service_hangs;
                if self.service_hangs { self.await_service() } else { Ok(()) }
            }
        }
    }

    /// The monitor says nothing of a service that goes on and has no reader. One thread waits: each call blocks one until then.
    fn await_service(&self) -> Result<(), Failure> {
        let replies = self.replies.clone();
        let wait = move || {
            loop {
                match pcsc::list_within(HANG_LIMIT) {
                    Err(ReaderError::ServiceHangs) => {}
                    Err(_) => return,
                    // A loop that is gone needs no message.
                    Ok(_) => {
                        replies.send(Message::Reader(ReaderEvent::ServiceBack));
                        return;
                    }
                }
            }
        };
        thread::Builder::new().name("pcsc-await".to_owned()).spawn(wait).map_err(no_thread).map(drop)
    }

    /// One that cannot be asked yet has not been unplugged, and neither has one that this watch leaves out: it was told of by
    /// another one. That one does not work is over when it is left out, for nobody would say so later.
    pub(super) fn plugged_in(&mut self, mut names: BTreeSet<String>) -> Result<(), Failure> {
        // What a watch lost that ended meanwhile; otherwise the next outage would be none.
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
