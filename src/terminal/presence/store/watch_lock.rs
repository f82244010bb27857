//! One watch at a time: the lock that it holds, and how others see it.
//!
//! The lock is taken and looked at inside write transactions only. So nobody who merely looks gets into the way of a
//! watch that starts, and a scan that sees none has stored its outcomes before one can start.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use fs4::fs_std::FileExt;
use jiff::Timestamp;

use super::{Sync, TerminalStore, TerminalStoreError, Wakeup, file, wakeup};
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

    /// Begins to watch: takes the lock, takes what was handed over to one before, and doubts what is on the list
    /// ([`Input::Startup`]). Gives the lock, the socket at which others wake it, and the events that this caused.
    ///
    /// # Errors
    /// [`TerminalStoreError::WatchRunning`] when another one runs; [`TerminalStoreError::File`] when the socket cannot
    /// be made; as [`TerminalStore::apply`].
    pub fn start_watch(
        &mut self,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<(WatchLock, Wakeup, Vec<Event>), TerminalStoreError> {
        let path = self.home.join(NAME);
        let lock = self.transact(Sync::Full, |work| {
            let lock = take(&path)?;
            work.drain(now, policy)?;
            work.watching(true)?;
            work.apply(&Input::Startup, now, policy)?;
            Ok(Some(lock))
        })?;
        let Some(file) = lock else { return Err(TerminalStoreError::WatchRunning { pid: None }) };
        let wakeup =
            Wakeup::bind(&self.home).map_err(|error| TerminalStoreError::file(&wakeup::path(&self.home), &error))?;
        Ok((WatchLock { _file: file }, wakeup, self.news()?))
    }

    /// Ends a watch in order: what it knew last stands as it is. Without this, the next one to look treats it as
    /// crashed, and doubts the list.
    ///
    /// # Errors
    /// As [`TerminalStore::apply`].
    pub fn stop_watch(
        &mut self,
        lock: WatchLock,
        now: Timestamp,
        policy: &dyn Policy,
    ) -> Result<Vec<Event>, TerminalStoreError> {
        self.transact(Sync::Full, |work| {
            work.drain(now, policy)?;
            work.watching(false).map(Some)
        })?;
        drop(lock);
        self.news()
    }
}

fn take(path: &Path) -> Result<LockedFile, TerminalStoreError> {
    let wrap = |error: std::io::Error| TerminalStoreError::file(path, &error);
    let mut file = match LockedFile::exclusively(file::private_file(path)?).map_err(wrap)? {
        Ok(locked) => locked,
        Err(mut file) => return Err(TerminalStoreError::WatchRunning { pid: holder(&mut file) }),
    };
    file.set_len(0).map_err(wrap)?;
    writeln!(file, "{}", std::process::id()).map_err(wrap)?;
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
    let wrap = |error: std::io::Error| TerminalStoreError::file(&path, &error);
    match OpenOptions::new().read(true).open(&path) {
        Ok(file) => {
            let free = FileExt::try_lock_shared(&file).map_err(wrap)?;
            // A process that is just being started has a copy of the file, and would keep the lock.
            FileExt::unlock(&file).map(|()| !free).map_err(wrap)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(wrap(error)),
    }
}
