//! Whether the server works, what it can do, and what it counted.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use super::{Answer, SharedState};
use crate::{
    api::v1::Health,
    server::{auth::AuthenticatedTerminal, exposition::Exposition, openapi, problem::ApiError},
};

/// `GET /v1/health`: the store takes changes, too.
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

/// Most terminals that the counters name.
const TERMINALS: u32 = 1000;

/// `GET /v1/metrics`.
pub async fn metrics(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (now, stored) = ((state.clock)(), &state.metrics.stored);
    let is_up = state.ready().await.is_ok();
    stored.store(is_up);
    if is_up {
        state.heard.store(&state.store).await;
        stored.presence(&state.store.presence_summary(now).await?);
        stored.terminals(&state.store.terminals("", TERMINALS).await?);
    }
    let text = state.metrics.text().map_err(|error| ApiError::fault(&error))?;
    // Several fields are one list; what is no text names no format that we have.
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|one| one.to_str().ok()).collect();
    let format = Exposition::of(headers.contains_key(header::ACCEPT).then(|| accept.join(",")).as_deref());
    // Which format it is depends on what was asked for: a cache has to know.
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    Ok((kind, format.write(text)).into_response())
}
