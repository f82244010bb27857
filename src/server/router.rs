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

use tokio::{task::JoinSet, time::timeout};

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
    // Lookups, the most frequent requests, wait for tasks only.
    let is_lookup = request.uri().path() == "/v1/lookups";
    let work = next.run(request);
    let done = if is_lookup { timeout(patience, work).await } else { timeout(patience, on_own_task(work)).await };
    done.unwrap_or_else(|_| ApiError::Slow.into_response())
}

/// Handles a request that may wait for the disk, which nothing can interrupt: on a task of its own, so that its client
/// need not wait as long.
async fn on_own_task(work: impl Future<Output = Response> + Send + 'static) -> Response {
    // What is dropped with the set is aborted, as soon as it no longer waits for the disk.
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match tasks.join_next().await {
        Some(Ok(response)) => response,
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The server ends.
        _ => ApiError::Busy.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use axum::{body::Body, http::StatusCode};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    /// As one whose transaction waits for a disk that stalls.
    #[test]
    fn a_request_that_nothing_can_interrupt_is_answered_in_time() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let wait = async move || _ = tokio::task::block_in_place(|| released.lock().unwrap().recv());
        let limited = |request, next| in_time(Duration::from_millis(10), request, next);
        let router = TowerToHyperService::new(Router::new().route("/v1/users", get(wait)).layer(from_fn(limited)));
        let request = Request::builder().uri("/v1/users").body(Body::empty()).unwrap();
        let answer =
            runtime.block_on(async { timeout(Duration::from_secs(20), tokio::spawn(router.call(request))).await });
        assert_eq!(answer.unwrap().unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(release);
    }

    #[test]
    fn an_answer_from_another_task_is_the_same_and_so_is_a_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(on_own_task(async { StatusCode::CREATED.into_response() }));
        assert_eq!(answer.status(), StatusCode::CREATED);
        let failing = async { tokio::spawn(on_own_task(async { panic!("it fails") })).await };
        assert!(runtime.block_on(failing).unwrap_err().is_panic());
    }
}
