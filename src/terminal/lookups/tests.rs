//! The cache and the thread that asks, against small servers.

pub mod cache;
mod worker;
