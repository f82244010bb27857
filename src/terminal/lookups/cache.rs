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
        v1::{AuditHead, Lookup, NONCES_MAX, Nonce, TokenStatus},
    },
    crypto::ec::Point,
};

/// How far the server's clock may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is kept, in `directory.db` of the state folder.
#[derive(Debug)]
pub struct Cache {
    store: CacheStore,
    cas: Vec<Point>,
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
    /// other is forgotten.
    ///
    /// # Errors
    /// [`ServerError::Cache`] when the file cannot be opened, read or made.
    pub fn open(home: &Path, cas: &[Point]) -> Result<Self, ServerError> {
        let known: Vec<&[u8]> = cas.iter().map(|ca| ca.as_bytes().as_slice()).collect();
        Ok(Self { store: CacheStore::open(home, &known)?, cas: cas.to_vec() })
    }

    /// What the server signs is checked under these from now on.
    pub fn trust(&mut self, cas: &[Point]) {
        self.cas = cas.to_vec();
    }

    /// A nonce of the server's for one proof. It is gone from here when this returns, so that nobody gets it again.
    ///
    /// # Errors
    /// [`ServerError::Cache`].
    pub fn take_nonce(&self, now: Timestamp) -> Result<Option<[u8; 32]>, ServerError> {
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

    /// Takes a feed that was asked for at this mark; `true` when more follows. A feed whose audit log is shorter than
    /// one that was seen, or another of the same length, is refused: records were taken away.
    ///
    /// # Errors
    /// [`ServerError::Protocol`] for a feed that is not signed under our CA, or does not follow;
    /// [`ServerError::AuditCut`]; [`ServerError::Cache`].
    pub fn take_feed(&self, asked: &FeedPosition, jws: &str, now: Timestamp) -> Result<bool, ServerError> {
        let feed = signed::feed(jws, &self.cas, asked.version)?;
        check_audit(&asked.audit, &feed.audit)?;
        let taken = self.store.take_feed(asked, &feed, now)?;
        Ok(taken && feed.more)
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
            return Err(ServerError::Protocol("it signed another user than it told".into()));
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
        let Some(jws) = self.store.user(id)? else { return Ok(None) };
        // What does not hold any more counts as not kept: the file is no authority.
        let signed = signed::user(&jws, &self.cas).ok();
        let fits = signed.filter(|user| user.token_id == id && user.at.duration_since(now) <= SKEW);
        Ok(fits.map(|user| (user.user, user.at)))
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

fn check_audit(seen: &AuditHead, told: &AuditHead) -> Result<(), ServerError> {
    if told.seq < seen.seq || (told.seq == seen.seq && seen.seq > 0 && told.hash != seen.hash) {
        return Err(ServerError::AuditCut { seen: seen.seq, told: told.seq });
    }
    Ok(())
}
