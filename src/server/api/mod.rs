//! The handlers, by domain. Each reads what it is sent, asks the store once, and answers.

pub mod events;
pub mod health;
pub mod lookups;
pub mod revocations;
pub mod terminals;
pub mod tokens;
pub mod users;

use axum::Json;

use super::problem::ApiError;
use crate::api::v1::Page;

/// The state of every handler.
type SharedState = std::sync::Arc<super::state::AppState>;
/// An answer.
type Answer<T> = Result<Json<T>, ApiError>;

/// A page of the entries that were found, of which there was one more than asked for when another page follows.
fn page<T>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> String) -> Json<Page<T>> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(id);
    Json(Page { items, next })
}
