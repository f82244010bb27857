//! Whether a token that has proved itself is let in, and whose it is.

mod server;
#[cfg(test)]
mod tests;

pub use server::{Admitted, Origin, Refusal, Rules, ServerVerdict, UserPreference, decide};
