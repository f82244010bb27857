//! The token, driven by the terminal's own channel code, in one process.

mod enrollment;
mod rig;
mod session;
mod transport;
