//! Wakes the watch: a process that handed something over connects to a socket, and waits until the watch has applied
//! it.
//!
//! The UNIX socket is beside the store. A call carries no data: everything is in the store. A call that nobody answers
//! loses nothing, because the watch also checks the store on its slow tick.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest socket path that every system accepts, with some reserve.
const LONGEST_PATH: usize = 100;

/// The socket on which a watch is woken.
#[derive(Debug)]
pub struct Wakeup {
    listener: UnixListener,
}

/// A waiting caller; it is released when this is dropped.
#[derive(Debug)]
pub struct Waiter {
    _caller: UnixStream,
}

impl Wakeup {
    /// Binds the socket. Requires the lock of the watch, because it removes the socket of an earlier one.
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

    /// Waits for a call; meant for a separate thread. Drop the waiter after [`super::TerminalStore::catch_up`].
    ///
    /// # Errors
    /// The error of the system: then nobody can call any more.
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

/// Calls the watch, if one listens, and waits until it has answered or is gone, or for two seconds.
pub(super) fn call(home: &Path) {
    let call = || -> std::io::Result<()> {
        let (path, _folder) = short_path(home)?;
        let mut wakeup = UnixStream::connect(path)?;
        wakeup.set_read_timeout(Some(PATIENCE))?;
        wakeup.read(&mut [0]).map(drop)
    };
    // If nobody answers, the watch finds it on its slow tick, or the next process that looks does.
    drop(call());
}

/// The path of the socket.
pub(super) fn path(home: &Path) -> PathBuf {
    home.join("watch.sock")
}

/// The path, shortened if necessary; valid while the folder is open.
fn short_path(home: &Path) -> std::io::Result<(PathBuf, Option<File>)> {
    let path = path(home);
    if path.as_os_str().len() <= LONGEST_PATH {
        return Ok((path, None));
    }
    let folder = File::open(home)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/watch.sock", folder.as_raw_fd())), Some(folder)))
}
