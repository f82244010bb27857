//! The journal of an enrollment: records, before each step, what the next run could not find out from the card.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::EnrollError;
use crate::{
    api::User,
    crypto::sha256,
    files::{self, LockedFile},
};

/// The progress of an enrollment, in order. A step is recorded once the card has confirmed it under its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The card is to be reset and given its own SCP03 keys.
    Begun,
    /// It has its own SCP03 keys.
    Keyed,
    /// It has the CA key, and its mode and id.
    Named,
    /// Its own ECKA key was generated, and the public one is in the journal.
    EckaGenerated,
    /// Likewise its identity key: the card is waiting for certificates.
    Generated,
    /// Both keys are certified, and the certificates are in the journal.
    Certified,
    /// The certificate of the ECKA key is on the card.
    EckaStored,
    /// In private mode: the key of its set and that key's certificate are on the card.
    SetStored,
    /// The certificate of the identity key is on the card.
    IdentityStored,
    /// The user record is on the card.
    Recorded,
    /// SET STATUS ISSUED was sent or is about to be.
    Issuing,
}

/// An enrollment that was started and is not known to be finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Diversification data of the card, hex: identifies the card.
    pub card: String,
    /// The id of the future token.
    pub token_id: Uuid,
    /// Its user.
    pub user: User,
    /// The CA that certifies it: its key identifier, hex.
    pub authority: String,
    /// The card came with the well-known test keys. A run that resumes can no longer detect that.
    #[serde(default)]
    pub test_keys: bool,
    /// The token that it replaces.
    #[serde(default)]
    pub replaces: Option<Uuid>,
    /// SHA-256 of the portrait for the card, hex.
    #[serde(default)]
    pub portrait: Option<String>,
    /// The set of a private token, 16 hex digits; an open token has none.
    #[serde(default)]
    pub set: Option<String>,
    /// The progress.
    pub progress: Progress,
    /// The public own ECKA key, 65 bytes in hex, once generated.
    #[serde(default)]
    pub ecka_key: Option<String>,
    /// The public identity key, 65 bytes in hex, once generated.
    #[serde(default)]
    pub identity_key: Option<String>,
    /// The certificate of its own ECKA key, DER in hex, once certified.
    pub ecka: Option<String>,
    /// The certificate of its identity key, DER in hex, once certified.
    pub identity: Option<String>,
}

impl JournalEntry {
    /// Nothing is on the card yet.
    pub const fn new(card: String, token_id: Uuid, user: User, authority: String, test_keys: bool) -> Self {
        Self {
            card,
            token_id,
            user,
            authority,
            test_keys,
            replaces: None,
            portrait: None,
            set: None,
            progress: Progress::Begun,
            ecka_key: None,
            identity_key: None,
            ecka: None,
            identity: None,
        }
    }

    /// The error when the card is requested for somebody else.
    pub fn of_another(&self) -> EnrollError {
        EnrollError::BegunForAnother { card: self.card.clone(), user: Box::new(self.user.clone()) }
    }
}

/// The journal entries of this terminal: one file per card, replaced atomically.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in this state folder.
    pub fn new(home: &Path) -> Self {
        Self { folder: home.join("enrollments") }
    }

    /// The entry of the card with these diversification data.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when it cannot be read.
    pub fn of_card(&self, card: &[u8; 10]) -> Result<Option<JournalEntry>, EnrollError> {
        read(&self.path(&hex::encode(card)))
    }

    /// The entry whose token has this id.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn of_token(&self, token_id: Uuid) -> Result<Option<JournalEntry>, EnrollError> {
        Ok(self.all()?.into_iter().find(|entry| entry.token_id == token_id))
    }

    /// All entries, in no particular order.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when the folder or one entry cannot be read.
    pub fn all(&self) -> Result<Vec<JournalEntry>, EnrollError> {
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(EnrollError::Journal(self.folder.clone(), e)),
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(|e| EnrollError::Journal(self.folder.clone(), e))?.path();
            if path.extension().is_some_and(|e| e == "json") {
                entries.extend(read(&path)?);
            }
        }
        Ok(entries)
    }

    /// Blocks other enrollments of this user until the lock is dropped, so that two at once do not each enroll a first
    /// card. `waiting` is called before this has to wait; a lock is shared with a few other users.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when the lock cannot be made.
    pub fn reserve(&self, user_id: &str, waiting: &mut dyn FnMut()) -> Result<LockedFile, EnrollError> {
        match self.lock(user_id)? {
            Ok(locked) => Ok(locked),
            Err(file) => {
                waiting();
                LockedFile::wait(file).map_err(|e| EnrollError::Journal(self.folder.clone(), e))
            }
        }
    }

    /// The same without waiting, for a caller that is holding a card.
    ///
    /// # Errors
    /// [`EnrollError::UserBusy`] while another enrollment is in progress; as [`Self::reserve`].
    pub fn reserve_now(&self, user_id: &str) -> Result<LockedFile, EnrollError> {
        self.lock(user_id)?.map_err(|_| EnrollError::UserBusy(user_id.to_owned()))
    }

    fn lock(&self, user_id: &str) -> Result<Result<LockedFile, File>, EnrollError> {
        let folder = self.folder.with_file_name("locks");
        let path = folder.join(format!("user-{}.lock", hex::encode(&sha256(&[user_id.as_bytes()])[..2])));
        let failed = |e| EnrollError::Journal(path.clone(), e);
        files::create_private_folder(&folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        LockedFile::exclusively(file).map_err(failed)
    }

    /// Stores the entry and syncs it to disk.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when it is not on disk.
    pub fn save(&self, entry: &JournalEntry) -> Result<(), EnrollError> {
        let path = self.path(&entry.card);
        let failed = |e| EnrollError::Journal(path.clone(), e);
        files::create_private_folder(&self.folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(entry).map_err(|e| failed(e.into()))?;
        files::replace(&path, &text).map_err(failed)
    }

    /// Removes the entry of an enrollment that is finished or abandoned.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when it cannot be removed, or does not exist.
    pub fn close(&self, entry: &JournalEntry) -> Result<(), EnrollError> {
        let path = self.path(&entry.card);
        fs::remove_file(&path).map_err(|e| EnrollError::Journal(path, e))
    }

    /// Removes the entry of this finished token, if there is one.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when the entries cannot be read, or the one cannot be removed.
    pub fn close_token(&self, token_id: Uuid) -> Result<(), EnrollError> {
        self.of_token(token_id)?.map_or(Ok(()), |entry| self.close(&entry))
    }

    fn path(&self, card: &str) -> PathBuf {
        self.folder.join(card).with_extension("json")
    }
}

fn read(path: &Path) -> Result<Option<JournalEntry>, EnrollError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(EnrollError::Journal(path.to_owned(), e)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| EnrollError::Journal(path.to_owned(), e.into()))
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    /// The second of two enrollments of one user checks for existing tokens only after the first has ended.
    #[test]
    fn two_enrollments_of_one_user_come_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let first = journal.reserve("q", &mut || panic!("nobody is there yet")).unwrap();
        // An enrollment of another user continues in the meantime.
        drop(journal.reserve("r", &mut || panic!("it is another user")).unwrap());
        let (tell, told) = mpsc::channel();
        let second = Journal::new(folder.path());
        let waits = thread::spawn(move || second.reserve("q", &mut || tell.send(()).unwrap()).map(drop));
        told.recv().unwrap();
        assert!(!waits.is_finished());
        drop(first);
        waits.join().unwrap().unwrap();
        assert_eq!(journal.all().unwrap(), []);
    }
}
