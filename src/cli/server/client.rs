//! The server that this terminal is to ask.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    config::Settings,
    failure::{ExitClass, Failure},
    pki::PkiDir,
    server_client::{RequestLimits, ServerClient, ServerError},
};

/// The time to wait before a busy server is asked once more, and how often.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 30;

/// Connects with this terminal's certificate.
pub fn connect(settings: &Settings) -> Result<ServerClient, Failure> {
    let Some(url) = &settings.server.url else {
        return Err(Failure::new(ExitClass::Config, "server.not-configured", "this terminal has no server to ask")
            .hint(
                "say where it is: url = \"https://HOST:PORT\" under [server] in config.toml, or ROLLCALL_SERVER_URL",
            ));
    };
    let tls = PkiDir::new(settings.pki_folder()).load_terminal_tls(Timestamp::now())?;
    let limits = RequestLimits { request: settings.server.timeout, ..RequestLimits::default() };
    Ok(ServerClient::connect(url, &tls.key, &tls.certificate, &tls.trusted(), limits)?)
}

/// Asks until the server is not busy any more: for work that is worth waiting for.
pub fn patiently<T>(mut ask: impl FnMut() -> Result<T, ServerError>) -> Result<T, Failure> {
    for _ in 0..TRIES {
        match ask() {
            Err(ServerError::Busy(_)) => std::thread::sleep(PAUSE), // it asked for that: Retry-After
            done => return Ok(done?),
        }
    }
    Ok(ask()?)
}
