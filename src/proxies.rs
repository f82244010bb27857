//! Proxies in front of a server: their addresses, and the PROXY header in which they name the client.

mod head;
mod network;

pub use head::{HEAD_MAX, HeadError, HeadStep, next_step};
pub use network::{BadNetwork, Network};
