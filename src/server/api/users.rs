//! Users.

use std::collections::HashSet;

use axum::{Json, extract::State};

use super::{Answer, Desk, page};
use crate::{
    api::{
        User,
        v1::{Imported, Page, USERS_MAX, UserBatch},
    },
    server::{
        body::{Body, Id, PageQuery, Parameters, check_user},
        caller::Caller,
        problem::ApiError,
    },
};

/// `GET /v1/users/{id}`.
pub async fn show(State(desk): State<Desk>, _: Caller, Id(id): Id) -> Answer<User> {
    desk.store.user(&id).await?.map(Json).ok_or(ApiError::NoUser)
}

/// `PUT /v1/users/{id}`.
pub async fn put(State(desk): State<Desk>, Caller(caller): Caller, Id(id): Id, Body(user): Body<User>) -> Answer<User> {
    if user.id != id {
        return Err(ApiError::Invalid("the id in the body is not that of the path".into()));
    }
    check_user(&user)?;
    desk.store.put_users(std::slice::from_ref(&user), &caller.name, (desk.clock)()).await?;
    Ok(Json(user))
}

/// `GET /v1/users`.
pub async fn list(State(desk): State<Desk>, _: Caller, Parameters(query): Parameters<PageQuery>) -> Answer<Page<User>> {
    let limit = query.limit()?;
    let users = desk.store.users(&query.after, limit + 1).await?;
    Ok(page(users, limit, |user| user.id.clone()))
}

/// `POST /v1/users/import`.
pub async fn import(
    State(desk): State<Desk>,
    Caller(caller): Caller,
    Body(batch): Body<UserBatch>,
) -> Answer<Imported> {
    if !(1..=USERS_MAX).contains(&batch.users.len()) {
        return Err(ApiError::Invalid(format!("a batch has 1 to {USERS_MAX} users")));
    }
    batch.users.iter().try_for_each(check_user)?;
    let ids: HashSet<_> = batch.users.iter().map(|user| &user.id).collect();
    if ids.len() < batch.users.len() {
        return Err(ApiError::Invalid("a batch has each id once".into()));
    }
    Ok(Json(desk.store.put_users(&batch.users, &caller.name, (desk.clock)()).await?))
}
