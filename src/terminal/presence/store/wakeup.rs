//! Wakes the watch: whoever handed something over calls, and waits until the watch has taken it.
//!
//! A UNIX socket beside the store. A call carries no data: what there is to take stands in the store, and a call that
//! nobody hears loses nothing, since the watch looks there on its slow tick too.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest path that every system takes for a socket, with some room.
const LONGEST_PATH: usize = 100;

/// The socket at which a watch is woken.
#[derive(Debug)]
pub struct Wakeup {
    listener: UnixListener,
}

/// Somebody called, and waits until this is dropped.
#[derive(Debug)]
pub struct Waiter {
    _caller: UnixStream,
}

impl Wakeup {
    /// Only under the lock of the watch: the socket of an earlier one is removed.
    pub(super) fn bind(home: &Path) -> std::io::Result<Self> {
        let (path, _folder) = short_path(home)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener })
    }

    /// Waits until somebody calls; for a thread of its own. Drop the waiter after [`super::TerminalStore::catch_up`].
    ///
    /// # Errors
    /// What the system says of the socket: nobody can call any more.
    pub fn wait(&self) -> std::io::Result<Waiter> {
        loop {
            match self.listener.accept() {
                Ok((caller, _)) => return Ok(Waiter { _caller: caller }),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Calls the watch, if one listens, and waits until the watch has answered, or is gone, or two seconds are over.
pub(super) fn call(home: &Path) {
    let call = || -> std::io::Result<()> {
        let (path, _folder) = short_path(home)?;
        let mut wakeup = UnixStream::connect(path)?;
        wakeup.set_read_timeout(Some(PATIENCE))?;
        wakeup.read(&mut [0]).map(drop)
    };
    // Nobody hears: the watch finds it on its slow tick, or the next one that looks does.
    drop(call());
}

/// Where the socket lies.
pub(super) fn path(home: &Path) -> PathBuf {
    home.join("watch.sock")
}

/// The same, short enough for a socket; valid while the folder is open.
fn short_path(home: &Path) -> std::io::Result<(PathBuf, Option<File>)> {
    let path = path(home);
    if path.as_os_str().len() <= LONGEST_PATH {
        return Ok((path, None));
    }
    let folder = File::open(home)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/watch.sock", folder.as_raw_fd())), Some(folder)))
}
