//! The request handlers, by domain. Each reads the request, calls the store, and answers.

pub mod events;
pub mod health;
pub mod lookups;
pub mod presence;
pub mod revocations;
pub mod terminals;
pub mod tokens;
pub mod users;

use axum::Json;

use super::problem::ApiError;
use crate::api::v1::Page;

/// The state of every handler.
type SharedState = std::sync::Arc<super::state::AppState>;
/// The result of a handler.
type Answer<T> = Result<Json<T>, ApiError>;

/// A page of the entries found; one entry more than `limit` means that another page follows.
fn page<T>(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> String) -> Json<Page<T>> {
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(id);
    Json(Page { items, next })
}

/// Most bytes of entries in a page whose entries may be long; clients reject answers longer than 512 KiB.
const PAGE_BYTES: usize = 200 * 1024;

/// Keeps as many entries as a page may hold, but at least one; returns whether more follow.
fn fit<T>(items: &mut Vec<T>, limit: u32, length: impl Fn(&T) -> usize) -> bool {
    let found = items.len();
    items.truncate(limit as usize);
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += length(item);
        bytes <= PAGE_BYTES
    });
    let fits = fits.count().max(1);
    items.truncate(fits);
    items.len() < found
}

/// How long an entry is in JSON.
fn length(entry: &impl serde::Serialize) -> usize {
    serde_json::to_vec(entry).map_or(0, |json| json.len())
}
