//! How a watch uses its board, including in a program that was built without one.

use uuid::Uuid;

use crate::terminal::watch::WatchEvent;

/// What shows browsers each thing that happens; it waits for nobody.
pub struct BoardShow {
    /// Shows it.
    pub show: Box<dyn Fn(&WatchEvent<'_>)>,
    /// Whether a portrait of this token is wanted.
    pub wants_portrait: Box<dyn Fn(Uuid) -> bool>,
}
