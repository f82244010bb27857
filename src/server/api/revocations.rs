//! The revocation feed: what a terminal goes by while the server is away.

use axum::{Json, extract::State};
use serde::Deserialize;

use super::{Answer, SharedState};
use crate::{
    api::v1::{FEED_TYPE, PAGE_MAX, SignedFeed},
    server::{auth::AuthenticatedTerminal, body::Parameters, problem::ApiError},
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
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(Since { since }): Parameters<Since>,
) -> Answer<SignedFeed> {
    let feed = state.store.feed(since, PAGE_MAX, (state.clock)()).await?;
    Ok(Json(SignedFeed { jws: state.signer.sign(&feed, FEED_TYPE).map_err(|error| ApiError::fault(&error))? }))
}
