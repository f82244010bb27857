//! The server that this terminal is to ask.

use crate::{
    cli::context::server_access,
    config::Settings,
    failure::{ExitClass, Failure},
    server_client::ServerClient,
};

/// Connects with this terminal's certificate.
pub fn connect(settings: &Settings) -> Result<ServerClient, Failure> {
    let missing = || {
        Failure::new(ExitClass::Config, "server.not-configured", "this terminal has no server to ask")
            .hint("say where it is: url = \"https://HOST:PORT\" under [server] in config.toml, or ROLLCALL_SERVER_URL")
    };
    server_access(settings).ok_or_else(missing)?.connect()
}
