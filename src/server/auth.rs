//! Who asks, at every request: a registered terminal that is not revoked, with a certificate that is in time and a role
//! that suffices. A connection may be older than a revocation, and live longer than a certificate.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{RequestLine, metrics, problem::ApiError, routes, state::AppState, store::TerminalRow};
use crate::crypto::{sha256, x509::TlsCertificate};

/// The certificate of the connection.
#[derive(Clone)]
pub struct PeerCertificate(pub Arc<TlsCertificate>);

/// The terminal that asks.
#[derive(Clone, Debug)]
pub struct AuthenticatedTerminal(pub Arc<TerminalRow>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for AuthenticatedTerminal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, ApiError> {
        // A handler without this layer in front of it answers nobody.
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::UnknownTerminal)
    }
}

/// Stands in front of every route, and of what is no route.
pub async fn admit(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let (start, at) = (Instant::now(), (state.clock)());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let peer = request.extensions().get::<PeerCertificate>().cloned();
    let terminal = authenticate(&state, peer, &method, route.as_deref()).await;
    let (terminal, response) = match terminal {
        Ok(terminal) => {
            let name = terminal.0.name.clone();
            request.extensions_mut().insert(terminal);
            (Some(name), next.run(request).await)
        }
        Err((terminal, error)) => (terminal, error.into_response()),
    };
    let took = start.elapsed();
    let status = response.status().as_u16();
    if let Some(secret) = response.extensions().get::<ApiError>().and_then(ApiError::secret) {
        state.log.fault(secret);
    }
    let labels = metrics::RequestLabels { route: route.unwrap_or_default(), method: known_method(&method), status };
    state.metrics.requests.get_or_create(&labels).inc();
    state.metrics.seconds.observe(took.as_secs_f64());
    let method = method.as_str();
    state.log.request(&RequestLine { at, terminal: terminal.as_deref(), method, path: &path, status, took });
    response
}

/// A method is a client's own word: only ours become labels.
fn known_method(method: &Method) -> String {
    let ours = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    if ours.contains(method) { method.to_string() } else { "other".to_owned() }
}

async fn authenticate(
    state: &AppState,
    peer: Option<PeerCertificate>,
    method: &Method,
    route: Option<&str>,
) -> Result<AuthenticatedTerminal, (Option<String>, ApiError)> {
    let stranger = |error| (None, error);
    let PeerCertificate(certificate) = peer.ok_or(stranger(ApiError::UnknownTerminal))?;
    certificate.check_time((state.clock)()).map_err(|_| stranger(ApiError::Expired))?;
    let key = sha256(&[certificate.point().as_bytes()]);
    let terminal = state.store.terminal_of_key(&key).await.map_err(|error| stranger(error.into()))?;
    let terminal = terminal.ok_or(stranger(ApiError::UnknownTerminal))?;
    let refuse = |error| (Some(terminal.name.clone()), error);
    if terminal.revoked {
        return Err(refuse(ApiError::Revoked));
    }
    if !state.rates.admit(&terminal.name, Instant::now()) {
        return Err(refuse(ApiError::Rate));
    }
    state.heard.note(&terminal.name, (state.clock)());
    // What the table does not know is nobody's, also when a handler should answer to it.
    if let Some(path) = route {
        let route = routes::find(method, path).ok_or(refuse(ApiError::Method))?;
        if terminal.role < route.role {
            return Err(refuse(ApiError::Role));
        }
    }
    Ok(AuthenticatedTerminal(Arc::new(terminal)))
}
