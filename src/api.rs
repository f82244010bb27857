//! Types that travel: between terminal and server, and between our layers.

pub mod event;
pub mod json_schema;
pub mod problem;
mod user;
pub mod v1;

pub use user::{FIELDS_MAX, User, UserFault, plain};
