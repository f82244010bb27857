//! Tests of the token, driven by the terminal's own channel code in one process.

mod enrollment;
mod life;
mod limits;
mod platform;
mod refused;
mod resumption;
mod rig;
mod saved;
mod sequences;
mod session;
mod table;
mod terminal;
mod torn;
mod transport;
mod vectors;
