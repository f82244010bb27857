//! Example answers for the OpenAPI document. A test checks each against its schema.

use serde_json::{Value, json};

const TOKEN: &str = "0b5c9c2e-2f4e-4f5b-8a39-5f0f7f1c2d3e";
const LIST: &str = "6a0f4c0d-6f0e-4f57-9d43-3f6a5a1d7c11";
const AT: &str = "2026-11-22T15:04:05.123Z";
const NONCE: &str = "ODd7UldXtJRCf4kBT5fXmSjzk40U61HiD7Xs2YNOswQ";
/// Only the form of a JWS: its content is described at the types of the payloads.
const JWS: &str = "eyJhbGciOiJFUzI1NiJ9.eyJhdCI6IjIwMjYtMTEtMjIifQ.c2lnbmF0dXJl";
/// The beginning of a certificate.
const DER: &str = "MIIBhDCCASugAwIBAgIIaalKo8mRx98wCgYIKoZIzj0EAwI";

/// An example for the schema of this name; `None` where nobody sends one, or where only a real one is of use.
pub fn example(schema: &str) -> Option<Value> {
    Some(match schema {
        "Problem" => json!({
            "type": "urn:rollcall:problem:token.unknown", "title": "there is no such token", "status": 404,
            "code": "token.unknown",
        }),
        "Health" => json!({
            "status": "ok", "version": env!("CARGO_PKG_VERSION"), "at": AT, "terminal": "front-door", "role": "read",
        }),
        "NonceRequest" => json!({ "count": 1 }),
        "Nonces" => json!({ "nonces": [nonce()] }),
        "LookupRequest" => json!({ "token_id": TOKEN, "nonces": 1 }),
        "Lookup" => json!({
            "token_id": TOKEN, "status": "active", "user": user(), "signed_user": JWS, "proof": "fresh",
            "nonces": [nonce()],
        }),
        "EventBatch" => json!({ "list": LIST, "events": [event()] }),
        "EventsTaken" => json!({ "stored": 1, "known": 0 }),
        "SignedFeed" => json!({ "jws": JWS }),
        "WitnessTaken" => json!({ "missing": false }),
        "TerminalCertificates" => json!({ "tls": DER, "ecka": DER, "ca": DER }),
        "TokenCertificates" => json!({ "identity": DER, "ecka": DER }),
        "User" => user(),
        "UserBatch" => json!({ "users": [user()] }),
        "UserPage" => json!({ "items": [user()], "next": "7" }),
        "Imported" => json!({ "created": 1, "changed": 0, "unchanged": 0 }),
        "StatusRequest" => json!({ "status": "lost", "reason": "left on a train" }),
        "Token" => token(),
        "TokenPage" => json!({ "items": [token()] }),
        "Terminal" => terminal(),
        "TerminalPage" => json!({ "items": [terminal()] }),
        "Presence" => json!({
            "at": AT,
            "items": [{
                "user": user(), "token_id": TOKEN, "terminal": "front-door", "reader": "Reader 00 00", "since": AT,
                "last_seen": AT, "state": "present", "silent": false, "authenticated": true,
            }],
            "summary": {
                "present": 1, "unconfirmed": 0,
                "terminals": [{
                    "name": "front-door", "last_word": AT, "last_event": AT, "silent": false, "revoked": false,
                    "present": 1, "faults": [{ "reader": "Reader 01 00", "fault": "unavailable", "since": AT }],
                }],
            },
        }),
        "StoredEventPage" => json!({
            "items": [{ "terminal": "front-door", "list": LIST, "received": AT, "event": event() }],
        }),
        "ForgottenUser" => json!({
            "id": "7", "tokens": 1, "events": 12, "proofs": 3, "records": 4, "unsealed_records": 0, "token_records": 1,
        }),
        _ => return None,
    })
}

fn user() -> Value {
    json!({ "id": "7", "name": "Ada King", "fields": { "team": "red" } })
}

fn nonce() -> Value {
    json!({ "nonce": NONCE, "use_by": "2026-11-23T15:04:05.123Z" })
}

fn token() -> Value {
    json!({ "token_id": TOKEN, "user_id": "7", "status": "active", "changed": AT, "counter": 65_542 })
}

fn terminal() -> Value {
    json!({
        "name": "front-door", "role": "read", "revoked": false, "added": AT, "last_seen": AT,
        "certificate_until": "2026-11-29T15:04:05Z",
    })
}

fn event() -> Value {
    json!({
        "schema": crate::api::event::EVENT_SCHEMA, "event": "arrived", "seq": 17, "at": AT, "reader": "Reader 00 00",
        "token_id": TOKEN, "user": user(), "source": "card", "authenticated": true,
    })
}
