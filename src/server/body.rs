//! What comes in: JSON of exactly the form of its route, bounded; and pages of lists.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::ApiError;
use crate::api::{User, v1::PAGE_MAX};

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::MediaType),
            Err(JsonRejection::BytesRejection(error)) if error.status() == 413 => Err(ApiError::TooLarge),
            Err(error) => Err(ApiError::Malformed(error.body_text())),
        }
    }
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The last id of the page before.
    #[serde(default)]
    pub after: String,
    /// The most entries; the server's limit holds too.
    #[serde(default = "whole_page")]
    pub limit: u32,
}

const fn whole_page() -> u32 {
    100
}

/// The parameters of a request, of exactly this form.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::Malformed(error.body_text()))
    }
}

/// The part of a path that varies: an id or a name, which is never empty, long, or made of what cannot be written.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().map(|Path(id)| id).filter(|id| plain(id, 1, 64));
        id.map(Self).ok_or_else(|| ApiError::Malformed("the id in the path is not 1 to 64 bytes of UTF-8 text".into()))
    }
}

impl PageQuery {
    /// A page of a route that takes more than this.
    pub fn of(after: String, limit: Option<u32>) -> Self {
        Self { after, limit: limit.unwrap_or_else(whole_page) }
    }

    /// What the store is asked for: one entry more, which tells that a page follows.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a limit out of range, or a mark of more than 200 bytes.
    pub fn limit(&self) -> Result<u32, ApiError> {
        if (1..=PAGE_MAX).contains(&self.limit) && plain(&self.after, 0, 200) {
            return Ok(self.limit);
        }
        Err(ApiError::Invalid(format!("limit is 1 to {PAGE_MAX}")))
    }
}

/// Base64url without padding, of exactly this length.
///
/// # Errors
/// [`ApiError::Invalid`] for anything else.
pub fn binary(name: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>, ApiError> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| length.contains(&bytes.len()));
    bytes.ok_or_else(|| ApiError::Invalid(format!("{name} is not base64url of {length:?} bytes")))
}

/// A text within these lengths (in bytes) and without control characters.
pub fn plain(text: &str, shortest: usize, longest: usize) -> bool {
    (shortest..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Refuses a user that is empty or longer than anybody's.
///
/// # Errors
/// [`ApiError::Invalid`] says which part.
pub fn check_user(user: &User) -> Result<(), ApiError> {
    let field = |(key, value): (&String, &String)| plain(key, 1, 64) && plain(value, 0, 1024);
    let wrong = if !plain(&user.id, 1, 64) {
        "the id of a user is 1 to 64 bytes without control characters"
    } else if !plain(&user.name, 1, 256) {
        "the name of a user is 1 to 256 bytes without control characters"
    } else if user.fields.len() > 32 || !user.fields.iter().all(field) {
        "a user has at most 32 fields, each name 1 to 64 bytes and each value at most 1024"
    } else {
        return Ok(());
    };
    Err(ApiError::Invalid(format!("{:?}: {wrong}", user.id)))
}

/// The name of a terminal, which stands in certificates.
///
/// # Errors
/// [`ApiError::Invalid`] for anything but 1 to 64 letters, digits, dots, hyphens and underscores.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    let known = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    if (1..=64).contains(&name.len()) && name.bytes().all(known) {
        return Ok(());
    }
    Err(ApiError::Invalid("the name of a terminal is 1 to 64 letters, digits, dots, hyphens, underscores".into()))
}
