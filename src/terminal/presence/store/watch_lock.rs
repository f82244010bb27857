//! One watch at a time: the lock that it holds, and how others see it.
//!
//! The lock is taken and looked at inside write transactions only. So nobody who merely looks gets into the way of a
//! watch that starts, and a scan that sees none has stored its outcomes before one can start.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use fs4::fs_std::FileExt;
use jiff::Timestamp;

use super::{Sync, TerminalStore, TerminalStoreError, Wakeup, file, rows, wakeup};
use crate::files::LockedFile;
use crate::terminal::presence::{Event, Input, Policy};

const NAME: &str = "watch.lock";

/// Held by the one watch of this store; the system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct WatchLock {
    _file: LockedFile,
}

impl TerminalStore {
    /// Whether a watch runs over the store of this folder, for who would disturb it. Where that cannot be told, one may.
    pub fn is_watched(home: &Path) -> bool {
        is_running(home).unwrap_or(true)
    }

    /// Whether a watch ended without saying so, and none has run since: what it left on the list is in doubt.
    ///
    /// # Errors
    /// As [`TerminalStore::list`].
    pub fn is_abandoned(&self) -> Result<bool, TerminalStoreError> {
        Ok(self.query(|db| rows::flag(db, "watching"))? && !is_running(&self.home)?)
    }

    /// Begins to watch: takes the lock, takes what was handed over to one before, and doubts what is on the list
    /// ([`Input::Startup`]). Gives the lock, the socket at which others wake it, where one could be made, and the events
    /// that this caused. From now on this store goes on where it cannot write ([`TerminalStore::notices`]).
    ///
    /// # Errors
    /// [`TerminalStoreError::WatchRunning`] when another one runs; [`TerminalStoreError::Damaged`] and
    /// [`TerminalStoreError::File`] when it cannot be read.
    pub fn start_watch(
        &mut self,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<(WatchLock, Option<Wakeup>, Vec<Event>), TerminalStoreError> {
        let home = self.home.clone();
        self.go_on_without_writing()?;
        let mut taken = None;
        let begun = self.transact(Sync::Full, |work| {
            taken = Some(take(&home)?);
            work.drain(now, policy)?;
            work.watching(true)?;
            work.apply(&Input::Startup, now, policy).map(Some)
        });
        let mut missed = Vec::new();
        match begun {
            Ok(_) => missed.extend(self.news()?),
            Err(error @ (TerminalStoreError::WatchRunning { .. } | TerminalStoreError::Damaged { .. })) => {
                return Err(error);
            }
            Err(error) => {
                self.endure(error)?;
                // Whoever holds the store may be another watch.
                let lock = taken.map_or_else(|| take(&home), Ok)?;
                taken = Some(lock);
                missed.extend(self.apply_in_memory(&Input::Startup, now, policy));
            }
        }
        let Some(file) = taken else { return Err(TerminalStoreError::WatchRunning { pid: None }) };
        let bound = Wakeup::bind(&self.home);
        let wakeup = bound.map_err(|error| TerminalStoreError::file(&wakeup::path(&self.home), &error));
        // Without it others are heard with the next look at the store.
        let wakeup = if self.outage.is_some() { wakeup.ok() } else { Some(wakeup?) };
        Ok((WatchLock { _file: file }, wakeup, missed))
    }

    /// Ends a watch in order: what it knew last stands as it is. Without this, the next one to look treats it as
    /// crashed, and doubts the list.
    ///
    /// # Errors
    /// Why the store cannot be written, when something waits for that: it is lost.
    pub fn stop_watch(
        &mut self,
        lock: WatchLock,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Vec<Event>, TerminalStoreError> {
        let mut events = if self.outage.is_some() { self.write_back(policy)? } else { Vec::new() };
        self.transact(Sync::Full, |work| {
            work.drain(now, policy)?;
            work.watching(false).map(Some)
        })?;
        drop(lock);
        events.extend(self.news()?);
        Ok(events)
    }

    /// How many events are lost when a watch ends now, because they could not be written.
    pub fn unwritten(&self) -> usize {
        self.waiting()
    }
}

fn take(home: &Path) -> Result<LockedFile, TerminalStoreError> {
    let path = home.join(NAME);
    let wrap = |error: std::io::Error| TerminalStoreError::file(&path, &error);
    let file = match file::private_file(&path) {
        // One that began where it could not make the file.
        Ok(_) if is_locked(home).unwrap_or(false) => return Err(TerminalStoreError::WatchRunning { pid: None }),
        // To lock a file nothing is written; where it was never made, the folder stands for it.
        Err(error @ (TerminalStoreError::Full { .. } | TerminalStoreError::ReadOnly { .. })) => {
            File::open(&path).or_else(|_| File::open(home)).map_err(|_| error)?
        }
        opened => opened?,
    };
    let mut file = match LockedFile::exclusively(file).map_err(wrap)? {
        Ok(locked) => locked,
        Err(mut file) => return Err(TerminalStoreError::WatchRunning { pid: holder(&mut file) }),
    };
    // The number is for people: a disk that is full does not keep anybody from watching.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The process that the lock file names.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether a watch runs.
pub(super) fn is_running(home: &Path) -> Result<bool, TerminalStoreError> {
    let path = home.join(NAME);
    // Not every file system locks folders.
    if is_locked(home).unwrap_or(false) {
        return Ok(true);
    }
    match is_locked(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        locked => locked.map_err(|error| TerminalStoreError::file(&path, &error)),
    }
}

fn is_locked(path: &Path) -> std::io::Result<bool> {
    let file = File::open(path)?;
    let free = FileExt::try_lock_shared(&file)?;
    // A process that is just being started has a copy of the file, and would keep the lock.
    FileExt::unlock(&file).map(|()| !free)
}
