//! Access to a board over the network: links that are opened once, and the sessions they became.
//!
//! `rollcall board link` makes a link with a secret behind its `#`, which no browser sends anywhere; the page redeems
//! it for a cookie. The file `board-links.json` of the state folder holds only hashes of both, so that reading it gives
//! no access. Processes that change it hold `board-links.lock`.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    crypto::{
        self, CryptoError,
        random::{self, Random},
    },
    failure::{ExitClass, Failure, Remedy},
    files::{self, LockedFile, word},
};

/// The fewest digits that may abbreviate a link's id.
const SHORTEST: usize = 4;
/// Maximum number of links at one time.
const MOST: usize = 256;
/// The longest file that is read.
const LONGEST: u64 = 1 << 20;
/// How long a link can be opened.
pub const OPEN_WITHIN: Duration = Duration::from_secs(3600);

/// A link, or the session that it became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardLink {
    /// Its id: eight hex digits.
    pub id: String,
    /// The recipient, as the operator said.
    pub label: Option<String>,
    /// When it was made.
    pub made: Timestamp,
    /// Until when it can be opened.
    pub open_until: Timestamp,
    /// Until when it gives access.
    pub ends: Timestamp,
    /// The hash of its secret; none once it was opened.
    token: Option<String>,
    /// The hash of the cookie of the browser that opened it.
    cookie: Option<String>,
}

impl BoardLink {
    /// Whether a browser has opened it.
    pub const fn is_opened(&self) -> bool {
        self.cookie.is_some()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.ends <= now || !self.is_opened() && self.open_until <= now
    }
}

/// A secret: base64url of 32 random bytes.
pub type LinkSecret = Zeroizing<String>;

/// Why links cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BoardLinkError {
    /// The system reports an error.
    #[error("{} cannot be used: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The file was not written by this program.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There are too many.
    #[error("there are {MOST} links already")]
    TooMany,
    /// No link has this id.
    #[error("there is no link {0:?}")]
    Unknown(String),
    /// Several links begin like this.
    #[error("{typed} matches more than one")]
    Ambiguous {
        /// What was typed.
        typed: String,
        /// Their ids.
        links: Vec<String>,
    },
    /// No randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<BoardLinkError> for Failure {
    fn from(error: BoardLinkError) -> Self {
        let told = error.to_string();
        match error {
            BoardLinkError::File { .. } => {
                Self::new(ExitClass::Io, "board.links", told).hint("see that the state folder can be written")
            }
            BoardLinkError::Damaged { path, .. } => Self::new(ExitClass::Io, "board.links-damaged", told)
                .hint(Remedy::with("discard all links", format!("rm {}", word(&path)))),
            BoardLinkError::TooMany => Self::new(ExitClass::Refused, "board.too-many-links", told)
                .hint(Remedy::with("revoke one", "rollcall board revoke ID")),
            BoardLinkError::Unknown(_) => Self::new(ExitClass::No, "board.no-such-link", told)
                .hint(Remedy::with("list the links", "rollcall board links")),
            BoardLinkError::Ambiguous { links, .. } => Self::new(ExitClass::Usage, "board.ambiguous-link", told)
                .hint(format!("give more digits of the link: {}", links.join(", "))),
            BoardLinkError::Crypto(_) => Self::new(ExitClass::Bug, "crypto.failed", told),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkFile {
    links: Vec<BoardLink>,
}

/// The links of one state folder.
#[derive(Debug, Clone)]
pub struct Links {
    folder: PathBuf,
}

impl Links {
    /// The links of this folder; nothing is read or created yet.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes a link that gives one browser access for `admits_for`. Only the return value contains the secret.
    ///
    /// # Errors
    /// [`BoardLinkError`].
    pub fn make(
        &self,
        label: Option<String>,
        admits_for: Duration,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<(BoardLink, LinkSecret), BoardLinkError> {
        let (secret, token) = secret(random)?;
        let after = |time: Duration| now.checked_add(time).unwrap_or(Timestamp::MAX);
        let link = BoardLink {
            id: hex::encode(random::bytes::<4>(random)?),
            label,
            made: now,
            open_until: after(OPEN_WITHIN.min(admits_for)),
            ends: after(admits_for),
            token: Some(token),
            cookie: None,
        };
        self.change(now, |links| {
            if links.len() >= MOST {
                return Err(BoardLinkError::TooMany);
            }
            links.push(link.clone());
            Ok(())
        })?;
        Ok((link, secret))
    }

    /// The links that are still valid, the oldest first.
    ///
    /// # Errors
    /// [`BoardLinkError`].
    pub fn list(&self, now: Timestamp) -> Result<Vec<BoardLink>, BoardLinkError> {
        let mut links = self.read()?;
        links.retain(|link| !link.is_over(now));
        Ok(links)
    }

    /// Revokes a link, and the access that it gave. At least the first 4 digits of its id are enough.
    ///
    /// # Errors
    /// [`BoardLinkError::Unknown`] when no link has this id, [`BoardLinkError::Ambiguous`] when several begin like
    /// this.
    pub fn revoke(&self, typed: &str, now: Timestamp) -> Result<BoardLink, BoardLinkError> {
        let begin = typed.to_ascii_lowercase();
        self.change(now, |links| {
            let begins = |link: &BoardLink| begin.len() >= SHORTEST && link.id.starts_with(&begin);
            let found: Vec<_> = (0..links.len()).filter(|at| begins(&links[*at])).collect();
            match found.as_slice() {
                [] => Err(BoardLinkError::Unknown(typed.to_owned())),
                [at] => Ok(links.remove(*at)),
                several => Err(BoardLinkError::Ambiguous {
                    typed: typed.to_owned(),
                    links: several.iter().map(|at| links[*at].id.clone()).collect(),
                }),
            }
        })
    }

    /// Exchanges the secret of a link for a cookie, once; `None` for a secret that no link has any more. Also returns
    /// how long the cookie is valid.
    ///
    /// # Errors
    /// [`BoardLinkError`]; the link can then be opened again.
    pub fn redeem(
        &self,
        secret_of_link: &str,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Result<Option<(LinkSecret, Duration)>, BoardLinkError> {
        let (cookie, hash) = secret(random)?;
        let presented = hash_of(secret_of_link);
        // Guesses must not cause writes.
        if !self.list(now)?.iter().any(|link| holds(link.token.as_ref(), &presented)) {
            return Ok(None);
        }
        self.change(now, |links| {
            let Some(link) = links.iter_mut().find(|link| holds(link.token.as_ref(), &presented)) else {
                return Ok(None);
            };
            link.token = None;
            link.cookie = Some(hash);
            let left = Duration::try_from(link.ends.duration_since(now)).unwrap_or_default();
            Ok(Some((cookie, left)))
        })
    }

    /// Whether this cookie gives access.
    ///
    /// # Errors
    /// [`BoardLinkError`]: access is then denied.
    pub fn admits(&self, cookie: &str, now: Timestamp) -> Result<bool, BoardLinkError> {
        let presented = hash_of(cookie);
        Ok(self.list(now)?.iter().any(|link| holds(link.cookie.as_ref(), &presented)))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("board-links.json")
    }

    fn read(&self) -> Result<Vec<BoardLink>, BoardLinkError> {
        let path = self.path();
        let damaged = |what: String| BoardLinkError::Damaged { path: path.clone(), what };
        let text = match File::open(&path).and_then(|file| files::read_bounded(file, LONGEST)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(damaged("it is longer than 1 MiB".to_owned()));
            }
            Err(error) => return Err(BoardLinkError::File { path, error }),
        };
        let file: LinkFile = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        Ok(file.links)
    }

    /// Reads, changes and writes the file under its lock. Expired links are removed.
    fn change<T>(
        &self,
        now: Timestamp,
        change: impl FnOnce(&mut Vec<BoardLink>) -> Result<T, BoardLinkError>,
    ) -> Result<T, BoardLinkError> {
        let path = lock_path(&self.folder);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| BoardLinkError::File { path, error }
        };
        files::create_private_folder(&self.folder).map_err(failed(&self.folder))?;
        let _lock = lock(&path).map_err(failed(&path))?;
        let mut links = self.read()?;
        links.retain(|link| !link.is_over(now));
        let value = change(&mut links)?;
        let text =
            serde_json::to_vec_pretty(&LinkFile { links }).map_err(|error| failed(&self.path())(error.into()))?;
        files::replace(&self.path(), &text).map_err(failed(&self.path()))?;
        Ok(value)
    }
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("board-links.lock")
}

/// Locks the boards' files in this folder while the result lives: for short operations only.
///
/// # Errors
/// What the system says of the file.
pub fn hold(folder: &Path) -> io::Result<LockedFile> {
    lock(&lock_path(folder))
}

fn lock(path: &Path) -> io::Result<LockedFile> {
    LockedFile::wait(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?)
}

/// A secret, and the hash to store.
fn secret(random: &mut dyn Random) -> Result<(LinkSecret, String), CryptoError> {
    let bytes = Zeroizing::new(random::bytes::<32>(random)?);
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
    let hash = hash_of(&secret);
    Ok((secret, hash))
}

fn hash_of(secret: &str) -> String {
    hex::encode(crypto::sha256(&[b"rollcall board", secret.as_bytes()]))
}

fn holds(kept: Option<&String>, presented: &str) -> bool {
    kept.is_some_and(|kept| crypto::same(kept.as_bytes(), presented.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::SystemRandom;
    use std::fs;

    const HOUR: Duration = Duration::from_secs(3600);

    fn made(links: &Links, now: Timestamp) -> (BoardLink, LinkSecret) {
        links.make(Some("desk".into()), 24 * HOUR, now, &mut SystemRandom).unwrap()
    }

    #[test]
    fn a_link_admits_one_browser_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let (link, secret) = made(&links, now);
        assert!(!links.admits(&secret, now).unwrap(), "the secret of the link is no cookie");
        let (cookie, left) = links.redeem(&secret, now, &mut SystemRandom).unwrap().unwrap();
        assert_eq!(left, 24 * HOUR);
        assert!(links.admits(&cookie, now).unwrap());
        assert!(links.redeem(&secret, now, &mut SystemRandom).unwrap().is_none(), "a link is opened once");
        assert!(links.redeem(&cookie, now, &mut SystemRandom).unwrap().is_none());
        for stranger in ["", "A", &link.id, &hash_of(&cookie)] {
            assert!(!links.admits(stranger, now).unwrap(), "{stranger}");
        }
        assert!(links.admits(&cookie, now + 23 * HOUR).unwrap(), "who has opened it in time may look until the end");
        assert!(!links.admits(&cookie, now + 24 * HOUR).unwrap());
    }

    #[test]
    fn a_link_that_nobody_opens_in_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let (_, secret) = made(&links, now);
        assert!(links.redeem(&secret, now + HOUR, &mut SystemRandom).unwrap().is_none());
        assert_eq!(links.list(now + HOUR).unwrap(), []);
    }

    #[test]
    fn what_is_revoked_admits_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let (one, secret) = made(&links, now);
        let (other, unopened) = made(&links, now);
        let (cookie, _) = links.redeem(&secret, now, &mut SystemRandom).unwrap().unwrap();
        links.revoke(&one.id, now).unwrap();
        links.revoke(&other.id, now).unwrap();
        assert!(!links.admits(&cookie, now).unwrap());
        assert!(links.redeem(&unopened, now, &mut SystemRandom).unwrap().is_none());
        assert!(matches!(links.revoke(&one.id, now), Err(BoardLinkError::Unknown(_))));
    }

    #[test]
    fn the_first_digits_of_a_link_are_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let ids = ["4ac20115", "4ac2ffff", "0b5c9c2e"];
        let (link, _) = made(&links, now);
        let named = |id: &str| BoardLink { id: id.to_owned(), ..link.clone() };
        let name = |all: &mut Vec<BoardLink>| {
            *all = ids.map(named).to_vec();
            Ok(())
        };
        links.change(now, name).unwrap();
        assert!(matches!(links.revoke("4ac2", now), Err(BoardLinkError::Ambiguous { links, .. }) if links == ids[..2]));
        for (typed, id) in [("0B5C", ids[2]), ("4ac20", ids[0]), ("4AC2FFFF", ids[1])] {
            assert_eq!(links.revoke(typed, now).unwrap().id, id, "{typed}");
        }
        let (link, _) = made(&links, now);
        let longer = format!("{}0", link.id);
        for typed in ["", &link.id[..3], "nope", &longer] {
            assert!(matches!(links.revoke(typed, now), Err(BoardLinkError::Unknown(_))), "{typed}");
        }
    }

    #[test]
    fn the_file_holds_no_secret_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let (_, secret) = made(&links, now);
        let kept = fs::read_to_string(links.path()).unwrap();
        let (cookie, _) = links.redeem(&secret, now, &mut SystemRandom).unwrap().unwrap();
        let later = fs::read_to_string(links.path()).unwrap();
        assert!(!kept.contains(secret.as_str()) && !later.contains(cookie.as_str()));
        assert_eq!(fs::metadata(links.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("board-links.lock")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_admits_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        for text in ["", "{}", "[]", "{\"links\":[{}]}", "{\"links\":[],\"more\":1}"] {
            fs::write(links.path(), text).unwrap();
            assert!(matches!(links.admits("x", now), Err(BoardLinkError::Damaged { .. })), "{text}");
            assert!(matches!(links.redeem("x", now, &mut SystemRandom), Err(BoardLinkError::Damaged { .. })), "{text}");
        }
    }

    /// Of two browsers that open one link at once, one gets access.
    #[test]
    fn a_link_is_opened_once_also_by_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (links, now) = (Links::at(folder.path()), Timestamp::UNIX_EPOCH);
        let (_, secret) = made(&links, now);
        let opened = std::thread::scope(|scope| {
            let open = || links.redeem(&secret, now, &mut SystemRandom).unwrap().is_some();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            all.into_iter().filter_map(|one| one.join().ok()).filter(|opened| *opened).count()
        });
        assert_eq!(opened, 1);
    }
}
