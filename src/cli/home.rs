//! Checks the server whose home is on this machine, for `status` and `doctor`.

use crate::{config::Settings, doctor::HomeProbe};

/// Looks at the server that has its home here, where there is one.
#[cfg(feature = "server")]
pub fn home_probe(settings: &Settings) -> Option<HomeProbe> {
    super::server::home_probe(settings)
}

/// Without the server nobody looks.
#[cfg(not(feature = "server"))]
pub fn home_probe(_: &Settings) -> Option<HomeProbe> {
    None
}
