//! One watch at a time: the lock that it holds, and how other processes detect it.
//!
//! The lock is taken and checked inside write transactions only. So a process that merely reads does not disturb a
//! watch that is starting, and a scan that sees no watch has stored its outcomes before one can start.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use fs4::fs_std::FileExt;
use jiff::Timestamp;

use super::{Sync, TerminalStore, TerminalStoreError, Wakeup, file, rows, wakeup};
use crate::files::LockedFile;
use crate::terminal::presence::{Event, Input, Policy};

const NAME: &str = "watch.lock";

/// Held by the only watch of this store; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct WatchLock {
    _file: LockedFile,
}

impl TerminalStore {
    /// Whether a watch is using the store of this folder. If that cannot be determined, true.
    pub fn is_watched(home: &Path) -> bool {
        is_running(home).unwrap_or(true)
    }

    /// Whether the last watch crashed: what it left on the list is in doubt.
    ///
    /// # Errors
    /// As [`TerminalStore::list`].
    pub fn is_abandoned(&self) -> Result<bool, TerminalStoreError> {
        Ok(self.query(|db| rows::flag(db, "watching"))? && !is_running(&self.home)?)
    }

    /// Starts to watch: takes the lock, applies what was handed over to an earlier watch, and marks the entries as
    /// unconfirmed ([`Input::Startup`]). Returns the lock, the socket on which others wake it, if it could be created,
    /// and the resulting events. From now on this store continues when it cannot be written
    /// ([`TerminalStore::notices`]).
    ///
    /// # Errors
    /// [`TerminalStoreError::WatchRunning`] when another one is running; [`TerminalStoreError::Damaged`] and
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
                // The process that holds the store may be another watch.
                let lock = taken.map_or_else(|| take(&home), Ok)?;
                taken = Some(lock);
                missed.extend(self.apply_in_memory(&Input::Startup, now, policy));
            }
        }
        let Some(file) = taken else { return Err(TerminalStoreError::WatchRunning { pid: None }) };
        let bound = Wakeup::bind(&self.home);
        let wakeup = bound.map_err(|error| TerminalStoreError::file(&wakeup::path(&self.home), &error));
        // Without the socket, others are noticed on the slow tick.
        let wakeup = if self.outage.is_some() { wakeup.ok() } else { Some(wakeup?) };
        Ok((WatchLock { _file: file }, wakeup, missed))
    }

    /// Ends a watch in an orderly way: the list stays as it is. Without this, the next process treats the watch as
    /// crashed, and marks the list as unconfirmed.
    ///
    /// # Errors
    /// Why the store cannot be written, if something is waiting for that: it is lost.
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

    /// The number of events lost if the watch ends now, because they could not be written.
    pub fn unwritten(&self) -> usize {
        self.waiting()
    }
}

fn take(home: &Path) -> Result<LockedFile, TerminalStoreError> {
    let path = home.join(NAME);
    let wrap = |error: std::io::Error| TerminalStoreError::file(&path, &error);
    let file = match file::private_file(&path) {
        // A watch that started when it could not create the file.
        Ok(_) if is_locked(home).unwrap_or(false) => return Err(TerminalStoreError::WatchRunning { pid: None }),
        // Locking a file writes nothing; if it was never created, the folder is locked instead.
        Err(error @ (TerminalStoreError::Full { .. } | TerminalStoreError::ReadOnly { .. })) => {
            File::open(&path).or_else(|_| File::open(home)).map_err(|_| error)?
        }
        opened => opened?,
    };
    let mut file = match LockedFile::exclusively(file).map_err(wrap)? {
        Ok(locked) => locked,
        Err(mut file) => return Err(TerminalStoreError::WatchRunning { pid: holder(&mut file) }),
    };
    // The process id is only informative: a full disk must not prevent a watch.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The process id in the lock file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether a watch is running.
pub(super) fn is_running(home: &Path) -> Result<bool, TerminalStoreError> {
    let path = home.join(NAME);
    // Not every file system can lock folders.
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
    // Unlock explicitly: a child process being started has a copy of the file, and would keep the lock.
    FileExt::unlock(&file).map(|()| !free)
}
