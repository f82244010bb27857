//! Proxies that stand before a server: the addresses that they have, and the head in which they say for whom they speak.

mod head;
mod network;

pub use head::{HEAD_MAX, HeadError, HeadStep, next_step};
pub use network::{BadNetwork, Network};
