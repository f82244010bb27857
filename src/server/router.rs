//! Puts the handlers behind authentication, a body limit and a time limit.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::header::CONTENT_LENGTH,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};

use super::{api, auth, problem::ApiError, state::AppState};
use crate::api::v1::BODY_MAX;

/// The handlers, by path; the roles that may use them are in [`super::routes::ROUTES`].
fn handlers() -> [(&'static str, MethodRouter<Arc<AppState>>); 19] {
    [
        ("/v1/health", get(api::health::health)),
        ("/v1/openapi.json", get(api::health::openapi)),
        ("/v1/metrics", get(api::health::metrics)),
        ("/v1/nonces", post(api::lookups::nonces)),
        ("/v1/lookups", post(api::lookups::lookup)),
        ("/v1/events", post(api::events::keep).get(api::events::search)),
        ("/v1/presence", get(api::presence::show)),
        ("/v1/revocations", get(api::revocations::feed)),
        ("/v1/witness", post(api::revocations::witness)),
        ("/v1/terminals/self/renewal", post(api::terminals::renew)),
        ("/v1/tokens", post(api::tokens::register).get(api::tokens::list)),
        ("/v1/tokens/{id}", get(api::tokens::show)),
        ("/v1/tokens/{id}/status", put(api::tokens::set_status)),
        ("/v1/users", get(api::users::list)),
        ("/v1/users/import", post(api::users::import)),
        ("/v1/users/{id}", get(api::users::show).put(api::users::put).delete(api::users::forget)),
        ("/v1/users/{id}/tokens", get(api::tokens::of_user)),
        ("/v1/terminals", get(api::terminals::list).post(api::terminals::add)),
        ("/v1/terminals/{name}", delete(api::terminals::revoke)),
    ]
}

/// The router. Every request goes through `auth::admit`, even for an unknown path.
pub fn router(state: Arc<AppState>, patience: Duration) -> Router {
    let mut router = Router::new();
    for (path, handler) in handlers() {
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { ApiError::Route })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(move |request: Request, next: Next| in_time(patience, request, next)))
        .layer(from_fn_with_state(Arc::clone(&state), auth::admit))
        .with_state(state)
}

/// Limits the time, so that no client waits for ever or occupies a place by sending slowly.
async fn in_time(patience: Duration, request: Request, next: Next) -> Response {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_MAX) {
        return ApiError::TooLarge.into_response(); // before any of it is sent
    }
    match tokio::time::timeout(patience, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Slow.into_response(),
    }
}
