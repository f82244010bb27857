//! Answers who is present at all doors, now or at a time in the past.

use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Answer, SharedState, fit, length};
use crate::{
    api::v1::{Presence, optional_moment},
    server::{
        auth::AuthenticatedTerminal,
        body::{PageQuery, Parameters},
        problem::ApiError,
    },
};

/// Which time, and which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtQuery {
    /// The time; now if it is absent.
    #[serde(default, deserialize_with = "optional_moment")]
    at: Option<Timestamp>,
    /// Where the page starts.
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

/// `GET /v1/presence`.
pub async fn show(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(asked): Parameters<AtQuery>,
) -> Answer<Presence> {
    let page = PageQuery::of(asked.after, asked.limit);
    let (limit, now) = (page.limit()?, (state.clock)());
    if asked.at.is_some_and(|at| at > now) {
        return Err(ApiError::Invalid("at is in the future".into()));
    }
    match asked.at {
        Some(at) => past(&state, at, &page.after, limit).await,
        None => now_here(&state, now, &page.after, limit).await,
    }
    .map(Json)
}

async fn now_here(state: &SharedState, now: Timestamp, after: &str, limit: u32) -> Result<Presence, ApiError> {
    state.heard.store(&state.store).await;
    let mut found = state.store.presence(now, after, limit + 1).await?;
    let more = fit(&mut found, limit, |(_, one)| length(one));
    let next = found.last().filter(|_| more).map(|(key, _)| key.clone());
    let summary = if after.is_empty() { Some(state.store.presence_summary(now).await?) } else { None };
    Ok(Presence { at: now, items: found.into_iter().map(|(_, one)| one).collect(), next, summary })
}

/// The past is computed once, and kept for the following pages.
async fn past(state: &SharedState, at: Timestamp, after: &str, limit: u32) -> Result<Presence, ApiError> {
    let people = state.past.people(&state.store, at, !after.is_empty()).await?;
    let from = people.partition_point(|placed| placed.said.named.person.as_str() <= after);
    let placed = people.get(from..people.len().min(from + limit as usize)).unwrap_or_default();
    let mut items = state.store.past_users(placed).await?;
    fit(&mut items, limit, length);
    let more = from + items.len() < people.len();
    let next = items.len().checked_sub(1).filter(|_| more).map(|last| placed[last].said.named.person.clone()); // invariant: there are as many items as placed, or fewer
    let summary = if after.is_empty() { Some(state.store.past_summary(&people, at).await?) } else { None };
    Ok(Presence { at, items, next, summary })
}
