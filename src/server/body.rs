//! Reads requests: JSON bodies, parameters and ids of exactly the expected form, and the bounds of pages.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::problem::ApiError;
pub use crate::api::plain;
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

/// Where a page starts and how long it is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The last id of the previous page.
    #[serde(default)]
    pub after: String,
    /// The most entries; the server's own limit applies too.
    #[serde(default = "whole_page")]
    pub limit: u32,
}

const fn whole_page() -> u32 {
    100
}

/// The query parameters of a request, of exactly this form.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::Malformed(error.body_text()))
    }
}

/// The variable part of a path: an id or a name of 1 to 64 bytes of plain text.
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
    /// The page of a route that has further parameters.
    pub fn of(after: String, limit: Option<u32>) -> Self {
        Self { after, limit: limit.unwrap_or_else(whole_page) }
    }

    /// The checked limit.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a limit out of range, or an `after` of more than 200 bytes.
    pub fn limit(&self) -> Result<u32, ApiError> {
        if (1..=PAGE_MAX).contains(&self.limit) && plain(&self.after, 0, 200) {
            return Ok(self.limit);
        }
        Err(ApiError::Invalid(format!("limit is 1 to {PAGE_MAX}")))
    }
}

/// Decodes base64url without padding to a length in this range.
///
/// # Errors
/// [`ApiError::Invalid`] for anything else.
pub fn binary(name: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> Result<Vec<u8>, ApiError> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| length.contains(&bytes.len()));
    bytes.ok_or_else(|| ApiError::Invalid(format!("{name} is not base64url of {length:?} bytes")))
}

/// Refuses a user with a part that is empty or too long.
///
/// # Errors
/// [`ApiError::Invalid`] says which part.
pub fn check_user(user: &User) -> Result<(), ApiError> {
    user.check().map_err(|fault| ApiError::Invalid(format!("{:?}: {fault}", user.id)))
}

/// Checks the name of a terminal, which appears in certificates.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn long(length: usize) -> String {
        "x".repeat(length)
    }

    fn user(id: usize, name: usize, fields: usize, key: usize, value: usize) -> User {
        let key = |n: usize| format!("{n:0>key$}");
        User { id: long(id), name: long(name), fields: (0..fields).map(|n| (key(n), long(value))).collect() }
    }

    #[test]
    fn the_longest_user_is_taken_and_a_longer_one_is_not() {
        assert!(check_user(&user(64, 256, 32, 64, 1024)).is_ok());
        assert!(check_user(&user(1, 1, 1, 1, 0)).is_ok());
        let (short, wide) = ([(0, 1, 1, 1, 0), (1, 0, 1, 1, 0)], [(65, 256, 32, 64, 1024), (64, 257, 32, 64, 1024)]);
        let fields = [(64, 256, 33, 64, 1024), (64, 256, 32, 65, 1024), (64, 256, 32, 64, 1025)];
        for (id, name, fields, key, value) in short.into_iter().chain(wide).chain(fields) {
            let wrong = user(id, name, fields, key, value);
            assert!(check_user(&wrong).is_err(), "{id} {name} {fields} {key} {value}");
        }
        for control in ["a\nb", "\u{7f}", "\u{85}"] {
            assert!(check_user(&User { name: control.into(), ..user(1, 1, 0, 1, 1) }).is_err(), "{control:?}");
        }
    }

    #[test]
    fn the_name_of_a_terminal_is_letters_digits_and_three_signs() {
        for name in ["a", "Z9._-", long(64).as_str()] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "\u{fc}", "a\n", long(65).as_str()] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_page_has_its_limits() {
        let limit = |after: String, limit| PageQuery::of(after, limit).limit().ok();
        assert_eq!(limit(String::new(), None), Some(100));
        assert_eq!([1, PAGE_MAX].map(|n| limit(long(200), Some(n))), [Some(1), Some(PAGE_MAX)]);
        assert_eq!([0, PAGE_MAX + 1].map(|n| limit(String::new(), Some(n))), [None, None]);
        assert_eq!([long(201), "a\0".into()].map(|after| limit(after, Some(1))), [None, None]);
    }

    #[test]
    fn binary_has_exactly_its_length() {
        assert_eq!(binary("x", "AQID", 3..=3).ok(), Some(vec![1, 2, 3]));
        for wrong in ["AQI", "AQIDBA", "AQI=", "AQ+D", " AQID"] {
            assert!(binary("x", wrong, 3..=3).is_err(), "{wrong}");
        }
    }
}
