//! The table of routes: from it come the router, the roles and the OpenAPI document.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, header::CONTENT_LENGTH},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post, put},
};

use super::{api, caller, desk::Desk, problem::ApiError};
use crate::wire::v1::{BODY_MAX, Role};

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, `{id}` for a part that varies.
    pub path: &'static str,
    /// The lowest role that may use it.
    pub role: Role,
    /// What it does.
    pub summary: &'static str,
    /// The names of the body's type and the answer's, in the OpenAPI document; none where there is no body, or no JSON.
    pub body: Option<&'static str>,
    /// See `body`.
    pub answer: Option<&'static str>,
    /// The codes of problems that this route has beside those that every route has.
    pub problems: &'static [&'static str],
}

const fn route(method: &'static str, path: &'static str, role: Role, summary: &'static str) -> Route {
    Route { method, path, role, summary, body: None, answer: None, problems: &[] }
}

impl Route {
    const fn takes(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn gives(self, answer: &'static str) -> Self {
        Self { answer: Some(answer), ..self }
    }

    const fn refuses(self, problems: &'static [&'static str]) -> Self {
        Self { problems, ..self }
    }
}

/// What a lookup may refuse.
const LOOKUP: &[&str] = &[
    "token.unknown",
    "proof.malformed",
    "proof.certificate",
    "proof.signature",
    "proof.terminal",
    "proof.replayed",
    "proof.foreign-nonce",
    "proof.expired",
    "proof.clone",
];

/// All routes.
pub const ROUTES: [Route; 19] = [
    route("GET", "/v1/health", Role::Read, "Whether the server works, and who asks").gives("Health"),
    route("GET", "/v1/openapi.json", Role::Read, "This document"),
    route("GET", "/v1/metrics", Role::Read, "Counters as OpenMetrics text, which Prometheus reads"),
    route("POST", "/v1/nonces", Role::Read, "Nonces for presence proofs").takes("NonceRequest").gives("Nonces"),
    route("POST", "/v1/lookups", Role::Read, "Whose token this is, and whether it is let in")
        .takes("LookupRequest")
        .gives("Lookup")
        .refuses(LOOKUP),
    route("POST", "/v1/events", Role::Read, "What happened at a terminal").takes("EventBatch").gives("EventsTaken"),
    route("GET", "/v1/revocations", Role::Read, "What changed in the status of tokens, signed").gives("SignedFeed"),
    route("POST", "/v1/terminals/self/renewal", Role::Read, "Fresh certificates for the terminal that asks")
        .takes("RenewalRequest")
        .gives("TerminalCertificates")
        .refuses(&["key.taken"]),
    route("POST", "/v1/tokens", Role::Enroll, "Registers an enrolled token and certifies its keys")
        .takes("TokenRequest")
        .gives("TokenCertificates")
        .refuses(&["token.conflict", "token.unknown", "key.taken"]),
    route("GET", "/v1/users/{id}", Role::Enroll, "One user").gives("User").refuses(&["user.unknown"]),
    route("PUT", "/v1/users/{id}", Role::Enroll, "Creates or changes a user").takes("User").gives("User"),
    route("GET", "/v1/users", Role::Admin, "Users in the order of their ids").gives("UserPage"),
    route("POST", "/v1/users/import", Role::Admin, "Creates and changes users, all of the batch or none")
        .takes("UserBatch")
        .gives("Imported"),
    route("GET", "/v1/tokens", Role::Admin, "Tokens in the order of their ids").gives("TokenPage"),
    route("GET", "/v1/tokens/{id}", Role::Admin, "One token").gives("Token").refuses(&["token.unknown"]),
    route("PUT", "/v1/tokens/{id}/status", Role::Admin, "Suspends, reactivates, or revokes a token")
        .takes("StatusRequest")
        .gives("Token")
        .refuses(&["token.unknown", "token.final"]),
    route("GET", "/v1/terminals", Role::Admin, "Terminals in the order of their names").gives("TerminalPage"),
    route("POST", "/v1/terminals", Role::Admin, "Registers a terminal and certifies its keys")
        .takes("TerminalRequest")
        .gives("TerminalCertificates")
        .refuses(&["terminal.conflict", "key.taken"]),
    route("DELETE", "/v1/terminals/{name}", Role::Admin, "Revokes a terminal")
        .gives("Terminal")
        .refuses(&["terminal.none", "terminal.self"]),
];

/// The route of a method and a path as the router knows it.
pub fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.method == method.as_str() && route.path == path)
}

fn handlers() -> [(&'static str, MethodRouter<Arc<Desk>>); 16] {
    [
        ("/v1/health", get(api::health::health)),
        ("/v1/openapi.json", get(api::health::openapi)),
        ("/v1/metrics", get(api::health::metrics)),
        ("/v1/nonces", post(api::lookups::nonces)),
        ("/v1/lookups", post(api::lookups::lookup)),
        ("/v1/events", post(api::events::keep)),
        ("/v1/revocations", get(api::revocations::feed)),
        ("/v1/terminals/self/renewal", post(api::terminals::renew)),
        ("/v1/tokens", post(api::tokens::register).get(api::tokens::list)),
        ("/v1/tokens/{id}", get(api::tokens::show)),
        ("/v1/tokens/{id}/status", put(api::tokens::set_status)),
        ("/v1/users", get(api::users::list)),
        ("/v1/users/import", post(api::users::import)),
        ("/v1/users/{id}", get(api::users::show).put(api::users::put)),
        ("/v1/terminals", get(api::terminals::list).post(api::terminals::add)),
        ("/v1/terminals/{name}", delete(api::terminals::revoke)),
    ]
}

/// The router. Every request goes through `caller::admit`, also one to nowhere.
pub fn router(desk: Arc<Desk>, patience: Duration) -> Router {
    let mut router = Router::new();
    for (path, handler) in handlers() {
        router = router.route(path, handler);
    }
    router
        .fallback(|| async { ApiError::Route })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn(move |request: Request, next: Next| in_time(patience, request, next)))
        .layer(from_fn_with_state(Arc::clone(&desk), caller::admit))
        .with_state(desk)
}

/// Nobody waits for ever, and nobody holds a place for ever by sending slowly.
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
