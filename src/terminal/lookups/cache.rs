//! The terminal's cache of its server's answers: nonces for the next taps, the status feed, and signed users.

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
/// The maximum size of one status in a request: id, words, and a reason of 200 bytes, each escaped as JSON.
const STATUS_BYTES: usize = 640;

/// The cache, stored in `directory.db` of the state folder.
#[derive(Debug)]
pub struct Cache {
    store: CacheStore,
    cas: Vec<Point>,
}

/// The result of applying a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedTaken {
    /// It was the last part for now.
    Whole,
    /// More parts follow.
    MoreFollows,
    /// It belongs to another log, reconciled with the one known here: that log is now followed from its beginning.
    StartedOver,
}

/// What is known about a token without asking the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CachedToken {
    /// Its status and reason, unless it is active or unknown.
    pub status: Option<(TokenStatus, Option<String>)>,
    /// The age of the newest feed; `None` when none was received yet.
    pub feed_age: Option<SignedDuration>,
    /// Its user, and when the server stated it.
    pub user: Option<(User, Timestamp)>,
}

impl Cache {
    /// Opens or creates the cache. `cas` holds the current CA first, then the one being rotated out; data cached under
    /// any other CA are dropped. If the disk is full or read-only, the cache continues in memory.
    ///
    /// # Errors
    /// [`ServerError::Cache`] when the file cannot be opened, read or created.
    pub fn open(home: &Path, cas: &[Point]) -> Result<Self, ServerError> {
        let known: Vec<&[u8]> = cas.iter().map(|ca| ca.as_bytes().as_slice()).collect();
        Ok(Self { store: CacheStore::open(home, &known)?, cas: cas.to_vec() })
    }

    /// Opens the cache again for another thread; when nothing can be written, both share the same memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn again(&self, home: &Path) -> Result<Self, ServerError> {
        match self.store.unwritable() {
            Some(_) => Ok(Self { store: self.store.clone(), cas: self.cas.clone() }),
            None => Self::open(home, &self.cas),
        }
    }

    /// Why nothing can be written, in which case everything is kept in memory.
    pub fn unwritable(&self) -> Option<ServerError> {
        self.store.unwritable().cloned().map(ServerError::Cache)
    }

    /// From now on, verifies the server's signatures under these CAs.
    pub fn trust(&mut self, cas: &[Point]) {
        self.cas = cas.to_vec();
    }

    /// A nonce from the server for one proof, and when it expires. It is removed from the cache before this returns, so
    /// that it is never handed out twice.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn take_nonce(&self, now: Timestamp) -> Result<Option<([u8; 32], Timestamp)>, ServerError> {
        self.store.take_nonce(now)
    }

    /// How many nonces are missing up to [`NONCES_MAX`].
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn missing_nonces(&self, now: Timestamp) -> Result<u16, ServerError> {
        Ok(NONCES_MAX.saturating_sub(self.store.count_nonces(now)?))
    }

    /// Stores nonces received from the server.
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

    /// The current position in the feed: the next request asks for changes after its version.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn mark(&self) -> Result<FeedPosition, ServerError> {
        self.store.mark()
    }

    /// Applies a feed that was requested at this position. It is refused if its audit log does not contain the last
    /// record known to this terminal: the server was restored, or records were removed. The cached data stay until an
    /// administrator has reconciled the two logs; then the new log is followed from its beginning.
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

    /// Checks whether a feed requested at this position comes from the log known to this terminal; nothing changes.
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

    /// Records that the server has lost the log known to this terminal, as this feed shows. All events are sent again.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA; [`ServerError::Cache`].
    pub fn roll_back(&self, jws: &str) -> Result<(), ServerError> {
        self.store.roll_back(&signed::feed(jws, &self.cas)?.audit)
    }

    /// The newest known head of the log that the server has in place of the one known to this terminal, until the two
    /// are reconciled: requests include it to find out whether that log was replaced as well.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn other_log(&self) -> Result<Option<AuditHead>, ServerError> {
        self.store.other_log()
    }

    /// Checks, with a feed requested with this head, whether the server still has that other log. If not, the server
    /// was restored again, and all events are sent again.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA; [`ServerError::Cache`].
    pub fn follow_other(&self, asked: &AuditHead, jws: &str) -> Result<(), ServerError> {
        let feed = signed::feed(jws, &self.cas)?;
        self.store.set_other(asked, &feed.audit, compare(asked, &feed) != SameLog::Yes)
    }

    /// How often the server's log was replaced by another, as far as was noticed.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn exchanges(&self) -> Result<u64, ServerError> {
        self.store.exchanges()
    }

    /// Everything this terminal holds from the log it knows, in parts that fit a request; empty when it holds nothing
    /// signed by the server.
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

    /// Drops all nonces: one of them had been used before, so the terminal was restored to an older state.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn drop_nonces(&self) -> Result<(), ServerError> {
        self.store.drop_nonces()
    }

    /// The tokens that the server refuses, as far as known.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn not_active(&self) -> Result<Vec<Uuid>, ServerError> {
        self.store.not_active()
    }

    /// Stores the result of a lookup for times when the server is unreachable.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a user who is not signed under our CA, or differs from the one in the answer;
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

    /// What is known about a token without asking.
    ///
    /// # Errors
    /// [`ServerError::Cache`]. Stored data that no longer verify count as missing.
    pub fn recall(&self, id: Uuid, now: Timestamp) -> Result<CachedToken, ServerError> {
        let at = self.store.mark()?.at;
        // A clock that was set back must not make the feed look younger.
        let feed_age = at.map(|at| now.duration_since(at).abs());
        Ok(CachedToken { status: self.store.status(id)?, feed_age, user: self.user(id, now)? })
    }

    fn user(&self, id: Uuid, now: Timestamp) -> Result<Option<(User, Timestamp)>, ServerError> {
        Ok(self.store.user(id)?.and_then(|jws| self.verified(id, &jws, now)))
    }

    /// The stored user, if its signature still verifies: the file itself is not trusted.
    fn verified(&self, id: Uuid, jws: &str, now: Timestamp) -> Option<(User, Timestamp)> {
        let signed = signed::user(jws, &self.cas).ok();
        let fits = signed.filter(|user| user.token_id == id && user.at.duration_since(now) <= SKEW);
        fits.map(|user| (user.user, user.at))
    }

    /// The users that the server has named, with their tokens, latest first.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn users(&self, now: Timestamp) -> Result<Vec<(Uuid, User)>, ServerError> {
        let kept = self.store.users()?.into_iter();
        Ok(kept.filter_map(|(id, jws)| Some((id, self.verified(id, &jws, now)?.0))).collect())
    }

    /// Drops users that the server named before this time, and expired nonces.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn prune(&self, before: Timestamp, now: Timestamp) -> Result<(), ServerError> {
        self.store.prune(before, now)
    }

    /// The last event of a list up to which the server has everything; 0 for none.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn uploaded(&self, list: Uuid) -> Result<u64, ServerError> {
        self.store.uploaded(list)
    }

    /// Records that the server has everything up to this event.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn set_uploaded(&self, list: Uuid, seq: u64) -> Result<(), ServerError> {
        self.store.set_uploaded(list, seq)
    }
}

/// Drops the users of these tokens from the cache of this folder, if there is one; returns how many.
///
/// # Errors
/// [`ServerError::Cache`].
pub fn forget_users(home: &Path, tokens: &[Uuid]) -> Result<usize, ServerError> {
    super::store::forget_users(home, tokens)
}

/// Whether a feed comes from the log known to this terminal.
#[derive(Debug, PartialEq, Eq)]
enum SameLog {
    Yes,
    No,
    /// No, but an administrator has reconciled the two.
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
        // Servers of earlier releases do not send this; then only the ends of the logs can be compared.
        None if shorter => SameLog::No,
        None => SameLog::Yes,
    }
}
