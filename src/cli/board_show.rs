//! How a watch uses its board, including in a program that was built without one.

use uuid::Uuid;

use crate::terminal::watch::WatchEvent;

/// Passes events to browsers, without ever waiting for one.
pub struct BoardShow {
    /// Shows an event.
    pub show: Box<dyn Fn(&WatchEvent<'_>)>,
    /// Whether a portrait of this token is wanted.
    pub wants_portrait: Box<dyn Fn(Uuid) -> bool>,
}
