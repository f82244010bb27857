//! Whether the server works, what it can do, and what it counted.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Answer, Desk};
use crate::{
    api::v1::Health,
    server::{caller::Caller, openapi, problem::ApiError},
};

/// `GET /v1/health`: the store answers, too.
pub async fn health(State(desk): State<Desk>, Caller(caller): Caller) -> Answer<Health> {
    desk.store.audit_head().await?;
    Ok(Json(Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        at: (desk.clock)(),
        terminal: caller.name.clone(),
        role: caller.role,
    }))
}

/// `GET /v1/openapi.json`.
pub async fn openapi(_: Caller) -> Json<serde_json::Value> {
    Json(openapi::document())
}

/// `GET /v1/metrics`.
pub async fn metrics(State(desk): State<Desk>, _: Caller) -> Result<Response, ApiError> {
    let text = desk.metrics.text().map_err(|error| ApiError::fault(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}
