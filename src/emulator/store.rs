//! Stores the persistent state of a token.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::state::{PersistentState, StateError};
use crate::{
    failure::{ExitClass, Failure},
    files::{self, LockedFile},
};

/// Why a state could not be stored or read back.
#[derive(Debug, thiserror::Error)]
pub enum StateStoreError {
    /// The file system reported an error.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file contains something else.
    #[error("{path}: {source}")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StateError,
    },
    /// Another process is using this token.
    #[error("{0}: another virtual token uses this state")]
    InUse(PathBuf),
}

impl From<StateStoreError> for Failure {
    fn from(e: StateStoreError) -> Self {
        let message = e.to_string();
        match e {
            StateStoreError::Io { .. } => Self::new(ExitClass::Io, "virtual-token.state-unwritable", message),
            StateStoreError::State { .. } => Self::new(ExitClass::Data, "virtual-token.state-malformed", message)
                .hint("take another file: what this one holds is left as it is"),
            StateStoreError::InUse(_) => Self::new(ExitClass::Busy, "virtual-token.in-use", message)
                .hint("end the other one, or give this one a file of its own"),
        }
    }
}

/// Stores the state of one token. `save` returns once the state would survive a loss of power.
pub trait StateStore {
    /// Replaces the stored state, completely or not at all.
    ///
    /// # Errors
    /// [`StateStoreError`] when the result is uncertain: either the previous state is stored, or this one.
    fn save(&mut self, state: &PersistentState) -> Result<(), StateStoreError>;
}

/// Keeps the state only as long as the process runs.
#[derive(Debug, Default, Clone, Copy)]
pub struct VolatileStore;

impl StateStore for VolatileStore {
    fn save(&mut self, _: &PersistentState) -> Result<(), StateStoreError> {
        Ok(())
    }
}

/// One file, mode 0600, replaced atomically, used by one process at a time.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    /// The lock is on a separate file, because the state file is replaced at each save.
    _lock: LockedFile,
}

impl FileStore {
    /// Locks the file for this process; it need not exist yet.
    ///
    /// # Errors
    /// [`StateStoreError::InUse`] when another token uses it; [`StateStoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StateStoreError> {
        let path = std::path::absolute(path).map_err(|source| io_error(path, source))?;
        let mut lock_path = path.clone().into_os_string();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|source| io_error(&lock_path, source))?;
        match LockedFile::exclusively(lock) {
            Ok(Ok(lock)) => Ok(Self { path, _lock: lock }),
            Ok(Err(_)) => Err(StateStoreError::InUse(path)),
            Err(source) => Err(io_error(&lock_path, source)),
        }
    }

    /// The saved state; `None` without a file.
    ///
    /// # Errors
    /// [`StateStoreError::Io`]; [`StateStoreError::State`] for a file with other content.
    pub fn load(&self) -> Result<Option<PersistentState>, StateStoreError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => zeroize::Zeroizing::new(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_error(&self.path, source)),
        };
        PersistentState::from_file(&bytes)
            .map(Some)
            .map_err(|source| StateStoreError::State { path: self.path.clone(), source })
    }
}

impl StateStore for FileStore {
    fn save(&mut self, state: &PersistentState) -> Result<(), StateStoreError> {
        let bytes = state.to_file().map_err(|source| StateStoreError::State { path: self.path.clone(), source })?;
        files::replace(&self.path, &bytes).map_err(|source| io_error(&self.path, source))
    }
}

fn io_error(path: &Path, source: io::Error) -> StateStoreError {
    StateStoreError::Io { path: path.to_owned(), source }
}
