//! Failures as clients see them (RFC 9457): a stable code, and nothing about the inside of the server.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::store::{Absence, ProofRefusal, ServerStoreError};
use crate::{
    api::{problem::ProblemCode, v1::Problem},
    pki::PkiError,
};

/// Why a request is refused or fails.
#[derive(Debug, Clone)]
pub enum ApiError {
    /// The body is not JSON of the form that the route takes, or a parameter cannot be read.
    Malformed(String),
    /// The body is longer than the limit.
    TooLarge,
    /// The body is not declared as JSON.
    MediaType,
    /// A value is not acceptable.
    Invalid(String),
    /// No such route.
    Route,
    /// The route does not take this method.
    Method,
    /// The certificate is not one of a registered terminal.
    UnknownTerminal,
    /// The terminal was revoked.
    Revoked,
    /// The certificate has expired or is not valid yet; a connection may outlive it.
    Expired,
    /// The terminal's role does not allow this.
    Role,
    /// The terminal sends too many requests.
    Rate,
    /// There are too many requests at the moment.
    Busy,
    /// The request took too long.
    Slow,
    /// The store is unavailable at the moment.
    Store(Absence),
    /// There is no such token.
    NoToken,
    /// There is no such user.
    NoUser,
    /// There is no such terminal.
    NoTerminal,
    /// The token id belongs to another token.
    TokenConflict,
    /// The token to be replaced belongs to another user.
    NotTheirs,
    /// The token is revoked, and stays so.
    TokenFinal,
    /// The name of the terminal is taken.
    TerminalConflict,
    /// The key is already certified for something else.
    KeyTaken,
    /// A terminal cannot revoke itself: nobody might be left who can undo it.
    TerminalSelf,
    /// The proof is refused, and what is wrong with this one.
    Proof(ProofRefusal, Option<String>),
    /// An internal error; the text is for the server's log only.
    Fault(String),
}

impl ApiError {
    /// An internal error.
    pub fn fault(error: &dyn std::error::Error) -> Self {
        Self::Fault(error.to_string())
    }

    /// A refusal by the CA is the client's fault only if its request or key is the cause.
    pub fn from_pki(error: &PkiError) -> Self {
        match error {
            PkiError::KeyTaken { .. } => Self::KeyTaken,
            PkiError::Request(_) | PkiError::Issue(_) | PkiError::BeyondCa { .. } => Self::Invalid(error.to_string()),
            _ => Self::Fault(error.to_string()),
        }
    }

    /// The HTTP status, code and title.
    fn parts(&self) -> (StatusCode, ProblemCode, &'static str) {
        match self {
            Self::Malformed(_) => {
                (StatusCode::BAD_REQUEST, ProblemCode::RequestMalformed, "the request cannot be read")
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::RequestTooLarge, "the body is longer than 256 KiB")
            }
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::RequestMediaType, "the body is not application/json")
            }
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::RequestInvalid, "a value is not valid"),
            Self::Route => (StatusCode::NOT_FOUND, ProblemCode::RequestRoute, "there is no such route"),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, ProblemCode::RequestMethod, "the route does not accept this method")
            }
            Self::UnknownTerminal => {
                (StatusCode::FORBIDDEN, ProblemCode::TerminalUnknown, "this terminal is not registered")
            }
            Self::Revoked => (StatusCode::FORBIDDEN, ProblemCode::TerminalRevoked, "this terminal was revoked"),
            Self::Expired => {
                (StatusCode::FORBIDDEN, ProblemCode::TerminalExpired, "the terminal's certificate is not valid now")
            }
            Self::Role => (StatusCode::FORBIDDEN, ProblemCode::TerminalRole, "the terminal's role does not allow this"),
            Self::Rate => {
                (StatusCode::TOO_MANY_REQUESTS, ProblemCode::ServerRate, "this terminal sends too many requests")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, ProblemCode::ServerBusy, "too many requests at the moment"),
            Self::Slow => (
                StatusCode::SERVICE_UNAVAILABLE,
                ProblemCode::ServerSlow,
                "the request took too long; a change may still be made",
            ),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, ProblemCode::ServerStore, "the store is unavailable"),
            Self::NoToken => (StatusCode::NOT_FOUND, ProblemCode::TokenUnknown, "there is no such token"),
            Self::NoUser => (StatusCode::NOT_FOUND, ProblemCode::UserUnknown, "there is no such user"),
            Self::NoTerminal => (StatusCode::NOT_FOUND, ProblemCode::TerminalNone, "there is no such terminal"),
            Self::TokenConflict => {
                (StatusCode::CONFLICT, ProblemCode::TokenConflict, "the token id belongs to another token")
            }
            Self::NotTheirs => {
                (StatusCode::CONFLICT, ProblemCode::TokenNotTheirs, "the token to be replaced is another user's")
            }
            Self::TokenFinal => (StatusCode::CONFLICT, ProblemCode::TokenFinal, "the token is revoked, and stays so"),
            Self::TerminalConflict => {
                (StatusCode::CONFLICT, ProblemCode::TerminalConflict, "the name of the terminal is taken")
            }
            Self::KeyTaken => (StatusCode::CONFLICT, ProblemCode::KeyTaken, "the key is certified for another use"),
            Self::TerminalSelf => {
                (StatusCode::CONFLICT, ProblemCode::TerminalSelf, "a terminal does not revoke itself")
            }
            Self::Proof(ProofRefusal::Malformed, _) => {
                (StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::ProofMalformed, "not a presence proof of this token")
            }
            Self::Proof(refusal, _) => (StatusCode::CONFLICT, refusal.code(), refusal_title(*refusal)),
            Self::Fault(_) => (StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::ServerFault, "the server failed"),
        }
    }

    /// What is wrong with this particular request, if the client may know it.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Malformed(detail) | Self::Invalid(detail) => Some(detail.clone()),
            Self::Store(absence) => Some(absence.words().to_owned()),
            Self::Proof(_, why) => why.clone(),
            _ => None,
        }
    }

    /// What only the server's log may contain.
    pub fn secret(&self) -> Option<&str> {
        if let Self::Fault(what) = self { Some(what) } else { None }
    }

    /// The body of the answer.
    pub fn problem(&self) -> Problem {
        let (status, code, title) = self.parts();
        let code = code.as_str();
        Problem {
            kind: format!("urn:rollcall:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail(),
            code: code.to_owned(),
        }
    }
}

const fn refusal_title(refusal: ProofRefusal) -> &'static str {
    match refusal {
        ProofRefusal::Malformed => "not a presence proof of this token",
        ProofRefusal::Certificate => "the identity certificate is not valid for this token",
        ProofRefusal::Signature => "the signature of the proof is wrong",
        ProofRefusal::Terminal => "the proof was made for another terminal",
        ProofRefusal::Replayed => "the nonce of the proof was used before",
        ProofRefusal::ForeignNonce => "the nonce of the proof was given to another terminal",
        ProofRefusal::Expired => "the proof comes too late",
        ProofRefusal::Clone => "the use counter contradicts another proof: two cards have one identity",
        ProofRefusal::Required => "a resumed channel is not enough here: the token has to be tapped in full",
    }
}

impl From<ServerStoreError> for ApiError {
    /// An unavailable store comes back; a damaged one does not, and is an internal error.
    fn from(error: ServerStoreError) -> Self {
        error.absence().map_or_else(|| Self::Fault(error.to_string()), Self::Store)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // `auth::admit` logs from here what the client is not shown.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::x509::{CertificateError, IssueError},
        pki::CertificateDays,
    };

    #[test]
    fn the_ca_refuses_what_the_client_did_and_our_faults_stay_ours() {
        let (end, days) = (jiff::Timestamp::UNIX_EPOCH, CertificateDays::new(30).unwrap());
        for (error, code) in [
            (PkiError::Request(CertificateError::Signature), "request.invalid"),
            (PkiError::Issue(IssueError::Name), "request.invalid"),
            (PkiError::BeyondCa { days, end, left: 3 }, "request.invalid"),
            (PkiError::KeyTaken { class: "tls".into(), subject: "door".into() }, "key.taken"),
            (PkiError::CaExpired(end), "server.fault"),
        ] {
            let problem = ApiError::from_pki(&error).problem();
            let detail = (code == "request.invalid").then(|| error.to_string());
            assert_eq!((problem.code.as_str(), problem.detail), (code, detail));
        }
    }
}
