//! One request and its answer, over connections that are kept open and may have died meanwhile.

use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use ureq::{
    Agent,
    config::Config,
    http::{Method, Request, Response, header, request},
    unversioned::transport::{Connector, TcpConnector},
};

use super::{ServerError, addresses::Addresses, tls::TlsConnector};
use crate::api::v1::{ANSWER_MAX, Problem};

/// How long after its last use a connection is assumed to be alive.
const FRESH: Duration = Duration::from_secs(1);
/// How long a connection that was idle for longer may take to answer before it is assumed to be dead: a device in
/// between may have dropped it silently.
const DOUBT: Duration = Duration::from_secs(1);
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(60);

/// How long connecting may take at least. With the default request limit this is also the maximum, so that a tap is not
/// held up by a server that is off.
const CONNECT: Duration = Duration::from_secs(2);

pub const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// The time limits of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// For connecting, including the handshake.
    pub connect: Duration,
    /// For a whole request, including the connection and the answer.
    pub request: Duration,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { connect: CONNECT, request: Duration::from_secs(5) }
    }
}

impl RequestLimits {
    /// The limits for a request that may take this long. The share of connecting grows with it, because it is a slow
    /// link that somebody allows more for; it does not take all of it, because a server that is off, or one of several
    /// addresses that is, holds up a tap for as long.
    pub fn within(request: Duration) -> Self {
        Self { connect: CONNECT.max(request / 5 * 2), request }
    }
}

/// The connections to a server. Clones share them.
#[derive(Debug, Clone)]
pub struct ServerLink {
    kept: Arc<Mutex<OpenConnections>>,
    tls: TlsConnector,
    addresses: Addresses,
    limits: RequestLimits,
}

/// The open connections, and when one of them was last used.
#[derive(Debug)]
struct OpenConnections {
    agent: Agent,
    used: Option<Instant>,
}

impl ServerLink {
    pub fn new(tls: TlsConnector, limits: RequestLimits) -> Self {
        let addresses = Addresses::default();
        let kept = Arc::new(Mutex::new(OpenConnections { agent: agent(&tls, &addresses, limits), used: None }));
        Self { kept, tls, addresses, limits }
    }

    /// Sends one request; returns the body of an answer 200 with that content type, or the error. If an idle connection
    /// does not answer soon, the request is sent once more, over a new one.
    pub fn exchange(
        &self,
        method: &Method,
        uri: &str,
        body: Option<Vec<u8>>,
        wanted: &str,
    ) -> Result<Vec<u8>, ServerError> {
        let begun = Instant::now();
        let (open, idle) = self.now();
        if idle.is_some_and(|idle| (FRESH..IDLE).contains(&idle)) {
            let request = Request::builder().method(method).uri(uri);
            let done = once(&open, request, body.clone(), wanted, DOUBT.min(self.limits.request / 3));
            if !is_silence(&done) {
                return self.noted(done);
            }
            self.renew();
        }
        let left = self.limits.request.saturating_sub(begun.elapsed());
        let done = once(&self.now().0, Request::builder().method(method).uri(uri), body, wanted, left);
        if is_silence(&done) {
            self.renew();
        }
        self.noted(done)
    }

    /// Pretends that the last request was this much longer ago.
    #[cfg(test)]
    pub fn age(&self, by: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.used = kept.used.and_then(|used| used.checked_sub(by));
    }

    /// The connections, and how long they have been idle.
    fn now(&self) -> (Agent, Option<Duration>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.agent.clone(), kept.used.map(|used| used.elapsed()))
    }

    /// Gives up every open connection, and the address that worked.
    fn renew(&self) {
        self.addresses.forget();
        let agent = agent(&self.tls, &self.addresses, self.limits);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = OpenConnections { agent, used: None };
    }

    /// Notes the time of any answer: it shows that the connection is alive.
    fn noted<T>(&self, done: Result<T, ServerError>) -> Result<T, ServerError> {
        if !is_silence(&done) {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).used = Some(Instant::now());
        }
        done
    }
}

const fn is_silence<T>(done: &Result<T, ServerError>) -> bool {
    matches!(done, Err(ServerError::Slow | ServerError::Unreachable(_) | ServerError::Unresolved(..)))
}

fn agent(tls: &TlsConnector, addresses: &Addresses, limits: RequestLimits) -> Agent {
    let config = Config::builder()
        .https_only(true)
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(limits.connect))
        .timeout_resolve(Some(limits.connect))
        .timeout_global(Some(limits.request))
        .max_idle_age(IDLE)
        .max_response_header_size(16 * 1024)
        .user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, TcpConnector::default().chain(tls.clone()), addresses.clone())
}

/// Sends one request over one connection, within this time.
fn once(
    agent: &Agent,
    request: request::Builder,
    body: Option<Vec<u8>>,
    wanted: &str,
    limit: Duration,
) -> Result<Vec<u8>, ServerError> {
    let local = |error: ureq::http::Error| ServerError::Local(error.to_string());
    let request = request.header(header::ACCEPT, format!("{wanted}, {PROBLEM}"));
    let answer = if let Some(body) = body {
        let request = request.header(header::CONTENT_TYPE, JSON).body(body).map_err(local)?;
        agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
    } else {
        let request = request.body(()).map_err(local)?;
        agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
    };
    let mut answer = answer.map_err(ServerError::from_ureq)?;
    let status = answer.status().as_u16();
    let kind = content_type(&answer);
    let body = bounded(&mut answer)?;
    match status {
        200 if kind == wanted => Ok(body),
        200 => Err(ServerError::Protocol(format!("an answer that is not {wanted}"))),
        400.. if kind == PROBLEM => Err(problem(status, &body)),
        // A proxy in between may answer for a server that is unavailable.
        429 | 502..=504 => Err(ServerError::Busy(format!("status {status}"), None)),
        _ => Err(ServerError::Protocol(format!("status {status} without a problem document"))),
    }
}

/// The content type without its parameters, in lower case.
fn content_type(answer: &Response<ureq::Body>) -> String {
    let value = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn bounded(answer: &mut Response<ureq::Body>) -> Result<Vec<u8>, ServerError> {
    let mut body = Vec::new();
    let most = ANSWER_MAX as u64 + 1;
    let read = answer.body_mut().as_reader().take(most).read_to_end(&mut body);
    read.map_err(|error| ServerError::from_ureq(error.into()))?;
    if body.len() > ANSWER_MAX {
        return Err(ServerError::Protocol("an answer of more than 512 KiB".into()));
    }
    Ok(body)
}

/// A problem counts only if it states the status with which it came.
fn problem(status: u16, body: &[u8]) -> ServerError {
    match read::<Problem>(body) {
        Ok(problem) if problem.status == status => ServerError::from_problem(problem),
        Ok(_) => ServerError::Protocol("a problem document with another status".into()),
        Err(error) => error,
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServerError> {
    serde_json::from_slice(body).map_err(|error| ServerError::Protocol(format!("an answer in another form: {error}")))
}
