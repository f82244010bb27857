//! The table of routes, from which the roles and the OpenAPI document are taken; the router is tested against it.

use axum::http::Method;

use crate::api::{
    problem::ProblemCode,
    v1::{PAGE_MAX, Role},
};

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with `{id}` for a variable part.
    pub path: &'static str,
    /// The lowest role that may use it.
    pub role: Role,
    /// What it does.
    pub summary: &'static str,
    /// The name of the body's type in the OpenAPI document; `None` without a body.
    pub body: Option<&'static str>,
    /// What it answers with.
    pub answer: RouteAnswer,
    /// The query parameters.
    pub query: &'static [QueryParameter],
    /// The problem codes of this route beyond those of every route.
    pub problems: &'static [ProblemCode],
}

/// What a route answers with. Types have their names in the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAnswer {
    /// JSON of this type.
    Json(&'static str),
    /// Metrics, as text.
    Counters,
    /// The OpenAPI document itself.
    OpenApi,
}

/// A query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: ParameterKind,
    /// What it does.
    pub summary: &'static str,
}

/// The values of a query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// A number in this range, inclusive.
    Number(u64, u64),
    /// A text of this many bytes without control characters.
    Text(usize, usize),
    /// A time, RFC 3339.
    Moment,
    /// A SHA-256 in hex.
    Sha256,
}

const fn query(name: &'static str, kind: ParameterKind, summary: &'static str) -> QueryParameter {
    QueryParameter { name, kind, summary }
}

/// Where a page starts.
const AFTER: QueryParameter =
    query("after", ParameterKind::Text(0, 200), "`next` of the page before; empty for the first");

/// How long a page is.
const LIMIT: QueryParameter =
    query("limit", ParameterKind::Number(1, PAGE_MAX as u64), "The most entries of a page; 100 where it is not given");

/// What every list takes.
const PAGING: &[QueryParameter] = &[AFTER, LIMIT];

const fn route(method: &'static str, path: &'static str, role: Role, summary: &'static str) -> Route {
    Route { method, path, role, summary, body: None, answer: RouteAnswer::OpenApi, query: &[], problems: &[] }
}

impl Route {
    const fn takes(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    const fn gives(self, answer: &'static str) -> Self {
        Self { answer: RouteAnswer::Json(answer), ..self }
    }

    const fn gives_page(self, answer: &'static str) -> Self {
        Self { answer: RouteAnswer::Json(answer), query: PAGING, ..self }
    }

    const fn gives_counters(self) -> Self {
        Self { answer: RouteAnswer::Counters, ..self }
    }

    const fn asks(self, query: &'static [QueryParameter]) -> Self {
        Self { query, ..self }
    }

    const fn refuses(self, problems: &'static [ProblemCode]) -> Self {
        Self { problems, ..self }
    }
}

/// The highest version of the feed, and the highest number of a record.
const VERSION_MAX: u64 = i64::MAX as u64;

/// The problems of a lookup.
const LOOKUP: &[ProblemCode] = &[
    ProblemCode::TokenUnknown,
    ProblemCode::ProofMalformed,
    ProblemCode::ProofCertificate,
    ProblemCode::ProofSignature,
    ProblemCode::ProofTerminal,
    ProblemCode::ProofReplayed,
    ProblemCode::ProofForeignNonce,
    ProblemCode::ProofExpired,
    ProblemCode::ProofClone,
    ProblemCode::ProofRequired,
];

/// All routes.
pub const ROUTES: [Route; 24] = [
    route("GET", "/v1/health", Role::Read, "Whether the server works and its store takes changes, and who asks")
        .gives("Health"),
    route("GET", "/v1/openapi.json", Role::Read, "This document"),
    route("GET", "/v1/metrics", Role::Read, "Counters as OpenMetrics text or as Prometheus' text").gives_counters(),
    route("POST", "/v1/nonces", Role::Read, "Nonces for presence proofs").takes("NonceRequest").gives("Nonces"),
    route("POST", "/v1/lookups", Role::Read, "Whose token this is, and whether it is let in")
        .takes("LookupRequest")
        .gives("Lookup")
        .refuses(LOOKUP),
    route("POST", "/v1/events", Role::Read, "What happened at a terminal").takes("EventBatch").gives("EventsTaken"),
    route("GET", "/v1/revocations", Role::Read, "What changed in the status of tokens, signed")
        .gives("SignedFeed")
        .asks(&[
            query("since", ParameterKind::Number(0, VERSION_MAX), "The version that the terminal has; 0 for none"),
            query(
                "audit_seq",
                ParameterKind::Number(0, VERSION_MAX),
                "A record of the audit log; with `audit_hash` only",
            ),
            query("audit_hash", ParameterKind::Sha256, "The hash of that record; with `audit_seq` only"),
        ]),
    route("POST", "/v1/witness", Role::Read, "What a terminal holds of an audit log that is not this one")
        .takes("Witness")
        .gives("WitnessTaken"),
    route("POST", "/v1/terminals/self/renewal", Role::Read, "Fresh certificates for the terminal that asks")
        .takes("RenewalRequest")
        .gives("TerminalCertificates")
        .refuses(&[ProblemCode::KeyTaken]),
    route("POST", "/v1/tokens", Role::Enroll, "Registers an enrolled token and certifies its keys")
        .takes("TokenRequest")
        .gives("TokenCertificates")
        .refuses(&[
            ProblemCode::TokenConflict,
            ProblemCode::TokenNotTheirs,
            ProblemCode::TokenUnknown,
            ProblemCode::KeyTaken,
        ]),
    route("GET", "/v1/users/{id}", Role::Enroll, "One user").gives("User").refuses(&[ProblemCode::UserUnknown]),
    route("GET", "/v1/users/{id}/tokens", Role::Enroll, "The tokens of one user").gives_page("TokenPage"),
    route("PUT", "/v1/users/{id}", Role::Enroll, "Creates or changes a user").takes("User").gives("User"),
    route("GET", "/v1/users", Role::Admin, "Users in the order of their ids").gives_page("UserPage"),
    route("POST", "/v1/users/import", Role::Admin, "Creates and changes users, all of the batch or none")
        .takes("UserBatch")
        .gives("Imported"),
    route("GET", "/v1/tokens", Role::Admin, "Tokens in the order of their ids").gives_page("TokenPage"),
    route("GET", "/v1/tokens/{id}", Role::Admin, "One token").gives("Token").refuses(&[ProblemCode::TokenUnknown]),
    route("PUT", "/v1/tokens/{id}/status", Role::Admin, "Suspends, reactivates, or revokes a token")
        .takes("StatusRequest")
        .gives("Token")
        .refuses(&[ProblemCode::TokenUnknown, ProblemCode::TokenFinal]),
    route("GET", "/v1/presence", Role::Admin, "Who is here, at all doors, now or at a time that is over")
        .gives("Presence")
        .asks(&[
            query("at", ParameterKind::Moment, "The moment asked for, which is over; now where it is not given"),
            AFTER,
            LIMIT,
        ]),
    route("GET", "/v1/events", Role::Admin, "Events of all terminals in the order in which they happened")
        .gives("StoredEventPage")
        .asks(&[
            query("user", ParameterKind::Text(1, 128), "Only those of this user"),
            query("since", ParameterKind::Moment, "Only those at this time or after it"),
            query("until", ParameterKind::Moment, "Only those before this time"),
            AFTER,
            LIMIT,
        ]),
    route("GET", "/v1/terminals", Role::Admin, "Terminals in the order of their names").gives_page("TerminalPage"),
    route("POST", "/v1/terminals", Role::Admin, "Registers a terminal and certifies its keys")
        .takes("TerminalRequest")
        .gives("TerminalCertificates")
        .refuses(&[ProblemCode::TerminalConflict, ProblemCode::KeyTaken]),
    route("DELETE", "/v1/terminals/{name}", Role::Admin, "Revokes a terminal")
        .gives("Terminal")
        .refuses(&[ProblemCode::TerminalNone, ProblemCode::TerminalSelf]),
    route("DELETE", "/v1/users/{id}", Role::Admin, "Forgets a user: revokes their tokens, deletes their events")
        .gives("ForgottenUser")
        .refuses(&[ProblemCode::UserUnknown]),
];

/// This path as a static string; `None` if no route has it.
pub fn path(path: &str) -> Option<&'static str> {
    ROUTES.iter().map(|route| route.path).find(|known| *known == path)
}

/// The route of a method and of a path as the router matched it.
pub fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.method == method.as_str() && route.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_by_its_method_and_its_path() {
        for route in &ROUTES {
            let found = find(&route.method.parse().unwrap(), route.path).unwrap();
            assert_eq!((found.method, found.path), (route.method, route.path));
            assert_eq!(path(route.path), Some(route.path));
        }
        assert!(find(&Method::PATCH, "/v1/users").is_none() && find(&Method::GET, "/v1/user").is_none());
        assert_eq!(path("/v1/user"), None);
    }
}
