//! Registers, shows and lists tokens, and changes their status.

use axum::{Json, extract::State};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{Answer, SharedState, page};
use crate::{
    api::v1::{Page, RegisteredToken, StatusRequest, TokenCertificates, TokenRequest, TokenStatus},
    crypto::{ec::Point, random::SystemRandom},
    server::{
        auth::AuthenticatedTerminal,
        body::{Body, Id, PageQuery, Parameters, binary, check_user, plain},
        problem::ApiError,
        store::{NewToken, Registration, StatusChange, TokenKeys},
    },
};

/// `POST /v1/tokens`. Repeating a request gets the same answer.
pub async fn register(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(request): Body<TokenRequest>,
) -> Answer<TokenCertificates> {
    check_user(&request.user)?;
    if request.replaces == Some(request.token_id) {
        return Err(ApiError::Invalid("a token does not replace itself".into()));
    }
    let (identity, ecka) = (key("identity_key", &request.identity_key)?, key("ecka_key", &request.ecka_key)?);
    if identity == ecka {
        return Err(ApiError::Invalid("identity_key and ecka_key are one key".into()));
    }
    let token_id = request.token_id;
    let keys = match state.store.token_keys(token_id).await? {
        Some(known) => known, // whether it is the same token, the store decides
        None => {
            state
                .certify(move |cas, now| {
                    let ca = &mut cas.ca;
                    Ok(TokenKeys {
                        identity_key: identity.as_bytes().to_vec(),
                        ecka_key: ecka.as_bytes().to_vec(),
                        identity_certificate: ca.certify_identity(token_id, &identity, now, &mut SystemRandom)?,
                        ecka_certificate: ca.certify_token_ecka(token_id, &ecka, now, &mut SystemRandom)?,
                    })
                })
                .await?
        }
    };
    let keys = TokenKeys { identity_key: identity.as_bytes().to_vec(), ecka_key: ecka.as_bytes().to_vec(), ..keys };
    let new = NewToken { token_id, user: request.user, keys, replaces: request.replaces };
    match state.store.register(&new, &terminal.name, (state.clock)()).await? {
        Registration::Registered(keys) => Ok(Json(TokenCertificates {
            identity: BASE64_URL_SAFE_NO_PAD.encode(keys.identity_certificate),
            ecka: BASE64_URL_SAFE_NO_PAD.encode(keys.ecka_certificate),
        })),
        Registration::Conflict => Err(ApiError::TokenConflict),
        Registration::NotTheirs => Err(ApiError::NotTheirs),
        Registration::NothingToReplace => Err(ApiError::NoToken),
    }
}

fn key(name: &str, text: &str) -> Result<Point, ApiError> {
    let wrong = || ApiError::Invalid(format!("{name} is not an uncompressed point of P-256"));
    Point::parse(&binary(name, text, 65..=65)?).map_err(|_| wrong())
}

/// `GET /v1/tokens/{id}`.
pub async fn show(State(state): State<SharedState>, _: AuthenticatedTerminal, Id(id): Id) -> Answer<RegisteredToken> {
    state.store.token(token_id(&id)?).await?.map(Json).ok_or(ApiError::NoToken)
}

/// `GET /v1/tokens`.
pub async fn list(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(query): Parameters<PageQuery>,
) -> Answer<Page<RegisteredToken>> {
    let limit = query.limit()?;
    let tokens = state.store.tokens(&query.after, limit + 1).await?;
    Ok(page(tokens, limit, |token| token.token_id.to_string()))
}

/// `GET /v1/users/{id}/tokens`.
pub async fn of_user(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Id(user): Id,
    Parameters(query): Parameters<PageQuery>,
) -> Answer<Page<RegisteredToken>> {
    let limit = query.limit()?;
    let tokens = state.store.tokens_of(&user, &query.after, limit + 1).await?;
    Ok(page(tokens, limit, |token| token.token_id.to_string()))
}

/// `PUT /v1/tokens/{id}/status`.
pub async fn set_status(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Id(id): Id,
    Body(request): Body<StatusRequest>,
) -> Answer<RegisteredToken> {
    let id = token_id(&id)?;
    let reason = request.reason.as_deref();
    if reason.is_some_and(|reason| !plain(reason, 1, 200)) {
        return Err(ApiError::Invalid("a reason is 1 to 200 bytes without control characters".into()));
    }
    if reason.is_none() != (request.status == TokenStatus::Active) {
        return Err(ApiError::Invalid("every status but active needs a reason, and active takes none".into()));
    }
    match state.store.set_status(id, request.status, reason, &terminal.name, (state.clock)()).await? {
        StatusChange::Done(token) => Ok(Json(token)),
        StatusChange::Unknown => Err(ApiError::NoToken),
        StatusChange::Final => Err(ApiError::TokenFinal),
    }
}

/// A token id, in any form that is accepted in a body.
fn token_id(text: &str) -> Result<Uuid, ApiError> {
    text.parse().map_err(|_| ApiError::NoToken)
}
