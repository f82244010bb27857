//! The journal of an enrollment: written before each step that the next run could not find out from the card.

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

/// How far an enrollment has come, in order. A step is recorded when the card has confirmed it under its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The card is to be reset and to get its own SCP03 keys.
    Begun,
    /// It has its own SCP03 keys.
    Keyed,
    /// It has the CA key, and its mode and id.
    Named,
    /// Its own ECKA key was generated, and the public one is in the journal.
    EckaGenerated,
    /// The same of its identity key: the card is waiting for certificates.
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

/// One enrollment that has begun and is not known to be finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Diversification data of the card, hex: which card this is.
    pub card: String,
    /// The id that the token gets.
    pub token_id: Uuid,
    /// Whose token it becomes.
    pub user: User,
    /// The CA that certifies it, by its key identifier, hex.
    pub authority: String,
    /// The card came with the well-known test keys. A run that resumes does not see them any more.
    #[serde(default)]
    pub test_keys: bool,
    /// The token that it stands for.
    #[serde(default)]
    pub replaces: Option<Uuid>,
    /// SHA-256 of the portrait that comes onto the card, hex.
    #[serde(default)]
    pub portrait: Option<String>,
    /// The set of a private token, 16 hex digits; an open token has none.
    #[serde(default)]
    pub set: Option<String>,
    /// How far it has come.
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
    /// Nothing of it is on the card yet.
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

    /// What is said where the card is to become somebody else's.
    pub fn of_another(&self) -> EnrollError {
        EnrollError::BegunForAnother { card: self.card.clone(), user: Box::new(self.user.clone()) }
    }
}

/// The entries of this terminal: one file a card, replaced atomically.
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

    /// The entry that gives this id to a token.
    ///
    /// # Errors
    /// As [`Self::all`].
    pub fn of_token(&self, token_id: Uuid) -> Result<Option<JournalEntry>, EnrollError> {
        Ok(self.all()?.into_iter().find(|entry| entry.token_id == token_id))
    }

    /// Every entry, in no order.
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

    /// Keeps other enrollments of this user waiting until the lock is dropped, lest two at once each take theirs for the
    /// first card. `waiting` is called before this has to wait itself; a few other users share a lock.
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

    /// The same for who holds a card meanwhile, and cannot wait.
    ///
    /// # Errors
    /// [`EnrollError::UserBusy`] where another enrollment is at work; as [`Self::reserve`].
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

    /// Stores the entry; it is on disk when this returns.
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

    /// The enrollment is finished, or given up.
    ///
    /// # Errors
    /// [`EnrollError::Journal`] when it cannot be removed; also when there is none.
    pub fn close(&self, entry: &JournalEntry) -> Result<(), EnrollError> {
        let path = self.path(&entry.card);
        fs::remove_file(&path).map_err(|e| EnrollError::Journal(path, e))
    }

    /// The enrollment of this token is finished; it may have no entry.
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

    /// The second of two enrollments of one user looks what there is after the first has ended.
    #[test]
    fn two_enrollments_of_one_user_come_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let first = journal.reserve("q", &mut || panic!("nobody is there yet")).unwrap();
        // That of somebody else goes on meanwhile.
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
