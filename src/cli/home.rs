//! Checks the server whose home is on this machine, for `status` and `doctor`.

use crate::{config::Settings, doctor::HomeProbe};

/// Checks the server whose home is here, if there is one.
#[cfg(feature = "server")]
pub fn home_probe(settings: &Settings) -> Option<HomeProbe> {
    super::server::home_probe(settings)
}

/// Without the server feature there is none.
#[cfg(not(feature = "server"))]
pub fn home_probe(_: &Settings) -> Option<HomeProbe> {
    None
}
