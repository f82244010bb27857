//! Generates the OpenAPI 3.1 document from the table of routes and the types of [`crate::api::v1`].

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    openapi_examples::example,
    routes::{ParameterKind, QueryParameter, ROUTES, Route, RouteAnswer},
};
use crate::api::{
    User,
    json_schema::{Dialect, NO_CONTROL},
    problem::ProblemCode,
    v1::{self, Page},
};

/// The tags of the document, by the first word of a path after `/v1`.
const TAGS: [(&str, &str, &[&str]); 6] = [
    (
        "taps",
        "What a tap asks, and what terminals keep for the time without a server",
        &["nonces", "lookups", "revocations", "witness"],
    ),
    ("events", "What happened at terminals, and who is here", &["events", "presence"]),
    ("tokens", "Tokens", &["tokens"]),
    ("users", "Users", &["users"]),
    ("terminals", "Terminals and their certificates", &["terminals"]),
    ("server", "The server itself", &["health", "openapi.json", "metrics"]),
];

/// Problems that any route may answer with.
pub const COMMON: [ProblemCode; 10] = [
    ProblemCode::RequestMalformed,
    ProblemCode::RequestInvalid,
    ProblemCode::TerminalUnknown,
    ProblemCode::TerminalRevoked,
    ProblemCode::TerminalExpired,
    ProblemCode::TerminalRole,
    ProblemCode::ServerRate,
    ProblemCode::ServerBusy,
    ProblemCode::ServerStore,
    ProblemCode::ServerFault,
];

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route);
    }
    let tags: Vec<_> = TAGS.iter().map(|(name, about, _)| json!({ "name": name, "description": about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall server",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": "HTTP/JSON over TLS 1.3 with client certificates. Binary values are base64url without \
                padding. A body is at most 256 KiB. Lengths of texts are bytes of UTF-8 to the server, and characters in \
                these schemas. A request that keeps to its schema may still be refused for what no schema says: 404, 409 \
                or 422, with a code. What `GET` answers, `HEAD` answers without its body.",
        },
        "servers": [{
            "url": "https://{host}:{port}",
            "description": "Where `rollcall server run` listens",
            "variables": {
                "host": { "default": "localhost", "description": "A name or address in the server's certificate" },
                "port": { "default": "7443", "description": "The port of `--listen`" },
            },
        }],
        "tags": tags,
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "certificate": {
                "type": "mutualTLS",
                "description": "The TLS certificate of a registered terminal (`pki/terminal-tls.crt`)",
            } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let codes: Vec<_> = COMMON.iter().chain(route.problems).map(|code| code.as_str()).collect();
    let mut operation = json!({
        "summary": route.summary,
        "description": description(route),
        "operationId": operation_id(route),
        "tags": [tag(route)],
        "x-role": route.role,
        "x-problems": codes,
        "parameters": parameters(route),
        "responses": {
            "200": answer(route.answer),
            "default": {
                "description": "A problem (RFC 9457); its `code` is one of `x-problems`",
                "content": { "application/problem+json": media("Problem") },
            },
        },
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": media(body) } });
    }
    operation
}

/// The role that is needed, and the problems of this route.
fn description(route: &Route) -> String {
    let role = serde_json::to_value(route.role).unwrap_or_default();
    let role = role.as_str().unwrap_or_default();
    let who = format!("For terminals with the role `{role}`{}.", if role == "admin" { "" } else { " or a higher one" });
    let codes: Vec<_> = route.problems.iter().map(|code| format!("`{}`", code.as_str())).collect();
    match codes.as_slice() {
        [] => who,
        codes => format!("{who} Problems of its own: {}.", codes.join(", ")),
    }
}

fn answer(answer: RouteAnswer) -> Value {
    match answer {
        RouteAnswer::Json(name) => json!({ "description": "Done", "content": { "application/json": media(name) } }),
        RouteAnswer::Counters => json!({
            "description": "Counters, in the format that `Accept` prefers",
            "content": {
                "application/openmetrics-text": { "schema": { "type": "string" }, "example": METRICS },
                "text/plain": { "schema": { "type": "string" }, "example": METRICS_PLAIN },
            },
        }),
        RouteAnswer::OpenApi => json!({
            "description": "This document",
            "content": { "application/json": {
                "schema": { "type": "object", "additionalProperties": {} },
                "example": {
                    "openapi": "3.1.0",
                    "info": { "title": "Rollcall server", "version": env!("CARGO_PKG_VERSION") },
                    "paths": {},
                },
            } },
        }),
    }
}

/// An example: the beginning of the metrics.
const METRICS: &str = "# HELP rollcall_nonces Nonces given to terminals.\n# TYPE rollcall_nonces counter\n\
    rollcall_nonces_total 64\n# EOF\n";

/// The same in Prometheus' older format.
const METRICS_PLAIN: &str = "# HELP rollcall_nonces_total Nonces given to terminals.\n\
    # TYPE rollcall_nonces_total counter\nrollcall_nonces_total 64\n";

/// A reference to the schema of this name, with an example.
fn media(name: &str) -> Value {
    let mut media = json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    if let Some(example) = example(name) {
        media["example"] = example;
    }
    media
}

fn first_word(route: &Route) -> &'static str {
    route.path.trim_start_matches("/v1/").split('/').next().unwrap_or_default()
}

fn tag(route: &Route) -> &'static str {
    let word = first_word(route);
    TAGS.iter().find(|(.., words)| words.contains(&word)).map_or("server", |(name, ..)| name)
}

/// `POST /v1/users/import` → `post_users_import`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/v1/").replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}_{path}", route.method.to_lowercase())
}

fn parameters(route: &Route) -> Value {
    let inside = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let inside = inside.map(|name| {
        let (schema, about) = match (first_word(route), name) {
            ("tokens", _) => (json!({ "type": "string", "format": "uuid" }), "The token id"),
            ("terminals", _) => (text(1, 64), "The name of the terminal"),
            _ => (text(1, 64), "The id of the user"),
        };
        json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
    });
    inside.chain(route.query.iter().map(query)).collect()
}

fn query(asked: &QueryParameter) -> Value {
    let schema = match asked.kind {
        ParameterKind::Number(least, most) => {
            let format = if i32::try_from(most).is_ok() { "int32" } else { "int64" };
            json!({ "type": "integer", "format": format, "minimum": least, "maximum": most })
        }
        ParameterKind::Text(shortest, longest) => text(shortest, longest),
        ParameterKind::Moment => json!({ "type": "string", "format": "date-time" }),
        ParameterKind::Sha256 => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
    };
    json!({ "name": asked.name, "in": "query", "description": asked.summary, "schema": schema })
}

/// The schema of what [`super::body::plain`] accepts.
fn text(shortest: usize, longest: usize) -> Value {
    json!({ "type": "string", "minLength": shortest, "maxLength": longest, "pattern": NO_CONTROL })
}

fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator: SchemaGenerator = settings.with_transform(Dialect::OpenApi).into_generator();
    macro_rules! all {
        ($($name:literal => $type:ty),* $(,)?) => {{
            let mut all = Map::new();
            $(all.insert($name.to_owned(), {
                let schema = generator.subschema_for::<$type>();
                // A named type yields a reference to its definition, which is added below.
                serde_json::to_value(schema).unwrap_or_default()
            });)*
            all
        }};
    }
    let mut all = all! {
        "Health" => v1::Health, "NonceRequest" => v1::NonceRequest, "Nonces" => v1::Nonces,
        "LookupRequest" => v1::LookupRequest, "Lookup" => v1::Lookup, "EventBatch" => v1::EventBatch,
        "EventsTaken" => v1::EventsTaken, "SignedFeed" => v1::SignedFeed, "RenewalRequest" => v1::RenewalRequest,
        "TerminalCertificates" => v1::TerminalCertificates, "TokenRequest" => v1::TokenRequest,
        "TokenCertificates" => v1::TokenCertificates, "User" => User, "UserPage" => Page<User>,
        "UserBatch" => v1::UserBatch, "Imported" => v1::Imported, "TokenPage" => Page<v1::RegisteredToken>,
        "Token" => v1::RegisteredToken, "StatusRequest" => v1::StatusRequest, "TerminalPage" => Page<v1::RegisteredTerminal>,
        "TerminalRequest" => v1::TerminalRequest, "Terminal" => v1::RegisteredTerminal, "Problem" => v1::Problem,
        "Witness" => v1::Witness, "WitnessTaken" => v1::WitnessTaken, "SignedUser" => v1::SignedUser, "Feed" => v1::Feed,
        "Presence" => v1::Presence, "StoredEventPage" => Page<v1::StoredEvent>,
        "ForgottenUser" => v1::ForgottenUser,
    };
    for (name, definition) in generator.take_definitions(true) {
        all.insert(name, definition);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests;
