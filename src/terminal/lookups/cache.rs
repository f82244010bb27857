//! What a terminal keeps of its server: nonces for the next taps, the feed of statuses, and signed users.

use std::path::Path;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::store::{CacheStore, FeedPosition};
use crate::server_client::{ServerError, signed};
use crate::{
    api::{
        User,
        v1::{AuditHead, BODY_MAX, Feed, Lookup, NONCES_MAX, Nonce, PAGE_MAX, TokenStatus, Witness},
    },
    crypto::ec::Point,
};

/// How far the server's clock may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// The most that one status takes in a request: id, words, and a reason of 200 bytes, each escaped as JSON.
const STATUS_BYTES: usize = 640;

/// What is kept, in `directory.db` of the state folder.
#[derive(Debug)]
pub struct Cache {
    store: CacheStore,
    cas: Vec<Point>,
}

/// What a feed was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedTaken {
    /// The last, for now.
    Whole,
    /// One after which more follows.
    MoreFollows,
    /// One of another log, which was reconciled with ours: that one is asked for from its beginning.
    StartedOver,
}

/// What is known of a token without asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedToken {
    /// Its status with the reason, unless it is active or unknown.
    pub status: Option<(TokenStatus, Option<String>)>,
    /// How old the newest feed is; `None` when none was taken yet.
    pub feed_age: Option<SignedDuration>,
    /// Its user with the moment when the server said so.
    pub user: Option<(User, Timestamp)>,
}

impl Cache {
    /// Opens it, or makes it. The CA here comes first, and the one that is rotated out behind it; what was kept under any
    /// other is forgotten. On a disk that is full or read-only it goes on in memory.
    ///
    /// # Errors
    /// [`ServerError::Cache`] when the file cannot be opened, read or made.
    pub fn open(home: &Path, cas: &[Point]) -> Result<Self, ServerError> {
        let known: Vec<&[u8]> = cas.iter().map(|ca| ca.as_bytes().as_slice()).collect();
        Ok(Self { store: CacheStore::open(home, &known)?, cas: cas.to_vec() })
    }

    /// The same once more, for another thread: where nothing can be written, in the same memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn again(&self, home: &Path) -> Result<Self, ServerError> {
        match self.store.unwritable() {
            Some(_) => Ok(Self { store: self.store.clone(), cas: self.cas.clone() }),
            None => Self::open(home, &self.cas),
        }
    }

    /// Why nothing can be written, and all is kept in memory.
    pub fn unwritable(&self) -> Option<ServerError> {
        self.store.unwritable().cloned().map(ServerError::Cache)
    }

    /// What the server signs is checked under these from now on.
    pub fn trust(&mut self, cas: &[Point]) {
        self.cas = cas.to_vec();
    }

    /// A nonce of the server's for one proof, and until when it may be used. It is gone from here when this returns, so that
    /// nobody gets it again.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn take_nonce(&self, now: Timestamp) -> Result<Option<([u8; 32], Timestamp)>, ServerError> {
        self.store.take_nonce(now)
    }

    /// How many nonces are missing until there are [`NONCES_MAX`].
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn missing_nonces(&self, now: Timestamp) -> Result<u16, ServerError> {
        Ok(NONCES_MAX.saturating_sub(self.store.count_nonces(now)?))
    }

    /// Keeps nonces that were asked for.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a nonce that is not 32 bytes in base64url: none is kept then;
    /// [`ServerError::Cache`].
    pub fn keep_nonces(&self, nonces: &[Nonce]) -> Result<(), ServerError> {
        let read = |nonce: &Nonce| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(&nonce.nonce).ok()?;
            Some((bytes.try_into().ok()?, nonce.use_by))
        };
        let nonces: Option<Vec<_>> = nonces.iter().map(read).collect();
        let nonces = nonces.ok_or_else(|| ServerError::Protocol("a nonce is not 32 bytes".into()))?;
        self.store.keep_nonces(&nonces, NONCES_MAX)
    }

    /// Where the feed stands: ask for what changed after its version.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn mark(&self) -> Result<FeedPosition, ServerError> {
        self.store.mark()
    }

    /// Takes a feed that was asked for at this mark. A feed of an audit log that does not hold the
    /// record that this terminal was told of last is refused: the server was restored, or records were taken away. What is
    /// kept here stays until an administrator has reconciled the two logs; then that one is followed from its beginning.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA, or does not follow;
    /// [`ServerError::RolledBack`]; [`ServerError::Cache`].
    pub fn take_feed(&self, asked: &FeedPosition, jws: &str, now: Timestamp) -> Result<FeedTaken, ServerError> {
        let feed = signed::feed(jws, &self.cas)?;
        match compare(&asked.audit, &feed) {
            SameLog::Yes => {}
            SameLog::No => return Err(ServerError::RolledBack { seen: asked.audit.seq }),
            SameLog::Reconciled => {
                self.store.start_over(asked, &feed.audit, jws)?;
                return Ok(FeedTaken::StartedOver);
            }
        }
        signed::check_order(&feed, asked.version)?;
        let taken = self.store.take_feed(asked, &feed, jws, now)?;
        Ok(if taken && feed.more { FeedTaken::MoreFollows } else { FeedTaken::Whole })
    }

    /// Whether a feed that was asked for at this mark comes from the log that this terminal was told of; nothing changes.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA; [`ServerError::RolledBack`] for another
    /// log.
    pub fn check_log(&self, asked: &FeedPosition, jws: &str) -> Result<(), ServerError> {
        match compare(&asked.audit, &signed::feed(jws, &self.cas)?) {
            SameLog::No => Err(ServerError::RolledBack { seen: asked.audit.seq }),
            SameLog::Yes | SameLog::Reconciled => Ok(()),
        }
    }

    /// The server has lost what it told this terminal, as this feed says. Its events go there from the first one on.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA; [`ServerError::Cache`].
    pub fn roll_back(&self, jws: &str) -> Result<(), ServerError> {
        self.store.roll_back(&signed::feed(jws, &self.cas)?.audit)
    }

    /// The newest head that was seen of the log that the server has instead of the one that this terminal was told of, while
    /// the two are not reconciled: ask with it whether that log was exchanged, too.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn other_log(&self) -> Result<Option<AuditHead>, ServerError> {
        self.store.other_log()
    }

    /// Takes from a feed that was asked for with this head of the other log whether it is still that log. Where it is not, the
    /// server was restored once more, and events go there from the first one on once more.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA; [`ServerError::Cache`].
    pub fn follow_other(&self, asked: &AuditHead, jws: &str) -> Result<(), ServerError> {
        let feed = signed::feed(jws, &self.cas)?;
        self.store.set_other(asked, &feed.audit, compare(asked, &feed) != SameLog::Yes)
    }

    /// How often the server's log was exchanged for another, as far as was noticed.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn exchanges(&self) -> Result<u64, ServerError> {
        self.store.exchanges()
    }

    /// What this terminal holds of the log that it was told of, in parts that a request can carry; none when it holds
    /// nothing that the server has signed.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn witness(&self) -> Result<Vec<Witness>, ServerError> {
        let (feed, statuses) = self.store.witness()?;
        let room = (BODY_MAX / 8 * 7).saturating_sub(feed.len()) / STATUS_BYTES;
        let most = room.clamp(1, PAGE_MAX as usize);
        Ok(if feed.is_empty() {
            Vec::new()
        } else if statuses.is_empty() {
            vec![Witness { feed, statuses }]
        } else {
            statuses.chunks(most).map(|part| Witness { feed: feed.clone(), statuses: part.to_vec() }).collect()
        })
    }

    /// Forgets the nonces that are kept: one of them was used before, so this is an older state of the terminal.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn drop_nonces(&self) -> Result<(), ServerError> {
        self.store.drop_nonces()
    }

    /// The tokens that the server does not let in, as far as it has said so.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn not_active(&self) -> Result<Vec<Uuid>, ServerError> {
        self.store.not_active()
    }

    /// Keeps what a lookup brought for the time when the server is away.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a user who is not signed under our CA, or is another than the one told;
    /// [`ServerError::Cache`].
    pub fn remember(&self, found: &Lookup) -> Result<(), ServerError> {
        if found.status != TokenStatus::Active {
            return self.store.apply_lookup(found.token_id, found.status, found.reason.as_deref());
        }
        let Some(jws) = &found.signed_user else { return Ok(()) };
        let user = signed::user(jws, &self.cas)?;
        if user.token_id != found.token_id || Some(&user.user) != found.user.as_ref() {
            return Err(ServerError::Protocol("it signed another user than the one in its answer".into()));
        }
        self.store.keep_user(found.token_id, jws, user.at)
    }

    /// What is known of a token without asking.
    ///
    /// # Errors
    /// [`ServerError::Cache`]. What was kept and does not verify any more counts as not kept.
    pub fn recall(&self, id: Uuid, now: Timestamp) -> Result<CachedToken, ServerError> {
        let at = self.store.mark()?.at;
        // A clock that was set back makes nothing younger than it is.
        let feed_age = at.map(|at| now.duration_since(at).abs());
        Ok(CachedToken { status: self.store.status(id)?, feed_age, user: self.user(id, now)? })
    }

    fn user(&self, id: Uuid, now: Timestamp) -> Result<Option<(User, Timestamp)>, ServerError> {
        Ok(self.store.user(id)?.and_then(|jws| self.verified(id, &jws, now)))
    }

    /// What does not hold any more counts as not kept: the file is no authority.
    fn verified(&self, id: Uuid, jws: &str, now: Timestamp) -> Option<(User, Timestamp)> {
        let signed = signed::user(jws, &self.cas).ok();
        let fits = signed.filter(|user| user.token_id == id && user.at.duration_since(now) <= SKEW);
        fits.map(|user| (user.user, user.at))
    }

    /// The users that the server has named, with their tokens, the latest first.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn users(&self, now: Timestamp) -> Result<Vec<(Uuid, User)>, ServerError> {
        let kept = self.store.users()?.into_iter();
        Ok(kept.filter_map(|(id, jws)| Some((id, self.verified(id, &jws, now)?.0))).collect())
    }

    /// Forgets users that the server named before this time, and nonces that may not be used any more.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn prune(&self, before: Timestamp, now: Timestamp) -> Result<(), ServerError> {
        self.store.prune(before, now)
    }

    /// Up to which event of a list the server has everything; 0 for nothing.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn uploaded(&self, list: Uuid) -> Result<u64, ServerError> {
        self.store.uploaded(list)
    }

    /// The server has everything up to this event.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn set_uploaded(&self, list: Uuid, seq: u64) -> Result<(), ServerError> {
        self.store.set_uploaded(list, seq)
    }
}

/// Forgets the users of these tokens in the cache of this folder, if there is one; gives how many.
///
/// # Errors
/// [`ServerError::Cache`].
pub fn forget_users(home: &Path, tokens: &[Uuid]) -> Result<usize, ServerError> {
    super::store::forget_users(home, tokens)
}

/// Whether a feed comes from the log that this terminal was told of.
#[derive(Debug, PartialEq, Eq)]
enum SameLog {
    Yes,
    No,
    /// Not, and an administrator has reconciled the two.
    Reconciled,
}

fn compare(seen: &AuditHead, feed: &Feed) -> SameLog {
    if seen.seq == 0 {
        return SameLog::Yes;
    }
    let shorter = feed.audit.seq < seen.seq || (feed.audit.seq == seen.seq && feed.audit.hash != seen.hash);
    match &feed.held {
        Some(held) if held.seq != seen.seq => SameLog::No,
        Some(held) if held.hash.as_ref() == Some(&seen.hash) && !shorter => SameLog::Yes,
        Some(held) if held.reconciled => SameLog::Reconciled,
        Some(_) => SameLog::No,
        // A server of an earlier release does not say; then only the end can be compared.
        None if shorter => SameLog::No,
        None => SameLog::Yes,
    }
}
