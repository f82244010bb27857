//! Authenticates and authorises every request: its terminal must be registered and not revoked, its certificate must be
//! valid now, and its role must suffice. Checking connections would not do: one may be older than a revocation, and
//! outlive a certificate.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    RequestLine, metrics,
    problem::ApiError,
    routes,
    state::AppState,
    store::{ServerStoreError, ShownCertificate, TerminalRow},
};
use crate::crypto::{sha256, x509::TlsCertificate};

/// The other end of the connection.
#[derive(Clone)]
pub struct Peer {
    /// Its address; behind a proxy, the client's.
    pub address: IpAddr,
    /// Its certificate.
    pub certificate: Arc<TlsCertificate>,
}

/// The terminal that sent the request.
#[derive(Clone, Debug)]
pub struct AuthenticatedTerminal(pub Arc<TerminalRow>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for AuthenticatedTerminal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, ApiError> {
        // Without `admit` in front of it, a handler answers nobody.
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::UnknownTerminal)
    }
}

/// The middleware in front of every route, and of unknown paths: authenticates, counts and logs the request.
pub async fn admit(State(state): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let (start, at) = (Instant::now(), (state.clock)());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let peer = request.extensions().get::<Peer>().cloned();
    let from = peer.as_ref().map(|peer| peer.address);
    let terminal = authenticate(&state, peer, &method, route).await;
    let (terminal, response) = match terminal {
        Ok(terminal) => {
            request.extensions_mut().insert(AuthenticatedTerminal(Arc::clone(&terminal)));
            (Some(terminal), next.run(request).await)
        }
        Err((terminal, error)) => (terminal, error.into_response()),
    };
    let took = start.elapsed();
    let status = response.status().as_u16();
    if let Some(secret) = response.extensions().get::<ApiError>().and_then(ApiError::secret) {
        state.log.fault(secret);
    }
    let path = route.and_then(routes::path).unwrap_or_default();
    let labels = metrics::RequestLabels { route: path, method: known_method(&method), status };
    state.metrics.requests.get_or_create(&labels).inc();
    state.metrics.seconds.observe(took.as_secs_f64());
    let terminal = terminal.as_ref().map(|terminal| terminal.name.as_str());
    state.log.request(&RequestLine { at, from, terminal, method: method.as_str(), path: uri.path(), status, took });
    response
}

/// Clients can send any method: only the known ones become labels.
fn known_method(method: &Method) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "DELETE"].into_iter().find(|known| method == known).unwrap_or("other")
}

async fn authenticate(
    state: &AppState,
    peer: Option<Peer>,
    method: &Method,
    route: Option<&str>,
) -> Result<Arc<TerminalRow>, (Option<Arc<TerminalRow>>, ApiError)> {
    let stranger = |error| (None, error);
    let Peer { certificate, .. } = peer.ok_or(stranger(ApiError::UnknownTerminal))?;
    certificate.check_time((state.clock)()).map_err(|_| stranger(ApiError::Expired))?;
    let key = sha256(&[certificate.point().as_bytes()]);
    let terminal = asking(state, &key, route).await.map_err(|error| stranger(error.into()))?;
    let terminal = terminal.ok_or(stranger(ApiError::UnknownTerminal))?;
    let refuse = |error| (Some(Arc::clone(&terminal)), error);
    if terminal.revoked {
        return Err(refuse(ApiError::Revoked));
    }
    if !state.rates.admit(&terminal.name, Instant::now()) {
        return Err(refuse(ApiError::Rate));
    }
    state.heard.note(&terminal.name, (state.clock)());
    let until = certificate.not_after();
    if until > terminal.until {
        state.heard.note_certificate(ShownCertificate { terminal: terminal.name.clone(), tls_key: key, until });
    }
    // What is not in the route table is refused, even if a handler would answer it. HEAD is GET without the body.
    if let Some(path) = route {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let route = routes::find(method, path).ok_or(refuse(ApiError::Method))?;
        if terminal.role < route.role {
            return Err(refuse(ApiError::Role));
        }
    }
    Ok(terminal)
}

/// The terminal of this key. While the store is unavailable, terminals known before can still read the metrics, which
/// show that it is.
async fn asking(
    state: &AppState,
    key: &[u8; 32],
    route: Option<&str>,
) -> Result<Option<Arc<TerminalRow>>, ServerStoreError> {
    let known = || state.store.last_known_terminal(key).filter(|_| route == Some("/v1/metrics"));
    // Do not wait for a store that is known to be unavailable.
    if state.store.availability().is_away()
        && let Some(terminal) = known()
    {
        return Ok(Some(terminal));
    }
    state.store.asking_terminal(key).await.or_else(|error| known().map(Some).ok_or(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_methods_become_labels() {
        let labels = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH]
            .map(|of| known_method(&of));
        assert_eq!(labels, ["GET", "HEAD", "POST", "PUT", "DELETE", "other"]);
        assert_eq!(known_method(&"XYZ".parse().unwrap()), "other");
    }
}
