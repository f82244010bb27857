//! What the configuration says of this terminal, as the terminal takes it.

use std::sync::Arc;

use crate::{
    config::Settings,
    pki::{ClockCheck, PkiDir},
    terminal::{context::TerminalContext, server_access::ServerAccess},
};

/// This terminal.
pub fn terminal_context(settings: &Settings) -> TerminalContext {
    TerminalContext {
        state_folder: settings.state_folder.clone(),
        pki: PkiDir::new(settings.pki_folder()),
        server: server_access(settings),
        perso_key: settings.perso_key.clone(),
        exchange: settings.limits.exchange,
        clock_check: ClockCheck::skipped_if(settings.yes),
        policy: Arc::new(settings.clone()),
    }
}

/// The server that this terminal is to ask, where there is one.
pub fn server_access(settings: &Settings) -> Option<ServerAccess> {
    let url = settings.server.url.clone()?;
    Some(ServerAccess { url, timeout: settings.server.timeout, pki: PkiDir::new(settings.pki_folder()) })
}
