//! Converts the configuration into the types that the terminal takes.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::SignedDuration;

use super::printer::Printer;
use crate::{
    config::{Settings, UserSource},
    failure::{ExitClass, Failure},
    pki::{ClockCheck, PkiDir, ends_soon},
    server_client::ServerClient,
    terminal::{
        admission::{Rules, UserPreference},
        context::TerminalContext,
        presence::{PresenceList, TerminalStore},
        reader_pool::PoolPolicy,
        server_access::ServerAccess,
        tap::{Depth, tap_terminal::TapTerminal},
    },
};

/// The context of this terminal.
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

/// How to reach this terminal's server, if there is one.
pub fn server_access(settings: &Settings) -> Option<ServerAccess> {
    let url = settings.server.url.clone()?;
    Some(ServerAccess { url, timeout: settings.server.timeout, pki: PkiDir::new(settings.pki_folder()) })
}

/// Connects to this terminal's server, with the terminal's certificate.
///
/// # Errors
/// `server.not-configured` without a URL; that of the certificates and of the connection.
pub fn connect(settings: &Settings) -> Result<ServerClient, Failure> {
    let missing = || {
        Failure::new(ExitClass::Config, "server.not-configured", "this terminal has no server to ask")
            .hint("say where it is: url = \"https://HOST:PORT\" under [server] in config.toml, or ROLLCALL_SERVER_URL")
    };
    server_access(settings).ok_or_else(missing)?.connect()
}

/// The store of this terminal.
///
/// # Errors
/// That of the store, `store.…`.
pub fn store(settings: &Settings) -> Result<TerminalStore, Failure> {
    Ok(TerminalStore::open(&settings.state_folder)?)
}

/// The terminal that taps cards.
///
/// # Errors
/// That of the keys and the store, `pki.…` and `store.…`.
pub fn tap_terminal(settings: &Settings, depth: Depth) -> Result<TapTerminal, Failure> {
    TapTerminal::open(&terminal_context(settings), settings.limits.tap, depth)
}

/// The server to look tokens up at, if it is configured or required.
///
/// # Errors
/// As [`connect`].
pub fn lookup_server(settings: &Settings) -> Result<Option<ServerClient>, Failure> {
    if settings.server.url.is_none() && settings.source != UserSource::Server {
        return Ok(None);
    }
    connect(settings).map(Some)
}

/// Which source of user information counts, and for how long.
pub fn admission_rules(settings: &Settings) -> Rules {
    let age = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    Rules {
        wanted: match settings.source {
            UserSource::Auto => UserPreference::Either,
            UserSource::Card => UserPreference::Card,
            UserSource::Server => UserPreference::Server,
        },
        feed_max_age: age(settings.server.feed_max_age),
        offline_max_age: age(settings.server.offline_max_age),
    }
}

/// The selected readers; with `keeps`, tokens at readers in mode field keep their channel for heartbeats.
pub fn pool_policy(settings: &Settings, keeps: bool) -> PoolPolicy {
    PoolPolicy {
        readers: settings.readers.clone(),
        presence: Arc::new(settings.clone()),
        heartbeat: keeps.then_some(settings.heartbeat),
    }
}

/// Warns of a certificate that expires soon, while there is still time to renew it.
pub fn warn_of_end(terminal: &TapTerminal, out: &mut Printer) {
    let keys = terminal.keys.current();
    let end = keys.certificate.not_after();
    if ends_soon(keys.certificate.not_before(), end, (terminal.clock)()) {
        let text = format!("this terminal's certificate expires at {end}");
        out.warning(
            &text,
            Some(
                "where the CA key is: rollcall pki renew; for a terminal from a bundle without a server: rollcall \
                 pki issue terminal there",
            ),
        );
    }
}

/// Passes on the list from the store, if it can be read.
pub fn with_stored_list(state_folder: &Path, show: impl FnOnce(&PresenceList)) {
    if let Ok(Some(mut store)) = TerminalStore::open_if_there(state_folder)
        && let Ok(list) = store.list()
    {
        show(list);
    }
}
