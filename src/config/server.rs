//! Parses the table `[server]`: how this terminal reaches its server, and how a server on this machine runs.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::board::BoardSettings;
use super::entry::ConfigEntry;
use super::error::ConfigError;
use super::listen::listen_address;
use super::set;
use crate::proxies::{BadNetwork, Network};
use crate::server_client::{BadServerUrl, ServerUrl};

/// The default port of a server.
pub const PORT: u16 = 7443;

const KEYS: [&str; 12] = [
    "board",
    "connections",
    "feed_max_age",
    "listen",
    "offline_max_age",
    "proxies",
    "rate",
    "resume_max_age",
    "retention",
    "store",
    "timeout",
    "url",
];

/// The shortest retention of what proofs are checked against: longer than a proof over an old nonce is accepted.
const RETENTION_MIN: Duration = Duration::from_secs(10 * 24 * 3600);

/// The longest time for which one proof allows fast taps.
const LONGEST_RESUMPTION: Duration = Duration::from_secs(24 * 3600);

/// The content of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    url: Option<String>,
    feed_max_age: Option<Duration>,
    offline_max_age: Option<Duration>,
    timeout: Option<Duration>,
    listen: Option<SocketAddr>,
    board: Option<SocketAddr>,
    store: Option<StoreText>,
    rate: Option<u32>,
    connections: Option<u32>,
    proxies: Vec<Network>,
    resume_max_age: Option<Duration>,
    retention: Option<Duration>,
}

/// Where a store is; not printed because it may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreText(String);

impl StoreText {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it contains a password: `//user:password@host`.
    pub fn is_secret(&self) -> bool {
        let authority = self.0.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || self.0.contains("password=")
    }
}

impl std::fmt::Debug for StoreText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreText(…)")
    }
}

/// The server settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// This terminal's server: `https://host:port`; none for a terminal without one.
    pub url: Option<String>,
    /// How old the last revocation feed may be while the server is unreachable.
    pub feed_max_age: Duration,
    /// How old user information from the server may be while the server is unreachable.
    pub offline_max_age: Duration,
    /// The time limit of one request.
    pub timeout: Duration,
    /// Where a local server listens.
    pub listen: SocketAddr,
    /// Where a local server serves the board of all terminals; none: only if the command line asks for it.
    pub board: Option<SocketAddr>,
    /// The store of a local server.
    pub store: StoreText,
    /// Requests that one terminal may make per second; 0 for no limit.
    pub rate: u32,
    /// Maximum number of connections.
    pub connections: u32,
    /// The proxies in front of a local server, which send PROXY headers.
    pub proxies: Vec<Network>,
    /// How long after its proof a local server lets a token resume at the same terminal; none for never.
    pub resume_max_age: Option<Duration>,
    /// How long a local server keeps events, proofs and nonces; none: events and proofs for ever.
    pub retention: Option<Duration>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            url: None,
            feed_max_age: Duration::from_secs(24 * 3600),
            offline_max_age: Duration::from_secs(8 * 3600),
            timeout: Duration::from_secs(5),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            board: None,
            store: StoreText(String::new()),
            rate: 200,
            connections: 1024,
            proxies: Vec::new(),
            resume_max_age: None,
            retention: None,
        }
    }
}

impl Table {
    /// Reads one key of the table.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`], [`ConfigError::BadValue`], or [`ConfigError::Exposed`] for a password in a file
    /// that others may read.
    pub fn take(&mut self, entry: &ConfigEntry<'_>) -> Result<(), ConfigError> {
        match entry.key() {
            "url" => self.url = Some(checked_url(entry.text()?).map_err(|what| entry.bad(what.to_string()))?),
            "feed_max_age" => self.feed_max_age = Some(entry.duration()?),
            "offline_max_age" => self.offline_max_age = Some(entry.duration()?),
            "timeout" => self.timeout = Some(entry.duration()?),
            "listen" => self.listen = Some(entry.address(PORT)?),
            "board" => self.board = Some(entry.address(BoardSettings::DEFAULT.port())?),
            "store" => {
                let store = StoreText(entry.text()?.to_owned());
                entry.require_private(store.is_secret())?;
                self.store = Some(store);
            }
            "rate" => self.rate = Some(entry.number(0, 1_000_000)?),
            "connections" => self.connections = Some(entry.number(1, 100_000)?),
            "proxies" => {
                let read = |text: &String| text.parse().map_err(|error: BadNetwork| entry.bad(error.to_string()));
                self.proxies = entry.texts()?.iter().map(read).collect::<Result<_, _>>()?;
            }
            "resume_max_age" => self.resume_max_age = Some(entry.duration_up_to(LONGEST_RESUMPTION)?),
            "retention" => {
                let time = entry.duration()?;
                if time < RETENTION_MIN {
                    return Err(
                        entry.bad("expected 10d or longer: late presence proofs are checked against what is kept")
                    );
                }
                self.retention = Some(time);
            }
            _ => return Err(entry.unknown(&KEYS)),
        }
        Ok(())
    }

    /// Applies the environment, which precedes the file; `state` is the default folder of the store.
    ///
    /// # Errors
    /// [`ConfigError::BadVariable`].
    pub fn resolve(
        self,
        environment: &dyn Fn(&str) -> Option<OsString>,
        state: &Path,
    ) -> Result<ServerSettings, ConfigError> {
        let variable = |name: &'static str| -> Result<Option<String>, ConfigError> {
            let text = set(environment, name).map(OsString::into_string).transpose();
            text.map_err(|_| ConfigError::BadVariable { name, message: "it is not UTF-8".into() })
        };
        let bad = |name: &'static str| move |message: String| ConfigError::BadVariable { name, message };
        let url = variable("ROLLCALL_SERVER_URL")?.map(|text| checked_url(&text)).transpose();
        let url = url.map_err(|what| bad("ROLLCALL_SERVER_URL")(what.to_string()))?;
        let listen = variable("ROLLCALL_SERVER_LISTEN")?.map(|text| listen_address(&text, PORT)).transpose();
        let listen = listen.map_err(bad("ROLLCALL_SERVER_LISTEN"))?;
        let rate = variable("ROLLCALL_SERVER_RATE")?.map(|text| text.parse()).transpose();
        let rate = rate.map_err(|_| bad("ROLLCALL_SERVER_RATE")("not a number".into()))?;
        let store = variable("ROLLCALL_SERVER_STORE")?.map(StoreText);
        let otherwise = ServerSettings::default();
        let own_file = || StoreText(format!("sqlite://{}", state.join("server.db").display()));
        Ok(ServerSettings {
            url: url.or(self.url),
            feed_max_age: self.feed_max_age.unwrap_or(otherwise.feed_max_age),
            offline_max_age: self.offline_max_age.unwrap_or(otherwise.offline_max_age),
            timeout: self.timeout.unwrap_or(otherwise.timeout),
            listen: listen.or(self.listen).unwrap_or(otherwise.listen),
            board: self.board,
            store: store.or(self.store).unwrap_or_else(own_file),
            rate: rate.or(self.rate).unwrap_or(otherwise.rate),
            connections: self.connections.unwrap_or(otherwise.connections),
            proxies: self.proxies,
            resume_max_age: self.resume_max_age,
            retention: self.retention,
        })
    }
}

/// Normalised, with its port.
fn checked_url(text: &str) -> Result<String, BadServerUrl> {
    text.parse::<ServerUrl>().map(|url| url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_and_not_printed() {
        for (text, secret) in [
            ("postgres://u:canary@h/d", true),
            ("postgres://h/d?user=u&password=canary", true),
            ("postgres://u@h/d", false),
            ("sqlite:///var/lib/x.db", false),
        ] {
            let store = StoreText(text.into());
            assert_eq!(store.is_secret(), secret, "{text}");
            assert!(!format!("{store:?}").contains("canary"));
        }
    }
}
