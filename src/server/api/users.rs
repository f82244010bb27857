//! Shows, lists, changes, imports and forgets users.

use std::collections::HashSet;

use axum::{Json, extract::State};

use super::{Answer, SharedState, page};
use crate::{
    api::{
        User,
        v1::{ForgottenUser, Imported, Page, USERS_MAX, UserBatch},
    },
    crypto::random::{self, SystemRandom},
    server::{
        auth::AuthenticatedTerminal,
        body::{Body, Id, PageQuery, Parameters, check_user},
        problem::ApiError,
        store::STAND_IN,
    },
};

/// `GET /v1/users/{id}`.
pub async fn show(State(state): State<SharedState>, _: AuthenticatedTerminal, Id(id): Id) -> Answer<User> {
    state.store.user(&id).await?.map(Json).ok_or(ApiError::NoUser)
}

/// `PUT /v1/users/{id}`.
pub async fn put(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Id(id): Id,
    Body(user): Body<User>,
) -> Answer<User> {
    if user.id != id {
        return Err(ApiError::Invalid("the id in the body is not that of the path".into()));
    }
    check_user(&user)?;
    state.store.put_users(std::slice::from_ref(&user), &terminal.name, (state.clock)()).await?;
    state.news.iter().for_each(|news| news.everybody());
    Ok(Json(user))
}

/// `GET /v1/users`.
pub async fn list(
    State(state): State<SharedState>,
    _: AuthenticatedTerminal,
    Parameters(query): Parameters<PageQuery>,
) -> Answer<Page<User>> {
    let limit = query.limit()?;
    let users = state.store.users(&query.after, limit + 1).await?;
    Ok(page(users, limit, |user| user.id.clone()))
}

/// `POST /v1/users/import`.
pub async fn import(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Body(batch): Body<UserBatch>,
) -> Answer<Imported> {
    if !(1..=USERS_MAX).contains(&batch.users.len()) {
        return Err(ApiError::Invalid(format!("a batch has 1 to {USERS_MAX} users")));
    }
    batch.users.iter().try_for_each(check_user)?;
    let ids: HashSet<_> = batch.users.iter().map(|user| &user.id).collect();
    if ids.len() < batch.users.len() {
        return Err(ApiError::Invalid("a batch has each id only once".into()));
    }
    let imported = state.store.put_users(&batch.users, &terminal.name, (state.clock)()).await?;
    state.news.iter().for_each(|news| news.everybody());
    Ok(Json(imported))
}

/// `DELETE /v1/users/{id}`.
pub async fn forget(
    State(state): State<SharedState>,
    AuthenticatedTerminal(terminal): AuthenticatedTerminal,
    Id(id): Id,
) -> Answer<ForgottenUser> {
    let number: [u8; 8] = random::bytes(&mut SystemRandom).map_err(|error| ApiError::fault(&error))?;
    let stand_in = format!("{STAND_IN}{}", hex::encode(number));
    let done = state.store.forget_user(&id, &stand_in, &terminal.name, (state.clock)()).await?;
    state.past.forget().await;
    state.news.iter().for_each(|news| news.forgotten());
    done.map(Json).ok_or(ApiError::NoUser)
}
