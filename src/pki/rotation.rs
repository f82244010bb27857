//! Replaces the CA by a new one. While tokens are moved from the old CA to the new one, both are trusted: the old one
//! is in `pki/previous/`, a folder of the same form.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use uuid::Uuid;

use super::{
    ClockCheck, IssueReport, PkiDir, PkiError,
    init::Lives,
    load,
    pki_dir::{PERSO_KEY, START_KEY},
    record,
};
use crate::{
    crypto::{
        random::Random,
        x509::{CertificateProfile, ServerName},
    },
    files,
};

pub(super) const PREVIOUS: &str = "previous";
/// The file with the ids of the tokens that know the new CA, one per line.
const ROTATED: &str = "rotated";
/// The files that do not belong to a CA and stay.
pub(super) const STAYS: [&str; 3] = [PERSO_KEY, START_KEY, "sets"];

/// The progress of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// Tokens of the old CA that are not known to have the new one: some may be lost or out of use.
    pub left: BTreeSet<Uuid>,
    /// Tokens of the old CA that have the new one.
    pub done: BTreeSet<Uuid>,
}

impl PkiDir {
    /// The folder of the CA that is being rotated out, if there is one.
    ///
    /// # Errors
    /// [`PkiError::Io`] when the system cannot tell.
    pub fn previous(&self) -> Result<Option<Self>, PkiError> {
        let previous = Self::new(self.path(PREVIOUS));
        Ok(load::exists(previous.folder())?.then_some(previous))
    }

    /// Makes a new CA and everything that it certifies here, and keeps the old one beside it. The folders are exchanged
    /// in one step, so that an interrupted run leaves either the old or the new state.
    ///
    /// # Errors
    /// [`PkiError::RotationUnderWay`]; as [`Self::load_ca`] for the CA that is here, and as [`Self::init`] for the new
    /// one; [`PkiError::Io`] when the folders cannot be exchanged.
    pub fn begin_rotation(
        &self,
        names: &[ServerName],
        clock_check: ClockCheck,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<IssueReport, PkiError> {
        if self.previous()?.is_some() {
            return Err(PkiError::RotationUnderWay);
        }
        // The CA key and its record must be here.
        drop(self.load_ca(clock_check)?);
        let _lock = self.prepare()?;
        let next = Self::new(self.beside());
        let failed = |error| PkiError::Io { path: next.folder().to_owned(), error };
        remove(next.folder()).map_err(failed)?;
        for name in STAYS {
            copy(&self.path(name), &next.path(name)).map_err(failed)?;
        }
        copy_but(self.folder(), &next.path(PREVIOUS), &STAYS).map_err(failed)?;
        // A server keeps the names for which its certificate was issued.
        let kept = self.tls_names(&self.load_authority()?);
        let names = if kept.is_empty() { names } else { &kept };
        let report = next.init_for(names, Lives::Of(self), clock_check, now, random)?;
        exchange(&self.real(), next.folder()).map_err(failed)?;
        Ok(report)
    }

    /// Ends the rotation: the old CA is no longer trusted.
    ///
    /// # Errors
    /// [`PkiError::NoRotation`] when there is none; [`PkiError::Io`], and those of the sets' files.
    pub fn finish_rotation(&self) -> Result<(), PkiError> {
        let previous = self.previous()?.ok_or(PkiError::NoRotation)?;
        let _lock = self.prepare()?;
        let gone = self.beside();
        let failed = |error| PkiError::Io { path: gone.clone(), error };
        self.remove_foreign_sets()?;
        remove(&gone).and_then(|()| fs::rename(previous.folder(), &gone)).map_err(failed)?;
        sync(self.folder()).and_then(|()| remove(&gone)).and_then(|()| remove(&self.path(ROTATED))).map_err(failed)
    }

    /// Which tokens have the new CA, and which do not.
    ///
    /// # Errors
    /// [`PkiError::NoRotation`] when there is none; [`PkiError::RecordDamaged`]; [`PkiError::Io`].
    pub fn rotation(&self) -> Result<Rotation, PkiError> {
        let previous = self.previous()?.ok_or(PkiError::NoRotation)?;
        let issued = record::entries(&previous.record())?;
        let tokens = issued.iter().filter(|entry| entry.class == CertificateProfile::TokenEcka.word());
        let known: BTreeSet<Uuid> = tokens.filter_map(|entry| entry.subject.parse().ok()).collect();
        let path = self.path(ROTATED);
        let failed = |error| PkiError::Io { path: path.clone(), error };
        let mut text = String::new();
        match File::open(&path) {
            Ok(mut file) => drop(file.read_to_string(&mut text).map_err(failed)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let noted: BTreeSet<Uuid> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let (done, left) = known.into_iter().partition(|token_id| noted.contains(token_id));
        Ok(Rotation { left, done })
    }

    /// Records that this token has the new CA; it is on disk when this returns.
    ///
    /// # Errors
    /// [`PkiError::Io`] when it is not on disk.
    pub fn note_rotated(&self, token_id: Uuid) -> Result<(), PkiError> {
        let path = self.path(ROTATED);
        let written = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).and_then(|mut file| {
            file.write_all(format!("{token_id}\n").as_bytes())?;
            file.sync_data()
        });
        written.map_err(|error| PkiError::Io { path, error })
    }

    /// The folder itself, where `pki` is a link to it: that is what is exchanged, on its own disk.
    pub(super) fn real(&self) -> PathBuf {
        fs::canonicalize(self.folder()).unwrap_or_else(|_| self.folder().to_owned())
    }

    /// A folder beside this one, on the same disk.
    pub(super) fn beside(&self) -> PathBuf {
        let here = self.real();
        let mut name = here.file_name().unwrap_or_default().to_owned();
        name.push(".next");
        here.with_file_name(name)
    }
}

/// Copies a file, or a folder with its contents; does nothing if it does not exist.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        return copy_but(from, to, &[]);
    }
    if !from.exists() {
        return Ok(());
    }
    files::create_private_folder(files::folder_of(to))?;
    files::replace(to, &zeroize::Zeroizing::new(fs::read(from)?))
}

pub(super) fn copy_but(from: &Path, to: &Path, but: &[&str]) -> io::Result<()> {
    files::create_private_folder(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        // Hidden files are locks and unfinished files.
        let stays = name.to_str().is_none_or(|name| name.starts_with('.') || but.contains(&name));
        if !stays {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Puts the folder `next` in the place of `here` in one step, and removes the previous one.
pub(super) fn exchange(here: &Path, next: &Path) -> io::Result<()> {
    renameat_with(CWD, here, CWD, next, RenameFlags::EXCHANGE)?;
    sync(here)?;
    remove(next)
}

/// Syncs the folder that contains this path to the disk.
fn sync(path: &Path) -> io::Result<()> {
    File::open(files::folder_of(path))?.sync_all()
}
