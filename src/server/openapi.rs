//! The OpenAPI 3.1 document of the API, made from the table of routes and the types of [`crate::api::v1`].

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::routes::{ROUTES, Route, RouteAnswer};
use crate::api::{
    User,
    problem::ProblemCode,
    v1::{self, Page},
};

/// Problems that every route may answer with.
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
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall server",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
            "description": "HTTP/JSON over TLS 1.3 with client certificates. Binary values are base64url without \
                padding. A body is at most 256 KiB.",
        },
        "security": [{ "certificate": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "certificate": { "type": "mutualTLS" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let json_of = |name: &str| json!({ "application/json": { "schema": reference(name) } });
    let ok = match route.answer {
        RouteAnswer::Json(name) => json!({ "description": "Done", "content": json_of(name) }),
        RouteAnswer::OpenMetrics => {
            json!({ "description": "Counters", "content": { "application/openmetrics-text": {} } })
        }
        RouteAnswer::OpenApi => json!({ "description": "This document", "content": { "application/json": {} } }),
    };
    let codes: Vec<_> = COMMON.iter().chain(route.problems).map(|code| code.as_str()).collect();
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "x-role": route.role,
        "x-problems": codes,
        "parameters": parameters(route),
        "responses": {
            "200": ok,
            "default": {
                "description": "A problem (RFC 9457); its `code` is one of `x-problems`",
                "content": { "application/problem+json": { "schema": reference("Problem") } },
            },
        },
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": json_of(body) });
    }
    operation
}

/// `POST /v1/users/import` → `post_users_import`.
fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/v1/").replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}_{path}", route.method.to_lowercase())
}

fn parameters(route: &Route) -> Value {
    let inside = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let inside =
        inside.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let query = route.query.iter();
    let query = query.map(|asked| json!({ "name": asked.name, "in": "query", "schema": { "type": asked.kind } }));
    inside.chain(query).collect()
}

fn schemas() -> Value {
    let mut generator = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    generator.inline_subschemas = false;
    let mut generator: SchemaGenerator = generator.into_generator();
    macro_rules! all {
        ($($name:literal => $type:ty),* $(,)?) => {{
            let mut all = Map::new();
            $(all.insert($name.to_owned(), {
                let schema = generator.subschema_for::<$type>();
                // A type by its own name refers to its definition, which is added below.
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
        "Presence" => v1::Presence, "EventPage" => Page<v1::StoredEvent>,
        "ForgottenUser" => v1::ForgottenUser,
    };
    for (name, definition) in generator.take_definitions(true) {
        all.insert(name, definition);
    }
    Value::Object(all)
}
