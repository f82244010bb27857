//! Locks the folder `pki/` for writing, one process at a time, and removes what a killed process left behind.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use fs4::fs_std::FileExt;

use super::{
    PkiDir, PkiError,
    pki_dir::{ADMIN, CA_CERTIFICATE, CA_KEY, CLIENT, PERSO_KEY, SERVER, SIGNATURE, START_KEY, TERMINAL},
};
use crate::files;

/// The lock file.
const LOCK: &str = ".lock";
/// All files that are replaced as a whole.
const FILES: [&str; 14] = [
    CA_KEY,
    CA_CERTIFICATE,
    PERSO_KEY,
    START_KEY,
    TERMINAL.key,
    TERMINAL.certificate,
    ADMIN.key,
    ADMIN.certificate,
    CLIENT.key,
    CLIENT.certificate,
    SERVER.key,
    SERVER.certificate,
    SIGNATURE.key,
    SIGNATURE.certificate,
];

impl PkiDir {
    /// Creates the private folder, waits for its lock, which ends when the file is closed, and removes leftovers of a
    /// crash.
    pub(super) fn prepare(&self) -> Result<File, PkiError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| PkiError::Io { path, error }
        };
        files::create_private_folder(self.folder()).map_err(failed(self.folder()))?;
        fs::set_permissions(self.folder(), Permissions::from_mode(0o700)).map_err(failed(self.folder()))?;
        let path = self.path(LOCK);
        let lock = loop {
            let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let lock = lock.map_err(failed(&path))?;
            lock.lock_exclusive().map_err(failed(&path))?;
            // A rotation replaces this folder by another one, with another lock.
            let (ours, there) = (lock.metadata().map_err(failed(&path))?, fs::metadata(&path));
            if there.is_ok_and(|there| there.ino() == ours.ino()) {
                break lock;
            }
        };
        self.sweep().map_err(failed(self.folder()))?;
        Ok(lock)
    }

    /// Removes unfinished files that a crash has left, such as `.ca.key.1234`. A live writer would hold the lock.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(is_leftover) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn is_leftover(name: &str) -> bool {
    let Some((file, process)) = name.strip_prefix('.').and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    FILES.contains(&file) && process.bytes().all(|byte| byte.is_ascii_digit())
}
