//! Records where a board is served over a network, for `rollcall board link`, which needs the address of a board that
//! was started with its own. `board.lock` of the state folder holds it while the board is served.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::links;
use crate::files::{self, LockedFile};

/// The longest address that is read, in bytes.
const LONGEST: u64 = 64;

/// While this lives, a board is served here.
pub struct ServedAddress {
    _file: LockedFile,
}

fn path(state_folder: &Path) -> PathBuf {
    state_folder.join("board.lock")
}

impl ServedAddress {
    /// Records where a board is served. `None` if another board of this folder is already served, or the file cannot be
    /// written: a link is then made from the configuration.
    pub fn announce(state_folder: &Path, address: SocketAddr) -> Option<Self> {
        files::create_private_folder(state_folder).ok()?;
        // A reader locks it for a moment, and must not find half an address.
        let _hold = links::hold(state_folder).ok()?;
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path(state_folder));
        let mut file = LockedFile::exclusively(open.ok()?).ok()?.ok()?;
        file.set_len(0).ok()?;
        file.write_all(address.to_string().as_bytes()).ok()?;
        Some(Self { _file: file })
    }

    /// Where a board of this folder is currently served over a network.
    pub fn read(state_folder: &Path) -> Option<SocketAddr> {
        let _hold = links::hold(state_folder).ok();
        // If the lock is free, the file is a leftover of a board that has stopped.
        let file = LockedFile::exclusively(File::open(path(state_folder)).ok()?).ok()?.err()?;
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_while_the_board_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(ServedAddress::read(&state), None);
        let address = "0.0.0.0:17481".parse().unwrap();
        let served = ServedAddress::announce(&state, address).unwrap();
        assert_eq!(ServedAddress::read(&state), Some(address));
        assert!(ServedAddress::announce(&state, "[::]:7480".parse().unwrap()).is_none(), "one board at a time says so");
        assert_eq!(ServedAddress::read(&state), Some(address));
        drop(served);
        assert_eq!(ServedAddress::read(&state), None, "what is left behind names no board");
        let _served = ServedAddress::announce(&state, "[::]:7480".parse().unwrap()).unwrap();
        assert_eq!(ServedAddress::read(&state), "[::]:7480".parse().ok());
    }

    /// A reader at the moment when a board starts neither keeps it from recording its address, nor reads half of it.
    #[test]
    fn a_board_that_begins_while_somebody_asks_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = "192.0.2.1:17481".parse().unwrap();
        std::thread::scope(|scope| {
            let asks = scope.spawn(|| {
                for _ in 0..300 {
                    let found = ServedAddress::read(folder.path());
                    assert!(found.is_none_or(|found| found == address), "{found:?}");
                }
            });
            while !asks.is_finished() {
                let served = ServedAddress::announce(folder.path(), address).expect("nobody else serves one");
                assert_eq!(ServedAddress::read(folder.path()), Some(address));
                drop(served);
            }
            asks.join().unwrap();
        });
    }
}
