//! Reports whether the server works, what its API is, and its metrics.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{Answer, SharedState};
use crate::{
    api::v1::Health,
    server::{auth::AuthenticatedTerminal, exposition::Exposition, openapi, problem::ApiError, state::AppState},
};

/// `GET /v1/health`: ok only if the store takes changes, too.
pub async fn health(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
) -> Answer<Health> {
    state.ready().await?;
    Ok(Json(Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        at: (state.clock)(),
        terminal: terminal.name.clone(),
        role: terminal.role,
    }))
}

/// `GET /v1/openapi.json`.
pub async fn openapi(_: AuthenticatedTerminal) -> Json<serde_json::Value> {
    Json(openapi::document())
}

/// Most terminals named in the metrics.
const TERMINALS: u32 = 1000;

/// Updates the metrics that come from the store; returns whether it takes changes. If it does not, they stay as they
/// were.
async fn ask_store(state: &AppState) -> Result<bool, ApiError> {
    // Do not wait for a store that is known to be unavailable.
    if state.store.availability().is_away() || state.ready().await.is_err() {
        return Ok(false);
    }
    state.heard.store(&state.store).await;
    let stored = &state.metrics.stored;
    stored.presence(&state.store.presence_summary((state.clock)()).await?);
    stored.terminals(&state.store.terminals("", TERMINALS).await?);
    Ok(true)
}

/// `GET /v1/metrics`, also while the store is unavailable.
pub async fn metrics(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let is_up = match ask_store(&state).await {
        Err(ApiError::Store(_)) => false,
        done => done?,
    };
    state.metrics.stored.store(is_up);
    let text = state.metrics.text().map_err(|error| ApiError::fault(&error))?;
    // Several header fields form one list; a value that is not text names no format that we have.
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|one| one.to_str().ok()).collect();
    let format = Exposition::of(headers.contains_key(header::ACCEPT).then(|| accept.join(",")).as_deref());
    // The format depends on `Accept`, which caches must know.
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    Ok((kind, format.write(text)).into_response())
}
