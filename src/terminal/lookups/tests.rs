//! Tests of the cache and the lookup thread, against small servers.

pub mod cache;
mod worker;
