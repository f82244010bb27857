//! The revocation feed: what a terminal goes by while the server is away.

use axum::{Json, extract::State};
use serde::Deserialize;

use super::{Answer, Desk};
use crate::{
    api::v1::{FEED_TYPE, PAGE_MAX, SignedFeed},
    server::{body::Parameters, caller::Caller, problem::ApiError},
};

/// Where a terminal stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// The version that it has; 0 for none.
    #[serde(default)]
    since: u64,
}

/// `GET /v1/revocations?since=VERSION`.
pub async fn feed(
    State(desk): State<Desk>,
    _: Caller,
    Parameters(Since { since }): Parameters<Since>,
) -> Answer<SignedFeed> {
    let feed = desk.store.feed(since, PAGE_MAX, (desk.clock)()).await?;
    Ok(Json(SignedFeed { jws: desk.signer.sign(&feed, FEED_TYPE).map_err(|error| ApiError::fault(&error))? }))
}
