//! The client: one method per route of `/v1`. Answers are limited in size and parsed strictly.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use ureq::http::Method;
use uuid::Uuid;

use super::{
    ServerError, ServerUrl,
    exchange::{JSON, RequestLimits, ServerLink, read},
    tls::TlsConnector,
};
use crate::{
    api::{
        User,
        v1::{
            AuditHead, EventBatch, EventsTaken, ForgottenUser, Health, Imported, Lookup, LookupRequest, NonceRequest,
            Nonces, Page, Presence, RegisteredTerminal, RegisteredToken, RenewalRequest, SignedFeed, StatusRequest,
            StoredEvent, TerminalCertificates, TerminalRequest, TokenCertificates, TokenRequest, TokenStatus,
            UserBatch, Witness, WitnessTaken,
        },
    },
    crypto::{
        ec::{KeyPair, Point},
        x509::{Authority, TlsCertificate},
    },
};

/// A server, with the connections to it that are kept open. Clones share them.
///
/// # Errors
/// Every request fails with a [`ServerError`]: [`ServerError::Problem`] when the server refuses it,
/// [`ServerError::Busy`] when it asks to wait, [`ServerError::Protocol`] when its answer cannot be read, and one of the
/// others when it was not reached. A request is repeated only if a dead connection may have lost it; any other retry is
/// up to the caller.
#[derive(Debug, Clone)]
pub struct ServerClient {
    pub(super) link: ServerLink,
    url: ServerUrl,
    /// The same as text.
    base: String,
    trusted: Vec<Point>,
}

impl ServerClient {
    /// A server at `https://HOST[:PORT]`, certified by one of these CAs. Sends nothing yet.
    ///
    /// # Errors
    /// [`ServerError::Url`] for any other URL, [`ServerError::Local`] when TLS cannot be set up here.
    pub fn connect(
        url: &str,
        key: &KeyPair,
        certificate: &TlsCertificate,
        authorities: &[Authority],
        limits: RequestLimits,
    ) -> Result<Self, ServerError> {
        let url: ServerUrl = url.parse().map_err(|_| ServerError::Url(url.to_owned()))?;
        let tls = TlsConnector::new(key, certificate, authorities);
        let tls = tls.map_err(|error| ServerError::Local(error.to_string()))?;
        let trusted = authorities.iter().map(|authority| *authority.point()).collect();
        Ok(Self { link: ServerLink::new(tls, limits), base: url.to_string(), url, trusted })
    }

    /// The CAs against which the server's signatures are checked.
    pub fn trusted(&self) -> &[Point] {
        &self.trusted
    }

    /// The URL, with its port.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// `GET /v1/health`
    ///
    /// # Errors
    /// [`ServerError`] says what failed: the way to the server ([`ServerError::Unreachable`], [`ServerError::Slow`],
    /// [`ServerError::Certificate`]), or its answer ([`ServerError::Refused`], [`ServerError::Busy`],
    /// [`ServerError::Problem`], [`ServerError::Protocol`]).
    pub fn health(&self) -> Result<Health, ServerError> {
        self.get("/v1/health")
    }

    /// `GET /v1/openapi.json`
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn openapi(&self) -> Result<serde_json::Value, ServerError> {
        self.get("/v1/openapi.json")
    }

    /// `GET /v1/metrics`: `OpenMetrics` text.
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Protocol`] for text that is not UTF-8.
    pub fn metrics(&self) -> Result<String, ServerError> {
        let body = self.exchange(&Method::GET, "/v1/metrics", None, "application/openmetrics-text")?;
        String::from_utf8(body).map_err(|_| ServerError::Protocol("metrics are not UTF-8".into()))
    }

    /// `POST /v1/nonces`: 1 to [`NONCES_MAX`](crate::api::v1::NONCES_MAX) of them, 32 bytes each.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn nonces(&self, count: u16) -> Result<Nonces, ServerError> {
        self.send(&Method::POST, "/v1/nonces", &NonceRequest { count })
    }

    /// `POST /v1/lookups`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Protocol`] for an answer about another token.
    pub fn lookup(&self, request: &LookupRequest) -> Result<Lookup, ServerError> {
        let found: Lookup = self.send(&Method::POST, "/v1/lookups", request)?;
        if found.token_id == request.token_id {
            return Ok(found);
        }
        Err(ServerError::Protocol("it answered about another token".into()))
    }

    /// `POST /v1/events`
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn events(&self, batch: &EventBatch) -> Result<EventsTaken, ServerError> {
        self.send(&Method::POST, "/v1/events", batch)
    }

    /// `GET /v1/events`: a page of at most `limit` events of all terminals, optionally of one user and within a time
    /// span.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn search_events(
        &self,
        user: Option<&str>,
        span: [Option<Timestamp>; 2],
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<StoredEvent>, ServerError> {
        let mut path = page("/v1/events", after, limit);
        let [since, until] = span.map(|at| at.map(|at| at.to_string()));
        for (name, value) in [("user", user), ("since", since.as_deref()), ("until", until.as_deref())] {
            path.extend(value.map(|value| format!("&{name}={}", escaped(value))));
        }
        self.get(&path)
    }

    /// `GET /v1/presence`: a page of at most `limit` of the people present, now or at a time in the past.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn presence(&self, at: Option<Timestamp>, after: Option<&str>, limit: u32) -> Result<Presence, ServerError> {
        let at = at.map(|at| format!("&at={}", escaped(&at.to_string()))).unwrap_or_default();
        self.get(&(page("/v1/presence", after, limit) + &at))
    }

    /// `GET /v1/revocations`: the signed changes after a version; and, if the terminal was given the head of an audit
    /// record, what the log has at that number.
    ///
    /// # Errors
    /// As [`Self::health`]. The signature is not verified here.
    pub fn revocations(&self, since: u64, held: &AuditHead) -> Result<SignedFeed, ServerError> {
        if held.seq == 0 {
            return self.get(&format!("/v1/revocations?since={since}"));
        }
        let AuditHead { seq, hash } = held;
        self.get(&format!("/v1/revocations?since={since}&audit_seq={seq}&audit_hash={}", escaped(hash)))
    }

    /// `POST /v1/witness`
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn witness(&self, witness: &Witness) -> Result<WitnessTaken, ServerError> {
        self.send(&Method::POST, "/v1/witness", witness)
    }

    /// `POST /v1/terminals/self/renewal`
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn renew(&self, request: &RenewalRequest) -> Result<TerminalCertificates, ServerError> {
        self.send(&Method::POST, "/v1/terminals/self/renewal", request)
    }

    /// `POST /v1/tokens`
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn register_token(&self, request: &TokenRequest) -> Result<TokenCertificates, ServerError> {
        self.send(&Method::POST, "/v1/tokens", request)
    }

    /// `GET /v1/tokens`: a page of at most `limit`, after an id.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn tokens(&self, after: Option<&str>, limit: u32) -> Result<Page<RegisteredToken>, ServerError> {
        self.get(&page("/v1/tokens", after, limit))
    }

    /// `GET /v1/tokens/{id}`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when there is no such token.
    pub fn token(&self, id: Uuid) -> Result<RegisteredToken, ServerError> {
        self.get(&format!("/v1/tokens/{id}"))
    }

    /// `PUT /v1/tokens/{id}/status`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when there is no such token, or it is revoked permanently.
    pub fn set_status(
        &self,
        id: Uuid,
        status: TokenStatus,
        reason: Option<String>,
    ) -> Result<RegisteredToken, ServerError> {
        self.send(&Method::PUT, &format!("/v1/tokens/{id}/status"), &StatusRequest { status, reason })
    }

    /// `GET /v1/users`: a page of at most `limit`, after an id.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn users(&self, after: Option<&str>, limit: u32) -> Result<Page<User>, ServerError> {
        self.get(&page("/v1/users", after, limit))
    }

    /// `GET /v1/users/{id}`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when there is no such user.
    pub fn user(&self, id: &str) -> Result<User, ServerError> {
        self.get(&format!("/v1/users/{}", escaped(id)))
    }

    /// `GET /v1/users/{id}/tokens`: a page of at most `limit`, after an id.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn tokens_of(&self, user: &str, after: Option<&str>, limit: u32) -> Result<Page<RegisteredToken>, ServerError> {
        self.get(&page(&format!("/v1/users/{}/tokens", escaped(user)), after, limit))
    }

    /// `PUT /v1/users/{id}`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] for a user that is not accepted.
    pub fn put_user(&self, user: &User) -> Result<User, ServerError> {
        self.send(&Method::PUT, &format!("/v1/users/{}", escaped(&user.id)), user)
    }

    /// `DELETE /v1/users/{id}`: forgets a user.
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when nothing is known of such a user.
    pub fn forget_user(&self, id: &str) -> Result<ForgottenUser, ServerError> {
        read(&self.exchange(&Method::DELETE, &format!("/v1/users/{}", escaped(id)), None, JSON)?)
    }

    /// `POST /v1/users/import`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] for a user that is not accepted; then none is imported.
    pub fn import_users(&self, users: Vec<User>) -> Result<Imported, ServerError> {
        self.send(&Method::POST, "/v1/users/import", &UserBatch { users })
    }

    /// `GET /v1/terminals`: a page of at most `limit`, after a name.
    ///
    /// # Errors
    /// As [`Self::health`].
    pub fn terminals(&self, after: Option<&str>, limit: u32) -> Result<Page<RegisteredTerminal>, ServerError> {
        self.get(&page("/v1/terminals", after, limit))
    }

    /// `POST /v1/terminals`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when the name or a key is taken.
    pub fn add_terminal(&self, request: &TerminalRequest) -> Result<TerminalCertificates, ServerError> {
        self.send(&Method::POST, "/v1/terminals", request)
    }

    /// `DELETE /v1/terminals/{name}`
    ///
    /// # Errors
    /// As [`Self::health`]; [`ServerError::Problem`] when there is no such terminal, or it is this one.
    pub fn revoke_terminal(&self, name: &str) -> Result<RegisteredTerminal, ServerError> {
        let path = format!("/v1/terminals/{}", escaped(name));
        read(&self.exchange(&Method::DELETE, &path, None, JSON)?)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ServerError> {
        read(&self.exchange(&Method::GET, path, None, JSON)?)
    }

    fn send<T: DeserializeOwned>(&self, method: &Method, path: &str, body: &impl Serialize) -> Result<T, ServerError> {
        let body = serde_json::to_vec(body).map_err(|error| ServerError::Local(error.to_string()))?;
        read(&self.exchange(method, path, Some(body), JSON)?)
    }

    fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
        wanted: &str,
    ) -> Result<Vec<u8>, ServerError> {
        let done = self.link.exchange(method, &format!("{}{path}", self.base), body, wanted);
        // The system's messages do not name the port.
        done.map_err(|error| match error {
            ServerError::Unreachable(what) => ServerError::Unreachable(format!("{}: {what}", self.url.place())),
            other => other,
        })
    }
}

fn page(path: &str, after: Option<&str>, limit: u32) -> String {
    let after = after.map(|after| format!("&after={}", escaped(after))).unwrap_or_default();
    format!("{path}?limit={limit}{after}")
}

/// Escapes a path segment or a query value (RFC 3986, 2.3: only unreserved characters stay).
fn escaped(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
