//! Reads what the server signs for offline use: verified under the CA, at the time stated in it.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::ServerError;
use crate::{
    api::v1::{FEED_TYPE, Feed, SignedUser, TokenStatus, USER_TYPE},
    crypto::{ec::Point, jws},
};

/// Reads a signed user.
///
/// # Errors
/// [`ServerError::Protocol`] when no CA certified its signer, or it has another form.
pub fn user(jws: &str, cas: &[Point]) -> Result<SignedUser, ServerError> {
    opened(jws, USER_TYPE, cas, |user: &SignedUser| user.at)
}

/// Reads a signed feed.
///
/// # Errors
/// As [`user`].
pub fn feed(jws: &str, cas: &[Point]) -> Result<Feed, ServerError> {
    opened(jws, FEED_TYPE, cas, |feed: &Feed| feed.at)
}

/// Checks that a feed continues from a version: every entry is after it, and in order.
///
/// # Errors
/// [`ServerError::Protocol`] for a feed that does not continue from it.
pub fn check_order(feed: &Feed, since: u64) -> Result<(), ServerError> {
    let mut last = since;
    let in_order = feed.entries.iter().all(|entry| {
        let rises = entry.version > last;
        last = entry.version;
        rises
    });
    // A feed that announces more without advancing would be requested for ever.
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
    // While a CA is rotated out there are two: the first that verifies it counts, otherwise the error of the last one.
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

/// The word for a status, for people and as the end of a code.
pub const fn word(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Active => "active",
        TokenStatus::Suspended => "suspended",
        TokenStatus::Lost => "lost",
        TokenStatus::Revoked => "revoked",
    }
}
