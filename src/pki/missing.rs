//! Lists files that should be here but are missing, and what does not work without them.

use super::{
    PkiDir, PkiError, load, lost,
    names::{ADMIN, CA_KEY, CLIENT, PERSO_KEY, Pair, RECORD, SERVER, SIGNATURE, START_KEY, TERMINAL},
};

/// What does not work without a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingUse {
    /// Cards cannot be authenticated.
    Taps,
    /// The server cannot be used.
    Server,
    /// Cards cannot be enrolled here.
    Enrolling,
    /// Certificates cannot be issued or renewed here.
    Issuing,
    /// `server run` cannot start, and certificates cannot be renewed here.
    Serving,
}

/// A file that should be here.
#[derive(Debug)]
pub struct MissingFile {
    /// Its name in the folder.
    pub file: &'static str,
    /// What does not work without it.
    pub stops: MissingUse,
    /// What to do about it.
    pub error: PkiError,
}

impl PkiDir {
    /// The files that should be here besides those that are, and what they are for. A certificate without its key is
    /// not reported here, but by [`Self::inventory`]. `has_server` says that this terminal has a server, and
    /// `named_perso` that the personalisation key is elsewhere.
    ///
    /// # Errors
    /// [`PkiError::Io`] when it cannot be found out which files are here.
    pub fn missing(&self, has_server: bool, named_perso: bool) -> Result<Vec<MissingFile>, PkiError> {
        let there = |name: &str| load::exists(&self.path(name));
        let any = |names: &[&str]| names.iter().try_fold(false, |any, name| Ok::<_, PkiError>(any || there(name)?));
        let issues = any(&[CA_KEY, RECORD, ADMIN.key, ADMIN.certificate])?;
        let enrolls = issues || named_perso || any(&[PERSO_KEY, START_KEY])?;
        let mut needed = Vec::new();
        let mut pair = |pair: Pair, stops| -> Result<(), PkiError> {
            needed.push((pair.certificate, stops));
            if !there(pair.certificate)? {
                needed.push((pair.key, stops));
            }
            Ok(())
        };
        pair(TERMINAL, MissingUse::Taps)?;
        if has_server || issues {
            pair(CLIENT, if has_server { MissingUse::Server } else { MissingUse::Issuing })?;
        }
        if issues {
            pair(ADMIN, MissingUse::Enrolling)?;
            pair(SERVER, MissingUse::Serving)?;
        }
        // A folder made by an older release has none until the next renewal.
        if issues && there(SIGNATURE.key)? {
            pair(SIGNATURE, MissingUse::Serving)?;
        }
        if issues && !has_server {
            needed.push((CA_KEY, MissingUse::Issuing));
        }
        if enrolls {
            needed.extend((!named_perso).then_some((PERSO_KEY, MissingUse::Enrolling)));
            needed.push((START_KEY, MissingUse::Enrolling));
        }
        let mut all = Vec::new();
        for (file, stops) in needed {
            if !there(file)? {
                let error = match file {
                    CA_KEY => PkiError::NoCaKey(self.path(file)),
                    _ => lost::missing(&self.path(file)),
                };
                all.push(MissingFile { file, stops, error });
            }
        }
        Ok(all)
    }

    /// Whether the personalisation key is missing although cards were issued here: no other key fits them.
    pub fn has_lost_perso_key(&self) -> bool {
        let path = self.path(PERSO_KEY);
        matches!(load::exists(&path), Ok(false)) && matches!(lost::missing(&path), PkiError::FileLost(_))
    }
}
