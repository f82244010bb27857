//! What the server signs for use while it is away: verified under the CA, at the time that it names itself.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::ServerError;
use crate::{
    api::v1::{FEED_TYPE, Feed, SignedUser, TokenStatus, USER_TYPE},
    crypto::{ec::Point, jws},
};

/// A signed user.
///
/// # Errors
/// [`ServerError::Protocol`] when none of the CAs certified who signed it, or it has another form.
pub fn user(jws: &str, cas: &[Point]) -> Result<SignedUser, ServerError> {
    opened(jws, USER_TYPE, cas, |user: &SignedUser| user.at)
}

/// A signed feed.
///
/// # Errors
/// As [`user`].
pub fn feed(jws: &str, cas: &[Point]) -> Result<Feed, ServerError> {
    opened(jws, FEED_TYPE, cas, |feed: &Feed| feed.at)
}

/// A feed must follow a version: every entry after it and in order.
///
/// # Errors
/// [`ServerError::Protocol`] for a feed that does not follow that version.
pub fn check_order(feed: &Feed, since: u64) -> Result<(), ServerError> {
    let mut last = since;
    let in_order = feed.entries.iter().all(|entry| {
        let rises = entry.version > last;
        last = entry.version;
        rises
    });
    // Whoever says that more follows, and moves nowhere, would be asked for ever.
    let moves = !feed.more || feed.version > since;
    if feed.since != since || !in_order || feed.version < last || !moves {
        return Err(ServerError::Protocol("the feed does not follow the one before it".into()));
    }
    Ok(())
}

fn opened<T: DeserializeOwned>(
    jws: &str,
    typ: &str,
    cas: &[Point],
    at: impl FnOnce(&T) -> Timestamp,
) -> Result<T, ServerError> {
    let unsigned = |error: jws::JwsError| ServerError::Protocol(format!("what it signed is not valid: {error}"));
    // Of two CAs, while one is rotated out, the first that it holds under; otherwise what the last one says.
    let mut verdict = Err(jws::JwsError::Form);
    for ca in cas {
        verdict = jws::verify(jws, typ, ca);
        if verdict.is_ok() {
            break;
        }
    }
    let verified = verdict.map_err(unsigned)?;
    let form = |error| ServerError::Protocol(format!("what it signed has another form: {error}"));
    let content: T = serde_json::from_slice(&verified.payload).map_err(form)?;
    verified.check_time(at(&content)).map_err(unsigned)?;
    Ok(content)
}

/// The word of a status for people and as the end of a code.
pub const fn word(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Active => "active",
        TokenStatus::Suspended => "suspended",
        TokenStatus::Lost => "lost",
        TokenStatus::Revoked => "revoked",
    }
}
