//! The bell of the watch: who has handed something over rings, and waits until the watch has taken it.
//!
//! A UNIX socket beside the store. A ring carries no data: what there is to take stands in the store, and a bell that
//! nobody hears loses nothing, since the watch looks there on its slow tick too.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one who rings waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest path that every system takes for a socket, with some room.
const LONGEST_PATH: usize = 100;

/// The bell of a watch.
#[derive(Debug)]
pub struct Bell {
    listener: UnixListener,
}

/// Somebody rang, and waits until this is dropped.
#[derive(Debug)]
pub struct Ring {
    _caller: UnixStream,
}

impl Bell {
    /// Only under the lock of the watch: the bell of one before is taken down.
    pub(super) fn hang(home: &Path) -> std::io::Result<Self> {
        let (path, _folder) = short_path(home)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener })
    }

    /// Waits until somebody rings; for a thread of its own. Drop the ring after [`super::Store::catch_up`].
    pub fn wait(&self) -> std::io::Result<Ring> {
        loop {
            match self.listener.accept() {
                Ok((caller, _)) => return Ok(Ring { _caller: caller }),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Rings, if there is a bell, and waits until the watch has answered, or is gone, or two seconds are over.
pub(super) fn ring(home: &Path) {
    let ring = || -> std::io::Result<()> {
        let (path, _folder) = short_path(home)?;
        let mut bell = UnixStream::connect(path)?;
        bell.set_read_timeout(Some(PATIENCE))?;
        bell.read(&mut [0]).map(drop)
    };
    // Nobody hears: the watch finds it on its slow tick, or the next one that looks does.
    drop(ring());
}

/// Where the bell hangs.
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
